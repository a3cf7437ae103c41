"""Retrievers of the manifest: how each kind of wecantrack list is paged, and how its responses are validated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.retrievers import Retriever
from airbyte_cdk.sources.types import Config, Record, StreamSlice

from .base.errors import BadResponseError, transient_error
from .base.http import ApiClient, parse_count, rows_of
from .base.rate_limit import utc_now
from .rate_limit import make_limiter
from .row_hashes import RowHashes
from .shifting_pages import Page, ShiftingPages

#: Valid types of an id. A whole number of more than 64 bits is text here, with every digit.
_ID_TYPES = (str, int)
#: Most pages of click totals: at most 75,000 clicks, and so at most as many groups.
MAX_CLICK_PAGES = 1000
_COUNTERS = re.compile(r"clicks|sales|total_commission")


@dataclass
class ArrayRetriever(Retriever):
    """Reads a list that is one bare JSON array."""

    name: str
    config: Config
    requester: HttpRequester

    def __post_init__(self) -> None:
        self._api = ApiClient(
            self.requester,
            make_limiter(self.name),
            max_tries=self.config["max_tries"],
            max_wait=self.config["longest_wait_seconds"],
            read_timeout=self.config["read_timeout_seconds"],
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
    """Reads bare arrays over several pages of unknown number, and adds `extracted_at` to each row.

    The list ends at an empty page, or at one without a new group (an API that ignores `page`); counters do not tell
    groups apart, because they change while the pages are read. A short page does not end it.
    """

    def _rows(self, stream_slice: StreamSlice | None) -> Iterator[dict[str, Any]]:
        extracted_at = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
        seen: set[bytes] = set()
        previous: list[dict[str, Any]] = []
        number, last = 1, None
        while last is None or number <= last:
            if number > MAX_CLICK_PAGES:
                raise transient_error(
                    f"wecantrack's list of click totals has no end: {number - 1} pages were read. Run again; if this "
                    "recurs, report it to wecantrack."
                )
            rows, last = self._api.get(lambda body, n=number: _click_page(body, n), page_token={"page": number})  # type: ignore[misc]
            groups = [self._group(row) for row in rows]
            new = [row for row, group in zip(rows, groups, strict=True) if group is None or group not in seen]
            if last is None and (not new or rows == previous):
                return
            yield from ({**row, "extracted_at": extracted_at} for row in new)
            seen.update(group for group in groups if group is not None)
            previous, number = rows, number + 1

    def _group(self, row: dict[str, Any]) -> bytes | None:
        """Return what identifies the group of a row; None if the row has nothing but counters.

        That is the columns of `clicks_group_by`, or without any of them every column that is not a known counter.
        """
        names = self.config["clicks_group_by"]
        group = {name: row[name] for name in names if name in row}
        group = group or {name: value for name, value in row.items() if not _COUNTERS.match(name)}
        return orjson.dumps(group, option=orjson.OPT_SORT_KEYS) if group else None


@dataclass
class TransactionsRetriever(ArrayRetriever):
    """Reads the numbered pages of one window without losing rows that move between pages.

    The request ends at the first second of the next window (see the manifest), so rows of that second may arrive
    twice. The second copy is dropped unless it has changed.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._date_field = self.config["date_type"]
        #: The second that the last window shares with the next one, and the rows of it that were emitted.
        self._shared_second, self._emitted = "", RowHashes()

    def _rows(self, stream_slice: StreamSlice | None) -> Iterator[dict[str, Any]]:
        shared_second, emitted = self._shared_second, self._emitted
        self._shared_second, self._emitted = _second_after(stream_slice), RowHashes()
        for row in self._window(stream_slice):
            second = str(row.get(self._date_field)).replace(" ", "T")[:19]
            if second == shared_second and emitted.put(row["transaction_key"], orjson.dumps(row), 1) == (1, True):
                continue
            if second == self._shared_second:
                self._emitted.put(row["transaction_key"], orjson.dumps(row), 1)
            yield row

    def _window(self, stream_slice: StreamSlice | None) -> Iterator[dict[str, Any]]:
        def fetch(number: int) -> Page:
            return self._api.get(
                lambda body: _transaction_page(body, number), stream_slice=stream_slice, page_token={"page": number}
            )

        return ShiftingPages(fetch).rows()


def _second_after(window: StreamSlice | None) -> str:
    assert window is not None
    return (datetime.fromisoformat(window["end_time"]) + timedelta(seconds=1)).isoformat()


def _click_page(body: Any, number: int) -> tuple[list[dict[str, Any]], int | None]:
    """Return the rows of a page of click totals and, if it comes in a paginator, the number of the last page."""
    if isinstance(body, list):
        return rows_of(body), None
    rows, last_page, _, _ = _paginated(body, number)
    return rows, last_page


def _transaction_page(body: Any, number: int) -> Page:
    rows, last_page, per_page, total = _paginated(body, number)
    for row in rows:
        transaction_id = row.get("transaction_id")
        if transaction_id in (None, "") or "user_network_account_id" not in row:
            raise BadResponseError("a transaction has no id")
        account = row["user_network_account_id"]
        if type(transaction_id) not in _ID_TYPES or (account is not None and type(account) not in _ID_TYPES):
            raise BadResponseError("a transaction has an id that is neither text nor a 64-bit integer")
        row["transaction_key"] = f"{'' if account is None else account}-{transaction_id}"
    return Page(last_page, per_page, total, [(row["transaction_key"], row) for row in rows])


def _paginated(body: Any, number: int) -> tuple[list[dict[str, Any]], int, int, int]:
    """Validate a page of Laravel's `LengthAwarePaginator` (docs/vendors/wecantrack.md A4).

    Returns its rows, last_page, per_page and total.
    """
    if not isinstance(body, dict):
        raise BadResponseError("the body is not a page of a list")
    current, last_page, per_page, total = (
        parse_count(body.get(name)) for name in ("current_page", "last_page", "per_page", "total")
    )
    if current is None or last_page is None or per_page is None or total is None:
        raise BadResponseError("the body has no current_page, last_page, per_page or total")
    if current != number:
        raise BadResponseError(f"requested page {number}, received page {current}")
    if per_page < 1 or last_page != max(1, -(-total // per_page)):
        raise BadResponseError(f"last_page {last_page} does not follow from total {total} and per_page {per_page}")
    rows = rows_of(body, "data")
    if len(rows) > per_page or (rows and (number - 1) * per_page + len(rows) > total):
        raise BadResponseError(f"page {number} has {len(rows)} rows, with per_page {per_page} and total {total}")
    if not rows and 1 < number <= last_page:
        raise BadResponseError(f"page {number} of {last_page} is empty")
    return rows, last_page, per_page, total
