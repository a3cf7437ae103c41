"""The console scripts import of the CDK what a destination uses; the rest is there as soon as somebody asks for it."""

import subprocess
import sys

import pytest

PREPARED = "import sys; from destination_wicked_reports import light_cdk; light_cdk.prepare()\n"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("module", ["destination", "singer"])
def test_the_connector_is_imported_without_the_sources_of_the_cdk(module):
    done = run_python(
        f"{PREPARED}import destination_wicked_reports.{module}\n"
        "strange = [name for name in sys.modules if name.startswith(('airbyte_cdk.legacy', 'airbyte_cdk.sources.d'))]\n"
        "assert not strange, strange\n"
        "assert 'airbyte_cdk.destinations.destination' in sys.modules\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "statement",
    [
        "from airbyte_cdk import HttpStream; HttpStream.url_base",
        "import airbyte_cdk; airbyte_cdk.Destination.write",
        "from airbyte_cdk.sources import AbstractSource; AbstractSource.check_connection",
        "from airbyte_cdk.sources.utils import *; record_helper.stream_data_to_airbyte_message",
        "import airbyte_cdk.sources.declarative.yaml_declarative_source",
    ],
)
def test_what_was_left_out_is_there_when_asked_for(statement):
    done = run_python(f"{PREPARED}import destination_wicked_reports.destination\n{statement}\n")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_the_cdk_does_not_have_is_missing_as_ever():
    done = run_python(
        f"{PREPARED}import airbyte_cdk\n"
        "assert not hasattr(airbyte_cdk, 'nothing') and airbyte_cdk.AbstractSource.__name__ == 'AbstractSource'\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cdk_that_is_imported_already_stays_as_it_is():
    done = run_python(
        "import airbyte_cdk; was = airbyte_cdk\n" + PREPARED + "assert sys.modules['airbyte_cdk'] is was\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
