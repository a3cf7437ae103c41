"""Retrievers of the manifest: how a window is read to its end, and how selected contacts are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.retrievers import Retriever
from airbyte_cdk.sources.types import Config, Record, StreamSlice

from .base.errors import config_error
from .base.rate_limit import LOGGER
from .base.sliding_window import SlidingWindowLimiter
from .config import account_zone
from .hash_pages import HashedPages, Page, PageOrderError, Row, SeenRows, UnstableListError
from .records import click, click_identity, contact, order, row_id, set_click_key
from .responses import OutboundClient, RejectedError, UnknownContactError, parse_list, parse_single
from .windows import Days

#: A contact's lists take at most 180 days between `from` and `to` (docs/vendors/wicked-reports.md 5.1). Requests have a
#: day more at either end.
MAX_DAYS_OF_A_CONTACT = 178

_limiter: ContextVar[SlidingWindowLimiter] = ContextVar("limiter")


@contextmanager
def shared_limiter(limiter: SlidingWindowLimiter) -> Iterator[None]:
    """Give all streams built inside the block this limiter; the CDK offers no way to pass it to a retriever."""
    token = _limiter.set(limiter)
    try:
        yield
    finally:
        _limiter.reset(token)


@dataclass
class ListRetriever(Retriever):
    """Reads one window of days; here contacts, in subclasses orders and clicks."""

    name: str
    config: Config
    requester: HttpRequester

    _cursor_field: ClassVar[str] = "createDate"
    _identity: ClassVar[Callable[[Row], str]] = row_id
    _set_key: ClassVar[Callable[[Row, str, int], None] | None] = None
    _single_contact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._client = OutboundClient(
            self.requester,
            _limiter.get(),
            max_tries=self.config["max_tries"],
            max_wait=self.config["longest_wait_seconds"],
            read_timeout=self.config["read_timeout_seconds"],
            single_contact=self._single_contact,
        )
        self._max_rows = self.config["rows_per_window"]
        self._page_size = self.config["page_size"]
        self._seen = SeenRows()
        #: Path, date and total of the last day that was read without its neighbors.
        self._last_exact_day: tuple[str, date] | None = None
        self._last_exact_total = 0

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
        """Yield the rows of a window; split one with too many rows, down to single days."""
        params = days.query_params
        first = self._fetch(params, path)
        if first.total >= self._max_rows and days.count > 1:
            for part in days.parts(days.max_days(first.total, self._max_rows)):
                yield from self._rows(part, path)
            return
        self._seen.next_window()
        try:
            if first.total < self._max_rows:
                yield from self._list(params, path, first)
            else:
                yield from self._large_day(days, path, first.total)
        except UnstableListError as error:
            if days.count == 1:
                raise
            LOGGER.info("%s Reading it in shorter windows.", error.message)
            for part in days.parts(days.max_days(first.total, self._page_size)):  # rows of one page cannot move
                yield from self._rows(part, path)

    def _large_day(self, day: Days, path: str, wide_total: int) -> Iterator[Row]:
        """Yield the rows of a day that has too many rows when requested with its neighbors.

        If the day, requested alone, returns rows of more than one instant, `from` and `to` are inclusive, and that is
        all. Otherwise the day is within its requests with the day before and with the day after, and both are read. If
        the totals show rows between what was read (the first instant of a day may be excluded, or both ends), the range
        around it is read, too. `wide_total` is the total of `day.query_params`.
        """
        alone, with_previous, with_next = day.exact_params
        first = self._fetch(alone, path)
        yield from self._list(alone, path, first)
        if len({row.get(self._cursor_field) for row in first.rows}) > 1:
            if self._last_exact_day == (path, day.first - timedelta(days=1)):
                both = self._fetch(with_previous, path)
                if both.total != self._last_exact_total + first.total or both.total == self._max_rows:
                    yield from self._list(with_previous, path, both)
            self._last_exact_day, self._last_exact_total = (path, day.first), first.total
            return
        read_total = 0
        for params in (with_previous, with_next):
            page = self._fetch(params, path)
            read_total += page.total
            yield from self._list(params, path, page)
        if wide_total > read_total or wide_total == self._max_rows:
            yield from self._list(day.query_params, path, self._fetch(day.query_params, path))

    def _list(self, params: Mapping[str, str], path: str, first: Page) -> Iterator[Row]:
        """Yield the rows of a list whose first page is `first`."""
        subject = self._subject(params)
        if first.total == self._max_rows:
            LOGGER.warning(
                "%s has exactly %s rows according to Wicked Reports. If its lists end there, more rows are missing.",
                subject.capitalize(),
                first.total,
            )
        kind = type(self)
        pages = HashedPages(
            lambda next_hash: self._fetch(params, path, next_hash), kind._identity, self._seen, set_key=kind._set_key
        )
        try:
            yield from pages.rows(first)
        except RejectedError:
            if first.total <= self._max_rows:
                raise
            raise config_error(
                f"{subject.capitalize()} has {first.total} rows, and Wicked Reports rejects the pages after the first "
                f"{self._max_rows}. Ask its support to raise this limit, or set start_date after that day."
            ) from None

    def _fetch(self, params: Mapping[str, str], path: str, next_hash: str | None = None) -> Page:
        try:
            return self._client.get(
                lambda body: parse_list(body, self._clean, needs_hash=next_hash is None),
                page_token={**params, "path": path, "next": next_hash or ""},
                subject=self._subject(params),
            )
        except RejectedError as rejection:
            if next_hash is None:
                raise
            # the window itself was accepted
            raise PageOrderError("the hash of a page was rejected", rejection) from None

    def _subject(self, params: Mapping[str, str]) -> str:
        return f"the window from {params['from']} to {params['to']} of stream {self.name}"


@dataclass
class OrdersRetriever(ListRetriever):
    """Reads the orders of one window."""

    _cursor_field = "date"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._zone = account_zone(self.config)

    def _clean(self, row: Row) -> Row:
        return order(row, self._zone)


@dataclass
class ClicksRetriever(ListRetriever):
    """Reads the clicks of one window and adds `click_key`."""

    _cursor_field = "date"
    _identity = click_identity
    _set_key = set_click_key

    def _clean(self, row: Row) -> Row:
        return click(row)


class SelectedContacts(ListRetriever):
    """Reads the contacts of `contact_ids`, one after the other; subclasses read their lists.

    Messages name an unknown id by its position, because it may be an email address.
    """

    _single_contact = True

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield the rows of every selected contact."""
        ids: list[str] = self.config["contact_ids"]
        if not ids:
            LOGGER.info("%s: contact_ids is empty, so there is nothing to read.", self.name)
        for number, contact_id in enumerate(ids, 1):
            for row in self._rows_if_known(contact_id, f"entry {number} of {len(ids)}"):
                yield Record(row, self.name, stream_slice)

    def _rows_if_known(self, contact_id: str, position: str) -> Iterator[Row]:
        try:
            yield from self._rows_of(contact_id)
        except UnknownContactError:
            LOGGER.warning(
                "%s: Wicked Reports has no contact for %s in contact_ids; skipping it. Correct or remove it.",
                self.name,
                position,
            )

    def _rows_of(self, contact_id: str) -> Iterator[Row]:
        yield self._contact(contact_id)

    def _contact(self, contact_id: str) -> Row:
        return self._client.get(
            lambda body: parse_single(body, contact),
            page_token={"path": _quoted(contact_id)},
            subject=f"a contact of stream {self.name}",
        )

    def _windows(self, contact_id: str, list_name: str) -> Iterator[Row]:
        """Yield the rows of a list of one contact; a rejection may also mean that the contact does not exist."""
        start, end = (date.fromisoformat(self.config[key]) for key in ("read_from", "read_until"))
        try:
            for days in Days(start, end).parts(MAX_DAYS_OF_A_CONTACT):
                yield from self._rows(days, f"{_quoted(contact_id)}/{list_name}")
        except RejectedError:
            self._contact(contact_id)
            raise


@dataclass
class SelectedContactRetriever(SelectedContacts):
    """Reads the selected contacts themselves."""


@dataclass
class SelectedClicksRetriever(SelectedContacts, ClicksRetriever):
    """Reads the clicks of the selected contacts."""

    def _rows_of(self, contact_id: str) -> Iterator[Row]:
        yield from self._windows(contact_id, "clicks")


@dataclass
class SelectedOrdersRetriever(SelectedContacts, OrdersRetriever):
    """Reads the orders of the selected contacts and adds the requested id, because these rows have no contact."""

    def _rows_of(self, contact_id: str) -> Iterator[Row]:
        for row in self._windows(contact_id, "orders"):
            row["requestedContactId"] = contact_id
            yield row


def _quoted(contact_id: str) -> str:
    return quote(contact_id, safe="@")
