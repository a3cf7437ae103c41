"""The rows of a sale: how orders are named, and what a further order repeats."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.revenue import plan
from destination_wicked_reports.mappings.sale_rows import SaleRowMaker, sale_id
from destination_wicked_reports.model import Row, SaleState

MAKER = SaleRowMaker("Shop")
PAID, CHANGED = "2024-05-14 14:06:15", "2024-06-20 08:00:00"


def sale(**changes: Any) -> SaleState:
    known = {"currency": "USD", "ordered_at": PAID, "contact_id": "C1", "contact_email": "c1@mail.example"}
    return SaleState(**{**known, **changes})


def rows(state: SaleState, value: str, source_id: str = "A1") -> list[Row]:
    steps = plan(state, Decimal(value), "USD", PAID, CHANGED)
    return list(MAKER.rows(MAKER.key(source_id), steps, "orders", 0))


def after(row: Row) -> SaleState:
    assert row.sale is not None
    return row.sale


def test_an_id_leaves_room_for_the_number_of_further_orders():
    assert sale_id("a" * 492) == "a" * 492
    with pytest.raises(FieldError, match="longer than 492 characters"):
        sale_id("a" * 493)


@pytest.mark.parametrize(
    ("source_id", "named"), [("A1", "A1"), ("A1~2", "A1~2~1"), ("A1~", "A1~"), ("A1~b", "A1~b"), ("A1~2~1", "A1~2~1~1")]
)
def test_no_two_sales_share_a_name(source_id, named):
    assert sale_id(source_id) == named


def test_a_further_order_repeats_date_and_contact_and_has_one_payment_of_its_total():
    (first,) = rows(sale(), "10.00")
    (second,) = (orjson.loads(row.body) for row in rows(after(first), "12.50"))
    assert (second["SourceID"], second["CreateDate"]) == ("A1~2", PAID)
    assert (second["ContactID"], second["ContactEmail"]) == ("C1", "c1@mail.example")
    assert second["OrderTotal"] == 2.5
    (payment,) = second["OrderPayments"]
    assert (payment["Amount"], payment["Status"], payment["PaymentDate"]) == (2.5, "APPROVED", CHANGED)
    (line,) = second["OrderItems"]
    assert (line["OrderItemID"], line["Qty"], line["PPU"]) == ("A1~2", 1, 2.5)


def test_only_the_first_order_has_the_fields_that_a_shop_adds():
    (step,) = plan(sale(), Decimal("10.00"), "USD", PAID, CHANGED)
    first = MAKER.order(MAKER.key("A1"), step, "orders", 0, fields={"SubscriptionID": "SUB-1"})
    assert orjson.loads(first.body)["SubscriptionID"] == "SUB-1"
    assert ["SubscriptionID" in orjson.loads(row.body) for row in rows(after(first), "12.50")] == [False]


def test_two_equal_refunds_are_two_payments():
    (first,) = rows(sale(), "10.00")
    (one,) = rows(after(first), "8.00")
    (other,) = rows(after(one), "6.00")
    assert one.key != other.key
    assert [orjson.loads(row.body)["Amount"] for row in (one, other)] == [2, 2]


def test_a_long_id_still_names_its_further_orders():
    longest = sale_id("a" * 492)
    (first,) = rows(sale(order_count=999_998, version=999_998), "10.00", longest)
    assert len(orjson.loads(first.body)["SourceID"]) <= 500
