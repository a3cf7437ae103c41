"""The native streams: documented fields go out, everything else is refused or named."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from builders.affiliate import Book
from builders.destination import COMPLETE
from destination_wicked_reports.api.endpoints import ENDPOINTS, ORDERS
from destination_wicked_reports.api.fields import ZERO
from destination_wicked_reports.api.rows import fold
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Record, Reject, Row
from hypothesis import given
from hypothesis import strategies as st

PAYMENT = {"PaymentDate": "2024-05-31 13:45:00", "Amount": "59.90", "Status": "APPROVED"}
LINE = {"OrderItemID": "1", "ProductID": "p1", "Qty": 1, "PPU": "59.90"}


def normalize(stream: str, *rows: dict[str, Any], normalizer: NativeNormalizer | None = None) -> list[Any]:
    records = [Record(stream, row, place) for place, row in enumerate(rows)]
    return list((normalizer or NativeNormalizer()).normalize(records, Book()))


def one(stream: str, **changes: Any) -> Any:
    (made,) = normalize(stream, {**COMPLETE[stream], **changes})
    return made


def body(row: Row) -> dict[str, Any]:
    return orjson.loads(row.body)


class TestRows:
    @pytest.mark.parametrize("stream", ENDPOINTS)
    def test_a_complete_row_goes_to_its_endpoint_with_its_place_in_the_input(self, stream):
        made = normalize(stream, COMPLETE[stream], COMPLETE[stream])
        assert [(row.endpoint, row.stream, row.sequence) for row in made] == [(stream, stream, 0), (stream, stream, 1)]

    @pytest.mark.parametrize(
        ("stream", "field"),
        [(name, f.name) for name, endpoint in ENDPOINTS.items() for f in endpoint.fields if f.need.name == "REQUIRED"],
    )
    @pytest.mark.parametrize("empty", ["absent", None, "", "  "])
    def test_a_row_without_a_required_field_is_rejected(self, stream, field, empty):
        row = {name: value for name, value in COMPLETE[stream].items() if name != field}
        if empty != "absent":
            row[field] = empty
        (made,) = normalize(stream, row)
        assert isinstance(made, Reject)
        assert (made.field, made.endpoint, made.stream, made.row) == (field, stream, stream, row)

    def test_money_and_times_leave_as_numbers_and_utc_seconds(self):
        row = one("orders", OrderTotal="59.90", CreateDate="2024-05-31T15:45:00.25+02:00")
        assert row.body.endswith(b'"OrderTotal":59.9}')
        assert body(row)["CreateDate"] == "2024-05-31 13:45:00"

    def test_ids_leave_as_text(self):
        assert body(one("orders", SourceID=7, ContactID=12)) == {
            **COMPLETE["orders"],
            "SourceID": "7",
            "ContactID": "12",
            "OrderTotal": 59.9,
        }

    @pytest.mark.parametrize("zero", [0, "0"])
    @pytest.mark.parametrize(
        ("stream", "field"), [("orders", "SourceID"), ("products", "ProductName"), ("order_payments", "OrderID")]
    )
    def test_a_required_text_of_zero_is_rejected_for_wickeds_validator_takes_it_for_empty(self, stream, field, zero):
        (made,) = normalize(stream, {**COMPLETE[stream], field: zero})
        assert isinstance(made, Reject)
        assert (made.field, made.reason) == (field, ZERO)

    def test_ids_too_long_for_an_index_of_postgresql_are_rejected_on_every_ledger(self):
        row = {**COMPLETE["order_items"], "OrderID": "\u4e00" * 300, "SourceID": "\u4e00" * 300}
        (made,) = normalize("order_items", row)
        assert isinstance(made, Reject)
        assert "too long for the ledger" in made.reason
        (made,) = normalize("order_items", {**row, "OrderID": "o"})
        assert isinstance(made, Row)

    def test_zero_is_a_value_where_none_is_required(self):
        assert body(one("orders", ContactID="0", City="0"))["City"] == "0"

    @pytest.mark.parametrize("empty", [None, "", " "])
    def test_an_empty_optional_field_is_left_out(self, empty):
        assert one("orders", City=empty).body == one("orders").body

    @pytest.mark.parametrize(
        ("stream", "field"), [("orders", "ContactID"), ("order_items", "ProductID"), ("order_payments", "Status")]
    )
    @pytest.mark.parametrize("empty", ["absent", None, ""])
    def test_a_field_whose_key_must_be_there_goes_out_as_empty_text(self, stream, field, empty):
        row = {name: value for name, value in COMPLETE[stream].items() if name != field}
        (made,) = normalize(stream, row if empty == "absent" else {**row, field: empty})
        assert body(made)[field] == ""

    @pytest.mark.parametrize("contacts", [{}, {"ContactID": None}, {"ContactEmail": ""}, {"ContactID": " "}])
    def test_an_order_without_id_and_email_of_its_contact_is_rejected(self, contacts):
        row = {name: value for name, value in COMPLETE["orders"].items() if name != "ContactEmail"}
        (made,) = normalize("orders", {**row, **contacts})
        assert isinstance(made, Reject)
        assert made.field == "ContactEmail"

    def test_the_order_of_the_columns_does_not_change_the_bytes(self):
        row = {**COMPLETE["orders"], "City": "Bonn"}
        (first,) = normalize("orders", row)
        (second,) = normalize("orders", dict(reversed(row.items())))
        assert (first.body, first.digest) == (second.body, second.digest)

    def test_text_that_no_json_can_carry_is_rejected_by_name(self):
        made = one("orders", City="\ud800")
        assert isinstance(made, Reject)
        assert made.field == "City"

    def test_a_bad_row_does_not_stop_the_next_one(self):
        made = normalize("orders", {}, COMPLETE["orders"])
        assert [type(item) for item in made] == [Reject, Row]

    def test_a_reason_never_quotes_the_row(self):
        reject = one("orders", CreateDate="ann.bee@example.com")
        assert "ann" not in reject.reason


class TestKeys:
    @pytest.mark.parametrize("stream", ["products", "contacts", "orders"])
    def test_a_row_with_an_id_is_known_by_system_and_id(self, stream):
        assert one(stream).key == f"shop\x1f{COMPLETE[stream]['SourceID']}"

    def test_lines_with_one_number_in_two_orders_are_two(self):
        assert one("order_items").key != one("order_items", OrderID="o2").key

    @pytest.mark.parametrize("stream", ["order_payments", "clicks", "marketing"])
    def test_a_row_without_an_id_is_known_by_its_content(self, stream):
        row = one(stream)
        assert row.key == row.digest.hex()
        assert len(row.digest) == 16
        (changed,) = normalize(stream, {**COMPLETE[stream], "Currency": "EUR", "OrderID": "o9", "AdId": "z"})
        assert changed.key != row.key

    def test_one_payment_has_one_key_whichever_host_carried_it(self):
        direct = one("order_payments", Amount=59.9)
        cached = {name.lower(): value for name, value in COMPLETE["order_payments"].items()}
        (from_cache,) = normalize(
            "order_payments",
            {**cached, "amount": "59.900000000", "paymentdate": "2024-05-31T13:45:00", "_airbyte_raw_id": "x"},
        )
        assert from_cache.key == direct.key

    def test_no_two_ids_can_be_joined_to_one_key(self):
        made = one("contacts", SourceSystem="shop\x1fa", SourceID="b")
        assert isinstance(made, Reject)
        assert made.field == "SourceID"


class TestNames:
    def test_unknown_fields_are_named_once_and_not_sent(self):
        normalizer = NativeNormalizer()
        made = normalize("orders", *[{**COMPLETE["orders"], "Colour": "red"}] * 3, normalizer=normalizer)
        assert normalizer.unknown_fields["orders"] == {"Colour"}
        assert all("Colour" not in body(row) for row in made)
        assert normalizer.unknown_fields["contacts"] == set()

    def test_airbytes_own_columns_go_unmentioned(self):
        normalizer = NativeNormalizer()
        row = {**COMPLETE["orders"], "_airbyte_raw_id": "1", "_airbyte_extracted_at": "x", "_airbyte_meta": {}}
        (made,) = normalize("orders", row, normalizer=normalizer)
        assert body(made) == body(one("orders"))
        assert normalizer.unknown_fields["orders"] == set()

    def test_lower_cased_columns_are_recognized(self):
        normalizer = NativeNormalizer()
        row = {name.lower(): value for name, value in {**COMPLETE["orders"], "IP_Address": "10.0.0.1"}.items()}
        (made,) = normalize("orders", row, normalizer=normalizer)
        assert body(made) == {**body(one("orders")), "IP_Address": "10.0.0.1"}
        assert normalizer.unknown_fields["orders"] == set()

    @pytest.mark.parametrize(
        "spell",
        [
            str.lower,
            str.upper,
            lambda name: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(),
            lambda name: re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(),
            lambda name: re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name),
            lambda name: re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).title(),
            lambda name: name.replace("_", ""),
        ],
        ids=["lower", "upper", "snake", "every letter", "dashes", "words", "joined"],
    )
    @pytest.mark.parametrize("stream", ENDPOINTS)
    def test_every_spelling_of_a_name_is_that_name(self, stream, spell):
        normalizer = NativeNormalizer()
        optional = {f.name: "1" for f in ENDPOINTS[stream].fields if f.kind.name == "TEXT"}
        row = {**optional, **COMPLETE[stream]}
        (plain,) = normalize(stream, row)
        (made,) = normalize(stream, {spell(name): value for name, value in row.items()}, normalizer=normalizer)
        assert (made.body, made.key) == (plain.body, plain.key)
        assert normalizer.unknown_fields[stream] == set()

    def test_no_two_fields_of_an_endpoint_are_spelled_alike(self):
        for endpoint in ENDPOINTS.values():
            for fields in (endpoint.fields, *endpoint.nested.values()):
                assert len({fold(field.name) for field in fields}) == len(fields)

    def test_of_two_spellings_the_likelier_counts_whatever_their_order(self):
        for names in (("source_id", "sourceid"), ("sourceid", "source_id")):
            row = {name: value for name, value in COMPLETE["orders"].items() if name != "SourceID"}
            (made,) = normalize("orders", {**row, **{name: name for name in names}})
            assert body(made)["SourceID"] == "sourceid"

    def test_an_exact_name_wins_over_one_that_differs_in_case(self):
        normalizer = NativeNormalizer()
        (made,) = normalize("orders", {"city": "Bonn", **COMPLETE["orders"], "City": "Ulm"}, normalizer=normalizer)
        assert body(made)["City"] == "Ulm"
        assert normalizer.unknown_fields["orders"] == {"city"}

    def test_ever_new_names_do_not_fill_the_memory(self):
        normalizer = NativeNormalizer()
        rows = [{**COMPLETE["contacts"], f"field {number}": 1} for number in range(500)]
        normalize("contacts", *rows, normalizer=normalizer)
        assert len(normalizer.unknown_fields["contacts"]) == 100


class TestNestedRows:
    def test_lines_and_payments_leave_as_rows_of_their_own_after_their_order(self):
        order = {**COMPLETE["orders"], "OrderItems": [LINE], "OrderPayments": [PAYMENT]}
        made = normalize("orders", order)
        assert [row.endpoint for row in made] == ["orders", "order_items", "order_payments"]
        assert made[0].body == one("orders").body

    @pytest.mark.parametrize(
        ("name", "nested", "stream"),
        [
            ("OrderItems", LINE, "order_items"),
            ("OrderPayments", PAYMENT, "order_payments"),
        ],
    )
    def test_a_nested_row_and_the_same_row_by_itself_are_one_row(self, name, nested, stream):
        _, child = normalize("orders", {**COMPLETE["orders"], name: [nested]})
        alone = one(stream)
        assert (child.body, child.key, child.digest) == (alone.body, alone.key, alone.digest)

    def test_a_payment_that_comes_later_with_the_same_order_is_a_new_row(self):
        refund = {**PAYMENT, "Status": "REFUNDED", "PaymentDate": "2024-06-05 10:00:00"}
        first = normalize("orders", {**COMPLETE["orders"], "OrderPayments": [PAYMENT]})
        second = normalize("orders", {**COMPLETE["orders"], "OrderPayments": [PAYMENT, refund]})
        assert [row.key for row in second[:2]] == [row.key for row in first]
        assert second[0].digest == first[0].digest
        assert body(second[2])["Status"] == "REFUNDED"

    def test_two_equal_payments_of_one_order_are_two_and_stay_the_same_two(self):
        order = {**COMPLETE["orders"], "OrderPayments": [PAYMENT, PAYMENT]}
        keys = [row.key for row in normalize("orders", order)[1:]]
        assert len(set(keys)) == 2
        assert keys == [row.key for row in normalize("orders", order)[1:]]

    def test_a_bad_child_is_rejected_alone_in_the_form_of_its_own_stream(self):
        order = {**COMPLETE["orders"], "OrderItems": [{**LINE, "Qty": "two"}, {**LINE, "OrderItemID": "2"}]}
        parent, bad, good = normalize("orders", order)
        assert (parent.endpoint, good.endpoint) == ("orders", "order_items")
        assert isinstance(bad, Reject)
        assert (bad.stream, bad.endpoint, bad.field) == ("order_items", "order_items", "Qty")
        mended = {**bad.row, "Qty": 2}
        (replayed,) = normalize("order_items", mended)
        assert isinstance(replayed, Row)

    def test_a_nested_line_needs_its_order_item_id_under_that_name(self):
        line = {"SourceID": "o1", "ProductID": "p1", "Qty": 1, "PPU": 5}
        _, bad = normalize("orders", {**COMPLETE["orders"], "OrderItems": [line]})
        assert isinstance(bad, Reject)
        assert bad.field == "OrderItemID"

    def test_a_nested_row_belongs_to_its_order_whatever_ids_it_carries(self):
        payment = {**PAYMENT, "SourceSystem": "stripe", "OrderID": "x"}
        _, child = normalize("orders", {**COMPLETE["orders"], "OrderPayments": [payment]})
        assert body(child)["SourceSystem"] == "shop"
        assert body(child)["OrderID"] == "o1"

    def test_children_of_a_rejected_order_are_not_sent(self):
        (made,) = normalize("orders", {**COMPLETE["orders"], "SourceID": "", "OrderPayments": [PAYMENT]})
        assert isinstance(made, Reject)

    @pytest.mark.parametrize("column", ["order_items", "orderItems", "ORDERITEMS"])
    def test_the_list_and_the_names_in_it_may_be_spelled_otherwise(self, column):
        line = {"order_item_id": "1", "product_id": "p1", "qty": 1, "ppu": "59.90", "source_system": "x"}
        _, child = normalize("orders", {**COMPLETE["orders"], column: [line]})
        assert (child.body, child.key) == (one("order_items").body, one("order_items").key)

    def test_a_bad_line_in_another_spelling_can_be_fixed_and_replayed(self):
        line = {"order_item_id": "1", "product_id": "p1", "qty": "two", "ppu": "59.90"}
        _, bad = normalize("orders", {**COMPLETE["orders"], "order_items": [line]})
        (replayed,) = normalize("order_items", {**bad.row, "qty": 1})
        assert replayed.body == one("order_items").body

    @pytest.mark.parametrize("column", ["OrderPayments", "orderpayments", "order_payments"])
    def test_a_list_kept_as_json_text_is_read(self, column):
        made = normalize("orders", {**COMPLETE["orders"], column: orjson.dumps([PAYMENT]).decode()})
        assert [row.endpoint for row in made] == ["orders", "order_payments"]

    @pytest.mark.parametrize("nested", ["nonsense", "{", 5, {"a": 1}, [5], [None], "[1]"])
    def test_what_is_no_list_of_objects_is_rejected_and_the_order_kept(self, nested):
        parent, bad = normalize("orders", {**COMPLETE["orders"], "OrderPayments": nested})
        assert isinstance(parent, Row)
        assert isinstance(bad, Reject)

    @pytest.mark.parametrize("nested", [None, [], "", "[]", {}])
    def test_no_children_are_no_rows(self, nested):
        assert len(normalize("orders", {**COMPLETE["orders"], "OrderItems": nested})) == 1

    def test_unknown_fields_of_children_are_named_with_their_list(self):
        normalizer = NativeNormalizer()
        order = {**COMPLETE["orders"], "OrderPayments": [{**PAYMENT, "Gateway": "x", "SourceSystem": "y"}]}
        normalize("orders", order, normalizer=normalizer)
        assert normalizer.unknown_fields["orders"] == {"OrderPayments.Gateway"}


class TestClicks:
    @pytest.mark.parametrize("name", ["UTC", "utc", "GMT", "UTC+0"])
    def test_a_zoned_time_is_converted_when_the_row_is_in_utc(self, name):
        row = one("clicks", Date_Time="2024-05-31T15:45:00+02:00", Timezone=name)
        assert body(row)["Date_Time"] == "2024-05-31 13:45:00"

    def test_a_zoned_time_is_refused_when_the_row_names_another_zone(self):
        made = one("clicks", Date_Time="2024-05-31T15:45:00+02:00", Timezone="UTC-5")
        assert isinstance(made, Reject)
        assert made.field == "Date_Time"

    def test_local_time_is_sent_as_it_is(self):
        assert body(one("clicks", Date_Time="2024-05-31 08:45:00"))["Date_Time"] == "2024-05-31 08:45:00"

    def test_a_time_zone_longer_than_ten_characters_is_rejected(self):
        assert one("clicks", Timezone="America/New_York").field == "Timezone"

    def test_the_offset_in_minutes_may_be_negative(self):
        assert body(one("clicks", TimeOffset=-2))["TimeOffset"] == -2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)
NAMES = [field.name for endpoint in ENDPOINTS.values() for field in endpoint.fields] + list(ORDERS.nested)


@given(st.sampled_from(list(ENDPOINTS)), st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), JSON))
def test_no_record_can_raise(stream, data):
    for made in normalize(stream, {**COMPLETE[stream], **data}) + normalize(stream, data):
        if isinstance(made, Row):
            assert isinstance(orjson.loads(made.body), dict)
        else:
            assert made.reason
