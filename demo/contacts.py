"""The demo's buyers: contacts of a CRM, which Wicked Reports has, and the file with their addresses."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable

import requests

from demo.steps import FOLDER
from integration_tests.simulator.client import SimulatorClient

SYSTEM = "CRM"
PATTERN = "(?P<contact_id>U[0-9]+)-"
#: what the simulator needs to know who should be on an order
IDENTITY = f"sub_ids.*:{PATTERN}"
FILE = FOLDER / "contacts.csv"
_MOST_ROWS = 1000
_ID = re.compile(r"U[0-9]+")


def add(simulator: SimulatorClient, contact_ids: Iterable[str]) -> None:
    """Send these contacts to Wicked Reports, as a CRM's own connection would, and make them visible."""
    rows = [
        {"SourceSystem": SYSTEM, "SourceID": one, "CreateDate": "2026-01-01 00:00:00", "Email": address(one)}
        for one in contact_ids
    ]
    for start in range(0, len(rows), _MOST_ROWS):
        url, headers = f"{simulator.url}/contacts", {"apikey": simulator.wicked_key}
        requests.post(url, json=rows[start : start + _MOST_ROWS], headers=headers, timeout=60).raise_for_status()
    simulator.outbound.process()


def address(contact_id: str) -> str:
    """Return the address of a contact."""
    return f"{contact_id.lower()}@example.com"


def in_clicks(simulator: SimulatorClient) -> list[str]:
    """Return the ids that the publisher put on the clicks of the visible transactions."""
    values = (value for row in simulator.transactions() for value in (row["sub_ids"] or {}).values())
    return sorted({match[0] for value in values if (match := _ID.match(value))})


def write_file(contact_ids: Iterable[str]) -> None:
    """Write the file of the contact lookup `file`."""
    with FILE.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["contact_id", "email"])
        writer.writerows([one, address(one)] for one in contact_ids)


def with_their_person(simulator: SimulatorClient) -> tuple[int, int]:
    """Return how many orders have the contact whose id is on their click, and how many have an id there."""
    persons = [person for person in simulator.persons(SYSTEM, IDENTITY).values() if person["should"]]
    return sum(person["has"] == person["should"] for person in persons), len(persons)
