"""The health report: what Wicked Reports' validation checklists ask of orders and contacts, looked at in a run's rows.

The checklists (docs/vendors/wicked-reports.md 3.1, 3.2) name the slips of an integration that no single row shows: one
IP address for all people, products that were never sent, orders without any address. Memory is bounded: of each value
that must differ, the first one and a few people are kept.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_ITEMS, ORDERS, PRODUCTS
from destination_wicked_reports.api.json_text import text_of, texts_of
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.model import Row

#: How many people must share a value before it is called the same for all.
FEWEST_PEOPLE = 3
#: How many orders must agree before something is said about all orders.
FEWEST_ORDERS = 20
#: Product ids that are looked up in the ledger.
MOST_PRODUCTS = 1000
#: Domains reserved for examples and tests (RFC 2606, RFC 6761), and names that nobody but a tester has. Synthetic
#: contacts are at `.invalid`, on purpose.
_TEST_DOMAIN = re.compile(rb"(?i)(?:.*\.)?(?:example(?:\.(?:com|net|org))?|test|localhost)").fullmatch
_DOMAINS_OF_TEST_NAMES = re.compile(rb"(?im)^(?:test|testing|asdf|foo|qwerty)[0-9]*@(.*)$").findall
_SECONDS_AHEAD = 86_400
_PRODUCT = b'"ProductID":"'


@dataclass(slots=True, frozen=True)
class Check:
    """One check of the report. `detail` says what is wrong and what to do; it is empty if the check passed."""

    name: str
    passed: bool
    detail: str = ""


class _Shared:
    """Whether the value of one field is the same for several people."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        #: The field with its first value, as it stands in a row; empty until there is one.
        self._first = b""
        self._differs = False
        self._people: set[bytes] = set()

    @property
    def seen(self) -> bool:
        return bool(self._first)

    def add(self, bodies: Sequence[bytes], people: Sequence[bytes]) -> None:
        if self._differs:
            return
        for body, person in zip(bodies, people, strict=True):
            if len(self._people) >= FEWEST_PEOPLE and body.rfind(self._first) >= 0:  # it is near the end
                continue
            value = text_of(body, self._start)
            if not value:
                continue
            field = self._start + value + b'"'
            self._first = self._first or field
            if field != self._first:
                self._differs = True
                return
            _add_person(self._people, person)

    @property
    def same_for_all(self) -> bool:
        return not self._differs and len(self._people) >= FEWEST_PEOPLE


def _add_person(people: set[bytes], person: bytes) -> None:
    """Add the digest of a person, until there are enough people."""
    if len(people) < FEWEST_PEOPLE:
        people.add(blake2b(person, digest_size=8).digest())


