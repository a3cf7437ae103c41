"""Rows written by hand: insert or update one transaction with explicit fields (admin API)."""

from __future__ import annotations

from typing import Any

import orjson

from ..clock import parse_instant, stamp
from ..world import World
from .accounts import Account
from .transactions import CHANGING, State, Transaction

_REQUIRED = ("transaction_id", "user_network_account_id")
_DEFAULT_FACTS: dict[str, Any] = {
    "reference": None,
    "sub_ids": None,
    "currency_id": "EUR",
    "click_date": None,
    "advertiser_id": "1",
    "advertiser_name": "Example Shop 1",
    "order_ref": None,
    "clickout_url": None,
    "click_metadata": None,
}


def upsert(world: World, row: dict[str, Any], at: int, website_id: int | None = None) -> dict[str, Any]:
    """Write one row so that it is visible from `at` on; what is not given stays, or takes a plain default.

    Unless the row says otherwise, `last_wct_update` and `modified_date` are `at`: a change moves the cursor (A7).
    """
    if missing := [name for name in _REQUIRED if name not in row]:
        raise ValueError(f"a row needs {', '.join(missing)}")
    account_id, transaction_id = int(row["user_network_account_id"]), str(row["transaction_id"])
    if account_id not in world.directory.accounts:
        world.directory.add([Account(account_id, str(row.get("network_id", "awin")), f"Account {account_id}")])
    store = world.transactions
    place = store.find(account_id, transaction_id)
    facts = {name: value for name, value in row.items() if name not in CHANGING}
    if place is None:
        facts = {"order_date": stamp(at), **_DEFAULT_FACTS, **facts}
        life = Transaction(
            account_id, transaction_id, website_id, facts["currency_id"], parse_instant(facts["order_date"]),
            parse_instant(facts["click_date"]) if facts["click_date"] else None, orjson.dumps(facts),
            [_state(row, at, None)],
        )  # fmt: skip
        store.append(life)
    else:
        life = store.transactions[place]
        if facts.keys() - set(_REQUIRED):
            life.change_facts({**life.fact(), **facts})
            store.refresh(place)
        store.write(place, _state(row, at, life.state_at(at)))
    shown: dict[str, Any] = orjson.loads(life.encoded()) if life.shown else {**life.fact()}
    return shown


def _state(row: dict[str, Any], at: int, before: State | None) -> State:
    if before is None:
        before = State(at, at, at, None, "pending", "0.00", "0.00", "0.00", "0.00")
    money = {
        name: str(row.get(name, getattr(before, name)))
        for name in ("sale_amount", "commission_amount", "sale_amount_euro", "commission_amount_euro")
    }
    for name in ("sale_amount", "commission_amount"):
        if name in row and f"{name}_euro" not in row:
            money[f"{name}_euro"] = money[name]  # one for one: rows by hand are about behaviour, not about rates
    validated = row.get("validation_date", before.validated_at)
    return State(
        visible_at=at,
        last_wct_update=parse_instant(row.get("last_wct_update", at)),
        modified_at=parse_instant(row.get("modified_date", at)),
        validated_at=None if validated is None else parse_instant(validated),
        status=str(row.get("status", before.status)),
        decline_reason=row.get("decline_reason", before.decline_reason),
        **money,
    )
