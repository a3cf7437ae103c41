"""GET /latest, the inbound API's only read: newest row, maximum or count (docs/vendors/wicked-reports.md 2.9)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from .store import Row, WickedStore

#: the API's name of a data type -> its endpoint
DATATYPES = {
    "contacts": "contacts",
    "orders": "orders",
    "orderitems": "orderitems",
    "payments": "orderpayments",
    "products": "products",
}
_OPTIONS = {"sourcesystem", "datatype", "sortby", "order", "max", "offset", "like"}


def latest(store: WickedStore, query: dict[str, str], max_order: str) -> Any:
    """Return the response body, `[]` if nothing is stored (PHP's empty value) [guess]; ValueError for a bad call."""
    system, datatype = query.get("sourcesystem", ""), query.get("datatype", "")
    if datatype not in DATATYPES:
        raise ValueError(f"datatype must be one of {', '.join(DATATYPES)}.")
    rows = [row for row in store.listed(DATATYPES[datatype]) if _matches(row, system, query)]
    if query.get("offset") == "1":
        return {"offset": len(rows), "sourceSystem": system, "dataType": datatype}
    if not rows:
        return []
    if "max" in query:
        field = query["max"]
        return {field: max((str(row.get(field, "")) for row in rows), key=_numeric if max_order == "numeric" else str)}
    date = "PaymentDate" if datatype == "payments" else "CreateDate"
    field = query.get("sortby", date)  # newest first by default [guess]
    rows.sort(key=lambda row: str(row.get(field, "")), reverse=query.get("order", "desc").lower() != "asc")
    return {name: value for name, value in rows[0].items() if not isinstance(value, list)}


def _matches(row: Row, system: str, query: dict[str, str]) -> bool:
    own = str(row.get("SourceSystem", ""))
    if system and not (own.startswith(system) if query.get("like") == "1" else own == system):
        return False
    return all(str(row.get(name)) == value for name, value in query.items() if name.lower() not in _OPTIONS)


def _numeric(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)
