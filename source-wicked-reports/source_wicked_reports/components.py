"""What the manifest cannot say: how a window is read to its end, and how the chosen contacts are gone through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.retrievers import Retriever
from airbyte_cdk.sources.types import Config, Record, StreamSlice

from .base.errors import config_error
from .base.rate_limit import LOGGER
from .config import account_zone
from .hash_pages import HashedPages, OutOfTurnError, Page, Row, SeenRows, UnsteadyError
from .rate_limit import SlidingWindowLimiter
from .records import click, click_identity, contact, mark_click, order, row_id
from .responses import OutboundApi, RefusedError, UnknownContactError, listed, single
from .windows import Days

#: "The first 10,000 clicks of a single contact will be returned"; that other lists end there too is a [guess].
ROWS_OF_A_WINDOW = 10_000
#: "limit ... maximum 1000"
ROWS_OF_A_PAGE = 1000
#: "The difference between the parameters from and to cannot exceed 180 days": asked for is a day more at either end.
DAYS_OF_A_CONTACT = 178

_budget: ContextVar[SlidingWindowLimiter] = ContextVar("budget")


@contextmanager
def shared_budget(budget: SlidingWindowLimiter) -> Iterator[None]:
    """Give all streams that are built inside the block the same budget."""
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


@dataclass
class ListRetriever(Retriever):
    """The rows of one window of days; here contacts, in subclasses orders and clicks."""

    name: str
    config: Config
    requester: HttpRequester

    _cursor: ClassVar[str] = "createDate"
    _identity: ClassVar[Callable[[Row], str]] = row_id
    _mark: ClassVar[Callable[[Row, str, int], None] | None] = None

    def __post_init__(self) -> None:
        self._api = OutboundApi(
            self.requester,
            _budget.get(),
            tries=self.config.get("max_tries", 7),
            longest_wait=self.config.get("longest_wait_seconds", 900),
            read_seconds=self.config.get("read_timeout_seconds", 120),
        )
        self._most = self.config.get("rows_per_window", ROWS_OF_A_WINDOW)
        self._page_size = self.config.get("page_size", ROWS_OF_A_PAGE)
        self._given = SeenRows()
        #: path, date and total of the last day that was read without its neighbours
        self._alone: tuple[str, date] | None = None
        self._alone_total = 0

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield the rows of a window."""
        assert stream_slice is not None
        first, last = (date.fromisoformat(stream_slice[name]) for name in ("start_time", "end_time"))
        for row in self._rows(Days(first, last)):
            yield Record(row, self.name, stream_slice)

    def _clean(self, row: Row) -> Row:
        return contact(row)

    def _rows(self, days: Days, path: str = "") -> Iterator[Row]:
        """Yield the rows of a window; one with too many rows is read in shorter ones, down to a day."""
        fetch = partial(self._fetch, days.asked, path)
        first = fetch(None)
        if first.total >= self._most and days.count > 1:
            for part in days.parts(days.fitting(first.total, self._most)):
                yield from self._rows(part, path)
            return
        self._given.turn()
        try:
            yield from (
                self._listed(fetch, first) if first.total < self._most else self._big_day(days, path, first.total)
            )
        except UnsteadyError as error:
            if days.count == 1:
                raise
            LOGGER.info("%s Reading it in shorter windows.", error.message)
            for part in days.parts(days.fitting(first.total, self._page_size)):  # what is one page cannot move
                yield from self._rows(part, path)

    def _big_day(self, day: Days, path: str, asked_total: int) -> Iterator[Row]:
        """Yield the rows of a day whose neighbours should not come along, because the three have too many rows.

        The day itself, when it gives rows of more than one instant, proves that both its ends are inside. Else the same
        day is what it makes with the one before or with the one behind it, and both are read. Where the totals show
        that rows lie between what was read (the first instant of a day may be outside, or both ends), the range around
        is read, too. `asked_total` is that of `day.asked`.
        """
        exact, before, behind = (partial(self._fetch, asked, path) for asked in day.narrow)
        first = exact(None)
        yield from self._listed(exact, first)
        if len({row.get(self._cursor) for row in first.rows}) > 1:
            if self._alone == (path, day.first - timedelta(days=1)):
                both = before(None)
                if both.total != self._alone_total + first.total or both.total == self._most:
                    yield from self._listed(before, both)
            self._alone, self._alone_total = (path, day.first), first.total
            return
        seen = 0
        for fetch in (before, behind):
            page = fetch(None)
            seen += page.total
            yield from self._listed(fetch, page)
        if asked_total > seen or asked_total == self._most:
            wide = partial(self._fetch, day.asked, path)
            yield from self._listed(wide, wide(None))

    def _listed(self, fetch: Callable[[str | None], Page], first: Page) -> Iterator[Row]:
        if first.total == self._most:
            LOGGER.warning(
                "%s has exactly %s rows, it says: if Wicked Reports ends its lists there, more are missing.",
                self._api.asking.capitalize(),
                first.total,
            )
        kind = type(self)
        try:
            yield from HashedPages(fetch, kind._identity, self._given, mark=kind._mark).rows(first)
        except RefusedError:
            if first.total <= self._most:
                raise
            raise config_error(
                f"{self._api.asking.capitalize()} has {first.total} rows, and Wicked Reports refuses the pages "
                f"behind the first {self._most}: ask its support to lift this limit, or set start_date behind that day."
            ) from None

    def _fetch(self, asked: Mapping[str, str], path: str, following: str | None) -> Page:
        self._api.asking = f"the window from {asked['from']} to {asked['to']} of stream {self.name}"
        try:
            return self._api.get(
                lambda body: listed(body, self._clean, needs_hash=following is None),
                token={**asked, "path": path, "next": following or ""},
            )
        except RefusedError as refusal:
            if following is None:
                raise
            raise OutOfTurnError("the hash of a page was refused", refusal) from None  # the window itself was not


