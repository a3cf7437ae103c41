"""`startup` makes the import of the CDK cheaper, and deferred modules are imported on first use."""

import subprocess
import sys

import pytest

PREPARED = "import sys; from destination_wicked_reports.base import startup; startup.prepare(defer_sources=True)\n"
PACKAGES = ["destination_wicked_reports", "source_wecantrack", "source_sovrn", "source_wicked_reports"]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            f"{PREPARED}from destination_wicked_reports.commands import singer_target\n"
            "strange = ('airbyte_cdk.legacy', 'airbyte_cdk.sources.declarative')\n"
            "assert not [name for name in sys.modules if name.startswith(strange)]\n"
            "assert 'airbyte_cdk.destinations.destination' in sys.modules\n"
            "from airbyte_cdk.sources.utils import *; record_helper.stream_data_to_airbyte_message\n"
            "from airbyte_cdk.sources import AbstractSource; AbstractSource.check_connection\n"
            "import airbyte_cdk.sources.declarative.yaml_declarative_source\n"
            "from airbyte_cdk import HttpStream; HttpStream.url_base\n",
            id="the connector comes without the CDK's sources, which are there when asked for",
        ),
        pytest.param(
            f"{PREPARED}import airbyte_cdk\n"
            "assert not hasattr(airbyte_cdk, 'nothing') and airbyte_cdk.AbstractSource.__name__ == 'AbstractSource'\n",
            id="a name that the CDK does not have is missing as ever",
        ),
        pytest.param(
            f"import airbyte_cdk; was = airbyte_cdk\n{PREPARED}assert sys.modules['airbyte_cdk'] is was\n",
            id="a CDK that is imported already stays as it is",
        ),
    ],
)
def test_only_what_is_used_is_imported(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_console_script_is_imported_without_the_cdk_and_the_package_still_gives_its_connector(package):
    asked = (
        f"import sys, gc, {package}.run, attributes_doc\n"
        f"from {package}.base import startup\n"
        "startup.prepare()\n"
        "assert not [name for name in sys.modules if name.startswith('airbyte_cdk')]\n"
        "assert attributes_doc.get_attributes_doc(object) == {} and not gc.isenabled()\n"
        "startup.finish()\n"
        "assert gc.isenabled()\n"
        f"assert [getattr({package}, name).__name__ for name in {package}.__all__] == {package}.__all__\n"
        f"assert not hasattr({package}, 'nothing')\n"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
