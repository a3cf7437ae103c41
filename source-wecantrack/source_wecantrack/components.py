"""What the manifest cannot say: how wecantrack's kinds of lists are read to their end, and what a reply must be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.retrievers import Retriever
from airbyte_cdk.sources.types import Config, Record, StreamSlice

from .base.errors import BadReplyError
from .base.http import ApiClient, natural_number, rows_of
from .base.rate_limit import FixedWindowLimiter, utc_now
from .row_hashes import RowHashes
from .shifting_pages import Page, ShiftingPages

#: wecantrack publishes no limit (affiliate-facts A8): this many requests a minute until its headers tell.
REQUESTS_PER_MINUTE = 30
#: what an id may be; a longer whole number was parsed as a fraction, and so as the same as its neighbours
_ID = (str, int)


@dataclass
class ArrayRetriever(Retriever):
    """A list that comes as one bare JSON array."""

    name: str
    config: Config
    requester: HttpRequester

    def __post_init__(self) -> None:
        self._api = ApiClient(
            self.requester,
            FixedWindowLimiter(REQUESTS_PER_MINUTE),  # the vendor counts per endpoint, and so does each stream
            tries=self.config.get("max_tries", 7),
            longest_wait=self.config.get("longest_wait_seconds", 900),
            read_seconds=self.config.get("read_timeout_seconds", 120),
        )

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield the rows of one slice."""
        for row in self._rows(stream_slice):
            yield Record(row, self.name, stream_slice)

    def _rows(self, stream_slice: StreamSlice | None) -> Iterator[dict[str, Any]]:
        yield from self._api.get(rows_of)


@dataclass
class SnapshotRetriever(ArrayRetriever):
    """Bare arrays over several pages, without a word on how many; each row is stamped with the time of extraction.

    The end is an empty page, or a page equal to the one before (an API that does not know `page`); never a short page.
    """

    def _rows(self, stream_slice: StreamSlice | None) -> Iterator[dict[str, Any]]:
        extracted_at = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
        previous: list[dict[str, Any]] = []
        number, last = 1, None
        while last is None or number <= last:
            rows, last = self._api.get(lambda body, n=number: _part(body, n), token={"page": number})  # type: ignore[misc]
            if last is None and (not rows or rows == previous):
                return
            yield from ({**row, "extracted_at": extracted_at} for row in rows)
            previous, number = rows, number + 1


@dataclass
class TransactionsRetriever(ArrayRetriever):
    """The numbered pages of one window of transactions, read so that rows which move between pages are not lost.

    A window is asked for up to the first second of the next (see the manifest), whose rows may so come twice: the
    second time they are passed over, if they are as they were.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._date = self.config.get("date_type", "last_wct_update")
        self._shared, self._given = "", RowHashes()

    def _rows(self, stream_slice: StreamSlice | None) -> Iterator[dict[str, Any]]:
        shared, given = self._shared, self._given
        self._shared, self._given = _after(stream_slice), RowHashes()
        for row in self._window(stream_slice):
            stamp = str(row.get(self._date)).replace(" ", "T")[:19]
            if stamp == shared and given.put(row["transaction_key"], orjson.dumps(row), 1) == (1, True):
                continue
            if stamp == self._shared:
                self._given.put(row["transaction_key"], orjson.dumps(row), 1)
            yield row

    def _window(self, stream_slice: StreamSlice | None) -> Iterator[dict[str, Any]]:
        def fetch(number: int) -> Page:
            return self._api.get(
                lambda body: _transactions(body, number), stream_slice=stream_slice, token={"page": number}
            )

        return ShiftingPages(fetch).rows()


def _after(window: StreamSlice | None) -> str:
    """Return the second that follows a window."""
    assert window is not None
    return (datetime.fromisoformat(window["end_time"]) + timedelta(seconds=1)).isoformat()


def _part(body: Any, number: int) -> tuple[list[dict[str, Any]], int | None]:
    """Read one page of click totals: a bare array, or the paginator around one; with the last page, if it is told."""
    if isinstance(body, list):
        return rows_of(body), None
    rows, last_page, _, _ = _paginated(body, number)
    return rows, last_page


def _transactions(body: Any, number: int) -> Page:
    rows, last_page, per_page, total = _paginated(body, number)
    for row in rows:
        transaction_id = row.get("transaction_id")
        if transaction_id in (None, "") or "user_network_account_id" not in row:
            raise BadReplyError("a transaction comes without its ids")
        account = row["user_network_account_id"]
        if type(transaction_id) not in _ID or (account is not None and type(account) not in _ID):
            raise BadReplyError("a transaction comes with an id that is neither text nor a whole number of 64 bits")
        row["transaction_key"] = f"{'' if account is None else account}-{transaction_id}"
    return Page(last_page, per_page, total, [(row["transaction_key"], row) for row in rows])


def _paginated(body: Any, number: int) -> tuple[list[dict[str, Any]], int, int, int]:
    """Check Laravel's `LengthAwarePaginator` (affiliate-facts A4) and return rows, last_page, per_page and total."""
    if not isinstance(body, dict):
        raise BadReplyError("the body is no page of a list")
    current, last_page, per_page, total = (
        natural_number(body.get(name)) for name in ("current_page", "last_page", "per_page", "total")
    )
    if current is None or last_page is None or per_page is None or total is None:
        raise BadReplyError("the body lacks current_page, last_page, per_page or total")
    if current != number:
        raise BadReplyError(f"page {number} was asked for, page {current} came")
    return rows_of(body, "data"), last_page, per_page, total
