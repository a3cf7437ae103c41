"""Configuration and catalog as files: encodings, places of errors, and what is taken for a catalog."""

import json

import pytest
from source_wecantrack.base.json_files import UnusableFileError, read_catalog, read_object
from source_wecantrack.base.saved_states import read_states

STREAM = {"name": "transactions", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
CONFIGURED = {"stream": STREAM, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
CATALOG_MESSAGE = {"type": "CATALOG", "catalog": {"streams": [STREAM]}}
LOG = {"type": "LOG", "log": {"level": "INFO", "message": "text"}}


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "file.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def reason(read, *arguments):
    with pytest.raises(UnusableFileError) as refused:
        read(*arguments)
    return str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_text_is_read_in_the_encoding_that_it_has(encoding, file):
    assert read_object(file('{"tag": "Größe 東京"}'.encode(encoding)), "config") == {"tag": "Größe 東京"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty."),
        (b" \n", "is empty."),
        (b"\xef\xbb\xbf", "is empty."),
        (b'{\n "a": 1,\n}', "(line 3, column 1)"),
        (b'{\n "a": 1\n "b": 2}', "Expecting ',' delimiter (line 3, column 2)"),
        (b"{'a': 1}", "(line 1, column 2)"),
        (b'{"a": 1}{"b": 2}', "Extra data (line 1, column 9)"),
        (b'{"a":\n"\xe9"}', "is not text in UTF-8 (line 2). Save it as UTF-8."),
        (b'{"a": "\\ud83d"}', "has half of a character"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": ' + b"1" * 5000 + b"}", "a number has too many digits"),
        (b'{"a": ' + b"[" * 100_000 + b"}", "is nested too deeply"),
        (b"[]", "has a list in place of a JSON object"),
        (b"false", "has true or false in place of a JSON object"),
    ],
)
def test_a_file_that_is_not_json_is_refused_with_the_place(content, problem, file):
    assert problem in reason(read_object, file(content), "config")


def test_no_message_quotes_the_content(file):
    for content in (b'{"api_key": "s3cret" "b"}', b'{"api_key": "s3cret\n"}', b'"s3cret"', b'{"api_key": s3cret}'):
        assert "s3cret" not in reason(read_object, file(content), "config")
        assert "s3cret" not in reason(read_catalog, file(content))


@pytest.mark.parametrize("path", ["/nonexistent/file.json", "/tmp/" + "x" * 300])
def test_a_file_that_cannot_be_read_is_named(path):
    assert reason(read_object, path, "config").startswith(f"The config file {path} cannot be read (")


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    folder = f"file {tmp_path} is a folder. Name a file in it."
    assert reason(read_object, tmp_path, "config") == f"The config {folder}"
    assert reason(read_catalog, tmp_path) == f"The catalog {folder}"
    assert reason(read_states, str(tmp_path)) == f"The state {folder}"


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(CATALOG_MESSAGE).encode(),
        b"\xef\xbb\xbf" + json.dumps(CATALOG_MESSAGE).encode(),
        json.dumps(CATALOG_MESSAGE).encode("utf-16"),
        b"\n".join(json.dumps(message).encode() for message in (LOG, CATALOG_MESSAGE, LOG)),
        b"12:00:00 a line of text\n" + json.dumps(CATALOG_MESSAGE).encode(),
        json.dumps(CATALOG_MESSAGE["catalog"]).encode(),
        json.dumps(CATALOG_MESSAGE, indent=2).encode(),
        json.dumps({"catalog": {"streams": [STREAM]}}).encode(),
    ],
)
def test_the_output_of_discover_is_told_apart_from_a_broken_file(content, file):
    assert "is the output of discover. A configured catalog is needed" in reason(read_catalog, file(content))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "has no streams."),
        ([], "has no object with the list streams."),
        ({"api_key": "s3cret"}, "has no streams."),
        ({"streams": [{}]}, "has no stream in stream 1."),
        (
            {"streams": [CONFIGURED, {"stream": STREAM, "destination_sync_mode": "append"}]},
            "has no sync_mode in stream 2",
        ),
        ({"streams": [{**CONFIGURED, "stream": {"name": "x"}}]}, "has no json_schema in stream 1 (x)."),
        (
            {"streams": [{**CONFIGURED, "sync_mode": "incrementl"}]},
            'has a wrong sync_mode in stream 1 (transactions): "incrementl" is not one of ["full_refresh", "incr',
        ),
        ({"streams": [1]}, "has a wrong 0"),
        ({"streams": {"a": 1}}, "has a wrong streams"),
        (b"{", "is not valid JSON: "),
    ],
)
def test_a_catalog_that_is_wrong_says_where(content, problem, file):
    assert problem in reason(read_catalog, file(content))


def test_a_configured_catalog_is_read(file):
    (stream,) = read_catalog(file({"streams": [CONFIGURED]})).streams
    assert stream.stream.name == "transactions"
