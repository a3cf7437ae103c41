"""Finds the email address of a contact id, which Wicked Reports joins orders by (docs/vendors/wicked-reports.md 10.2).

An id without an address is not enough (docs/guides/who-bought.md Why an address matters). The lookup answers from what
it knows (`known`) without any wait, or asks (`ask`), which may take long: Wicked allows 120 requests a minute.
"""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import TYPE_CHECKING

from destination_wicked_reports.api.endpoints import ORDERS
from destination_wicked_reports.api.rows import FieldChecker
from destination_wicked_reports.config.mappings import AffiliateMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.contact_answers import ContactAnswer, ContactAnswers
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.affiliate.contact_file import ContactFile
from destination_wicked_reports.model import SaleState, SaleTotal
from destination_wicked_reports.signals import SIGNALS

if TYPE_CHECKING:
    # imported only for a lookup that asks, since the HTTP client's imports take a second
    from destination_wicked_reports.api.contacts import Contact, ContactApi

#: The `pending` value of a sale that waits for its contact: this digit, and since when. It sorts after that of an
#: unmatched return (returns.AT_ONCE) and before every day; digits alone sort so in every collation of a database.
_WAITING = "1"
_TIME = "%Y%m%d%H%M%S"
FIRST_WAITING, LAST_WAITING = _WAITING + "0" * 14, _WAITING + "9" * 14
#: How long an answer that there is no such contact counts: Wicked Reports shows new contacts about once a day.
NOT_FOUND_SECONDS = 6 * 3600
_DAY = 24 * 3600
#: Answers in memory, and those that are stored in one transaction.
_CACHED = 20_000
_UNSAVED = 50

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_check_email = FieldChecker([field for field in ORDERS.fields if field.name == "ContactEmail"]).check


def is_waiting(total: SaleTotal) -> bool:
    """Return whether a sale waits for the address of its contact."""
    return _is_waiting(total.pending)


def _is_waiting(pending: str) -> bool:
    return len(pending) == len(FIRST_WAITING) and pending.startswith(_WAITING)


def valid_email(email: str) -> str:
    """Return an address as an order can carry it, or "" for one that Wicked Reports would refuse."""
    if not _EMAIL(email.strip()):
        return ""
    try:
        checked: str = _check_email({"ContactEmail": email}).get("ContactEmail", "")
    except FieldError:
        return ""
    return checked


class ContactLookup(ABC):
    """A lookup of addresses; `now` is in UNIX seconds."""

    def __init__(self, mapping: AffiliateMapping, keep: str, now: Callable[[], float] = time.time) -> None:
        self._keep = keep
        self._wait = timedelta(days=mapping.contact_lookup_wait_days)
        self._now = now

    # -- addresses --------------------------------------------------------------------------------------------------

    @abstractmethod
    def prepare(self, ids: Collection[str], orders: OrderBook) -> None:
        """Fetch what is known about these ids, for the following calls of `known` and `ask`."""

    @abstractmethod
    def known(self, contact_id: str) -> str | None:
        """Return the address, "" if there is no such contact, or None if that has to be asked."""

    @abstractmethod
    def ask(self, contact_id: str) -> str:
        """Return the address, or "" if there is no such contact; asks if that is not known."""

    @abstractmethod
    def expect(self, sales: int) -> None:
        """Say how many sales will be looked up next."""

    @abstractmethod
    def end_run(self, orders: OrderBook) -> None:
        """Store the answers of this run, and delete expired ones."""

    @abstractmethod
    def check(self) -> None:
        """Check, without looking anybody up, that the lookup works. Raises an error that says what to do."""

    def notes(self) -> Iterator[str]:
        """Yield lines for the end of the run's log."""
        yield from ()

    # -- waiting ----------------------------------------------------------------------------------------------------

    def waiting(self, pending: str) -> str:
        """Return the `pending` value of a sale that waits, given its present one, which may say since when."""
        return pending if _is_waiting(pending) else _WAITING + self._today().strftime(_TIME)

    def waited_enough(self, pending: str) -> bool:
        """Return whether a sale has waited as long as the configuration says."""
        since = datetime.strptime(self.waiting(pending), _WAITING + _TIME).replace(tzinfo=timezone.utc)
        return self._today() >= since + self._wait

    def _today(self) -> datetime:
        return datetime.fromtimestamp(int(self._now()), timezone.utc)

    # -- what the ledger stores of an address -----------------------------------------------------------------------

    def without_address(self, sale: SaleState) -> SaleState:
        """Return a sale with an address that was looked up as the ledger may store it."""
        if self._keep == "address" or not sale.contact_email:
            return sale
        digest = address_hash(sale) if self._keep == "hash" else ""
        return sale._replace(contact_email="", contact_hash=digest)


def address_hash(sale: SaleState) -> str:
    """Return a hash of a sale's address, which tells whether it changes. It is salted with the contact's id."""
    return blake2b(f"{sale.contact_id}\0{sale.contact_email.lower()}".encode(), digest_size=16).hexdigest()


