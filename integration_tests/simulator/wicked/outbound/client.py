"""The outbound part of the simulator's client: `SimulatorClient.outbound`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = Any


class OutboundClient:
    """Controls the outbound side; switches, faults, log and clock are on `SimulatorClient`."""

    def __init__(self, call: Callable[..., Json]) -> None:
        self._call = call

    def process(self) -> dict[str, int]:
        """Process the inbound rows now; return the numbers of visible contacts, orders and clicks."""
        return dict(self._call("POST", "outbound/process"))

    def seed(self, **settings: Any) -> dict[str, Any]:
        """Add generated rows to the inbound store and process them; the settings are those of `SeedSettings`."""
        return dict(self._call("POST", "outbound/seed", json=settings))

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Return every visible row of contacts, orders or clicks as served, oldest first."""
        return list(self._call("GET", f"outbound/rows/{kind}"))

    def truth(self, *, zone: str = "utc", orders: bool = False) -> list[dict[str, Any]]:
        """Return the sums of the inbound rows by day (in `zone`: `utc`, `eastern`) and currency, or by order."""
        return list(self._call("GET", "outbound/truth", params={"zone": zone, "orders": int(orders)}))

    def pace(self, limit: int | None = None) -> dict[str, Any]:
        """Set the limit per minute (0: no limit); return the throttle's counts, see `OutboundAdmin.get_pace`."""
        if limit is None:
            return dict(self._call("GET", "outbound/pace"))
        return dict(self._call("POST", "outbound/pace", json={"limit": limit}))

    def mutate(self, **mutation: Any) -> None:
        """Schedule a change between pages; the settings are those of `OutboundMutation`."""
        self._call("POST", "outbound/mutations", json=mutation)

    def mutations(self) -> list[dict[str, Any]]:
        """Return the journal of the changes made between pages."""
        return list(self._call("GET", "outbound/mutations")["journal"])

    def clear_mutations(self) -> None:
        """Clear schedule and journal."""
        self._call("DELETE", "outbound/mutations")

    def expire_cursors(self) -> None:
        """Expire every `next` hash issued so far."""
        self._call("DELETE", "outbound/cursors")
