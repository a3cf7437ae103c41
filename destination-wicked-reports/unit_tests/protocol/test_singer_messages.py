"""Singer lines: their translation, which are refused, and when a state is returned."""

from __future__ import annotations

import io
import json

import orjson
import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from destination_wicked_reports.commands.singer_target import make_translator
from destination_wicked_reports.errors import ConfigurationError, InvalidInputError
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.protocol.singer import SingerOutput, Translator

SCHEMA = b'{"type":"SCHEMA","stream":"orders","schema":{},"key_properties":["SourceID"]}'


def record(number: int, stream: str = "orders", **fields) -> bytes:
    return orjson.dumps({"type": "RECORD", "stream": stream, "record": {"n": number, **fields}})


def state(value) -> bytes:
    return orjson.dumps({"type": "STATE", "value": value})


def wrapped(number: int) -> bytes:
    """Return a state as tap-airbyte-wrapper writes it."""
    return state({"at": number, "airbyte_state": [{"type": "STREAM", "stream": {"stream_state": {"at": number}}}]})


def translate(*lines, renamed=None, keep_versions=False):
    translator = Translator({"orders", "contacts"}, renamed or {}, keep_versions=keep_versions)
    chunks = [line if isinstance(line, list) else [line] for line in lines]
    return [orjson.loads(line) for out in translator.translate(chunks) for line in out if line]


def states(messages) -> list:
    return [message["state"]["data"] for message in messages if message["type"] == "STATE"]


# -- messages -----------------------------------------------------------------------------------------------------


def test_a_record_keeps_its_stream_and_every_value(caplog):
    data = {"Amount": 0.1, "Total": 12.4, "Big": 12345678901234567, "Text": "100.500000000", "Nested": [{"a": None}]}
    (message,) = translate(SCHEMA, record(1, **data))
    assert message == {"type": "RECORD", "record": {"stream": "orders", "data": {"n": 1, **data}}}


def test_numbers_keep_their_notation():
    line = b'{"type":"RECORD","stream":"orders","record":{"a":0.1,"b":1234567.89,"c":-0.01,"d":9007199254740993}}'
    (out,) = (line for lines in Translator({"orders"}, {}).translate([[SCHEMA, line]]) for line in lines if line)
    assert json.loads(out, parse_float=str)["record"]["data"] == {
        "a": "0.1",
        "b": "1234567.89",
        "c": "-0.01",
        "d": 9007199254740993,
    }


def test_each_line_makes_one_line_so_that_line_numbers_are_those_of_the_tap():
    lines = [SCHEMA, b"", record(1), state({}), b"  "]
    (out,) = Translator({"orders"}, {}).translate([lines])
    assert [bool(line) for line in out] == [False, False, True, True, False]


def test_sdc_columns_are_left_out():
    (message,) = translate(SCHEMA, record(1, _sdc_extracted_at="x", _sdc_batched_at="y", _sdc_deleted_at=None))
    assert message["record"]["data"] == {"n": 1}


def test_a_row_marked_as_deleted_is_not_sent_and_is_reported(caplog):
    messages = translate(SCHEMA, record(1, _sdc_deleted_at="2026-04-01T00:00:00Z"), record(2))
    assert [message["record"]["data"]["n"] for message in messages] == [2]
    assert "orders: 1 rows are marked as deleted" in caplog.text


def test_a_stream_is_renamed_to_its_alias_and_a_stream_mapped_to_null_is_left_out():
    other = SCHEMA.replace(b"orders", b"public-orders"), SCHEMA.replace(b"orders", b"strange")
    messages = translate(
        *other,
        record(1, "public-orders"),
        record(2, "strange"),
        b'{"type":"ACTIVATE_VERSION","stream":"strange","version":1}',
        renamed={"public-orders": "orders", "strange": None},
    )
    assert [(m["record"]["stream"], m["record"]["data"]["n"]) for m in messages] == [("orders", 1)]


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            SCHEMA.replace(b"orders", b"visits"),
            "deselect it in the tap, or use stream_maps to rename it to one of these",
        ),
        (b'{"type":"ACTIVATE_VERSION","stream":"orders","version":2}', "cannot delete the older rows"),
        (b'{"type":"BATCH","stream":"orders","manifest":[]}', "remove batch_config from the tap's settings"),
    ],
)
def test_what_wicked_or_this_target_cannot_do_is_refused_with_a_remedy(line, said):
    with pytest.raises(AirbyteTracedException, match=said) as caught:
        translate(SCHEMA, line)
    assert caught.value.failure_type is FailureType.config_error


