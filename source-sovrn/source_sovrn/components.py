"""Retrievers of the manifest: how a report is requested and read, and how campaigns are paged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import IO, Any

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.retrievers import Retriever
from airbyte_cdk.sources.types import Config, Record, StreamSlice
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .base.errors import BadResponseError, config_error, transient_error
from .base.http import MAX_BODY_BYTES, ApiClient, is_firewall_page, parse_count, rows_of
from .base.json_parser import Repairs
from .base.rate_limit import LOGGER, FixedWindowLimiter
from .base.transport import read_body
from .rate_limit import MinIntervalLimiter
from .records import campaign, key_hash_and_paid, merchant_day, transaction
from .streaming_json import MAX_REPORT_BYTES, read_rows, spool_body

#: Sovrn publishes no limit for the campaigns call (docs/vendors/sovrn.md B2).
CAMPAIGN_REQUESTS_PER_MINUTE = 30
#: The longest wait in seconds that the API may request; a longer one ends the run.
MAX_WAIT_SECONDS = 900.0
#: The `rowsPerPage` of the manifest.
CAMPAIGNS_PER_PAGE = 100
#: The longest list of campaigns that is read.
MAX_CAMPAIGN_PAGES = 500
_MAX_REASON_BYTES = 4096
_JSONP = re.compile(rb"\s*[A-Za-z_$][A-Za-z0-9_$.]*\s*\((\s*\{.*\}\s*)\)\s*;?\s*", re.DOTALL)
_BLOCKED = re.compile(r"block|throttl|rate.?limit|too many|quota|exceed|slow down", re.IGNORECASE)
_NO_DATA = re.compile(r"data not found|no (data|transactions?|results?|records?|rows)\b|transactions? not found", re.I)
_limiter: ContextVar[MinIntervalLimiter] = ContextVar("limiter")


@contextmanager
def shared_limiter(limiter: MinIntervalLimiter) -> Iterator[None]:
    """Give all report streams built inside the block this limiter; the CDK offers no way to pass it to a retriever."""
    token = _limiter.set(limiter)
    try:
        yield
    finally:
        _limiter.reset(token)


class _NoRows(Exception):
    """An error response that means an empty list."""


class ReportClient(ApiClient):
    """Requests reports: bodies go to a temporary file, and a 403 or 404 is interpreted by its text.

    `means_empty` returns whether the text of a 404 means that there are no rows.
    """

    def __init__(
        self,
        requester: HttpRequester,
        limiter: MinIntervalLimiter,
        means_empty: Callable[[str], bool],
        *,
        max_tries: int,
        read_timeout: float,
    ) -> None:
        super().__init__(
            requester,
            limiter,
            max_tries=max_tries,
            max_wait=MAX_WAIT_SECONDS,
            read_timeout=read_timeout,
            backoff=limiter.backoff,
            max_bytes=MAX_REPORT_BYTES,
        )
        self._report_limiter, self._means_empty = limiter, means_empty
        #: Whether the last response was a 403 without a reason, for a key that worked earlier in the run.
        self._unexplained_403 = False

    def spool(self, parse: Callable[[IO[bytes]], IO[bytes]], stream_slice: StreamSlice | None) -> IO[bytes] | None:
        """Return the first whole body that `parse` accepts; None if the vendor reports that there are no rows."""
        try:
            spool = self.get(parse, stream_slice=stream_slice, read=spool_body)
        except _NoRows:
            self._report_limiter.report_read = True
            return None
        except AirbyteTracedException as failure:
            if self._unexplained_403 and failure.failure_type == FailureType.transient_error:
                raise config_error(
                    "Sovrn keeps rejecting a secret key that worked earlier in this run (403). Either the key is "
                    "blocked, perhaps because something else uses it and exceeds one report per minute, or it lost its "
                    "rights. Stop the other use, and check in your Sovrn account that the site is approved."
                ) from None
            raise
        self._report_limiter.report_read = True
        return spool

    def _is_throttled(self, response: requests.Response, subject: str) -> bool:
        """Return True also for a 403 that means a block; raise `_NoRows` for a 404 that means an empty list.

        "Temporarily blocked or throttled" has no documented status (docs/vendors/sovrn.md B8). A 403 counts as a block
        if its text says so, or if the key worked earlier in the run.
        """
        text = response.content[:_MAX_REASON_BYTES].decode("utf-8", "replace")
        if response.status_code == requests.codes.not_found and self._means_empty(text):
            raise _NoRows
        self._unexplained_403 = False
        if response.status_code == requests.codes.forbidden:
            is_block = _BLOCKED.search(text) and not is_firewall_page(response)  # a firewall's page says blocked, too
            explained = bool(is_block) or "Retry-After" in response.headers
            self._unexplained_403 = self._report_limiter.report_read and not explained
            if explained or self._report_limiter.report_read:
                return True
        return super()._is_throttled(response, subject)


@dataclass
class ReportRetriever(Retriever):
    """Reads one window of a report; here merchantsbydate."""

    name: str
    config: Config
    requester: HttpRequester

    _list_key = "data"
    _to_record = staticmethod(merchant_day)

    def __post_init__(self) -> None:
        self._client = ReportClient(
            self.requester,
            _limiter.get(),
            self._means_empty,
            max_tries=self.config["max_tries"],
            read_timeout=self.config["read_timeout_seconds"],
        )

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield the rows of a window; the whole body is read and validated before the first one."""
        spool = self._client.spool(self._validated, stream_slice)
        if spool is None:
            return
        with spool:
            for row in read_rows(spool, self._list_key):
                yield Record(self._to_record(row), self.name, stream_slice)

    def _validated(self, spool: IO[bytes]) -> IO[bytes]:
        repairs = Repairs()
        try:
            self._validate(read_rows(spool, self._list_key, repairs))
        except BaseException:
            spool.close()
            raise
        self._client.warn_of(repairs)
        return spool

    def _validate(self, rows: Iterator[dict[str, Any]]) -> None:
        """Read all rows once; raise `BadResponseError` for a response that must be retried."""
        for row in rows:
            self._to_record(row)

    @staticmethod
    def _means_empty(text: str) -> bool:
        """Aggregates document a 404 for "data not found" (docs/vendors/sovrn.md B8); a web page is another error."""
        return not text.lstrip().startswith("<")


