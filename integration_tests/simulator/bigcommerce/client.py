"""The BigCommerce part of the simulator's client: `SimulatorClient.bigcommerce`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..keys import BIGCOMMERCE_TOKEN
from .api import STORE_HASH

Json = Any


class BigcommerceClient:
    """Controls the simulated shop; `token` and `store_hash` are fake and public."""

    token = BIGCOMMERCE_TOKEN
    store_hash = STORE_HASH

    def __init__(self, call: Callable[..., Json]) -> None:
        self._call = call

    def upsert(self, kind: str, rows: Iterable[dict[str, Any]], *, at: str | int | None = None) -> int:
        """Write rows of one of `store.KINDS`; return the number of steps in the script."""
        body: dict[str, Any] = {"kind": kind, "rows": list(rows)}
        if at is not None:
            body["at"] = at
        return int(self._call("POST", "bigcommerce/rows", json=body)["steps"])

    def generate(self, **settings: Any) -> int:
        """Generate a shop; the settings are those of `ShopSettings`. Return the number of steps in the script."""
        return int(self._call("POST", "bigcommerce/scenario", json=settings)["steps"])

    def truth(self, at: Iterable[str | int] = ()) -> dict[str, dict[str, Any]]:
        """Return what Wicked Reports must store after syncs at these instants: gross, net and `lines` by order id."""
        return dict(self._call("GET", "bigcommerce/truth", params={"at": list(at)}))
