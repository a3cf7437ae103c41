"""The rows of one BigCommerce order, its people and its products, in Wicked's fields (`airbyte/conventions.md` 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_ITEMS, ORDER_PAYMENTS, ORDERS, PRODUCTS
from destination_wicked_reports.api.rows import SEPARATOR, FieldChecker, RowMaker
from destination_wicked_reports.mappings.affiliate.contacts import unpacked
from destination_wicked_reports.mappings.bigcommerce.payments import Money, Payment
from destination_wicked_reports.mappings.bigcommerce.records import identifier, moment, words
from destination_wicked_reports.model import LAST_SEQUENCE, OrderState, Row

Facts = Mapping[str, Any]


class Shop:
    """Makes the rows of one shop, which is one SourceSystem in Wicked. Every method raises FieldError."""

    def __init__(self, source_system: str) -> None:
        self.source_system = source_system
        self._contacts = RowMaker(CONTACTS)
        self._products = RowMaker(PRODUCTS)
        self._orders = RowMaker(ORDERS)
        self._items = RowMaker(ORDER_ITEMS)
        self._payments = RowMaker(ORDER_PAYMENTS)
        self._nested_line = FieldChecker(ORDERS.nested["OrderItems"])
        self._nested_payment = FieldChecker(ORDERS.nested["OrderPayments"])

    def key(self, *parts: str) -> str:
        """Return the ledger's name for what has these ids in the shop."""
        return SEPARATOR.join((self.source_system, *parts))

    # -- people and products ----------------------------------------------------------------------------------------

    def customer(self, data: Facts, sequence: int) -> Row:
        """Return the contact of a registered customer."""
        addresses = unpacked(data.get("addresses"))
        first = addresses[0] if isinstance(addresses, list) and addresses else None
        address = first if isinstance(first, dict) else {}
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": identifier(data, "id", "SourceID"),
            "CreateDate": moment(data, "date_created", "CreateDate"),
            "Email": data.get("email"),
            "FirstName": words(data, "first_name"),
            "LastName": words(data, "last_name"),
            "City": words(address, "city"),
            "State": words(address, "state_or_province"),
            "Country": words(address, "country") or words(address, "country_code"),
            "IP_Address": words(data, "registration_ip_address"),
        }
        return self._contacts.make(fields, "customers", sequence)

    def buyer(self, order: Facts, contact_id: str) -> Row:
        """Return the contact of whoever placed an order: a guest, or a customer whose own record was not read."""
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": contact_id,
            "CreateDate": order["created"],
            "Email": email(order),
            "FirstName": order["first"],
            "LastName": order["last"],
            "City": order["city"],
            "State": order["state"],
            "Country": order["country"],
            "IP_Address": order["ip"],
        }
        return self._contacts.make(fields, "orders", LAST_SEQUENCE)

    def product(self, data: Facts, sequence: int) -> Row:
        """Return a product of the catalog."""
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": identifier(data, "id", "SourceID"),
            "ProductName": words(data, "name"),
            "ProductPrice": data.get("price"),
        }
        return self._products.make(fields, "products", sequence)

    def sold_product(self, line: Facts) -> Row:
        """Return the product of a line, as it was when it was sold, where its own record was not read."""
        fields = {
            "SourceSystem": self.source_system,
            "SourceID": line["product"],
            "ProductName": line["name"] or f"Product {line['product']}",
            "ProductPrice": Decimal(line["base"]),
        }
        return self._products.make(fields, "order_products", LAST_SEQUENCE)

    # -- orders -----------------------------------------------------------------------------------------------------

    def order(
        self, key: str, order: Facts, lines: list[dict[str, Any]], payments: list[Payment], state: OrderState
    ) -> Row:
        """Return an order with its lines and payments nested, so that all of it arrives or nothing does."""
        fields = self._orders.check(
            {
                "SourceSystem": self.source_system,
                "SourceID": order_id(key),
                "CreateDate": order["created"],
                "ContactID": order["customer"],
                "ContactEmail": email(order),
                "OrderTotal": state.total,
                "OrderCurrency": state.currency,
                "Country": order["country"],
                "City": order["city"],
                "State": order["state"],
                "SubscriptionID": order["subscription"],
                "IP_Address": order["ip"],
            }
        )
        if lines:
            fields["OrderItems"] = lines
        if payments:
            fields["OrderPayments"] = [self._nested_payment.check(_payment(payment)) for payment in payments]
        return self._orders.encode(fields, "orders", LAST_SEQUENCE, order_key=key, order=state)

    def nested_line(self, name: str, line: Facts, money: Money) -> dict[str, Any]:
        """Return a line as it goes inside its order."""
        return self._nested_line.check({"OrderItemID": name, **_line(line, money)})

    def line_key(self, key: str, name: str) -> str:
        """Return the ledger's name for a line of an order."""
        return SEPARATOR.join((key, name))

    def line(self, key: str, name: str, line: Facts, money: Money) -> Row:
        """Return a line that became known after its order was sent."""
        fields = {
            "SourceSystem": self.source_system,
            "OrderID": order_id(key),
            "SourceID": name,
            **_line(line, money),
        }
        return self._items.make(fields, "order_products", LAST_SEQUENCE)

    def payment_key(self, key: str, event: str) -> str:
        """Return the ledger's name for the payment of a transaction."""
        return f"{key}#t{event}"

    def payment(self, key: str, payment: Payment) -> Row:
        """Return a payment that became known after its order was sent."""
        fields = self._payments.check(
            {"SourceSystem": self.source_system, "OrderID": order_id(key), **_payment(payment)}
        )
        # Two equal payments are two: a transaction's id tells them apart, else their number.
        name = self.payment_key(key, payment.event) if payment.event else f"{key}#{payment.state.payments}"
        stream = "transactions" if payment.event else "orders"
        return self._payments.encode(fields, stream, LAST_SEQUENCE, name, key, payment.state)


def order_id(key: str) -> str:
    """Return the shop's own id of the order that the ledger knows by this key."""
    return key.partition(SEPARATOR)[2]


def email(order: Facts) -> str:
    """Return the buyer's address; a guest is known by it alone, so there it is written in one way."""
    address: str = order["email"]
    return address if order["customer"] else address.lower()


def _line(line: Facts, money: Money) -> dict[str, Any]:
    return {"ProductID": line["product"], "Qty": line["quantity"], "PPU": money.price(line)}


def _payment(payment: Payment) -> dict[str, Any]:
    return {"PaymentDate": payment.when, "Amount": payment.amount, "Status": payment.status}
