"""Expressions: the result of each function, and the mistakes that compiling finds."""

from __future__ import annotations

from decimal import Decimal

import pytest
from destination_wicked_reports.errors import ExpressionError, FieldError
from destination_wicked_reports.mappings.custom.expressions import compile_expression


def value(expression, **record):
    return compile_expression(expression).evaluate(record)


def refusal(expression, **record):
    with pytest.raises(FieldError) as caught:
        value(expression, **record)
    return caught.value.reason


class TestPaths:
    @pytest.mark.parametrize(
        ("expression", "found"),
        [
            ("id", 7),
            ("customer.name", "Ann"),
            ("customer.name.first", None),
            ("missing", None),
            ("missing.deeper", None),
            ("lines[1].sku", "b"),
            ("lines[?sku=='a'].sku | [0]", "a"),
            ("'shop'", "shop"),
            ("`12.5`", 12.5),
            ('"with-dash"', "dashed"),
            ("length(lines)", 2),
            ("not_null(missing, id)", 7),
        ],
    )
    def test_jmespath_returns_the_value_at_the_path(self, expression, found):
        record = {
            "id": 7,
            "customer": {"name": "Ann"},
            "lines": [{"sku": "a"}, {"sku": "b"}],
            "with-dash": "dashed",
        }
        assert compile_expression(expression).evaluate(record) == found

    def test_a_constant_is_worked_out_once(self):
        expression = compile_expression("lower('SHOP')")
        assert expression.constant
        assert expression.evaluate({}) == "shop"

    @pytest.mark.parametrize(
        ("expression", "roots"),
        [
            ("a", {"a"}),
            ("a.b", {"a"}),
            ("concat(a, b.c)", {"a", "b"}),
            ("items[?x > `1`].y", {"items"}),
            ("max_by(items, &price).id", {"items"}),
            ("a || b", {"a", "b"}),
            ("[a, b][0]", {"a", "b"}),
            ("{x: a}.x", {"a"}),
            ("@", {"@"}),
            ("'a'", set()),
        ],
    )
    def test_an_expression_lists_the_fields_that_it_reads(self, expression, roots):
        assert compile_expression(expression).roots == roots


class TestUtc:
    @pytest.mark.parametrize(
        ("expression", "at"),
        [
            ("utc(at)", "2024-05-31T13:45:00Z"),
            ("utc(at)", "2024-05-31 13:45:00"),
            ("utc(at)", "2024-05-31T15:45:00.250+02:00"),
            ("utc(at)", "Fri, 31 May 2024 13:45:00 +0000"),
            ("utc(at)", "Fri, 31 May 2024 09:45:00 -0400"),
            ("utc(at)", "31 May 2024 13:45:00 GMT"),
            ("utc(at, 'seconds')", 1717163100),
            ("utc(at, 'seconds')", "1717163100"),
            ("utc(at, 'seconds')", "1717163100.000000000"),
            ("utc(at, 'milliseconds')", 1717163100999),
            ("utc(at, 'America/New_York')", "2024-05-31 09:45:00"),
            ("utc(at, 'America/New_York')", "2024-05-31T13:45:00Z"),
        ],
    )
    def test_every_form_of_one_moment_is_that_moment(self, expression, at):
        assert value(expression, at=at) == "2024-05-31 13:45:00"

    def test_the_repeated_hour_is_its_first_occurrence(self):
        assert value("utc(at, 'America/New_York')", at="2024-11-03 01:30:00") == "2024-11-03 05:30:00"

    @pytest.mark.parametrize(
        "at", [1717163100, "2024-05-31", "yesterday", "2024-02-30 10:00:00", "1969-12-31 23:00:00", True, {}]
    )
    def test_an_ambiguous_time_is_refused(self, at):
        assert "utc()" in refusal("utc(at)", at=at)

    @pytest.mark.parametrize("at", ["x", 10**30, "nan", [], True])
    def test_a_value_that_is_not_a_number_is_not_an_epoch(self, at):
        assert "utc()" in refusal("utc(at, 'seconds')", at=at)


class TestMoney:
    @pytest.mark.parametrize(
        ("expression", "amount", "cents"),
        [
            ("money(x)", 12, "12"),
            ("money(x)", 12.345, "12.35"),
            ("money(x)", "12.345", "12.35"),
            ("money(x)", "12.50", "12.5"),
            ("money(x)", "1,234.50", "1234.5"),
            ("money(x)", "$1,234.50", "1234.5"),
            ("money(x)", " 1,234.50 USD", "1234.5"),
            ("money(x)", "EUR 5", "5"),
            ("money(x)", "-7.10", "-7.1"),
            ("money(x, ',')", "1.234,50 €", "1234.5"),
            ("money(x, ',')", "12,5", "12.5"),
            ("money(x)", "100.500000000", "100.5"),
            ("abs(money(x))", "-7.10", "7.1"),
            ("sum(x[].money(@))", ["0.10", "0.20"], "0.3"),
            ("sum(x)", [0.1, 0.2], "0.3"),
        ],
    )
    def test_an_amount_is_exact_to_the_cent(self, expression, amount, cents):
        assert value(expression, x=amount) == Decimal(cents)

    @pytest.mark.parametrize("amount", ["12,50", "1,23", "x", "--5", "$", "1 2", True, [], float("nan")])
    def test_what_is_no_amount_is_refused_and_not_quoted(self, amount):
        reason = refusal("money(x)", x=amount)
        assert "money()" in reason
        assert "12,50" not in reason

    @pytest.mark.parametrize(
        ("expression", "truth"),
        [
            ("money(x) > `10`", True),
            ("money(x) < `10.5`", False),
            ("money(x) == `10.5`", True),
            ("money(x) != `10.5`", False),
            ("`10.5` <= money(x)", True),
            ("money(x) == y", False),
            ("money(x) > y", None),
        ],
    )
    def test_amounts_compare_with_numbers(self, expression, truth):
        assert value(expression, x="10.50", y="text") is truth

    def test_sum_of_text_names_the_fix(self):
        assert "money" in refusal("sum(x)", x=["1"])


