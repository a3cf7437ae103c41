"""Writes processed records as the outbound API does: names, types and dates of the reference.

The reference is summarized in docs/vendors/wicked-reports.md 5.2 and 5.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import orjson

from ...clock import parse_instant, stamp
from ...oracle import cents
from ..net import status_of
from .snapshot import EASTERN, Click, Contact, Order, Record, Snapshot

_UTMS = ("source", "medium", "campaign", "content", "term")
_ATTRIBUTIONS = ("firstClick", "firstOptin", "reOptin", "lastClick")
_NO_UTMS: dict[str, Any] = dict.fromkeys(_UTMS)
#: the only status that the reference's enumeration writes in mixed case (2.5)
_STATUSES = {"PARTIALLY REFUNDED": "Partially Refunded"}
_MISSING = object()


def _number(amount: Decimal) -> orjson.Fragment:
    """Write an exact amount as JSON numbers are written: 79, 79.5, 79.05."""
    text = f"{amount:f}"
    return orjson.Fragment((text.rstrip("0").rstrip(".") if "." in text else text) or "0")


def _utc(at: int) -> str:
    return stamp(at).replace(" ", "T") + ".000Z"


def _utms(click: Click) -> dict[str, str]:
    return {name: str(click.row.get(name.capitalize()) or "") for name in _UTMS}


class Serializer:
    """Serializes records with the current switches."""

    def __init__(self, snapshot: Snapshot, switches: Mapping[str, str]) -> None:
        self._snapshot = snapshot
        self._zone = EASTERN if switches["outbound.naive_dates"] == "eastern" else timezone.utc
        self._no_date: object = {"text": "null", "null": None, "missing": _MISSING}[switches["outbound.no_date"]]
        self._no_contact: object = None if switches["outbound.nobody"] == "null" else {}

    def serialize(self, record: Record, *, of_contact: bool = False) -> dict[str, Any]:
        """Return one record as served; `of_contact` leaves out an order's contact, as in the list of one contact."""
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
        """Return a click as part of a contact or an order; without one, the date is by default the text "null"."""
        if click is None:
            return {**_NO_UTMS} if self._no_date is _MISSING else {"date": self._no_date, **_NO_UTMS}
        return {"date": written(click.at), **_utms(click)}

    def _contact(self, contact: Contact) -> dict[str, Any]:
        journey = contact.journey
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
            "firstClick": self._event(journey.first, _utc),
            "firstOptin": self._event(journey.opt_in, _utc),
            "reOptin": self._event(journey.reopt_in, _utc),
            "urlWicked": f"https://my.wickedreports.com/extras/customerltv?report=newlead&id={contact.id}",
            "links": links if contact.clicks else {},  # "an empty object, if the contact doesn't have any clicks"
        }

    def _click(self, click: Click) -> dict[str, Any]:
        contact, row = click.contact, click.row
        journey = contact.journey
        utms = _utms(click)
        query = urlencode({f"utm_{name}": value for name, value in utms.items() if value})
        return {
            "contactId": contact.id,
            "contactSourceId": str(contact.row["SourceID"]),
            "date": _utc(click.at),
            "email": contact.row["Email"],
            "isFirstClick": click is journey.first,
            "isFirstOptin": click is journey.opt_in,
            "isLastClick": click is journey.last,
            "isReOptin": (click is journey.reopt_in) != (click.number in self._snapshot.flipped),
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
        served = {
            "id": order.id,
            "sourceId": str(row["SourceID"]),
            "sourceSystem": row["SourceSystem"] or None,
            "date": _utc(order.at),
            "attributions": self._attributions(order),
            "contact": self._no_contact if contact is None else _name(contact),
            "products": [self._product(item) for item in order.items],
            "payments": [self._payment(payment) for payment in order.payments],
            "amount": _number(cents(row["OrderTotal"])),
            "currency": row.get("OrderCurrency") or "USD",
            "links": links,
        }
        if row.get("SubscriptionID"):
            served["subscriptionId"] = str(row["SubscriptionID"])
        return served

    def _attributions(self, order: Order) -> dict[str, Any]:
        """Return the clicks that the order is attributed to; without any, all are "direct", as in the sample."""
        journey = order.contact.journey_until(order.at) if order.contact else None
        if journey is None:
            direct = {"date": self._naive(order.at), **dict.fromkeys(_UTMS, "direct")}
            return {name: dict(direct) for name in _ATTRIBUTIONS}
        clicks = (journey.first, journey.opt_in, journey.reopt_in, journey.last)
        return {name: self._event(click, self._naive) for name, click in zip(_ATTRIBUTIONS, clicks, strict=True)}

    def _product(self, item: Mapping[str, Any]) -> dict[str, Any]:
        product = str(item.get("ProductID") or "")
        name, price = self._snapshot.products.get(product, ""), _number(cents(item["PPU"]))
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