@dataclass
class OrdersRetriever(ListRetriever):
    """The orders of one window."""

    _cursor = "date"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._zone = account_zone(self.config)

    def _clean(self, row: Row) -> Row:
        return order(row, self._zone)


@dataclass
class ClicksRetriever(ListRetriever):
    """The clicks of one window; they get a key."""

    _cursor = "date"
    _identity = click_identity
    _mark = mark_click

    def _clean(self, row: Row) -> Row:
        return click(row)


class SelectedContacts(ListRetriever):
    """Goes through `contact_ids`; here each contact itself, in subclasses the list that belongs to it.

    An id that the vendor does not know is reported by its place in the list, because it may be somebody's address.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._api.of_contact = True

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield the rows of every chosen contact."""
        ids: list[str] = self.config["contact_ids"]
        if not ids:
            LOGGER.info("%s: contact_ids is empty, so there is nothing to read.", self.name)
        for number, chosen in enumerate(ids, 1):
            for row in self._known(chosen, f"entry {number} of {len(ids)}"):
                yield Record(row, self.name, stream_slice)

    def _known(self, chosen: str, entry: str) -> Iterator[Row]:
        try:
            yield from self._of(chosen)
        except UnknownContactError:
            LOGGER.warning(
                "%s: Wicked Reports knows no contact for %s in contact_ids; it is skipped. Correct it, or remove it.",
                self.name,
                entry,
            )

    def _of(self, chosen: str) -> Iterator[Row]:
        yield self._contact(chosen)

    def _contact(self, chosen: str) -> Row:
        self._api.asking = f"a contact of stream {self.name}"
        return self._api.get(lambda body: single(body, contact), token={"path": _quoted(chosen)})

    def _windows(self, chosen: str, name: str) -> Iterator[Row]:
        """Yield the rows of a list of one contact; a refusal may mean that there is no such contact."""
        start, end = (date.fromisoformat(self.config[key]) for key in ("read_from", "read_until"))
        try:
            for days in Days(start, end).parts(DAYS_OF_A_CONTACT):
                yield from self._rows(days, f"{_quoted(chosen)}/{name}")
        except RefusedError:
            self._contact(chosen)
            raise


@dataclass
class SelectedContactRetriever(SelectedContacts):
    """The chosen contacts themselves."""


@dataclass
class SelectedClicksRetriever(SelectedContacts, ClicksRetriever):
    """The clicks of the chosen contacts."""

    def _of(self, chosen: str) -> Iterator[Row]:
        yield from self._windows(chosen, "clicks")


@dataclass
class SelectedOrdersRetriever(SelectedContacts, OrdersRetriever):
    """The orders of the chosen contacts; they come without a contact, so the id that was asked for is added."""

    def _of(self, chosen: str) -> Iterator[Row]:
        for row in self._windows(chosen, "orders"):
            row["requestedContactId"] = chosen
            yield row


def _quoted(chosen: str) -> str:
    return quote(chosen, safe="@")
