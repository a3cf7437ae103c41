"""Reads the simulated outbound API for its own tests: one request, or a list page by page."""

from __future__ import annotations

from typing import Any

import requests

from integration_tests.simulator import SimulatorClient

#: a day, and the window of just this day with both ends included
DAY = "2026-03-10"
ONE_DAY = {"from": DAY, "to": DAY}
MARCH = {"from": "2026-03-01", "to": "2026-03-31"}


def ask(sim: SimulatorClient, path: str, key: str | None = None, **parameters: Any) -> requests.Response:
    """Send one GET; `from_` stands for `from`."""
    query = {name.rstrip("_"): value for name, value in parameters.items()}
    return requests.get(f"{sim.url}/{path}", params=query, headers={"apikey": key or sim.wicked_key}, timeout=30)


def page(sim: SimulatorClient, path: str, **parameters: Any) -> dict[str, Any]:
    """Return one page; the response must be 200."""
    response = ask(sim, path, **parameters)
    assert response.status_code == 200, response.text
    return dict(response.json())


def pages(sim: SimulatorClient, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """Follow `next` until `page` reaches `totalPages` or a page is empty, as the documented envelope allows."""
    read = [page(sim, path, **parameters)]
    while read[-1]["results"] and read[-1]["page"] < read[-1]["totalPages"]:
        read.append(page(sim, path, **parameters, next=read[-1]["next"]))
    return read


def ids(read: list[dict[str, Any]]) -> list[str]:
    """Return the ids of all rows of these pages in order."""
    return [row["id"] for body in read for row in body["results"]]


def post(sim: SimulatorClient, endpoint: str, *rows: dict[str, Any]) -> None:
    """Post rows to the inbound side; each must be accepted."""
    response = requests.post(f"{sim.url}/{endpoint}", json=list(rows), headers={"apikey": sim.wicked_key}, timeout=30)
    assert response.status_code == 200, response.text
    assert response.json()["errors"] == []


def contact(name: str, at: str = f"{DAY} 12:00:00", **more: Any) -> dict[str, Any]:
    """Return an inbound contact."""
    return {"SourceSystem": "shop", "SourceID": name, "CreateDate": at, "Email": f"{name}@example.com", **more}


def order(name: str, of: str = "ann", at: str = f"{DAY} 12:00:00", total: str = "79.00", **more: Any) -> dict[str, Any]:
    """Return an inbound order."""
    row = {"SourceSystem": "shop", "SourceID": name, "CreateDate": at, "ContactID": of, "OrderTotal": total}
    return {**row, "OrderCurrency": "EUR", **more}


def payment(of: str, amount: str, status: str = "APPROVED", at: str = f"{DAY} 12:00:00") -> dict[str, Any]:
    """Return an inbound payment."""
    return {"SourceSystem": "shop", "OrderID": of, "PaymentDate": at, "Amount": amount, "Status": status}


def click(of: str, at: str = f"{DAY} 12:00:00", kind: str = "CLICK", **more: Any) -> dict[str, Any]:
    """Return an inbound custom click."""
    row = {"Email": f"{of}@example.com", "Date_Time": at, "Timezone": "UTC", "ConversionType": kind}
    return {**row, "Source": "google", "Medium": "cpc", **more}
