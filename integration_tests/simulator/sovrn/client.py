"""The Sovrn part of the simulator's client: `SimulatorClient.sovrn`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..keys import SOVRN_KEY

Json = Any


class SovrnClient:
    """Controls the Sovrn side; switches, faults, log and clock are on `SimulatorClient`. `key` is fake and public."""

    key = SOVRN_KEY

    def __init__(self, call: Callable[..., Json]) -> None:
        self._call = call

    def upsert(self, rows: Iterable[dict[str, Any]], *, at: str | int | None = None) -> list[dict[str, Any]]:
        """Write rows with explicit fields; return them as now visible, in their nested shape, amounts as text."""
        body: dict[str, Any] = {"rows": list(rows)}
        if at is not None:
            body["at"] = at
        return list(self._call("POST", "sovrn/transactions", json=body)["rows"])

    def transactions(self) -> list[dict[str, Any]]:
        """Return every visible row in its nested shape, amounts as text."""
        return list(self._call("GET", "sovrn/transactions"))

    def generate(self, **settings: Any) -> dict[str, Any]:
        """Replace all rows by generated ones; the settings are those of `SovrnSettings`."""
        return dict(self._call("POST", "sovrn/scenario", json=settings))

    def big_day(self, day: str, transactions: int = 200_000, *, seed: int = 7) -> dict[str, Any]:
        """Replace all rows by one day of very many sales."""
        body = {"day": day, "transactions": transactions, "seed": seed}
        return dict(self._call("POST", "sovrn/big_day", json=body))

    def truth(self, at: Iterable[str | int] = (), *, orders: bool = False, **settings: Any) -> Json:
        """Return what Wicked Reports must store after syncs at these instants, in the shape of `SimulatorClient.held`.

        With `orders` it is each order by SourceID, else the table. The settings are those of `SovrnOracleSettings`.
        """
        return self._call("GET", "sovrn/truth", params=_parameters(at, settings) | {"orders": int(orders)})

    def unmatched(self, at: Iterable[str | int] = (), **settings: Any) -> list[dict[str, str]]:
        """Return the negative rows without an order after these syncs: `source_id` and `amount`."""
        return list(self._call("GET", "sovrn/truth", params=_parameters(at, settings) | {"unmatched": 1}))

    def campaigns(self, *campaigns: dict[str, Any]) -> list[dict[str, Any]]:
        """Add sites (`campaign_id`, `name`, `approval`, `category`); return all."""
        return list(self._call("POST", "sovrn/campaigns", json={"campaigns": campaigns}))

    def pace(self, interval_seconds: float | None = None, *, block_minutes: float | None = None) -> dict[str, Any]:
        """Set the interval between report calls (0: no limit) and the length of a block; the next call is allowed."""
        body = {"interval_seconds": interval_seconds, "block_minutes": block_minutes}
        return dict(self._call("POST", "sovrn/pace", json=body))


def _parameters(at: Iterable[str | int], settings: dict[str, Any]) -> dict[str, Any]:
    numbered = {name: int(value) if isinstance(value, bool) else value for name, value in settings.items()}
    return {"at": list(at), **numbered}