@dataclass
class TransactionsRetriever(ReportRetriever):
    """Reads the transactions of one day."""

    _list_key = "transactions"
    _to_record = staticmethod(transaction)

    def _validate(self, rows: Iterator[dict[str, Any]]) -> None:
        keys: set[int] = set()
        count = unpaid = 0
        for row in rows:
            count += 1
            key, paid = key_hash_and_paid(row)
            keys.add(key)
            unpaid += not paid
        if len(keys) < count:
            LOGGER.warning(
                "%s transactions of this day share revenue id and commission id with another one. A destination that "
                "deduplicates by transaction_key keeps one of each.",
                count - len(keys),
            )
        if unpaid:
            LOGGER.warning("%s of %s transactions of this day have no publisher revenue.", unpaid, count)

    @staticmethod
    def _means_empty(text: str) -> bool:
        """No 404 is documented for transactions, so only one that states that there is no data is an empty day."""
        if text.lstrip().startswith("<") or not _NO_DATA.search(text):
            return False
        LOGGER.warning("Sovrn responded with 404 and that there is no data; reading it as a day without transactions.")
        return True


@dataclass
class CampaignsRetriever(Retriever):
    """Reads the sites of the account, page by page.

    The number of the first page is not documented. The first request therefore names no page, and the second names
    page 1, which is either the same page again or the second one. The list ends once as many sites as `totalResults`
    were read, if the response has it (docs/vendors/sovrn.md H1) and the page is not full, or else at a page without new
    sites; a short page alone does not end it.
    """

    name: str
    config: Config
    requester: HttpRequester

    def __post_init__(self) -> None:
        self._client = ApiClient(
            self.requester,
            FixedWindowLimiter(CAMPAIGN_REQUESTS_PER_MINUTE),
            max_tries=self.config["max_tries"],
            max_wait=MAX_WAIT_SECONDS,
            read_timeout=self.config["read_timeout_seconds"],
        )

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield every site once."""
        seen: set[str] = set()
        number, has_new, total = 0, True, None
        while has_new or number < 3:
            if number >= MAX_CAMPAIGN_PAGES:
                raise transient_error(
                    f"Sovrn's list of campaigns has no end: {number} pages were read. Run again; if this recurs, "
                    "report it to Sovrn."
                )
            rows, total = self._client.get(_campaigns, page_token={"page": number or ""}, read=self._read_page)
            if not rows and not number:
                break
            has_new = False
            for record in map(campaign, rows):
                if record["campaign_id"] not in seen:
                    seen.add(record["campaign_id"])
                    has_new = True
                    yield Record(record, self.name, stream_slice)
            number += 1
            if len(seen) == total and len(rows) < CAMPAIGNS_PER_PAGE:
                return
        if total is not None and total != len(seen):
            LOGGER.warning("Sovrn reports %s campaigns, but its pages have %s.", total, len(seen))

    def _read_page(self, response: requests.Response) -> Any:
        """Parse JSON or JSONP: the call may wrap its object as `NULL({...})` (docs/vendors/sovrn.md H1)."""
        body = read_body(response, MAX_BODY_BYTES)
        wrapped = _JSONP.fullmatch(body)
        return self._client.parse_json(wrapped[1] if wrapped else body)


def _campaigns(body: Any) -> tuple[list[dict[str, Any]], int | None]:
    """Return the sites of a page and the number of sites in all, if the response has it."""
    rows = rows_of(body if isinstance(body, dict) else None, "campaigns")
    if any(row.get("campaignId") in (None, "") for row in rows):
        raise BadResponseError("a campaign has no id")
    return rows, parse_count(body.get("totalResults"))
