"""The BigCommerce part of the simulator's client: `SimulatorClient.bigcommerce`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..keys import BIGCOMMERCE_TOKEN
from .api import STORE_HASH

Json = Any


class BigcommerceClient:
    """Moves the simulated shop. `token` and `store_hash` are fake and public."""

    token = BIGCOMMERCE_TOKEN
    store_hash = STORE_HASH

    def __init__(self, call: Callable[..., Json]) -> None:
        self._call = call

    def upsert(self, kind: str, rows: Iterable[dict[str, Any]], *, at: str | int | None = None) -> int:
        """Write rows of `customers`, `products`, `orders`, `order_products` or `transactions`; returns the steps."""
        body: dict[str, Any] = {"kind": kind, "rows": list(rows)}
        if at is not None:
            body["at"] = at
        return int(self._call("POST", "bigcommerce/rows", json=body)["steps"])

    def generate(self, **settings: Any) -> int:
        """Make up a shop; the settings are those of `ShopSettings`. Returns the steps of its script."""
        return int(self._call("POST", "bigcommerce/scenario", json=settings)["steps"])

    def truth(self, at: Iterable[str | int] = ()) -> dict[str, dict[str, Any]]:
        """Return, by order id, what Wicked must hold after syncs at these instants: gross, net, number of lines."""
        return dict(self._call("GET", "bigcommerce/truth", params={"at": list(at)}))
