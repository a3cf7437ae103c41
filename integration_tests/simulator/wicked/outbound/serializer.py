"""How a processed record looks in a reply of the outbound API: names, types and dates of the reference (5.2, 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import orjson

from ...clock import parse_instant, stamp
from ...wecantrack.oracle import cents
from .snapshot import EASTERN, Book, Click, Contact, Order, Record, status_of

_UTMS = ("source", "medium", "campaign", "content", "term")
_NOTHING: dict[str, Any] = dict.fromkeys(_UTMS)
#: the reference's enumeration writes only this one in mixed case (2.5).
_STATUSES = {"PARTIALLY REFUNDED": "Partially Refunded"}
_MISSING = object()


def _number(amount: Decimal) -> orjson.Fragment:
    """Write exact money as JSON writes a number: 79, 79.5, 79.05."""
    text = f"{amount:f}"
    return orjson.Fragment((text.rstrip("0").rstrip(".") if "." in text else text) or "0")


def _utc(at: int) -> str:
    return stamp(at).replace(" ", "T") + ".000Z"


def _utms(click: Click) -> dict[str, str]:
    return {name: str(click.row.get(name.capitalize()) or "") for name in _UTMS}


class Wire:
    """Renders records with the switches as they stand."""

    def __init__(self, book: Book, switches: Mapping[str, str]) -> None:
        self._book = book
        self._zone = EASTERN if switches["outbound.naive_dates"] == "eastern" else timezone.utc
        self._no_date: object = {"text": "null", "null": None, "missing": _MISSING}[switches["outbound.no_date"]]
        self._nobody: object = None if switches["outbound.nobody"] == "null" else {}

    def rendered(self, record: Record, *, of_contact: bool = False) -> dict[str, Any]:
        """Render one record; an order of a contact that was asked for by name does not tell the contact again."""
        if isinstance(record, Contact):
            return self._contact(record)
        if isinstance(record, Click):
            return self._click(record)
        order = self._order(record)
        if of_contact:
            del order["contact"]
        return order

    def _naive(self, at: int) -> str:
        return datetime.fromtimestamp(at, tz=self._zone).strftime("%Y-%m-%dT%H:%M:%S")

    def _event(self, click: Click | None, written: Callable[[int], str]) -> dict[str, Any]:
        """Write a click as a part of a contact or an order; without one the date is the text "null", by default."""
        if click is None:
            return {**_NOTHING} if self._no_date is _MISSING else {"date": self._no_date, **_NOTHING}
        return {"date": written(click.at), **_utms(click)}

    def _contact(self, contact: Contact) -> dict[str, Any]:
        seen = contact.journey
        href = f"/contacts/{contact.id}"
        links = {"clicks": {"href": f"{href}/clicks"}, "orders": {"href": f"{href}/orders"}}
        return {
            "id": contact.id,
            "sourceId": str(contact.row["SourceID"]),
            "sourceSystem": str(contact.row["SourceSystem"] or "unknown"),
            "email": contact.row["Email"],
            "firstName": contact.names["FirstName"],
            "lastName": contact.names["LastName"],
            "LTV": _number(contact.lifetime_value),
            "createDate": _utc(contact.at),
            "firstClick": self._event(seen.first, _utc),
            "firstOptin": self._event(seen.opt_in, _utc),
            "reOptin": self._event(seen.again, _utc),
            "urlWicked": f"https://my.wickedreports.com/extras/customerltv?report=newlead&id={contact.id}",
            "links": links if contact.clicks else {},  # "an empty object, if the contact doesn't have any clicks"
        }

    def _click(self, click: Click) -> dict[str, Any]:
        contact, row = click.contact, click.row
        seen = contact.journey
        utms = _utms(click)
        query = urlencode({f"utm_{name}": value for name, value in utms.items() if value})
        return {
            "contactId": contact.id,
            "contactSourceId": str(contact.row["SourceID"]),
            "date": _utc(click.at),
            "email": contact.row["Email"],
            "isFirstClick": click is seen.first,
            "isFirstOptin": click is seen.opt_in,
            "isLastClick": click is seen.last,
            "isReOptin": (click is seen.again) != (click.place in self._book.flipped),
            "source": str(contact.row["SourceSystem"]),
            "utms": utms,
            "wickedid": row.get("WickedId") or None,
            "wickedsource": row.get("WickedSource") or None,
            "trackingUrl": f"https://shop.example/?{query}" if query else "https://shop.example/",
            "links": {"contact": {"href": f"/contacts/{contact.id}"}},
        }

    def _order(self, order: Order) -> dict[str, Any]:
        contact, row = order.contact, order.row
        links = {}
        if contact is not None:
            href = f"/contacts/{contact.id}"
            links = {"contact": {"href": href}, "clicks": {"href": f"{href}/clicks"}}
        shown = {
            "id": order.id,
            "sourceId": str(row["SourceID"]),
            "sourceSystem": row["SourceSystem"] or None,
            "date": _utc(order.at),
            "attributions": self._attributions(order),
            "contact": self._nobody if contact is None else _name(contact),
            "products": [self._product(item) for item in order.items],
            "payments": [self._payment(payment) for payment in order.payments],
            "amount": _number(cents(row["OrderTotal"])),
            "currency": row.get("OrderCurrency") or "USD",
            "links": links,
        }
        if row.get("SubscriptionID"):
            shown["subscriptionId"] = str(row["SubscriptionID"])
        return shown

    def _attributions(self, order: Order) -> dict[str, Any]:
        """Tell which of the clicks before the order count; without any it is "direct" in all, as in the sample."""
        seen = order.contact.journey_until(order.at) if order.contact else None
        if seen is None:
            direct = {"date": self._naive(order.at), **dict.fromkeys(_UTMS, "direct")}
            return {name: dict(direct) for name in ("firstClick", "firstOptin", "reOptin", "lastClick")}
        parts = {"firstClick": seen.first, "firstOptin": seen.opt_in, "reOptin": seen.again, "lastClick": seen.last}
        return {name: self._event(click, self._naive) for name, click in parts.items()}

    def _product(self, item: Mapping[str, Any]) -> dict[str, Any]:
        product = str(item.get("ProductID") or "")
        name, price = self._book.products.get(product, ""), _number(cents(item["PPU"]))
        return {"id": product, "name": name, "qty": int(item["Qty"]), "PPU": price}

    def _payment(self, payment: dict[str, Any]) -> dict[str, Any]:
        status = status_of(payment)
        return {
            "date": self._naive(parse_instant(payment["PaymentDate"])),
            "status": _STATUSES.get(status, status),
            "amount": _number(cents(payment["Amount"])),
        }


def _name(contact: Contact) -> dict[str, Any]:
    row = contact.row
    return {
        "id": contact.id,
        "sourceId": str(row["SourceID"]),
        "sourceSystem": str(row["SourceSystem"] or "unknown"),
        "email": row["Email"],
    }
