"""Makes the rows of BigCommerce customers, products and orders (docs/vendors/bigcommerce.md 5.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_ITEMS, ORDERS, PRODUCTS
from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.api.rows import SEPARATOR, FieldChecker, RowMaker
from destination_wicked_reports.mappings.bigcommerce.balance import Money
from destination_wicked_reports.mappings.bigcommerce.records import OrderItem, ShopOrder, identifier, moment, text
from destination_wicked_reports.mappings.revenue import NewOrder, Refund, Step
from destination_wicked_reports.mappings.sale_rows import SaleRowMaker, sale_id
from destination_wicked_reports.model import LAST_SEQUENCE, Row, SaleState


class Shop:
    """Makes the rows of one shop, which is one SourceSystem. Methods that make a row raise FieldError."""

    def __init__(self, source_system: str) -> None:
        self.source_system = source_system
        self._contacts = RowMaker(CONTACTS)
        self._products = RowMaker(PRODUCTS)
        self._sale_rows = SaleRowMaker(source_system)
        self._items = RowMaker(ORDER_ITEMS)
        self._nested_item = FieldChecker(ORDERS.nested["OrderItems"])

    def key(self, *parts: str) -> str:
        """Return the ledger key of these ids of the shop."""
        return SEPARATOR.join((self.source_system, *parts))

    def order_key(self, data: Mapping[str, Any], name: str, field: str) -> str:
        """Return the ledger key of the order whose id a record has in `name`; raises FieldError for `field`."""
        return self._sale_rows.key(sale_id(identifier(data, name, field)))

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

    def first_order(self, key: str, order: ShopOrder, items: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> Row:
        """Return the first order of a sale with its items, its payment and its refunds so far."""
        first, *rest = steps
        refunds = [step for step in rest if isinstance(step, Refund)]
        fields = {
            "Country": order.country,
            "City": order.city,
            "State": order.state,
            "SubscriptionID": order.subscription_id,
            "IP_Address": order.ip_address,
        }
        return self._sale_rows.order(
            key, cast(NewOrder, first), "orders", LAST_SEQUENCE, fields=fields, lines=items, refunds=refunds
        )

    def changes(self, key: str, steps: Iterable[Step]) -> Iterator[Row]:
        """Yield the further orders and refunds of a sale."""
        return self._sale_rows.rows(key, steps, "orders", LAST_SEQUENCE)

    def nested_item(self, name: str, item: OrderItem, money: Money) -> dict[str, Any]:
        """Return the fields of an item nested in its order."""
        return self._nested_item.check({"OrderItemID": name, **_item_fields(item, money)})

    def item_key(self, key: str, name: str) -> str:
        """Return the ledger key of an item."""
        return SEPARATOR.join((key, name))

    def item(self, key: str, sale: SaleState, name: str, item: OrderItem, money: Money) -> Row:
        """Return an item that was read after its order was sent."""
        fields = {
            "SourceSystem": sale.sent_as(1, self.source_system),
            "OrderID": order_id(key),
            "SourceID": name,
            **_item_fields(item, money),
        }
        row = self._items.check(fields)
        return self._items.encode(row, "order_products", LAST_SEQUENCE, self.item_key(key, name))


def order_id(key: str) -> str:
    """Return the shop's order id from the order's ledger key."""
    return key.partition(SEPARATOR)[2]


def _item_fields(item: OrderItem, money: Money) -> dict[str, Any]:
    return {"ProductID": item.product_id, "Qty": item.quantity, "PPU": money.price(item)}