class TestText:
    def test_lower_returns_lower_case(self):
        assert value("lower(email)", email="Ann@B.Example") == "ann@b.example"

    @pytest.mark.parametrize(
        ("expression", "made"),
        [
            ("concat('shop-', id)", "shop-7"),
            ("concat(id, '-', missing)", None),
            ("concat(id, '-', coalesce(missing, 'none'))", "7-none"),
            ("concat('m', money(`1.50`))", "m1.5"),
        ],
    )
    def test_concat_makes_one_text_of_all_parts_or_none(self, expression, made):
        assert value(expression, id=7) == made

    def test_a_fraction_is_no_part_of_an_id(self):
        assert "to_string" in refusal("concat('x', y)", y=1.5)

    @pytest.mark.parametrize(
        ("expression", "found"),
        [
            (r"regex(sub, '^U[0-9]+')", "U12"),
            (r"regex(sub, '^(U[0-9]+)-')", "U12"),
            (r"regex(sub, '-(\w+)$')", "deal"),
            (r"regex(sub, 'X')", None),
        ],
    )
    def test_regex_gives_the_group_or_the_whole_match(self, expression, found):
        assert value(expression, sub="U12-deal") == found

    @pytest.mark.parametrize(("first", "chosen"), [(None, "b"), ("", "b"), (" ", "b"), ("a", "a"), (0, 0)])
    def test_coalesce_ignores_empty_values(self, first, chosen):
        assert value("coalesce(x, y)", x=first, y="b") == chosen

    @pytest.mark.parametrize(
        "expression", ["utc(x)", "money(x)", "lower(x)", "concat(x)", "regex(x, 'a')", "coalesce(x)", "abs(x)"]
    )
    def test_a_missing_value_returns_null(self, expression):
        assert value(expression) is None


class TestMistakes:
    @pytest.mark.parametrize(
        ("expression", "message"),
        [
            ("", "is empty"),
            ("a b", "at character 3"),
            ("(" * 5000 + "a" + ")" * 5000, "nested too deep"),
            ("concat(a,", "ends too early"),
            ("status = 'a'", "Unknown token '='"),
            ("'open", "Unclosed"),
            ("lowr(a)", "did you mean lower()?"),
            ("sha256(a)", "unknown function sha256()"),
            ("lower(a, b)", "lower() takes 1 argument, not 2"),
            ("utc()", "utc() takes 1 to 2 arguments"),
            ("concat()", "concat() takes 1 or more arguments"),
            ("length(a, b)", "length() takes 1 argument"),
            ("a[?lowr(b)]", "unknown function lowr()"),
            ("utc(a, 'Mars/Base')", "a time zone such as"),
            ("utc(a, b)", "must be a text in single quotes"),
            ("regex(a, b)", "must be a text in single quotes"),
            ("regex(a, '(')", "not a regular expression"),
            ("money(a, ';')", "decimal mark"),
            ("money('x')", "money(): not an amount"),
            ("lower(`5.5`)", "lower() takes texts"),
            ("length(`5`)", "length() does not accept values of type number"),
        ],
    )
    def test_what_cannot_work_is_refused_before_the_first_record(self, expression, message):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(expression)
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("expression", "record"),
        [("length(a)", {"a": 5}), ("sort(a)", {"a": [1, "x"]}), ("avg(a)", {"a": ["ann@b.example"]})],
    )
    def test_what_fails_on_a_record_is_a_refusal_without_the_value(self, expression, record):
        assert "ann@b.example" not in refusal(expression, **record)


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("to_string(x)", 10**29 + 1, f"{10**29 + 1}"),
        ("to_string(x)", Decimal("99999999999999.99"), "99999999999999.99"),
        ("to_string(x)", 12.5, "12.5"),
        ("to_string(x)", True, "true"),
        ("concat('a', x)", 12345678901234567890, "a12345678901234567890"),
        ("to_number(x)", "99999999999999.99", Decimal("99999999999999.99")),
        ("to_number(x)", " 12.5 ", 12.5),
        ("to_number(x)", ".5", 0.5),
        ("to_number(x)", "123456789012345678901", 123456789012345678901),
        ("to_number(x)", "1e999", None),
        ("to_number(x)", "nan", None),
        ("to_number(x)", True, None),
        ("to_number(x)", "12 apples", None),
    ],
)
def test_long_numbers_keep_their_digits_between_text_and_number(expression, value, expected):
    result = compile_expression(expression).evaluate({"x": value})
    assert (result, type(result)) == (expected, type(expected))
