"""The console scripts prepare the CDK's import; the module that does it is the same in every connector."""

import subprocess
import sys
from pathlib import Path

import pytest
from destination_wicked_reports import quick_start

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["destination_wicked_reports", "source_wecantrack", "source_sovrn", "source_wicked_reports"]


def test_the_module_is_the_same_byte_for_byte():
    home = ROOT / "source-wecantrack" / "source_wecantrack" / "quick_start.py"
    assert Path(quick_start.__file__).read_bytes() == home.read_bytes()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_console_script_is_imported_without_the_cdk_and_the_package_still_gives_its_connector(package):
    asked = (
        f"import sys, gc, {package}.run, attributes_doc\n"
        "assert not [name for name in sys.modules if name.startswith('airbyte_cdk')]\n"
        "assert attributes_doc.get_attributes_doc(object) == {} and not gc.isenabled()\n"
        f"{package}.quick_start.started()\n"
        "assert gc.isenabled()\n"
        f"assert [getattr({package}, name).__name__ for name in {package}.__all__] == {package}.__all__\n"
        f"assert not hasattr({package}, 'nothing')\n"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
