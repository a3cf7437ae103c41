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


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"{", "is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        (b"[]", "has a list in place of a JSON object"),
        (b'"k"', "has a text in place of a JSON object"),
        (b"null", "has null in place of a JSON object"),
        (b'{"api_key": "Gr\xf6\xdfe"}', "is not text in UTF-8 (line 1)"),
    ],
)
def test_anything_else_is_refused_with_the_place(tmp_path, content, problem):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        read_config_file(path)
    assert f"config.json {problem}" in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_taken(tmp_path, encoding):
    path = tmp_path / "config.json"
    path.write_text('{"api_key": "Größe"}', encoding=encoding)
    assert read_config_file(path) == {"api_key": "Größe"}


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.json cannot be read \(No such file or directory\)"):
        read_config_file(tmp_path / "none.json")