def test_versions_are_kept_if_the_user_chooses_so():
    line = b'{"type":"ACTIVATE_VERSION","stream":"orders","version":2}'
    assert len(translate(SCHEMA, line, record(1), line, keep_versions=True)) == 1


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"RECORD","stream":"orders","rec',
        b"jane@example.com",
        b"[]",
        b"null",
        b'{"type":"RECORD","stream":"orders"}',
        b'{"type":"RECORD","stream":"orders","record":["jane@example.com"]}',
        b'{"type":"RECORD","stream":"contacts","record":{"email":"jane@example.com"}}',
        b'{"type":"SCHEMA"}',
        b'{"type":"SCHEMA","stream":null}',
        b'{"type":"STATE"}',
        b'{"type":"jane@example.com"}',
        b'{"type":"RECORD","record":{"stream":"orders","data":{}}}',
    ],
)
def test_an_invalid_line_is_reported_by_number_without_quoting_it_after_the_lines_before_it(line):
    chunks = Translator({"orders", "contacts"}, {}).translate([[SCHEMA, record(1), line, record(2)]])
    before = next(chunks)
    assert [orjson.loads(line)["record"]["data"]["n"] for line in before if line] == [1]
    with pytest.raises(InvalidInputError, match="Line 3 ") as caught:
        next(chunks)
    assert "jane" not in caught.value.message


# -- states -------------------------------------------------------------------------------------------------------


def test_states_of_an_ordinary_tap_keep_their_position_among_the_records():
    messages = translate(SCHEMA, record(1), state({"bookmarks": {"orders": 1}}), record(2), state({"bookmarks": {}}))
    assert [message["type"] for message in messages] == ["RECORD", "STATE", "RECORD", "STATE"]
    assert states(messages) == [{"bookmarks": {"orders": 1}}, {"bookmarks": {}}]


def test_a_state_that_the_airbyte_wrapper_wrote_early_is_returned_at_the_end_of_the_input():
    messages = translate(SCHEMA, wrapped(1), record(1), wrapped(2), record(2), wrapped(2))
    assert [message["type"] for message in messages] == ["RECORD", "RECORD", "STATE"]
    assert states(messages)[0]["at"] == 2


@pytest.mark.parametrize(
    "lines",
    [
        [wrapped(1)],
        [record(1), wrapped(1)],
        [wrapped(1), wrapped(1), record(1)],
        [wrapped(1), record(1), wrapped(2)],
        [wrapped(1), wrapped(1), SCHEMA],
    ],
    ids=["alone", "last but not repeated", "records after it", "another one last", "a schema after it"],
)
def test_an_airbyte_wrapper_that_ended_early_gets_no_state_back_and_a_warning_is_logged(lines, caplog):
    assert states(translate(SCHEMA, *lines)) == []
    assert "ended before its sync was complete" in caplog.text


def test_a_tap_without_a_wrapper_state_gets_no_warning(caplog):
    assert states(translate(SCHEMA, record(1), state({}))) == [{}]
    assert "ended before" not in caplog.text


# -- output ------------------------------------------------------------------------------------------------------


def test_only_states_are_written_to_standard_output_each_on_one_line_and_flushed():
    out, log = io.BytesIO(), io.StringIO()
    output = SingerOutput(out, log)
    output.emit({"type": "STATE", "state": {"type": "LEGACY", "data": {"a": [1]}, "destinationStats": {}}})
    output.emit(b'{"type":"LOG","log":{"level":"WARN","message":"slow"}}')
    output.emit({"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": "wrong key"}}})
    assert out.getvalue() == b'{"a":[1]}\n'
    assert log.getvalue() == "WARN slow\nCRITICAL wrong key\n"


# -- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["ORDERS", "Orders", "orders"])
def test_streams_are_known_in_any_spelling(spelling):
    normalizer = NativeNormalizer()
    translator = Translator(normalizer.streams, {}, route=normalizer.route)
    lines = [SCHEMA.replace(b"orders", spelling.encode()), record(1, spelling)]
    (out,) = translator.translate([lines])
    assert orjson.loads(out[1])["record"]["stream"] == "orders"


def test_a_prefix_is_named():
    with pytest.raises(AirbyteTracedException) as caught:
        translate(SCHEMA.replace(b"orders", b"public_orders"))
    assert "If it is the stream orders with a prefix, remove the prefix" in (caught.value.message or "")


def test_a_star_excludes_all_streams_that_are_not_named():
    lines = [SCHEMA, SCHEMA.replace(b"orders", b"visits"), SCHEMA.replace(b"orders", b"people")]
    records = [record(1), record(2, "visits"), record(3, "people")]
    messages = translate(*lines, *records, renamed={"*": None, "orders": "orders", "people": "contacts"})
    assert [(m["record"]["stream"], m["record"]["data"]["n"]) for m in messages] == [("orders", 1), ("contacts", 3)]


def test_a_star_cannot_rename():
    with pytest.raises(ConfigurationError, match=r"stream_maps: \* cannot have an alias"):
        make_translator({"api_key": "k", "stream_maps": {"*": {"__alias__": "orders"}}})


def test_no_control_character_of_a_log_line_reaches_the_terminal():
    log = io.StringIO()
    output = SingerOutput(io.BytesIO(), log)
    output.emit({"type": "LOG", "log": {"level": "WARN", "message": "stream \x1b[31mx\nCRITICAL forged"}})
    assert log.getvalue() == "WARN stream \\x1b[31mx\\nCRITICAL forged\n"
