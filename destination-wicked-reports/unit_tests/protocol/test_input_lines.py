"""Lines that a strict parser refuses, that hold long numbers, or that are too long: what becomes of each."""

from __future__ import annotations

import json
import os
import threading
from decimal import Decimal

import pytest
from destination_wicked_reports.api.json_text import decode_json_text, read_json
from destination_wicked_reports.errors import InvalidInputError
from destination_wicked_reports.protocol import messages
from destination_wicked_reports.protocol.messages import BadRecord, LongLine, encode, parse, parse_long, read_lines
from destination_wicked_reports.protocol.singer import Translator

SCHEMA = b'{"type":"SCHEMA","stream":"orders","schema":{},"key_properties":[]}'
#: A value as JSON, and what the reason names.
FORBIDDEN = [
    (b"NaN", "NaN"),
    (b"-Infinity", "Infinity"),
    (b"1e999", "range of a double"),
    (b"-1e400", "range of a double"),
    (b"9" * 5000, "4,300 digits"),
    (b'"\\ud83d"', "lone surrogate"),
    (b'["x\\udc00y"]', "lone surrogate"),
    (b'{"\\ud83d":1}', "lone surrogate"),
    (b'"caf\xe9"', "UTF-8"),
]


def airbyte(value: bytes) -> bytes:
    return (
        b'{"type":"RECORD","record":{"stream":"orders","namespace":"n","data":{"a":1,"b":%s},"emitted_at":1}}' % value
    )


def singer(value: bytes) -> bytes:
    return b'{"type":"RECORD","stream":"orders","record":{"a":1,"b":%s,"_sdc_x":1}}' % value


def translated(*lines: bytes | LongLine) -> list:
    (out,) = Translator({"orders"}, {}).translate([[SCHEMA, *lines]])
    return [line for line in out if line]


@pytest.mark.parametrize(("value", "reason"), FORBIDDEN)
def test_a_record_that_json_does_not_allow_is_bad_and_shows_what_could_be_read(value, reason):
    for message in (parse(airbyte(value), 1), translated(singer(value))[0]):
        assert isinstance(message, BadRecord)
        assert message.stream == "orders"
        assert message.data.keys() == {"a", "b"}
        assert reason in message.reason


@pytest.mark.parametrize("broken", [airbyte(b"1")[:-9], b"[1,", b"hello", b"\xff\xfe{"])
def test_only_a_line_that_is_no_json_ends_the_run(broken):
    with pytest.raises(InvalidInputError, match="Line 7 of the input is not complete JSON"):
        parse(broken, 7)


def test_a_byte_order_mark_and_control_characters_are_read():
    assert parse(b"\xef\xbb\xbf" + airbyte(b"2"), 1)["record"]["data"]["b"] == 2
    assert parse(airbyte(b'"a\tb"'), 1)["record"]["data"]["b"] == "a\tb"
    assert json.loads(translated(b"\xef\xbb\xbf" + singer(b"2"))[0])["record"]["data"]["b"] == 2


def test_a_record_nested_without_end_is_bad():
    deep = b"[" * 100_000 + b"]" * 100_000
    for message in (parse(airbyte(deep), 1), translated(singer(deep))[0]):
        assert isinstance(message, BadRecord)
        assert (message.stream, message.reason) == ("orders", "the record is nested too deep")


# -- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("18446744073709551617", 18446744073709551617),
        ("99999999999999.99", Decimal("99999999999999.99")),
        ("1.00000000000000000001", Decimal("1.00000000000000000001")),
        ("0.1", 0.1),
        ("59.899999999999999", 59.9),  # as C's %.17g writes 59.9
        ("0.1000000000000000055511151231257827", 0.1),
        ("0.30000000000000004", 0.30000000000000004),
        ("0.00000000000000000000", 0.0),
        ("12.500000000000000000000", 12.5),
        ("1e22", 1e22),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_number_keeps_its_digits(text, value):
    data = parse(airbyte(text.encode()), 1)["record"]["data"]
    assert (data["b"], type(data["b"])) == (value, type(value))
    assert decode_json_text(f'{{"b":{text}}}') == {"b": value}
    (line,) = translated(singer(text.encode()))
    assert read_json(line)[0]["record"]["data"]["b"] == value


@pytest.mark.parametrize(
    "value",
    [
        '{"n":123456789012345678901234567890,"m":18446744073709551617}',
        '{"n":0.12345678901234567890123,"m":-99999999999999.99}',
        '{"n":NaN,"m":[Infinity,1e999]}',
        '{"n":' + "7" * 5000 + "}",
        '{"n":' + "[" * 400 + "123456789012345678901234567890" + "]" * 400 + "}",
        '{"n":"\\ud83d"}',
    ],
)
def test_a_state_is_returned_as_it_came(value):
    (line,) = translated(b'{"type":"STATE","value":%s}' % value.encode())
    assert encode(parse(line, 1)["state"]["data"]).decode() == value
    line = b'{"type":"STATE","state":{"type":"LEGACY","data":%s}}' % value.encode()
    assert encode(parse(line, 1)["state"]["data"]).decode() == value


def test_a_repeated_state_of_the_wrapper_keeps_its_digits():
    value = b'{"airbyte_state":[{"at":123456789012345678901234567890}]}'
    translator = Translator({"orders"}, {})
    lines = [b'{"type":"STATE","value":%s}' % value] * 2
    out = [line for chunk in translator.translate([lines]) for line in chunk if line]
    assert [encode(parse(line, 1)["state"]["data"]) for line in out] == [value]


# -- long lines -----------------------------------------------------------------------------------------------------


def lines_through_a_pipe(content: bytes) -> list:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return [line for lines in read_lines(reading) for line in lines]
    finally:
        thread.join()
        os.close(reading)


def test_lines_of_any_length_are_read(monkeypatch):
    content = [b"", b"a", b"x" * 300_000, b"", b"b" * 131_072, b"c"]
    assert lines_through_a_pipe(b"\n".join(content) + b"\n") == content
    assert lines_through_a_pipe(b"\n".join(content)) == content


def test_a_line_above_the_limit_keeps_only_its_beginning(monkeypatch):
    monkeypatch.setattr(messages, "LINE_LIMIT", 500_000)
    long = airbyte(b'"' + b'\\"stream\\":\\"x\\"' * 100_000 + b'"')
    first, second, third = lines_through_a_pipe(b"\n".join([long, b"x" * 500_000, long]))
    assert second == b"x" * 500_000
    for line in (first, third):
        assert isinstance(line, LongLine)
        assert len(line.head) <= messages.HEAD
        bad = parse_long(line, 1)
        assert isinstance(bad, BadRecord)
        assert (bad.stream, bad.namespace, bad.reason) == ("orders", "n", "the record is longer than 64 MB")


def test_a_long_line_takes_linear_time():
    content = b"x" * 40_000_000 + b"\n"
    (line,) = lines_through_a_pipe(content)
    assert len(line) == 40_000_000


def test_a_long_line_of_a_tap_is_bad_and_one_that_shows_no_stream_ends_the_run():
    (bad,) = translated(LongLine(singer(b'"' + b"x" * 100_000)[:60_000]))
    assert (bad.stream, bad.reason) == ("orders", "the record is longer than 64 MB")
    for head in (
        b"x" * 60_000,
        b'{"type":"STATE","value":{"stream":"orders","record":{"stream":"orders',
        b'{"record":{"x',
    ):
        with pytest.raises(InvalidInputError, match="longer than 64 MB"):
            translated(LongLine(head))
        with pytest.raises(InvalidInputError, match="longer than 64 MB"):
            parse_long(LongLine(head), 1)
