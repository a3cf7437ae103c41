"""The Sovrn part of the simulator's client: `SimulatorClient.sovrn`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..keys import SOVRN_KEY

Json = Any


class SovrnClient:
    """Moves the simulated Sovrn. `key` is fake and public; switches, faults, log and clock are the simulator's own."""

    key = SOVRN_KEY

    def __init__(self, call: Callable[..., Json]) -> None:
        self._call = call

    def upsert(self, rows: Iterable[dict[str, Any]], *, at: str | int | None = None) -> list[dict[str, Any]]:
        """Write rows with explicit fields; returns them nested, as they are visible now, amounts as text."""
        body: dict[str, Any] = {"rows": list(rows)}
        if at is not None:
            body["at"] = at
        return list(self._call("POST", "sovrn/transactions", json=body)["rows"])

    def transactions(self) -> list[dict[str, Any]]:
        """Return every row that is visible now, nested, amounts as text."""
        return list(self._call("GET", "sovrn/transactions"))

    def generate(self, **settings: Any) -> dict[str, Any]:
        """Generate a scenario in place of all rows; the settings are those of `SovrnSettings`."""
        return dict(self._call("POST", "sovrn/scenario", json=settings))

    def big_day(self, day: str, transactions: int = 200_000, *, seed: int = 7) -> dict[str, Any]:
        """Put one day of very many sales in place of all rows."""
        body = {"day": day, "transactions": transactions, "seed": seed}
        return dict(self._call("POST", "sovrn/big_day", json=body))

    def truth(self, at: Iterable[str | int] = (), *, orders: bool = False, **settings: Any) -> Json:
        """Return what Wicked must hold after syncs at these instants; the settings are those of `SovrnTruthSettings`.

        The table, or with `orders` each order under its SourceID; both compare with `SimulatorClient.held`.
        """
        return self._call("GET", "sovrn/truth", params=_parameters(at, settings) | {"orders": int(orders)})

    def unmatched(self, at: Iterable[str | int] = (), **settings: Any) -> list[dict[str, str]]:
        """Return the negative rows that no order answers to after these syncs: `source_id` and `amount`."""
        return list(self._call("GET", "sovrn/truth", params=_parameters(at, settings) | {"unmatched": 1}))

    def campaigns(self, *campaigns: dict[str, Any]) -> list[dict[str, Any]]:
        """Add sites (`campaign_id`, `name`, `approval`, `category`), and return all."""
        return list(self._call("POST", "sovrn/campaigns", json={"campaigns": campaigns}))

    def pace(self, interval_seconds: float | None = None, *, block_minutes: float | None = None) -> dict[str, Any]:
        """Set the interval between report calls (0: none) and the length of a block; the next call is free."""
        body = {"interval_seconds": interval_seconds, "block_minutes": block_minutes}
        return dict(self._call("POST", "sovrn/pace", json=body))


def _parameters(at: Iterable[str | int], settings: dict[str, Any]) -> dict[str, Any]:
    numbered = {name: int(value) if isinstance(value, bool) else value for name, value in settings.items()}
    return {"at": list(at), **numbered}
