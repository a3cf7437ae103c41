"""Generates months of affiliate sales and their later changes, reproducibly from a seed.

Shapes and changes follow docs/vendors/wecantrack.md A5 and A7; names, shops, sites and people are invented (`.example`,
`.invalid`). The shares of the outcomes are a [guess]; every outcome occurs.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..clock import iso, stamp
from .accounts import Account, Accounts, Website
from .changes import Changes, below
from .transactions import Transaction

DAY = 86400
#: account, currency of most of its sales, sub id keys of its network (A5: keys are named by the network)
_ACCOUNTS: tuple[tuple[Account, str, tuple[str, ...]], ...] = (
    (Account(101, "awin", "Awin UK", ("main", "uk")), "GBP", ("clickRef",)),
    (Account(102, "awin", "Awin DE", ("main", "de")), "EUR", ("clickRef",)),
    (Account(201, "cj", "CJ Affiliate", ("us",)), "USD", ("sid",)),
    (Account(301, "partnerize", "Partnerize", ("main",)), "EUR", ("clickref", "clickref2")),
    (Account(401, "tradedoubler", "Tradedoubler", ()), "EUR", ("epi", "epi2")),
    (Account(501, "impact", "Impact", ("us", "test")), "USD", ("subid1", "subid2", "subid3")),
)
_WITH_NETWORK_ID = frozenset({"awin", "cj"})  # `network_id` is in some published records and not in others
_WEBSITES = tuple(Website(10 + n, f"https://blog-{n}.example") for n in (1, 2, 3))
_SOURCES = ("google", "facebook", "bing", "newsletter")
_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
_PAIRS = [first + second for first in _ALPHANUMERIC for second in _ALPHANUMERIC]
_NO_PUNCTUATION = str.maketrans("", "", "- :")


@dataclass(frozen=True)
class ScenarioSettings:
    """Size and shares of a scenario; without `start`, the first period ends now.

    `transactions` appear in the first `days`, then more at the same rate in the `later_days` after them. `identified`
    is the share with a publisher's user id in a sub id, `changing` the share of pending rows that change later.
    `declined_amounts` says whether a declined row keeps its amounts (A7: undocumented; kept [guess]), `returns` whether
    some sales get a negative row, in addition to `transactions`.
    """

    seed: int = 7
    transactions: int = 20_000
    days: int = 90
    later_days: int = 45
    start: int | None = None
    identified: float = 0.6
    changing: float = 0.85
    declined_amounts: str = "kept"
    returns: bool = True

    def __post_init__(self) -> None:
        if self.declined_amounts not in ("kept", "zeroed"):
            raise ValueError("declined_amounts is kept or zeroed")


@dataclass
class Scenario:
    """What was generated."""

    start: int
    first_period_ends: int
    accounts: Accounts
    transactions: list[Transaction] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the periods and counts for the admin API."""
        return {
            "start": iso(self.start),
            "first_period_ends": iso(self.first_period_ends),
            "transactions": len(self.transactions),
            "states": sum(len(transaction.states) for transaction in self.transactions),
        }


def build_scenario(settings: ScenarioSettings, now: int) -> Scenario:
    """Generate all transactions, in the order in which they appear."""
    start = now - settings.days * DAY if settings.start is None else settings.start
    accounts = Accounts()
    accounts.add([account for account, _currency, _keys in _ACCOUNTS], _WEBSITES)
    generator = _Generator(settings)
    rng = generator.rng
    first_period_ends = start + settings.days * DAY
    later = settings.transactions * settings.later_days // max(settings.days, 1)
    appearances = [rng.randrange(start, first_period_ends) for _ in range(settings.transactions)]
    later_start = first_period_ends + 1
    appearances += [rng.randrange(later_start, later_start + settings.later_days * DAY) for _ in range(later)]
    transactions = [generator.transaction(number, at) for number, at in enumerate(sorted(appearances))]
    if settings.returns:
        transactions += generator.returns
    transactions.sort(key=lambda transaction: transaction.states[0].visible_at)
    return Scenario(start, first_period_ends, accounts, transactions)


def _digits(instant: int) -> str:
    """Format a click's time as in a reference: `yymmddHHMMSS` (A5)."""
    return stamp(instant)[2:].translate(_NO_PUNCTUATION)


