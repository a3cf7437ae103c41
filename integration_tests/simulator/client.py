"""A typed client of the admin API, for tests and the demo."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

import requests

from .bigcommerce.client import BigcommerceClient
from .keys import SOVRN_KEY, WECANTRACK_KEY, WICKED_KEY
from .sovrn.client import SovrnClient
from .wicked.outbound.client import OutboundClient

Json = Any
_TIMEOUT_SECONDS = 300  # generating 200,000 transactions takes a while


class SimulatorClient:
    """One simulator. `url` is the `api_url` of every connector; the keys are fake and public.

    A call that the admin API refuses raises ValueError with its reason.
    """

    wecantrack_key = WECANTRACK_KEY
    wicked_key = WICKED_KEY
    sovrn_key = SOVRN_KEY

    def __init__(self, url: str) -> None:
        self.url = url
        self.sovrn = SovrnClient(self._call)
        self.bigcommerce = BigcommerceClient(self._call)
        self.outbound = OutboundClient(self._call)
        self._session = requests.Session()
        self._session.trust_env = False  # loopback calls must not go through a configured proxy

    def __enter__(self) -> SimulatorClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def _call(self, method: str, path: str, *, params: Any = None, json: Json = None) -> Json:
        response = self._session.request(
            method, f"{self.url}/_sim/{path}", params=params, json=json, timeout=_TIMEOUT_SECONDS
        )
        if response.status_code != 200:
            raise ValueError(f"{method} /_sim/{path}: {response.status_code} {response.text}")
        return response.json()

    # --- time ---------------------------------------------------------------------------------------------------

    def now(self) -> str:
        """Return the simulated time as `YYYY-MM-DDTHH:MM:SSZ`."""
        return str(self._call("GET", "clock")["now"])

    def set_clock(self, now: str | int, *, frozen: bool | None = None) -> str:
        """Set the clock, and freeze or thaw it; return the new time."""
        mode = {} if frozen is None else {"frozen": frozen}
        return str(self._call("POST", "clock", json={"now": now, **mode})["now"])

    def move_clock(self, *, days: float = 0, seconds: float = 0) -> str:
        """Move the clock forward; return the new time."""
        return str(self._call("POST", "clock", json={"days": days, "seconds": seconds})["now"])

    # --- data ---------------------------------------------------------------------------------------------------

    def generate(self, **settings: Any) -> dict[str, Any]:
        """Replace all transactions by generated ones; the settings are those of `ScenarioSettings`."""
        return dict(self._call("POST", "scenario", json=settings))

    def upsert(
        self, rows: Iterable[dict[str, Any]], *, at: str | int | None = None, website_id: int | None = None
    ) -> list[dict[str, Any]]:
        """Write transactions with explicit fields; return them as wecantrack now serves them."""
        body: dict[str, Any] = {"rows": list(rows), "website_id": website_id}
        return list(self._call("POST", "transactions", json=body if at is None else {**body, "at": at})["rows"])

    def transactions(self) -> list[dict[str, Any]]:
        """Return every visible transaction."""
        return list(self._call("GET", "transactions"))

    def mutate(self, **mutation: Any) -> None:
        """Schedule a change between pages; the settings are those of `Mutation`."""
        self._call("POST", "mutations", json=mutation)

    def mutations(self) -> list[dict[str, Any]]:
        """Return the journal of the changes made between pages."""
        return list(self._call("GET", "mutations")["journal"])

    def clear_mutations(self) -> None:
        """Clear schedule and journal."""
        self._call("DELETE", "mutations")

    # --- behavior -----------------------------------------------------------------------------------------------

    def switch(self, name: str, value: str) -> None:
        """Set one switch."""
        self._call("POST", "switches", json={name: value})

    def switches(self) -> dict[str, str]:
        """Return the value of every switch."""
        return dict(self._call("GET", "switches"))

    def fault(self, kind: str, path: str = "*", **settings: Any) -> None:
        """Add a fault; the settings are those of `Fault`."""
        self._call("POST", "faults", json={"kind": kind, "path": path, **settings})

    def faults(self) -> list[dict[str, Any]]:
        """Return the active faults with their counts of matching (`seen`) and spoiled (`struck`) requests."""
        return list(self._call("GET", "faults"))

    def clear_faults(self) -> None:
        """Remove every fault."""
        self._call("DELETE", "faults")

    def throttle(self, limit: int, path: str | None = None) -> None:
        """Set wecantrack's limit per minute, for one path or for all."""
        self._call("POST", "throttle", json={"limit": limit, "path": path})

    def key(self, vendor: str, key: str, state: str = "accepted") -> None:
        """Set the state of a key; see `keys.STATES`."""
        self._call("POST", "keys", json={"vendor": vendor, "key": key, "state": state})

    def reset(self, *parts: str) -> None:
        """Return the named parts, or everything, to the initial state."""
        self._call("POST", "reset", json={"parts": parts} if parts else {})

    # --- what happened ------------------------------------------------------------------------------------------

    def requests(
        self, path: str | None = None, *, since: int = 0, limit: int = 1000, rows: bool = False
    ) -> list[dict[str, Any]]:
        """Return received requests, oldest first, with `rows` including posted rows."""
        params = {"path": path, "since": since, "limit": limit, "rows": int(rows)}
        return list(self._call("GET", "requests", params=params))

    def stats(self) -> dict[str, Any]:
        """Return every counter."""
        return dict(self._call("GET", "stats"))

    def wicked_rows(self, endpoint: str, *, test: bool = False) -> list[dict[str, Any]]:
        """Return the stored rows of one inbound endpoint."""
        return list(self._call("GET", f"wicked/{endpoint}", params={"test": int(test)}))

    def truth(self, at: Iterable[str | int] = (), *, orders: bool = False, **settings: Any) -> Json:
        """Return what Wicked Reports must store after syncs at these instants, in the shape of `held`.

        With `orders` it is each order by SourceID, else the table. The settings are those of `OracleSettings`.
        """
        return self._call("GET", "truth", params={"at": list(at), "orders": int(orders), **settings})

    def persons(self, system: str, *identity: str) -> dict[str, dict[str, str]]:
        """Return, by SourceID, the address of the contact that each order `has` and `should` have, "" for none.

        `system` is the source system of the contacts, `identity` are the rules that find a contact's id.
        """
        return dict(self._call("GET", "persons", params={"system": system, "identity": list(identity)}))

    def held(self, *, test: bool = False, orders: bool = False) -> Json:
        """Return what Wicked Reports stores: the table and what should not be there, or with `orders` each order."""
        return self._call("GET", "held", params={"test": int(test), "orders": int(orders)})
