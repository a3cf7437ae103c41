"""JSON is read without losing a digit or a row."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_wecantrack.base.errors import BadResponseError
from source_wecantrack.base.json_parser import Repairs, loads, may_lose_digits

DEEP = 300


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("12345678901234567890123", "12345678901234567890123"),
        ("-12345678901234567890123", "-12345678901234567890123"),
        ("18446744073709551616", "18446744073709551616"),
        ("9223372036854775808", "9223372036854775808"),
        ("9223372036854775807", 9223372036854775807),
        ("-9223372036854775808", -9223372036854775808),
        ("1234567890123.456789", "1234567890123.456789"),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1234567890123456789e-5", "12345678901234.56789"),
        ("12345678901234567.0", "12345678901234567.0"),
        ("0.1", 0.1),
        ("10.10", 10.1),
        ("-0.30000000000000004", -0.30000000000000004),
        ("1e5", 100000.0),
        ("1e400", "1e400"),
        ("1e-400", "1e-400"),
        ("1" + "0" * 5000, "1" + "0" * 5000),
    ],
)
@pytest.mark.parametrize("around", ["{}", "[{}]", '{{"a":{}}}', '{{"a": {}}}', "[0,{}]", "[0,\n{}\n]", "[-1,{} ]"])
def test_no_number_loses_a_digit(number, value, around):
    found = loads(around.format(number).encode())
    while isinstance(found, (dict, list)):
        found = next(iter(found.values())) if isinstance(found, dict) else found[-1]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["12345678901234567890123", "1.23456789012345678", "a,12345678901234567890", "1e-400"])
def test_text_that_looks_like_a_number_stays(text):
    assert loads(json.dumps({"a": text}).encode()) == {"a": text}


def test_usual_bodies_need_the_fast_parser_only():
    row = {"id": "T1234567890123456789", "account": 7, "amount": "10.00", "date": "2026-04-01 10:00:00", "rate": 0.125}
    assert not may_lose_digits(json.dumps([row] * 10).encode())


@settings(max_examples=300, deadline=None)
@given(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False)
)
def test_every_number_keeps_its_value(whole, fraction, exact):
    written = (
        f'[{whole},{fraction!r},{exact:f},"{exact:f}"]' if abs(exact.adjusted()) < 400 else f"[{whole},{fraction!r}]"
    )
    for text, value in zip(json.loads(written, parse_int=str, parse_float=str), loads(written.encode()), strict=True):
        assert Decimal(repr(value) if isinstance(value, float) else value) == Decimal(text)
        assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_values_that_json_does_not_have_are_null_and_counted(word):
    repairs = Repairs()
    assert loads(f'[{{"a":{word}}},{word},"{word}"]'.encode(), repairs) == [{"a": None}, None, word]
    assert (repairs.nulls, repairs.text) == (2, False)


@pytest.mark.parametrize(
    ("body", "text", "replaced"),
    [
        (b'["Shop \\ud83d"]', "Shop \ufffd", True),
        (b'["\\ude00 x"]', "\ufffd x", True),
        (b'["\\ud83d\\ude00"]', "\U0001f600", False),
        (b'["caf\xe9"]', "caf\ufffd", True),
        (b'["\xed\xa0\xbd\xed\xb8\x80"]', "\U0001f600", False),
        (b'["\xed\xa0\xbd"]', "\ufffd", True),
        (b'["a\nb\tc"]', "a\nb\tc", False),
        (b'\xef\xbb\xbf["a"]', "a", False),
        ('["é"]'.encode("utf-16"), "é", False),
        ('["é"]'.encode("utf-32-le"), "é", False),
    ],
)
def test_text_that_a_strict_parser_rejects_is_read(body, text, replaced):
    repairs = Repairs()
    assert loads(body, repairs) == [text]
    assert repairs.text is replaced


def test_a_name_with_half_a_character_is_read_too():
    assert loads(b'{"a\\ud83d":{"b":"\\udc00"}}') == {"a\ufffd": {"b": "\ufffd"}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<html>",
        b"{",
        b'{"a":1',
        b'{"a":NaN',
        b"[1,]",
        b"[01]",
        b"nan",
        b"[1] [2]",
        b"[nul]",
        b"\x00\x00",
        b"{'a':1}",
    ],
)
def test_a_body_that_is_not_one_json_value_does_not_count(body):
    with pytest.raises(BadResponseError, match="the body is not complete JSON"):
        loads(body)


@pytest.mark.parametrize("depth", [DEEP, 5000, 500_000])
@pytest.mark.parametrize("inside", [b"", b"NaN", b'"\\ud83d"', b"12345678901234567890123"])
def test_a_body_nested_too_deeply_does_not_count(depth, inside):
    with pytest.raises(BadResponseError):
        loads(b"[" * depth + inside + b"]" * depth)
