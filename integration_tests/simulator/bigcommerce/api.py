"""The part of BigCommerce's store API that Airbyte's source-bigcommerce reads (docs/vendors/bigcommerce.md 5.2, 5.3).

v2 lists are bare arrays, or 204 without a body if empty; dates are RFC 2822, amounts are text with four decimals. v3
lists are objects with `data` and `meta`; dates are ISO, amounts are numbers. A page has at most 250 rows.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ..clock import iso
from .state import Bigcommerce
from .store import Row, rfc_2822

STORE = "/stores/{store_hash}"
PATHS = (
    f"{STORE}/v3/customers",
    f"{STORE}/v3/catalog/products",
    f"{STORE}/v2/orders",
    f"{STORE}/v2/orders/{{order_id:int}}/products",
    f"{STORE}/v2/orders/{{order_id:int}}/transactions",
)
STORE_HASH = "simstore"
_MAX_LIMIT = 250
_ORDER_MONEY = ("total_inc_tax", "total_ex_tax", "refunded_amount")
_LINE_MONEY = ("base_price", "price_inc_tax", "price_ex_tax")
_SORTS = frozenset({"date_modified", "date_modified:asc", "id", "id:asc", "date_created:asc"})


class RefusedError(Exception):
    """A request that BigCommerce refuses."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title


def answer(state: Bigcommerce, request: Request, _body: bytes) -> Response:
    """Check the token, then the parameters."""
    v2 = "/v2/" in request.url.path and not request.url.path.endswith("/transactions")
    try:
        token = request.headers.get("x-auth-token", "")
        if state.keys.state("bigcommerce", token) == "unknown" or request.path_params["store_hash"] != STORE_HASH:
            raise RefusedError(401, "Unauthorized")
        sort = request.query_params.get("sort")
        if sort is not None and sort not in _SORTS:
            raise RefusedError(422, "sort is not a field to sort by")
        return _listing(state, request, v2)
    except RefusedError as refused:
        body: Any = {"status": refused.status, "title": refused.title, "type": "about:blank"}
        if v2:
            body = [{"status": refused.status, "message": refused.title}]
        return Response(orjson.dumps(body), refused.status, media_type="application/json")


def _listing(state: Bigcommerce, request: Request, v2: bool) -> Response:
    store, path, query = state.store, request.url.path, request.query_params
    page, limit = _number(query.get("page", "1")), min(_number(query.get("limit", "50")), _MAX_LIMIT)
    if path.endswith("/customers"):
        rows = [_customer(row) for row in store.listed("customers", _instant(query.get("date_modified:min")))]
    elif path.endswith("/catalog/products"):
        rows = [_product(row) for row in store.listed("products", _instant(query.get("date_modified:min")))]
    elif path.endswith("/orders"):
        orders = store.listed("orders", _instant(query.get("min_date_modified")))
        hidden = state.switches["bigcommerce.deleted"] == "hidden"
        rows = [_order(row) for row in orders if not (hidden and row.get("is_deleted"))]
    else:
        order_id = int(request.path_params["order_id"])
        if order_id not in store.rows["orders"]:
            raise RefusedError(404, "The requested resource was not found.")
        kind, write = ("transactions", _transaction) if path.endswith("/transactions") else ("order_products", _line)
        rows = [write(row) for row in store.of_order(kind, order_id)]
    served = rows[(page - 1) * limit : page * limit]
    if v2:
        if not served:
            return Response(status_code=204)
        return Response(orjson.dumps(served), media_type="application/json")
    meta = {"total": len(rows), "count": len(served), "per_page": limit, "current_page": page}
    meta["total_pages"] = -(-len(rows) // limit)
    return Response(orjson.dumps({"data": served, "meta": {"pagination": meta}}), media_type="application/json")


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise RefusedError(422, "page and limit are numbers from 1 on")
    return int(text)


def _instant(text: str | None) -> int | None:
    """Parse a date filter in either format."""
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text) if "," in text else datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise RefusedError(422, "a date filter cannot be read") from None
    return int(moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp())


def _text(amount: Any) -> str:
    return f"{Decimal(str(amount)):.4f}"


def _customer(row: Row) -> Row:
    fields = _public(row, {"company": "", "phone": "", "address_count": 0, "authentication": {}})
    return {**fields, "date_created": iso(row["_created"]), "date_modified": iso(row["_modified"])}


def _product(row: Row) -> Row:
    fields = _public(row, {"type": "physical", "is_visible": True, "variants": [], "custom_url": {"url": "/p/"}})
    return {
        **fields,
        "price": float(row["price"]),
        "date_created": iso(row["_created"]),
        "date_modified": iso(row["_modified"]),
    }


def _order(row: Row) -> Row:
    defaults = {
        "customer_id": 0,
        "status_id": 11,
        "status": "Awaiting Fulfillment",
        "payment_status": "",
        "refunded_amount": 0,
        "is_deleted": False,
        "currency_code": "USD",
        "default_currency_code": "USD",
        "currency_exchange_rate": "1.0000000000",
        "date_shipped": "",
        "external_id": None,
        "staff_notes": "",
        "products": {"url": f"https://api.bigcommerce.com/v2/orders/{row['id']}/products", "resource": "/products"},
    }
    fields = _public(row, defaults)
    fields.setdefault("total_ex_tax", fields["total_inc_tax"])
    money = {name: _text(fields[name]) for name in _ORDER_MONEY}
    dates = {
        "date_created": rfc_2822(row["_placed"] if "_placed" in row else row["_created"]),
        "date_modified": rfc_2822(row["_modified"]),
    }
    return {**fields, **money, **dates}


def _line(row: Row) -> Row:
    fields = _public(row, {"quantity": 1, "parent_order_product_id": None, "applied_discounts": []})
    fields.setdefault("price_ex_tax", fields["price_inc_tax"])
    fields.setdefault("base_price", fields["price_inc_tax"])
    return {**fields, **{name: _text(fields[name]) for name in _LINE_MONEY}}


def _transaction(row: Row) -> Row:
    defaults = {
        "event": "purchase",
        "method": "credit_card",
        "currency": "USD",
        "gateway": "simulated",
        "status": "ok",
        "test": False,
        "fraud_review": False,
        "reference_transaction_id": None,
    }
    fields = _public(row, defaults)
    return {
        **fields,
        "order_id": str(row["order_id"]),  # text here, a number in the order (5.4)
        "amount": float(row["amount"]),
        "date_created": iso(row["_created"]).replace("Z", "+00:00"),
    }


def _public(row: Row, defaults: Row) -> Row:
    return {**defaults, **{name: value for name, value in row.items() if name[0] != "_"}}
