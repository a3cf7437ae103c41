"""wecantrack's small lists: networks, network accounts and websites (docs/vendors/wecantrack.md A2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Account:
    """One of the publisher's accounts at one network; its id is `user_network_account_id` in transactions."""

    id: int
    network_id: str
    name: str
    tags: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return the row of /api/v2/network_accounts, with the fields most recently observed (A2)."""
        return {
            "id": self.id,
            "created_at": "2024-01-15T09:00:00.000000Z",
            "updated_at": "2024-06-01T09:00:00.000000Z",
            "deleted_at": None,
            "disabled_at": None,
            "network_id": self.network_id,
            "user_id": 1,
            "name": self.name,
            "tags": list(self.tags),
            "is_enabled": True,
            "frontend_network_id": self.network_id,
        }


@dataclass(frozen=True)
class Website:
    """One of the publisher's sites."""

    id: int
    url: str
    active: bool = True


@dataclass
class Accounts:
    """Everything that transactions refer to by id; `networks` are names by slug."""

    networks: dict[str, str] = field(default_factory=dict)
    by_id: dict[int, Account] = field(default_factory=dict)
    websites: dict[int, Website] = field(default_factory=dict)

    def add(self, accounts: Iterable[Account], websites: Iterable[Website] = ()) -> None:
        """Add accounts, with their networks, and websites."""
        for account in accounts:
            self.by_id[account.id] = account
            self.networks.setdefault(account.network_id, account.network_id.replace("-", " ").title())
        self.websites.update({website.id: website for website in websites})

    def matching_ids(self, *, network_id: str | None, account_id: int | None, tags: frozenset[str]) -> frozenset[int]:
        """Return the accounts that pass the three account filters of A3; one matching tag is enough [guess]."""
        return frozenset(
            account.id
            for account in self.by_id.values()
            if (network_id is None or account.network_id == network_id)
            and (account_id is None or account.id == account_id)
            and (not tags or not tags.isdisjoint(account.tags))
        )
