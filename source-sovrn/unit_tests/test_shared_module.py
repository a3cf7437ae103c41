"""The shared files are the same in every source; their home is source-wecantrack."""

from pathlib import Path

import pytest
from source_sovrn import quick_start, strict_budget, strict_command, strict_http, strict_source

HOME = Path(__file__).resolve().parents[2] / "source-wecantrack" / "source_wecantrack"


@pytest.mark.parametrize("module", [quick_start, strict_budget, strict_command, strict_http, strict_source])
def test_the_copy_is_the_same_byte_for_byte(module):
    copy = Path(module.__file__)
    assert copy.read_bytes() == (HOME / copy.name).read_bytes()
