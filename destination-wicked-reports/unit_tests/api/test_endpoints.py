"""The endpoint tables match the vendor's documentation."""

from __future__ import annotations

import pytest
from destination_wicked_reports.api.endpoints import ENDPOINTS, ORDER_ITEMS, ORDER_PAYMENTS, ORDERS, Endpoint, Need
from destination_wicked_reports.api.fields import Kind
from destination_wicked_reports.errors import FieldError


def names(endpoint: Endpoint, need: Need) -> set[str]:
    return {field.name for field in endpoint.fields if field.need is need}


def test_products_and_contacts_load_before_orders_and_orders_before_their_items_and_payments():
    assert list(ENDPOINTS) == [
        "products",
        "contacts",
        "orders",
        "order_items",
        "order_payments",
        "clicks",
        "marketing",
    ]


def test_every_endpoint_has_the_vendors_path_and_latest_datatype():
    assert {name: (endpoint.path, endpoint.latest) for name, endpoint in ENDPOINTS.items()} == {
        "products": ("/products", "products"),
        "contacts": ("/contacts", "contacts"),
        "orders": ("/orders", "orders"),
        "order_items": ("/orderitems", "orderitems"),
        "order_payments": ("/orderpayments", "payments"),
        "clicks": ("/clicks", None),
        "marketing": ("/marketing", None),
    }


def test_payments_clicks_and_marketing_have_no_key_and_all_others_have():
    assert [name for name, endpoint in ENDPOINTS.items() if not endpoint.key] == [
        "order_payments",
        "clicks",
        "marketing",
    ]


def test_a_key_consists_of_required_text_so_that_it_is_never_empty():
    for endpoint in ENDPOINTS.values():
        keys = [field for field in endpoint.fields if field.name in endpoint.key]
        assert len(keys) == len(endpoint.key)
        assert all(field.need is Need.REQUIRED and field.kind is Kind.TEXT for field in keys)


@pytest.mark.parametrize(
    ("endpoint", "required"),
    [
        ("products", {"SourceSystem", "SourceID", "ProductName", "ProductPrice"}),
        ("contacts", {"SourceSystem", "SourceID", "CreateDate", "Email"}),
        ("orders", {"SourceSystem", "SourceID", "CreateDate", "OrderTotal"}),
        ("order_items", {"SourceSystem", "OrderID", "SourceID", "Qty", "PPU"}),
        ("order_payments", {"SourceSystem", "OrderID", "PaymentDate", "Amount"}),
        ("clicks", {"Email", "Date_Time", "Timezone", "ConversionType"}),
        ("marketing", {"Date_Time", "Clicks", "Cost", "AdId", "AccountId"}),
    ],
)
def test_the_required_fields_are_the_documented_ones(endpoint, required):
    assert names(ENDPOINTS[endpoint], Need.REQUIRED) == required


def test_only_contact_keys_product_id_and_status_must_be_present_even_if_empty():
    present = {name: names(endpoint, Need.PRESENT) for name, endpoint in ENDPOINTS.items()}
    assert {name: fields for name, fields in present.items() if fields} == {
        "orders": {"ContactID", "ContactEmail"},
        "order_items": {"ProductID"},
        "order_payments": {"Status"},
    }


def test_the_id_of_an_item_is_order_item_id_when_nested_and_source_id_alone():
    nested = [field.name for field in ORDERS.nested["OrderItems"]]
    assert nested == ["OrderItemID", "ProductID", "Qty", "PPU"]
    assert [field.name for field in ORDER_ITEMS.fields] == ["SourceSystem", "OrderID", "SourceID", *nested[1:]]


def test_a_nested_payment_lacks_only_the_fields_of_its_order():
    nested = ORDERS.nested["OrderPayments"]
    assert ORDER_PAYMENTS.fields[2:] == nested
    assert [field.name for field in ORDER_PAYMENTS.fields[:2]] == ["SourceSystem", "OrderID"]


@pytest.mark.parametrize(
    "contact", [{"ContactID": "1", "ContactEmail": ""}, {"ContactID": "", "ContactEmail": "a@b.c"}]
)
def test_an_order_needs_only_one_of_the_two_contact_keys(contact):
    assert ORDERS.rule is not None
    ORDERS.rule(contact)


def test_an_order_without_any_contact_is_refused():
    assert ORDERS.rule is not None
    with pytest.raises(FieldError, match="one of the two"):
        ORDERS.rule({"ContactID": "", "ContactEmail": ""})
