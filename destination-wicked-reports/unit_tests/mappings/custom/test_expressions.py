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
            ("utc()", "utc() takes 1 to 3 arguments"),
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


class TestWhatIsNotWhollyUnderstoodIsRefused:
    @pytest.mark.parametrize(
        "text",
        [
            *(
                "(12.50)",
                "12.50)",
                "12%",
                "<12",
                "#12",
                "~5",
                "°5",
                "5*",
                "12 pcs",
                "12 usd.",
                "$-5",
                "5-",
                "1e",
                "1 2",
            ),
            *("$$5", "5 USD USD", "1,2345", "0x10", "NaN", "½", "١٢", "1" + " " * 60_000 + "1", "9" * 65),
        ],
    )
    def test_an_amount(self, text):
        assert "money()" in refusal("money(x)", x=text)

    @pytest.mark.parametrize(("text", "mark"), [("1.5", ","), ("1.23", ","), ("1,5", "."), ("1.234.5", ".")])
    def test_an_amount_with_the_other_decimal_mark(self, text, mark):
        assert "money()" in refusal(f"money(x, '{mark}')", x=text)

    @pytest.mark.parametrize(
        ("text", "amount"),
        [
            ("\u221212.50", "-12.5"),
            ("US$12", "12"),
            ("12\xa0€", "12"),
            ("-$5", "-5"),
            ("₹ 1,234.5", "1234.5"),
            ("R$5", "5"),
        ],
    )
    def test_but_signs_and_currencies_are_known(self, text, amount):
        assert value("money(x)", x=text) == Decimal(amount)

    @pytest.mark.parametrize(
        "text",
        [
            "Fri, 31 May 2024 10:00:00 GMT+2",
            "Fri, 31 May 2024 10:00:00 CEST",
            "Fri, 31 May 2024 10:00:00 Europe/Berlin",
            "Fri, 31 May 2024 10:00:00 PM",
            "Fri, 31 May 2024 10:00 pm",
            "Mon, 31 May 2024 10:00:00 +0000",
            "Fri, 31 May 24 10:00:00 +0000",
            "Fri, 31 Feb 2024 10:00:00 +0000",
            "Fri, 31 May 2024 10:00:00 +0200 and more",
            "31 May 2024",
            "05/31/2024 1:45 PM",
            "2024-05-31 10:00:00 CEST",
            "2024-05-31 10:00:00 PM",
            "2024-05-31T10:00:00+02:00[Europe/Berlin]",
        ],
    )
    @pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
    def test_a_time(self, text, zone):
        assert "utc()" in refusal(f"utc(x, '{zone}')", x=text)

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("Fri, 31 May 2024 10:00:00 +0200", "2024-05-31 08:00:00"),
            ("Fri, 31 May 2024 10:00:00 +0200 (CEST)", "2024-05-31 08:00:00"),
            ("Fri, 31 May 2024 10:00:00 EDT", "2024-05-31 14:00:00"),
            ("31 may 2024 10:00:00 pst", "2024-05-31 18:00:00"),
            ("Fri, 31 May 2024 10:00:00 -0000", "2024-05-31 10:00:00"),
            ("Fri, 31 May 2024 10:00:00 Z", "2024-05-31 10:00:00"),
            ("Fri, 31 May 2024 10:00:00", "2024-05-31 08:00:00"),
        ],
    )
    def test_but_offsets_and_the_zones_of_mail_are_known(self, text, moment):
        assert value("utc(x, 'Europe/Berlin')", x=text) == moment


