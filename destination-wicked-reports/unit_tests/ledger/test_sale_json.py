"""A sale survives both of its JSON forms; the ledger's form stays readable when fields are added."""

from __future__ import annotations

import json
from decimal import Decimal

import orjson
from destination_wicked_reports.ledger.sale_json import (
    decode_sale,
    encode_sale,
    sale_facts,
    sale_of_array,
    sale_of_facts,
)
from destination_wicked_reports.model import OpenOrder, SaleState
from hypothesis import given
from hypothesis import strategies as st

SALE = SaleState(
    currency="EUR",
    open_orders=(OpenOrder(2, Decimal("4.10"), Decimal("0.05"), "2026-01-02 00:00:00"),),
    order_count=2,
    version=3,
    ordered_at="2026-01-01 00:00:00",
    product_id="P1",
    contact_id="U1",
    contact_email="a@shop.example",
    contact_hash="h",
    aliases=("shop\x1fa1", "shop\x1fa2"),
    source_updated_at="2026-01-02 00:00:00",
    renamed=(("old", 1),),
)

amounts = st.decimals(0, 10**15, places=2)
orders = st.builds(OpenOrder, st.integers(1, 99), amounts, amounts, st.text(max_size=3))
sales = st.builds(
    SaleState,
    currency=st.text(max_size=3),
    open_orders=st.lists(orders, max_size=3).map(tuple),
    order_count=st.integers(0, 99),
    version=st.integers(0, 99),
    aliases=st.lists(st.text(max_size=3)).map(tuple),
    renamed=st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9))).map(tuple),
)


@given(sales)
def test_both_forms_keep_every_field_and_its_type(sale):
    for restored in (
        decode_sale(encode_sale(sale)),
        sale_of_facts(json.loads(json.dumps(sale_facts(sale)))),
    ):
        assert repr(restored) == repr(sale)


def test_the_ledgers_form_is_an_array_in_the_order_of_the_fields():
    assert orjson.loads(encode_sale(SALE)) == [
        "EUR",
        [[2, "4.10", "0.05", "2026-01-02 00:00:00"]],
        2,
        3,
        "2026-01-01 00:00:00",
        "P1",
        "U1",
        "a@shop.example",
        "h",
        ["shop\x1fa1", "shop\x1fa2"],
        "2026-01-02 00:00:00",
        [["old", 1]],
    ]


def test_a_sale_stored_before_its_last_field_existed_has_the_default_there():
    stored = orjson.loads(encode_sale(SALE))
    assert sale_of_array(stored[:-1]) == SALE._replace(renamed=())


def test_the_other_form_names_each_field():
    facts = sale_facts(SALE)
    assert tuple(facts) == SaleState._fields
    assert facts["open_orders"] == [
        {"number": 2, "total": "4.10", "refunded": "0.05", "paid_at": "2026-01-02 00:00:00"}
    ]
