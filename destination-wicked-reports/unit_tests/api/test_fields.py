"""Field values: what is accepted, what is refused, and that a reason never quotes the value."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import orjson
import pytest
from destination_wicked_reports.api.fields import Kind, checker, decimal, number_text
from destination_wicked_reports.errors import BlankError, FieldError
from hypothesis import given
from hypothesis import strategies as st


def sent(kind: Kind, value: object, limit: int = 18) -> str:
    """Return the JSON text of a value."""
    return orjson.dumps(checker(kind, "Field", limit)(value)).decode()


def refusal(kind: Kind, value: object, limit: int = 18) -> FieldError:
    with pytest.raises(FieldError) as caught:
        checker(kind, "Field", limit)(value)
    return caught.value


class TestText:
    @pytest.mark.parametrize("value", ["a", "0", " padded ", "日本", "x" * 10])
    def test_text_is_sent_unchanged(self, value):
        assert checker(Kind.TEXT, "Field", 10)(value) == value

    @pytest.mark.parametrize(("value", "text"), [(0, "0"), (12, "12"), (-3, "-3"), (2**63, "9223372036854775808")])
    def test_a_whole_number_becomes_text(self, value, text):
        assert checker(Kind.TEXT, "Field", 500)(value) == text

    @pytest.mark.parametrize("value", [True, False, 1.5, 12.0, [], ["a"], {}, {"a": 1}, Decimal(1), b"a"])
    def test_nothing_else_is_accepted_as_text(self, value):
        refusal(Kind.TEXT, value)

    def test_a_float_id_is_refused_even_if_whole_because_digits_may_be_lost(self):
        assert "fraction" in refusal(Kind.TEXT, 12.0).reason

    def test_text_over_the_limit_is_refused_and_not_cut(self):
        assert refusal(Kind.TEXT, "x" * 11, limit=10).reason == "longer than 10 characters"

    @pytest.mark.parametrize("value", [10**11, 10**2000, pytest.param(10**6000, id="more digits than str allows")])
    def test_a_whole_number_over_the_limit_is_refused_like_text(self, value):
        assert refusal(Kind.TEXT, value, limit=10).reason == "longer than 10 characters"

    @pytest.mark.parametrize("value", ["", " ", "\t\r\n", "\0", "\x0b"])
    def test_blanks_count_as_no_value(self, value):
        assert isinstance(refusal(Kind.TEXT, value), BlankError)

    def test_the_limit_counts_characters_and_not_bytes(self):
        assert checker(Kind.TEXT, "Field", 3)("äöü") == "äöü"


class TestMoney:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0"),
            (12, "12"),
            (-5, "-5"),
            (10.5, "10.5"),
            (0.1, "0.1"),
            (10.0, "10"),
            (-0.0, "0"),
            (1e-5, "0.00001"),
            (1e17, "100000000000000000"),
            ("10.50", "10.5"),
            ("100.500000000", "100.5"),
            ("007", "7"),
            ("+3.20", "3.2"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            (" 4.20 ", "4.2"),
            ("-0.00", "0"),
            ("0e999", "0"),
            ("123456789012345.67", "123456789012345.67"),
            (Decimal("3.140"), "3.14"),
            (Decimal("1E+3"), "1000"),
        ],
    )
    def test_a_number_is_sent_as_plain_decimal_text(self, value, text):
        assert sent(Kind.MONEY, value) == text

    def test_all_notations_of_one_amount_give_the_same_bytes(self):
        spellings = ["10.50", 10.5, "10.5", "10.500000000", Decimal("10.50"), "1.05e1", "010.5"]
        assert {sent(Kind.MONEY, spelling) for spelling in spellings} == {"10.5"}

    @pytest.mark.parametrize(
        "value",
        [
            *(True, None, "", "abc", "1,000.00", "1_000", "12 50", "$5", "0x10", "١٢", math.nan, math.inf, -math.inf),
            *("NaN", "Infinity", "-inf", "1e", "--1", [1], {"a": 1}, Decimal("NaN"), "1e9999", "1" * 65),
        ],
    )
    def test_anything_but_a_number_is_refused(self, value):
        refusal(Kind.MONEY, value)

    @pytest.mark.parametrize(
        "value", ["1234567890123456789", 10**18, -(10**17), 10**400, 1e18, 1e300, 0.1 + 0.2, "1e300", "1e-300"]
    )
    def test_more_than_18_characters_are_refused_and_not_rounded(self, value):
        assert "18 characters" in refusal(Kind.MONEY, value).reason

    def test_trailing_zeros_do_not_count_towards_the_18_characters(self):
        assert sent(Kind.MONEY, "1234567890.500000000") == "1234567890.5"

    @pytest.mark.parametrize("value", [-1, "-0.01", -0.5, Decimal("-1")])
    def test_an_amount_may_not_be_negative_but_a_price_may(self, value):
        assert refusal(Kind.AMOUNT, value).reason == "negative"
        sent(Kind.MONEY, value)

    @pytest.mark.parametrize("value", [0, "0", 0.0, "-0.00"])
    def test_an_amount_may_be_zero(self, value):
        assert sent(Kind.AMOUNT, value) == "0"

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
    def test_no_digit_is_lost(self, value):
        assert Decimal(sent(Kind.MONEY, str(value))) == value
        assert decimal("Field", str(value)) == value

    @given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
    def test_a_float_is_sent_as_its_shortest_text_or_refused(self, value):
        try:
            text = sent(Kind.MONEY, value)
        except FieldError:
            assert len(number_as_plain_text(value)) > 18
        else:
            assert Decimal(text) == Decimal(repr(value))
            assert text == number_text("Field", value)

    @given(st.text(alphabet="0123456789.eE+-_ ", max_size=24))
    def test_whatever_is_sent_is_a_valid_json_number(self, value):
        try:
            text = sent(Kind.MONEY, value)
        except FieldError:
            return
        assert orjson.loads(text) == pytest.approx(float(value))
        assert not set(text) & set("eE+")


def number_as_plain_text(value: float) -> str:
    return f"{Decimal(repr(value)):f}"


class TestWholeNumbers:
    @pytest.mark.parametrize(
        ("value", "number"), [(2, 2), ("2", 2), (2.0, 2), ("2.000000000", 2), (" 3 ", 3), ("-2", -2), (0, 0), ("+7", 7)]
    )
    def test_whole_numbers_are_accepted_in_every_notation(self, value, number):
        assert checker(Kind.INTEGER, "Qty", 18)(value) == number

    @pytest.mark.parametrize(
        "value", [True, False, 1.5, "1.5", "two", "", None, [], math.inf, math.nan, 2.0**53, 10**18, -(10**17), "1e3"]
    )
    def test_nothing_else_is_a_whole_number(self, value):
        refusal(Kind.INTEGER, value)

    def test_a_count_may_not_be_negative(self):
        assert refusal(Kind.COUNT, -1).reason == "negative"
        assert checker(Kind.COUNT, "Clicks", 18)(0) == 0


class TestTimes:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("2024-05-31 13:45:00", "2024-05-31 13:45:00"),
            ("2024-05-31T13:45:00", "2024-05-31 13:45:00"),
            ("2024-05-12T13:45:00Z", "2024-05-12 13:45:00"),
            ("2024-05-12T13:45:00+00:00", "2024-05-12 13:45:00"),
            ("2024-05-12 13:45:00.999999", "2024-05-12 13:45:00"),
            ("2024-05-31T13:45:00.123456789Z", "2024-05-31 13:45:00"),
            ("2024-05-31T23:45:00-02:00", "2024-06-01 01:45:00"),
            ("2024-01-01 00:30:00+0100", "2023-12-31 23:30:00"),
            ("2024-05-31 13:45:00+00", "2024-05-31 13:45:00"),
            ("2024-05-31 13:45:00+05:30", "2024-05-31 08:15:00"),
            ("2024-05-31 13:45:00 UTC", "2024-05-31 13:45:00"),
            ("2024-02-29 00:00:00", "2024-02-29 00:00:00"),
            ("20240531T134500Z", "2024-05-31 13:45:00"),
            ("2024-05-31T13:45Z", "2024-05-31 13:45:00"),
            ("2024-05-31T13:45+02:00", "2024-05-31 11:45:00"),
            ("2024-W22-5T13:45:00", "2024-05-31 13:45:00"),
            ("1970-01-01 00:00:00", "1970-01-01 00:00:00"),
            ("2100-12-31 23:59:59", "2100-12-31 23:59:59"),
        ],
    )
    def test_a_time_is_sent_in_utc_to_the_second(self, value, text):
        assert checker(Kind.UTC, "CreateDate", 19)(value) == text

    @pytest.mark.parametrize(
        "value",
        [
            *("2024-02-30 10:00:00", "2023-02-29T10:00:00Z", "2024-13-01 10:00:00", "2024-00-10 10:00:00"),
            *("2024-05-31 24:00:00", "2024-05-31 10:60:00", "2024-05-31 10:00:60", "0000-00-00 00:00:00"),
        ],
    )
    def test_a_time_that_does_not_exist_is_refused(self, value):
        refusal(Kind.UTC, value)

    @pytest.mark.parametrize(
        "value", [1717163100, 1717163100.5, "1717163100", "1717163100000", True, None, [], {}, "", "now", "today"]
    )
    def test_a_number_or_a_word_is_refused_as_a_time(self, value):
        refusal(Kind.UTC, value)

    @pytest.mark.parametrize(
        "value",
        [
            *("13:45", "P1D", "2024-05", "2024-05-31/2024-06-01", "05/31/2024 13:45:00", "2024-05-31 13:45:00 EST"),
            *("2024-05-31T13:45:00+25:00", "2024-05-31T13:45:00+05:99", "٢٠٢٤-05-31 13:45:00", "2024-05-31 13:45:00\n"),
        ],
    )
    def test_other_notations_are_refused(self, value):
        refusal(Kind.UTC, value)

    def test_a_date_without_a_time_is_refused_as_ambiguous(self):
        assert "without a time" in refusal(Kind.UTC, "2024-05-31").reason

    @pytest.mark.parametrize(
        "value", ["1969-12-31 23:59:59", "2101-01-01 00:00:00", "1970-01-01T00:30:00+01:00", "9999-12-31 23:59:59"]
    )
    def test_years_outside_1970_to_2100_are_refused(self, value):
        assert "1970" in refusal(Kind.UTC, value).reason

    @given(
        st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(2100, 12, 29)),  # noqa: DTZ001
        st.integers(min_value=-14 * 60, max_value=14 * 60),
        st.sampled_from(["T", " "]),
    )
    def test_every_zone_gives_the_same_time_in_utc(self, naive, minutes, separator):
        moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        expected = moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        assert checker(Kind.UTC, "CreateDate", 19)(moment.isoformat(sep=separator)) == expected

    @pytest.mark.parametrize("value", ["2024-05-31 13:45:00", "2024-05-31T13:45:00", "2024-05-31T13:45:00.5"])
    def test_local_time_without_a_zone_is_unchanged(self, value):
        assert checker(Kind.LOCAL, "Date_Time", 19)(value) == "2024-05-31 13:45:00"

    @pytest.mark.parametrize("value", ["2024-05-31T13:45:00Z", "2024-05-31T15:45:00+02:00", "2024-05-31T13:45Z"])
    def test_local_time_with_a_zone_is_marked_for_the_rule_of_the_row(self, value):
        assert checker(Kind.LOCAL, "Date_Time", 19)(value) == "2024-05-31 13:45:00Z"


@given(
    st.sampled_from(Kind),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
        lambda children: st.lists(children) | st.dictionaries(st.text(), children),
        max_leaves=4,
    ),
)
def test_any_value_is_either_sent_or_refused_with_a_reason(kind, value):
    try:
        checker(kind, "Field", 18)(value)
    except FieldError as caught:
        refused = caught
    else:
        return
    assert refused.field == "Field"
    assert refused.reason


@pytest.mark.parametrize("kind", Kind)
def test_a_reason_never_quotes_the_value(kind):
    secret = "ann.bee@example.com, 4 Privet Drive"
    error = refusal(kind, secret, limit=10)
    assert "ann" not in str(error)
    assert "Privet" not in str(error)
