"""Insert or update one transaction with explicit fields, for the admin API."""

from __future__ import annotations

from typing import Any

import orjson

from ..clock import parse_instant, stamp
from .accounts import Account
from .state import Wecantrack
from .transactions import CHANGING, State, Transaction

_REQUIRED = ("transaction_id", "user_network_account_id")
_DEFAULT_FIELDS: dict[str, Any] = {
    "reference": None,
    "sub_ids": None,
    "click_date": None,
    "advertiser_id": "1",
    "advertiser_name": "Example Shop 1",
    "order_ref": None,
    "clickout_url": None,
    "click_metadata": None,
}


def upsert(state: Wecantrack, row: dict[str, Any], at: int, website_id: int | None = None) -> dict[str, Any]:
    """Write one row, visible from `at` on; a missing field keeps its value or takes a default.

    Unless given, `last_wct_update` and `modified_date` become `at`: every change moves the cursor
    (docs/vendors/wecantrack.md A7). Returns the row as the API now serves it.
    """
    if missing := [name for name in _REQUIRED if name not in row]:
        raise ValueError(f"a row needs {', '.join(missing)}")
    account_id, transaction_id = int(row["user_network_account_id"]), str(row["transaction_id"])
    if account_id not in state.accounts.by_id:
        state.accounts.add([Account(account_id, str(row.get("network_id", "awin")), f"Account {account_id}")])
    store = state.transactions
    number = store.find(account_id, transaction_id)
    fixed = {name: value for name, value in row.items() if name not in CHANGING}
    if number is None:
        fixed = {"order_date": stamp(at), **_DEFAULT_FIELDS, **fixed}
        transaction = Transaction(
            account_id, transaction_id, website_id, parse_instant(fixed["order_date"]),
            parse_instant(fixed["click_date"]) if fixed["click_date"] else None, orjson.dumps(fixed),
            [_state(row, at, None)],
        )  # fmt: skip
        store.append(transaction)
    else:
        transaction = store.transactions[number]
        if fixed.keys() - set(_REQUIRED):
            transaction.replace_fixed({**transaction.fields(), **fixed})
            store.refresh(number)
        store.write(number, _state(row, at, transaction.state_at(at)))
    served: dict[str, Any] = orjson.loads(transaction.encoded()) if transaction.current else transaction.fields()
    return served


def _state(row: dict[str, Any], at: int, before: State | None) -> State:
    if before is None:
        before = State(at, at, at, None, "pending", "0.00", "0.00", "0.00", "0.00", "EUR")
    money = {
        name: str(row.get(name, getattr(before, name)))
        for name in ("sale_amount", "commission_amount", "sale_amount_euro", "commission_amount_euro")
    }
    for name in ("sale_amount", "commission_amount"):
        if name in row and f"{name}_euro" not in row:
            money[f"{name}_euro"] = money[name]  # at a rate of 1: such rows test behavior, not exchange rates
    validated = row.get("validation_date", before.validated_at)
    return State(
        visible_at=at,
        last_wct_update=parse_instant(row.get("last_wct_update", at)),
        modified_at=parse_instant(row.get("modified_date", at)),
        validated_at=None if validated is None else parse_instant(validated),
        status=str(row.get("status", before.status)),
        currency=str(row.get("currency_id", before.currency)),
        decline_reason=row.get("decline_reason", before.decline_reason),
        **money,
    )