class TestFormats:
    @pytest.mark.parametrize(
        ("zone", "form", "text", "moment"),
        [
            ("America/New_York", "MM/DD/YYYY h:mm A", "05/31/2024 1:45 PM", "2024-05-31 17:45:00"),
            ("America/New_York", "MM/DD/YYYY h:mm A", "5/31/2024 12:05 am", "2024-05-31 04:05:00"),
            ("UTC-5", "MM/DD/YYYY hh:mmA", "05/31/2024 01:45PM", "2024-05-31 18:45:00"),  # Wicked's CSV form
            ("+05:30", "DD.MM.YYYY HH:mm:ss", "31.05.2024 13:45:10", "2024-05-31 08:15:10"),
            ("UTC", "D MMM YYYY HH:mm Z", "31 May 2024 13:45 +02:00", "2024-05-31 11:45:00"),
            ("UTC", "D MMMM YYYY HH:mm z", "31 May 2024 13:45 Europe/Berlin", "2024-05-31 11:45:00"),
            ("UTC", "YYYY-MM-DD[T]HH:mm:ss.SSS", "2024-05-31T13:45:00.250", "2024-05-31 13:45:00"),
            ("UTC", "YYYYMMDD", "20240531", "2024-05-31 00:00:00"),
            ("UTC", "X", "1717163100", "2024-05-31 13:45:00"),
            ("America/New_York", "YYYY-MM-DD HH:mm", "2024-11-03 01:30", "2024-11-03 05:30:00"),
        ],
    )
    def test_a_time_in_a_format_of_ones_own(self, zone, form, text, moment):
        assert value(f"utc(x, '{zone}', '{form}')", x=text) == moment

    @pytest.mark.parametrize(
        ("form", "text"),
        [
            ("MM/DD/YYYY h:mm A", "05/31/2024 13:45 PM"),
            ("MM/DD/YYYY h:mm A", "05/31/2024 1:45"),
            ("MM/DD/YYYY h:mm A", "05/31/2024 1:45 PM EST"),
            ("MM/DD/YYYY", "13/05/2024"),
            ("MM/DD/YYYY", "02/30/2024"),
            ("MM/DD/YYYY", "05/31/24"),
            ("ddd, D MMM YYYY", "Mon, 31 May 2024"),
            ("YYYY-MM-DD", "2024-05-31 10:00"),
            ("YYYY-MM-DD", "x" * 100_000),
        ],
    )
    def test_a_text_in_another_form_is_refused(self, form, text):
        assert "utc()" in refusal(f"utc(x, 'UTC', '{form}')", x=text)

    @pytest.mark.parametrize(
        ("expression", "why"),
        [
            ("utc(a, 'UTC', 'h:mm A')", "lacks the year"),
            ("utc(a, 'UTC', 'MM/DD/YYYY h:mm')", "both h and A"),
            ("utc(a, 'UTC', 'MM/DD/YYYY HH:mm A')", "both h and A"),
            ("utc(a, 'UTC', 'YYYY-MM-DD nonsense')", "[brackets]"),
            ("utc(a, 'seconds', 'YYYY-MM-DD')", "only after a time zone"),
            ("utc(a, 'UTC', b)", "the third argument of utc()"),
        ],
    )
    def test_a_format_that_cannot_work_is_refused_before_the_first_record(self, expression, why):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(expression)
        assert why in str(caught.value)

    def test_epochs_may_be_text(self):
        assert value("utc(x, 'microseconds')", x="1717163100000000") == "2024-05-31 13:45:00"
        assert value("utc(x, 'milliseconds')", x="1717163100000") == "2024-05-31 13:45:00"


class TestJsonText:
    @pytest.mark.parametrize(
        ("expression", "text", "found"),
        [
            ("x.email", '{"email": "a"}', "a"),
            ("x.a.b", '{"a": "{\\"b\\": 1}"}', 1),
            ("x[0].sku", '[{"sku": 1}]', 1),
            ("x.lines[1]", '{"lines": [1, 2]}', 2),
            ("parse(x).email", '{"email": "a"}', "a"),
            ("parse(x)[].sku", '[{"sku": 1}, {"sku": 2}]', [1, 2]),
            ("sum(parse(x)[].money(@))", '["1.50", "2"]', Decimal("3.50")),
            ("parse(x).n", '{"n": 123456789012345678901}', 123456789012345678901),
            ("parse(x)", {"a": 1}, {"a": 1}),
            ("parse(x)", " ", None),
            ("x.email", "{not json", None),
            ("x.email", "plain", None),
        ],
    )
    def test_a_path_leads_into_json_text(self, expression, text, found):
        assert value(expression, x=text) == found

    def test_what_is_no_json_is_refused(self):
        assert refusal("parse(x).email", x="{'a': 1}") == "parse(): not JSON"


class TestBounds:
    def test_a_pattern_that_takes_too_long_is_named(self):
        assert refusal("regex(x, '^(a|aa|aaa)+$')", x="a" * 60 + "!").startswith("regex(): the pattern takes too long")

    def test_a_text_that_is_too_long_is_not_searched(self):
        assert "2,000 characters" in refusal("regex(x, 'a')", x="a" * 2001)
        assert value("regex(x, 'a+')", x="a" * 2000) == "a" * 2000

    def test_trim(self):
        assert value("trim(x)", x=" a b\t\n") == "a b"
        assert value("trim(x)", x=None) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("order-id", "order-id"),
        ("customer.e-mail", "e-mail"),
        ("Order ID", "Order ID"),
        ("concat('a b', 2nd)", "2nd"),
        ("a == 'x y' && straße", "straße"),
    ],
)
def test_a_name_that_needs_quotes_is_shown_with_them(text, name):
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text)
    assert f'Write the name {name} in double quotes, "{name}"' in str(raised.value)
    compile_expression(text.replace(name, f'"{name}"'))


@pytest.mark.parametrize("text", ["foo(", "'shop", "a = b", "a - b", "x || 'a b"])
def test_another_mistake_is_not_called_a_missing_quote(text):
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text)
    assert "in double quotes" not in str(raised.value)
