"""Makes the rows of BigCommerce customers, products and orders (docs/vendors/bigcommerce.md 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_ITEMS, ORDER_PAYMENTS, ORDERS, PRODUCTS
from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.api.rows import SEPARATOR, FieldChecker, RowMaker
from destination_wicked_reports.mappings.bigcommerce.payments_and_refunds import Money, Payment
from destination_wicked_reports.mappings.bigcommerce.records import OrderItem, ShopOrder, identifier, moment, text
from destination_wicked_reports.model import LAST_SEQUENCE, OrderState, Row


class Shop:
    """Makes the rows of one shop, which is one SourceSystem. Methods that make a row raise FieldError."""

    def __init__(self, source_system: str) -> None:
        self.source_system = source_system
        self._contacts = RowMaker(CONTACTS)
        self._products = RowMaker(PRODUCTS)
        self._orders = RowMaker(ORDERS)
        self._items = RowMaker(ORDER_ITEMS)
        self._payments = RowMaker(ORDER_PAYMENTS)
        self._nested_item = FieldChecker(ORDERS.nested["OrderItems"])
        self._nested_payment = FieldChecker(ORDERS.nested["OrderPayments"])

    def key(self, *parts: str) -> str:
        """Return the ledger key of these ids of the shop."""
        return SEPARATOR.join((self.source_system, *parts))

    # -- people and products ----------------------------------------------------------------------------------------

    def customer(self, data: Mapping[str, Any], sequence: int) -> Row:
        """Return the contact of a registered customer."""
        addresses = decode_json_text(data.get("addresses"))
        first = addresses[0] if isinstance(addresses, list) and addresses else None
        address = first if isinstance(first, dict) else {}
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": identifier(data, "id", "SourceID"),
            "CreateDate": moment(data, "date_created", "CreateDate"),
            "Email": data.get("email"),
            "FirstName": text(data, "first_name"),
            "LastName": text(data, "last_name"),
            "City": text(address, "city"),
            "State": text(address, "state_or_province"),
            "Country": text(address, "country") or text(address, "country_code"),
            "IP_Address": text(data, "registration_ip_address"),
        }
        return self._contacts.make(fields, "customers", sequence)

    def buyer(self, order: ShopOrder) -> Row:
        """Return the contact of an order's buyer: a guest, or a customer whose own record was not read."""
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": order.buyer_id,
            "CreateDate": order.created,
            "Email": order.buyer_email,
            "FirstName": order.first_name,
            "LastName": order.last_name,
            "City": order.city,
            "State": order.state,
            "Country": order.country,
            "IP_Address": order.ip_address,
        }
        return self._contacts.make(fields, "orders", LAST_SEQUENCE)

    def product(self, data: Mapping[str, Any], sequence: int) -> Row:
        """Return the product of a product record."""
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": identifier(data, "id", "SourceID"),
            "ProductName": text(data, "name"),
            "ProductPrice": data.get("price"),
        }
        return self._products.make(fields, "products", sequence)

    def sold_product(self, item: OrderItem) -> Row:
        """Return the product of an item as it was sold, for a product whose own record was not read."""
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": item.product_id,
            "ProductName": item.name or f"Product {item.product_id}",
            "ProductPrice": Decimal(item.base_price),
        }
        return self._products.make(fields, "order_products", LAST_SEQUENCE)

    # -- orders -----------------------------------------------------------------------------------------------------

    def order(
        self, key: str, order: ShopOrder, items: list[dict[str, Any]], payments: list[Payment], state: OrderState
    ) -> Row:
        """Return an order with its items and payments nested, so that it is stored as a whole or not at all."""
        fields = self._orders.check(
            {
                "SourceSystem": self.source_system,
                "SourceID": order_id(key),
                "CreateDate": order.created,
                "ContactID": order.customer_id,
                "ContactEmail": order.buyer_email,
                "OrderTotal": state.total,
                "OrderCurrency": state.currency,
                "Country": order.country,
                "City": order.city,
                "State": order.state,
                "SubscriptionID": order.subscription_id,
                "IP_Address": order.ip_address,
            }
        )
        if items:
            fields["OrderItems"] = items
        if payments:
            fields["OrderPayments"] = [self._nested_payment.check(_payment_fields(payment)) for payment in payments]
        return self._orders.encode(fields, "orders", LAST_SEQUENCE, order_key=key, order=state)

    def nested_item(self, name: str, item: OrderItem, money: Money) -> dict[str, Any]:
        """Return the fields of an item nested in its order."""
        return self._nested_item.check({"OrderItemID": name, **_item_fields(item, money)})

    def item_key(self, key: str, name: str) -> str:
        """Return the ledger key of an item."""
        return SEPARATOR.join((key, name))

    def item(self, key: str, name: str, item: OrderItem, money: Money) -> Row:
        """Return an item that was read after its order was sent."""
        fields = {
            "SourceSystem": self.source_system,
            "OrderID": order_id(key),
            "SourceID": name,
            **_item_fields(item, money),
        }
        return self._items.make(fields, "order_products", LAST_SEQUENCE)

    def payment_key(self, key: str, transaction_id: str) -> str:
        """Return the ledger key of a transaction's payment."""
        return f"{key}#t{transaction_id}"

    def payment(self, key: str, payment: Payment) -> Row:
        """Return a payment that became known after its order was sent."""
        fields = self._payments.check(
            {"SourceSystem": self.source_system, "OrderID": order_id(key), **_payment_fields(payment)}
        )
        # The transaction's id keeps two equal payments apart; without a transaction, the payment's number does.
        if payment.transaction_id:
            stream, payment_key = "transactions", self.payment_key(key, payment.transaction_id)
        else:
            stream, payment_key = "orders", f"{key}#{payment.state.payments}"
        return self._payments.encode(fields, stream, LAST_SEQUENCE, payment_key, key, payment.state)


def order_id(key: str) -> str:
    """Return the shop's order id from the order's ledger key."""
    return key.partition(SEPARATOR)[2]


def _item_fields(item: OrderItem, money: Money) -> dict[str, Any]:
    return {"ProductID": item.product_id, "Qty": item.quantity, "PPU": money.price(item)}


def _payment_fields(payment: Payment) -> dict[str, Any]:
    return {"PaymentDate": payment.when, "Amount": payment.amount, "Status": payment.status}
