"""An invalid optional field costs the field; required and decisive fields cost the row."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from builders.affiliate import Book
from builders.destination import COMPLETE, lines_of
from destination_wicked_reports.api.endpoints import DECISIVE, ENDPOINTS, Field, Need
from destination_wicked_reports.api.fields import Kind
from destination_wicked_reports.config.mappings import CustomStream
from destination_wicked_reports.delivery.tally import MOST_LINES, Tally
from destination_wicked_reports.mappings.custom.normalizer import CustomNormalizer
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Record, Reject, Row

FIELDS = [(name, field) for name, endpoint in ENDPOINTS.items() for field in endpoint.fields]
OPTIONAL = [(name, field) for name, field in FIELDS if field.need is Need.OPTIONAL and field.name not in DECISIVE]
STRICT = [(name, field) for name, field in FIELDS if field.need is Need.REQUIRED or field.name in DECISIVE]


def invalid(field: Field) -> Any:
    return "x" * (field.limit + 1) if field.kind is Kind.TEXT else "x"


def normalize(stream: str, **changes: Any) -> Any:
    (made,) = NativeNormalizer().normalize([Record(stream, {**COMPLETE[stream], **changes})], Book())
    return made


@pytest.mark.parametrize(("stream", "field"), OPTIONAL, ids=lambda each: getattr(each, "name", each))
def test_an_optional_field_is_left_out_and_the_row_goes(stream, field):
    row = normalize(stream, **{field.name: invalid(field)})
    assert isinstance(row, Row)
    assert row.body == normalize(stream).body
    ((name, reason),) = row.left_out
    assert name == field.name
    assert reason


@pytest.mark.parametrize(("stream", "field"), STRICT, ids=lambda each: getattr(each, "name", each))
def test_a_required_or_decisive_field_rejects_the_row(stream, field):
    made = normalize(stream, **{field.name: invalid(field)})
    assert isinstance(made, Reject)
    assert made.field == field.name


def test_the_next_row_of_the_endpoint_reports_only_its_own():
    normalizer = NativeNormalizer()
    bad = {**COMPLETE["orders"], "City": "x" * 256}
    records = [Record("orders", data) for data in ({**bad, "OrderTotal": "x"}, bad, COMPLETE["orders"])]
    rejected, first, second = normalizer.normalize(records, Book())
    assert isinstance(rejected, Reject)
    assert [name for name, _ in first.left_out] == ["City"]
    assert second.left_out == ()


def test_an_expression_that_fails_for_an_optional_field_costs_the_field():
    fields = {name: f"'{value}'" for name, value in COMPLETE["contacts"].items()}
    fields |= {"City": "lower(city)", "Phone": "regex(phone, '^(a|aa|aaa)+$')"}
    normalizer = CustomNormalizer([CustomStream(stream="s", endpoint="contacts", fields=fields)])
    data = {"city": 1.5, "phone": "a" * 60 + "!"}
    (row,) = normalizer.normalize([Record("s", data)], Book())
    assert orjson.loads(row.body) == COMPLETE["contacts"]
    assert [name for name, _ in row.left_out] == ["City", "Phone"]


def test_what_was_left_out_is_counted_by_field_and_reason(dead_letters):
    tally = Tally(dead_letters)
    tally.rows_of([normalize("orders", City="x" * 256), normalize("orders", City="y" * 257, State=[])])
    assert sorted(tally.left_out_lines()) == [
        "orders.City: left out of 2 rows: longer than 255 characters",
        "orders.State: left out of 1 row: not text",
    ]
    assert tally.failed == 0
    assert lines_of(dead_letters) == []
    tally.left_out.update(("orders", f"f{number}", "x") for number in range(MOST_LINES))
    assert list(tally.left_out_lines())[-1] == "and 2 more fields were left out."


@pytest.mark.parametrize("total", ["-1", -0.01, -5, "-12.50"])
def test_a_negative_order_total_is_refused(total):
    made = normalize("orders", OrderTotal=total)
    assert isinstance(made, Reject)
    assert (made.field, made.reason) == ("OrderTotal", "negative")
    fields = {**{name: f"'{value}'" for name, value in COMPLETE["orders"].items()}, "OrderTotal": "total"}
    normalizer = CustomNormalizer([CustomStream(stream="s", endpoint="orders", fields=fields)])
    (made,) = normalizer.normalize([Record("s", {"total": total})], Book())
    assert (made.field, made.reason) == ("OrderTotal", "negative")
