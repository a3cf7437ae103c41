"""The mapping `custom`: from configuration entries to rows, and the location of every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from builders.affiliate import Book
from destination_wicked_reports.config.mappings import CustomStream
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.mappings.custom.functions import ARGUMENT_COUNTS
from destination_wicked_reports.mappings.custom.normalizer import CustomNormalizer
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Record, Reject, Row, Skip
from hypothesis import given
from hypothesis import strategies as st

ORDER = {
    "stream": "invoices",
    "endpoint": "orders",
    "fields": {
        "SourceSystem": "'shop'",
        "SourceID": "id",
        "CreateDate": "utc(created, 'America/New_York')",
        "ContactEmail": "lower(customer.email)",
        "OrderTotal": "money(total)",
    },
}
PAYMENTS = {
    "stream": "invoices",
    "endpoint": "order_payments",
    "for_each": "payments",
    "fields": {
        "SourceSystem": "'shop'",
        "OrderID": "record.id",
        "PaymentDate": "utc(item.at, 'seconds')",
        "Amount": "money(item.amount)",
        "Status": "'APPROVED'",
    },
}
INVOICE = {
    "id": 7,
    "status": "paid",
    "created": "2024-05-31 09:45:00",
    "customer": {"email": "Ann@B.Example"},
    "total": "$1,234.50",
    "payments": [{"at": 1717163100, "amount": 1000}, {"at": 1717163200, "amount": "234.50"}],
}
CONTACT_FIELDS = {"SourceSystem": "'crm'", "SourceID": "id", "CreateDate": "created", "Email": "email"}


def mapping(*streams: dict[str, Any]) -> CustomNormalizer:
    normalizer = make_normalizer(
        Config.parse({"api_key": "k", "mapping": {"type": "custom", "streams": list(streams)}})
    )
    assert isinstance(normalizer, CustomNormalizer)
    return normalizer


def changed(entry: dict[str, Any], **fields: str | None) -> dict[str, Any]:
    merged = {**entry["fields"], **fields}
    return {**entry, "fields": {name: text for name, text in merged.items() if text is not None}}


def normalize(normalizer: CustomNormalizer, *rows: dict[str, Any], stream: str = "invoices") -> list[Any]:
    return list(normalizer.normalize([Record(stream, row, place) for place, row in enumerate(rows, 1)], Book()))


def bodies(made: list[Any]) -> list[dict[str, Any]]:
    assert all(isinstance(row, Row) for row in made)
    return [orjson.loads(row.body) for row in made]


def faults(*streams: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        mapping(*streams)
    return str(caught.value)


class TestRows:
    def test_a_record_becomes_a_row_in_wickeds_fields(self):
        made = normalize(mapping(ORDER), INVOICE)
        assert bodies(made) == [
            {
                "SourceSystem": "shop",
                "SourceID": "7",
                "CreateDate": "2024-05-31 13:45:00",
                "ContactID": "",
                "ContactEmail": "ann@b.example",
                "OrderTotal": 1234.5,
            }
        ]

    def test_a_row_is_the_same_as_the_native_one(self):
        (made,) = normalize(mapping(ORDER), INVOICE)
        native = {
            "SourceSystem": "shop",
            "SourceID": "7",
            "CreateDate": "2024-05-31T13:45:00Z",
            "ContactEmail": "ann@b.example",
            "OrderTotal": "1234.50",
        }
        (expected,) = NativeNormalizer().normalize([Record("orders", native, 1)], Book())
        assert (made.key, made.body, made.digest) == (expected.key, expected.body, expected.digest)

    def test_the_order_of_fields_in_the_configuration_does_not_change_the_bytes(self):
        reverse = {**ORDER, "fields": dict(reversed(ORDER["fields"].items()))}
        assert normalize(mapping(ORDER), INVOICE)[0].digest == normalize(mapping(reverse), INVOICE)[0].digest

    def test_one_stream_feeds_several_endpoints_and_rows_carry_its_place_in_the_input(self):
        made = normalize(mapping(ORDER, PAYMENTS), INVOICE, {**INVOICE, "id": 8})
        assert [(row.endpoint, row.stream, row.sequence) for row in made] == [
            ("orders", "invoices", 1),
            ("order_payments", "invoices", 1),
            ("order_payments", "invoices", 1),
            ("orders", "invoices", 2),
            ("order_payments", "invoices", 2),
            ("order_payments", "invoices", 2),
        ]

    def test_streams_are_kept_apart(self):
        other = {"stream": "people", "endpoint": "contacts", "fields": CONTACT_FIELDS}
        normalizer = mapping(ORDER, other)
        assert normalizer.streams == {"invoices", "people"}
        person = {"id": "1", "created": "2024-05-31 10:00:00", "email": "a@b.example"}
        assert [row.endpoint for row in normalize(normalizer, person, stream="people")] == ["contacts"]

    def test_a_bad_record_is_rejected_whole_with_the_field_and_the_next_one_goes_on(self):
        bad, good = normalize(mapping(ORDER), {**INVOICE, "total": "ann@b.example"}, INVOICE)
        assert isinstance(bad, Reject)
        assert (bad.field, bad.endpoint, bad.stream, bad.sequence) == ("OrderTotal", "orders", "invoices", 1)
        assert bad.row == {**INVOICE, "total": "ann@b.example"}
        assert "ann" not in bad.reason
        assert isinstance(good, Row)

    def test_a_required_value_that_is_missing_rejects_the_row(self):
        (made,) = normalize(mapping(ORDER), {**INVOICE, "id": None})
        assert (type(made), made.field) == (Reject, "SourceID")


class TestFilters:
    def test_what_the_filter_rejects_is_counted_and_not_sent(self):
        normalizer = mapping({**ORDER, "filter": "status == 'paid' && money(total) > `0`"})
        made = normalize(normalizer, INVOICE, {**INVOICE, "status": "open"}, {**INVOICE, "total": 0})
        assert [type(item) for item in made] == [Row, Skip, Skip]
        assert made[1].reason == "filtered out by mapping.streams[0].filter"
        assert [skip.sequence for skip in made[1:]] == [2, 3]

    @pytest.mark.parametrize("verdict", [None, False, "", [], {}])
    def test_empty_values_and_false_filter_a_row_out(self, verdict):
        (made,) = normalize(mapping({**ORDER, "filter": "keep"}), {**INVOICE, "keep": verdict})
        assert isinstance(made, Skip)

    @pytest.mark.parametrize("verdict", [True, 1, 0, "no", [0]])
    def test_every_other_value_accepts_the_row_as_in_jmespath(self, verdict):
        (made,) = normalize(mapping({**ORDER, "filter": "keep"}), {**INVOICE, "keep": verdict})
        assert isinstance(made, Row)

    def test_a_filter_that_fails_rejects_the_record(self):
        (made,) = normalize(mapping({**ORDER, "filter": "money(total) > `0`"}), {**INVOICE, "total": "free"})
        assert (type(made), made.field) == (Reject, "filter")


class TestLists:
    def test_each_element_is_a_row_that_sees_its_record(self):
        made = bodies(normalize(mapping(PAYMENTS), INVOICE))
        assert [(row["OrderID"], row["Amount"], row["PaymentDate"]) for row in made] == [
            ("7", 1000, "2024-05-31 13:45:00"),
            ("7", 234.5, "2024-05-31 13:46:40"),
        ]

    def test_positions_count_from_one(self):
        lines = {
            "stream": "invoices",
            "endpoint": "order_items",
            "for_each": "skus",
            "fields": {
                "SourceSystem": "'shop'",
                "OrderID": "record.id",
                "SourceID": "position",
                "ProductID": "item",
                "Qty": "`1`",
                "PPU": "`0`",
            },
        }
        made = bodies(normalize(mapping(lines), {"id": 7, "skus": ["a", "b"]}))
        assert [(row["SourceID"], row["ProductID"]) for row in made] == [("1", "a"), ("2", "b")]

    def test_the_filter_looks_at_elements(self):
        made = normalize(mapping({**PAYMENTS, "filter": "money(item.amount) > `500` && record.id"}), INVOICE)
        assert [type(item) for item in made] == [Row, Skip]

    def test_two_equal_payments_of_one_record_are_two_and_stay_the_same_two(self):
        twice = {**INVOICE, "payments": [INVOICE["payments"][0]] * 2}
        keys = [row.key for row in normalize(mapping(PAYMENTS), twice)]
        assert len(set(keys)) == 2
        assert keys == [row.key for row in normalize(mapping(PAYMENTS), twice)]

    @pytest.mark.parametrize("empty", [None, [], "", "[]", {}])
    def test_an_empty_list_is_counted(self, empty):
        (made,) = normalize(mapping(PAYMENTS), {**INVOICE, "payments": empty})
        assert (type(made), made.sequence) == (Skip, 1)

    def test_a_list_kept_as_json_text_is_read(self):
        text = orjson.dumps(INVOICE["payments"]).decode()
        assert bodies(normalize(mapping(PAYMENTS), {**INVOICE, "payments": text})) == bodies(
            normalize(mapping(PAYMENTS), INVOICE)
        )

    @pytest.mark.parametrize("odd", [5, "nonsense", True])
    def test_what_is_no_list_is_rejected(self, odd):
        (made,) = normalize(mapping(PAYMENTS), {**INVOICE, "payments": odd})
        assert (type(made), made.endpoint) == (Reject, "order_payments")

    def test_a_bad_element_is_rejected_alone(self):
        payments = [{"at": "x", "amount": 1}, *INVOICE["payments"]]
        made = normalize(mapping(PAYMENTS), {**INVOICE, "payments": payments})
        assert [type(item) for item in made] == [Reject, Row, Row]


class TestCheck:
    def test_every_mistake_is_named_with_its_location(self):
        message = faults(
            ORDER, changed(ORDER, Emial="email", OrderTotal="mony(total)"), {**PAYMENTS, "for_each": "payments["}
        )
        assert "mapping.streams[1].fields.Emial: orders has no such field" in message
        assert "mapping.streams[1].fields.OrderTotal: unknown function mony(); did you mean money()?" in message
        assert "mapping.streams[2].for_each: is not a valid JMESPath expression" in message
        assert "streams[0]" not in message

    def test_a_field_that_is_nearly_right_is_suggested(self):
        assert "fields.SourceId: orders has no such field; did you mean SourceID?" in faults(
            changed(ORDER, SourceID=None, SourceId="id")
        )

    def test_a_required_field_that_nothing_makes_is_missed(self):
        assert "mapping.streams[0].fields.SourceID: required by orders" in faults(changed(ORDER, SourceID=None))

    def test_an_order_needs_a_contact(self):
        assert "fields.ContactEmail: required by orders, unless ContactID is set" in faults(
            changed(ORDER, ContactEmail=None)
        )
        mapping(changed(ORDER, ContactEmail=None, ContactID="customer.id"))

    def test_a_constant_that_wicked_would_not_take_is_refused(self):
        message = faults(changed(ORDER, OrderTotal="'free'", OrderCurrency="'euro'"))
        assert "fields.OrderTotal: the constant is not a number" in message
        assert "fields.OrderCurrency: the constant is longer than 3 characters" in message

    def test_inside_a_list_a_bare_name_is_a_mistake(self):
        assert "fields.OrderID: with for_each, write item.id or record.id instead of id" in faults(
            changed(PAYMENTS, OrderID="id")
        )

    def test_a_filter_without_a_field_is_a_mistake(self):
        assert "mapping.streams[0].filter: reads no field" in faults({**ORDER, "filter": "'paid'"})

    def test_nested_lists_need_an_entry_of_their_own(self):
        assert "fields.OrderItems: orders has no such field; add a separate entry" in faults(
            changed(ORDER, OrderItems="lines")
        )

    @pytest.mark.parametrize(
        ("streams", "message"),
        [
            ([], "mapping.streams: List should have at least 1 item"),
            (
                [{"stream": "x", "endpoint": "order", "fields": {"A": "b"}}],
                "mapping.streams[0].endpoint: must be one",
            ),
            ([{"stream": "x", "endpoint": "orders"}], "mapping.streams[0].fields: is required"),
            ([{**ORDER, "fields": {"SourceID": 5}}], "mapping.streams[0].fields.SourceID: must be a text in quotes"),
            ([{**ORDER, "when": "x"}], "mapping.streams[0].when: is not a setting"),
        ],
    )
    def test_a_wrong_structure_is_named_with_its_location(self, streams, message):
        assert message in faults(*streams)


class TestDocs:
    PAGE = Path(__file__).parents[4] / "docs" / "integrations" / "destinations" / "wicked-reports.md"

    def test_the_example_of_the_docs_page_works_as_it_stands(self):
        section = self.PAGE.read_text().partition("## Any other source")[2]
        example = json.loads(section.partition("```json")[2].partition("```")[0])
        normalizer = mapping(*example["streams"])
        invoice = {
            "id": "I1",
            "status": "paid",
            "created_at": "2024-05-31 09:45:00",
            "customer": {"email": "Ann@B.Example"},
            "total": "59.90",
            "payments": [{"paid": 1717163100, "amount": "59.90"}],
        }
        order, payment = bodies(normalize(normalizer, invoice))
        assert (order["CreateDate"], order["OrderCurrency"]) == ("2024-05-31 13:45:00", "USD")
        assert (payment["OrderID"], payment["PaymentDate"]) == (order["SourceID"], order["CreateDate"])

    @pytest.mark.parametrize("function", sorted(ARGUMENT_COUNTS))
    def test_every_function_is_on_the_docs_page_and_in_the_form(self, function):
        assert f"`{function}(" in self.PAGE.read_text()
        assert function in str(CustomStream.model_fields["fields"].description)


class TestNotes:
    def test_expressions_that_never_found_anything_are_named(self):
        normalizer = mapping(changed(ORDER, City="adress.city", Country="country"))
        normalize(normalizer, INVOICE, {**INVOICE, "country": "DE"})
        assert list(normalizer.notes()) == ["mapping.streams[0].fields: empty in all 2 rows: City"]

    def test_without_rows_there_are_no_notes(self):
        assert list(mapping(changed(ORDER, City="adress.city")).notes()) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)
NORMALIZER = mapping({**ORDER, "filter": "status == 'paid' || money(total) > `1`"}, PAYMENTS)


@given(st.dictionaries(st.sampled_from(list(INVOICE)), JSON))
def test_no_record_can_raise(data):
    for made in normalize(NORMALIZER, {**INVOICE, **data}) + normalize(NORMALIZER, data):
        assert isinstance(made, Row | Skip) or made.reason


@pytest.mark.parametrize("field", ["IP_Address", "SubscriptionID", "ContactEmail", "ContactID", "SourceID"])
def test_check_warns_of_a_constant_that_must_differ(field):
    constant = {"IP_Address": "'10.0.0.1'", "ContactEmail": "'ann@shop.com'"}.get(field, "'1'")
    (warning,) = mapping(changed(ORDER, **{field: constant})).check()
    assert f"mapping.streams[0].fields.{field} is a constant, so every row of orders has the same one" in warning


@pytest.mark.parametrize("text", ["ip", "''", "coalesce(ip, '10.0.0.1')"])
def test_check_does_not_warn_of_what_can_differ_or_is_empty(text):
    assert list(mapping(changed(ORDER, IP_Address=text)).check()) == []


def test_check_does_not_warn_of_one_line_id_for_all_orders():
    line = {"SourceSystem": "'shop'", "OrderID": "id", "SourceID": "'1'", "ProductID": "sku", "Qty": "`1`", "PPU": "p"}
    assert list(mapping({"stream": "lines", "endpoint": "order_items", "fields": line}).check()) == []