class FileLookup(ContactLookup):
    """Looks up addresses in a file."""

    def __init__(self, mapping: AffiliateMapping, path: str, keep: str, now: Callable[[], float] = time.time) -> None:
        super().__init__(mapping, keep, now)
        self._path = path
        self._file: ContactFile | None = None
        self._found: dict[str, str] = {}

    def prepare(self, ids: Collection[str], orders: OrderBook) -> None:
        """Find these ids in the file."""
        self._found = {**dict.fromkeys(ids, ""), **self._open().find(ids)} if ids else {}

    def known(self, contact_id: str) -> str:
        """Return the address in the file, "" if there is none."""
        if contact_id not in self._found:
            self._found[contact_id] = self._open().find([contact_id]).get(contact_id, "")
        return valid_email(self._found[contact_id])

    def ask(self, contact_id: str) -> str:
        """Return the address in the file, "" if there is none."""
        return self.known(contact_id)

    def check(self) -> None:
        """Read the whole file. Raises ConfigurationError."""
        self._open()

    def notes(self) -> Iterator[str]:
        """Yield how many rows of the file lack an id or an address."""
        if self._file is not None and self._file.incomplete:
            yield f"contact_lookup: {self._file.incomplete:,} rows of the file have no id or no email address"

    def expect(self, sales: int) -> None:
        """Do nothing: a file answers at once."""

    def end_run(self, orders: OrderBook) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> ContactFile:
        if self._file is None:
            self._file = ContactFile(self._path)
        return self._file


class WickedLookup(ContactLookup):
    """Asks Wicked Reports, once for each contact, and keeps the answers in the ledger if it may."""

    def __init__(
        self, mapping: AffiliateMapping, api: ContactApi, keep: str, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(mapping, keep, now)
        self._api = api
        self._system = mapping.contact_source_system.strip()
        self._found_seconds = mapping.contact_lookup_days * _DAY
        self._started = int(now())
        #: the answers used last; those of this run count until its end
        self._answers: OrderedDict[str, ContactAnswer] = OrderedDict()
        self._stored: ContactAnswers | None = None
        self._unsaved: dict[str, ContactAnswer] = {}
        self._expected = self._done = 0
        self._asked = self._found = 0
        #: how many answers belong to another source system, and the first of those
        self._foreign = 0
        self._foreign_system = ""

    def prepare(self, ids: Collection[str], orders: OrderBook) -> None:
        """Fetch the stored answers about these ids."""
        self._stored = orders.contact_answers
        wanted = [contact_id for contact_id in ids if contact_id not in self._answers]
        if wanted:
            for contact_id, answer in self._stored.load(self._system, wanted).items():
                self._remember(contact_id, answer)

    def known(self, contact_id: str) -> str | None:
        """Return the answer that was given before, unless it is too old."""
        answer = self._answers.get(contact_id)
        if answer is None:
            return None
        lasts = self._found_seconds if answer.email else NOT_FOUND_SECONDS
        fresh = answer.answered_at >= self._started or self._now() < answer.answered_at + lasts
        return answer.email if fresh else None

    def expect(self, sales: int) -> None:
        """Say how many sales will be looked up next, so that a wait can say how long the rest takes."""
        self._expected, self._done = sales, 0

    def ask(self, contact_id: str) -> str:
        """Return the address, or "" if there is no such contact. Waits for the rate limit."""
        self._done += 1
        email = self.known(contact_id)
        if email is None:
            try:
                with SIGNALS.immediate():  # nothing is half done while a response is awaited
                    contact = self._api.get(contact_id, self._progress())
            except BaseException:
                self._save()
                raise
            email = self._email(contact, contact_id)
            answer = ContactAnswer(email, int(self._now()))
            self._remember(contact_id, answer)
            if not email or self._keep == "address":
                self._unsaved[contact_id] = answer
            if len(self._unsaved) >= _UNSAVED:
                self._save()
        return email

    def check(self) -> None:
        """Ask for a contact that need not exist. Raises an error that says what to do."""
        self._api.check()

    def _save(self) -> None:
        if self._unsaved and self._stored is not None:
            self._stored.save(self._system, list(self._unsaved.items()))
            self._unsaved = {}

    def end_run(self, orders: OrderBook) -> None:
        """Store the answers that may be stored, and delete those that are too old to be used."""
        self._stored = orders.contact_answers
        self._save()
        now = int(self._now())
        self._stored.delete_older(self._system, now - self._found_seconds, now - NOT_FOUND_SECONDS)

    def notes(self) -> Iterator[str]:
        """Yield how many contacts were looked up, and a hint if they are under another source system."""
        if self._asked:
            yield f"contact_lookup: Wicked Reports was asked for {self._asked:,} contacts; {self._found:,} were found"
        if self._foreign:
            yield (
                f"contact_lookup: {self._foreign:,} ids were found under another source system, such as "
                f"{self._foreign_system!r}, and do not count: contact_source_system is {self._system!r}"
            )

    def _email(self, contact: Contact | None, contact_id: str) -> str:
        """Return the address of an answer that counts, "" otherwise."""
        self._asked += 1
        if contact is None or contact.source_id != contact_id:
            return ""
        if contact.source_system != self._system:
            self._foreign += 1
            self._foreign_system = self._foreign_system or contact.source_system
            return ""
        email = valid_email(contact.email)
        self._found += bool(email)
        return email

    def _progress(self) -> str:
        left = self._expected - self._done
        if left <= 0:
            return "looking up contacts in Wicked Reports"
        minutes = math.ceil(left / self._api.requests_per_minute)
        return (
            f"looking up contacts of orders in Wicked Reports, {self._done:,} of {self._expected:,}; at most "
            f"{minutes:,} min left"
        )

    def _remember(self, contact_id: str, answer: ContactAnswer) -> None:
        self._answers[contact_id] = answer
        self._answers.move_to_end(contact_id)
        if len(self._answers) > _CACHED:
            self._answers.popitem(last=False)