class _Generator:
    """Draws transactions one by one from one seeded generator."""

    def __init__(self, settings: ScenarioSettings) -> None:
        self._settings = settings
        self.rng = random.Random(settings.seed)
        self._used: list[str] = []
        self._taken: Counter[str] = Counter()
        self._people = max(10, settings.transactions // 3)
        self.returns: list[Transaction] = []
        self._changes = Changes(self.rng, settings.changing, zeroed=settings.declined_amounts == "zeroed")

    def _below(self, limit: int, least: int = 0) -> int:
        return below(self.rng, limit, least)

    def transaction(self, number: int, appears_at: int) -> Transaction:
        """Generate one transaction that becomes visible at `appears_at`."""
        rng = self.rng
        account, currency, keys = _ACCOUNTS[self._below(len(_ACCOUNTS))]
        if rng.random() < 0.1:
            currency = rng.choice(("EUR", "USD", "GBP"))
        lag = int(rng.expovariate(1 / 7200)) + 600 if rng.random() < 0.97 else self._below(10 * DAY)
        ordered_at = appears_at - lag
        clicked_at = ordered_at - 60 - int(rng.expovariate(1 / 20000))
        reference = "WCT" + _digits(clicked_at) + self._pair() + self._pair()
        sub_ids, metadata, reference_or_none = self._identity(keys, reference)
        transaction_id = self._transaction_id(number, account.id)
        reports_click = rng.random() < 0.65  # many networks do not report the click date (A5)
        shop = int(rng.paretovariate(1.1)) % 40 + 1
        fixed: dict[str, Any] = {
            "transaction_id": transaction_id,
            "user_network_account_id": account.id,
            "reference": reference_or_none,
            "sub_ids": sub_ids,
            "order_date": stamp(ordered_at),
            "click_date": stamp(clicked_at) if reports_click else None,
            "advertiser_id": str(1000 + shop),
            "advertiser_name": f"Example Shop {shop}",
            "order_ref": f"ORD-{number // 2}" if number % 5 < 2 else None,  # not unique: two lines of one order
            "clickout_url": f"https://blog-{number % 3 + 1}.example/post-{shop}" if number % 4 else None,
            "click_metadata": metadata,
        }
        if account.network_id in _WITH_NETWORK_ID:
            fixed["network_id"] = account.network_id
        if number % 7 == 0:
            fixed["gcid"] = f"{100000 + number}.{clicked_at}"
        if number % 10 == 0:
            fixed["paid_to_publisher"] = 0
        transaction = Transaction(
            account_id=account.id,
            transaction_id=transaction_id,
            website_id=_WEBSITES[number % 3].id,
            ordered_at=ordered_at,
            clicked_at=clicked_at if reports_click else None,
            fixed=orjson.dumps(fixed),
        )
        linked = bool(reference_or_none or fixed["order_ref"])
        returned = self._changes.script(transaction, appears_at, currency, linked=linked)
        self.returns += [] if returned is None else [returned]
        return transaction

    def _pair(self) -> str:
        return _PAIRS[self._below(len(_PAIRS))]

    def _transaction_id(self, number: int, account_id: int) -> str:
        """Return an id that is unique within its account; some are reused in another account (A5)."""
        rng = self.rng
        if self._used and rng.random() < 0.01:
            reused = rng.choice(self._used)
            if f"{account_id}/{reused}" not in self._taken:
                self._taken[f"{account_id}/{reused}"] += 1
                return reused
        new = f"T{number:07d}{self._below(1000):03d}"
        self._used.append(new)
        self._taken[f"{account_id}/{new}"] += 1
        return new

    def _identity(self, keys: tuple[str, ...], reference: str) -> tuple[Any, Any, str | None]:
        """Draw sub ids, click metadata and the reference; PHP encodes an empty map as `[]` (A5)."""
        rng = self.rng
        metadata: dict[str, Any] = {"title": "Example post", "webshop_name": "Example Shop"}
        if rng.random() < 0.45:
            metadata |= {
                "utm_source": _SOURCES[self._below(len(_SOURCES))],
                "utm_medium": "cpc",
                "utm_campaign": f"campaign-{self._below(12)}",
            }
        kind = rng.random()
        share = self._settings.identified
        rest = (kind - share) / (1 - share) if kind >= share else -1.0
        if rest < 0:  # a user id before the click id, as in the vendor's example (A9)
            value = f"U{self._below(self._people):05d}-DEAL{self._below(30)}-{reference.lower()}"
        elif rest < 0.5:  # the default: the publisher's own sub id, a space, the click id (A9)
            value = f"sidebar {reference}"
        elif rest < 0.8:
            value = reference
        else:
            return ([] if rest < 0.9 else None), ([] if rest < 0.85 or rest > 0.95 else None), None
        if rest > 0.7:
            metadata["user_id"] = f"U{self._below(self._people):05d}"
        sub_ids = {keys[0]: value}
        if len(keys) > 1:
            sub_ids[keys[1]] = "post"
        extra = rng.random()
        return sub_ids, (metadata if extra < 0.85 else [] if extra < 0.93 else None), reference
