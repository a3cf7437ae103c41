"""Reading a configuration file."""

from __future__ import annotations

import pytest
from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.errors import ConfigurationError


@pytest.mark.parametrize("as_text", [True, False])
def test_a_json_object_is_returned_as_it_is(tmp_path, as_text):
    path = tmp_path / "config.json"
    path.write_text('{"api_key": "k", "ledger": null}')
    assert read_config_file(str(path) if as_text else path) == {"api_key": "k", "ledger": None}


@pytest.mark.parametrize("content", ["", "{", "[]", '"k"', "null"])
def test_anything_else_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"config\.json is not a JSON object"):
        read_config_file(path)


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.json cannot be read \(No such file or directory\)"):
        read_config_file(tmp_path / "none.json")