class Health:
    """Looks at the rows that Wicked accepted. `test_mode`: test addresses are expected.

    It searches the encoded rows, which is faster than parsing them again.
    """

    def __init__(self, *, test_mode: bool = False) -> None:
        self._test_mode = test_mode
        self._orders = self._with_address = self._at_midnight = self._ahead = self._test_addresses = 0
        self._addresses = 0
        self._ip, self._subscription = _Shared(b'"IP_Address":"'), _Shared(b'"SubscriptionID":"')
        self._buyers: set[bytes] = set()
        self._products: set[str] = set()

    def add(self, endpoint: str, rows: Sequence[Row]) -> None:
        """Look at accepted rows of one endpoint."""
        bodies = [row.body for row in rows]
        if endpoint == ORDERS.name:
            self._add_orders(bodies)
            self._add_products(rows)
        elif endpoint == CONTACTS.name:
            addresses = [text_of(body, b'"Email":"') for body in bodies]
            self._add_addresses(addresses)
            self._ip.add(bodies, addresses)
        elif endpoint == ORDER_ITEMS.name:
            self._add_products(rows)

    def _add_orders(self, bodies: Sequence[bytes]) -> None:
        latest = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + _SECONDS_AHEAD)).encode()
        addresses = [text_of(body, b'"ContactEmail":"') for body in bodies]
        self._orders += len(bodies)
        self._with_address += len(bodies) - addresses.count(b"")
        self._add_addresses(addresses)
        people = [address or text_of(body, b'"ContactID":"') for body, address in zip(bodies, addresses, strict=True)]
        if len(self._buyers) < FEWEST_PEOPLE:
            for person in people:
                _add_person(self._buyers, person)
        self._ip.add(bodies, people)
        self._subscription.add(bodies, people)
        created = [text_of(body, b'"CreateDate":"') for body in bodies]
        self._at_midnight += sum([when.endswith(b"00:00:00") for when in created])
        self._ahead += sum([when > latest for when in created])

    def _add_addresses(self, addresses: Iterable[bytes]) -> None:
        known = [address for address in addresses if address]
        self._addresses += len(known)
        domains = Counter([address.rpartition(b"@")[2] for address in known])
        tests = {domain: count for domain, count in domains.items() if _TEST_DOMAIN(domain)}
        others = [domain for domain in _DOMAINS_OF_TEST_NAMES(b"\n".join(known)) if domain not in tests]
        self._test_addresses += sum(tests.values()) + len(others)

    def _add_products(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if len(self._products) >= MOST_PRODUCTS:
                return
            if _PRODUCT in row.body:
                system = row.key.partition(SEPARATOR)[0]
                self._products.update([system + SEPARATOR + one.decode() for one in texts_of(row.body, _PRODUCT)])

    def checks(self, changed: int, known: Callable[[str, Sequence[str]], Mapping[str, Any]]) -> Iterator[Check]:
        """Yield the checks that apply to the rows of this run.

        `changed` counts orders and items that came again with other content; `known` is that of the ledger.
        """
        if self._orders:
            yield _check(
                "e-mail addresses",
                not self._with_address,
                "no order has ContactEmail, and Wicked Reports joins clicks, contacts and orders by it: send the "
                "address, or set contact_lookup",
            )
            yield _check(
                "people",
                self._orders >= FEWEST_ORDERS and len(self._buyers) == 1,
                f"all {self._orders:,} orders have the same buyer: check how the contact is found",
            )
            yield _check(
                "dates",
                self._ahead > 0 or (self._orders >= FEWEST_ORDERS and self._at_midnight == self._orders),
                f"{self._ahead:,} orders are dated more than a day ahead: send CreateDate in UTC"
                if self._ahead
                else "all orders are dated 00:00:00: send CreateDate to the second, or the click that led to an order "
                "may seem to come after it",
            )
        if self._orders or changed:
            yield _check(
                "ids",
                changed > 0,
                f"{changed:,} orders or items came again under the same SourceID with other content, which was not "
                "sent: give each order its own SourceID, and send what changes as payments",
            )
        if self._ip.seen:
            yield _check(
                "IP addresses",
                self._ip.same_for_all,
                "all people have the same IP address, probably that of a server: send the buyer's, or leave it out",
            )
        if self._subscription.seen:
            yield _check(
                "subscriptions",
                self._subscription.same_for_all,
                "orders of different people have the same SubscriptionID: it must be the same only for the first "
                "order and the rebills of one subscription",
            )
        if self._products:
            keys = sorted(self._products)
            missing = len(set(keys) - known(PRODUCTS.name, keys).keys())
            yield _check(
                "products",
                missing > 0,
                f"{missing:,} of {len(keys):,} products in order items were never sent, so reports cannot show them: "
                "send the products, too, under the same SourceSystem",
            )
        if self._addresses and not self._test_mode:
            yield _check(
                "test addresses",
                self._test_addresses > 0,
                f"{self._test_addresses:,} rows have an address of a test (example.com, test@...), and live rows "
                "cannot be deleted: set test_mode while you test",
            )


def _check(name: str, failed: bool, detail: str) -> Check:
    return Check(name, not failed, detail if failed else "")
