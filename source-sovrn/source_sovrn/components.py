"""What the manifest cannot say: how a report is asked for and read, and how the campaigns are listed to their end."""

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

from .base.errors import BadReplyError, config_error
from .base.http import ApiClient, rows_of
from .base.rate_limit import LOGGER, FixedWindowLimiter
from .rate_limit import MinIntervalLimiter
from .records import campaign, glance, merchant_day, transaction
from .streaming_json import rows, spooled

#: Sovrn publishes no limit for the campaigns call (affiliate-facts B2).
CAMPAIGN_REQUESTS_PER_MINUTE = 30
_LONGEST_REASON = 4096
_BLOCKED = re.compile(r"block|throttl|rate.?limit|too many|quota|exceed|slow down", re.IGNORECASE)
_NO_DATA = re.compile(r"data not found|no (data|transactions?|results?|records?|rows)\b|transactions? not found", re.I)
_pace: ContextVar[MinIntervalLimiter] = ContextVar("pace")


@contextmanager
def shared_pace(pace: MinIntervalLimiter) -> Iterator[None]:
    """Give all report streams that are built inside the block the same pace."""
    token = _pace.set(pace)
    try:
        yield
    finally:
        _pace.reset(token)


class _NoRows(Exception):
    """A reply that says that there is nothing, in place of an empty list."""


class ReportApi(ApiClient):
    """A report: one request a slot, its body in a spool, and refusals that have no documented status.

    `empty` tells from the text of a 404 whether it means that there are no rows.
    """

    def __init__(
        self,
        requester: HttpRequester,
        pace: MinIntervalLimiter,
        empty: Callable[[str], bool],
        *,
        tries: int,
        read_seconds: float,
    ) -> None:
        super().__init__(requester, pace, tries=tries, read_seconds=read_seconds, backoff=pace.backoff)
        self._pace, self._empty = pace, empty
        self._forbidden = False

    def spool(self, accept: Callable[[IO[bytes]], IO[bytes]], stream_slice: StreamSlice | None) -> IO[bytes] | None:
        """Return the first whole body that `accept` takes, or None when the vendor says that there is none."""
        try:
            spool = self.get(accept, stream_slice=stream_slice, read=spooled)
        except _NoRows:
            self._pace.worked = True
            return None
        except AirbyteTracedException as failure:
            if self._forbidden and failure.failure_type == FailureType.transient_error:
                raise config_error(
                    "Sovrn goes on to refuse a secret key that worked before in this run (403): the key is blocked, "
                    "perhaps because something else uses it too and is faster than one report a minute, or it lost "
                    "its rights. Stop the other use, and see that the site is approved in your Sovrn account."
                ) from None
            raise
        self._pace.worked = True
        return spool

    def _refused(self, response: requests.Response) -> bool:
        """Tell a block from a missing right, and no rows from a wrong address; the rest is declared."""
        said = response.content[:_LONGEST_REASON].decode("utf-8", "replace")
        if response.status_code == requests.codes.not_found and self._empty(said):
            raise _NoRows
        self._forbidden = False
        if response.status_code == requests.codes.forbidden:
            # "your API key being temporarily blocked or throttled" names no status: a 403 that says so is one, and
            # so is one that meets a key which was good a minute ago
            told = bool(_BLOCKED.search(said)) or "Retry-After" in response.headers
            self._forbidden = self._pace.worked and not told
            if told or self._pace.worked:
                return True
        return super()._refused(response)


@dataclass
class ReportRetriever(Retriever):
    """The rows of one report window."""

    name: str
    config: Config
    requester: HttpRequester

    _key = "data"
    _record = staticmethod(merchant_day)

    def __post_init__(self) -> None:
        self._api = ReportApi(
            self.requester,
            _pace.get(),
            self._says_empty,
            tries=self.config.get("max_tries", 5),
            read_seconds=self.config.get("read_timeout_seconds", 120),
        )

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield the rows of a window, whose body was read to its end before the first of them."""
        spool = self._api.spool(self._whole, stream_slice)
        if spool is None:
            return
        with spool:
            for row in rows(spool, self._key):
                yield Record(self._record(row), self.name, stream_slice)

    def _whole(self, spool: IO[bytes]) -> IO[bytes]:
        try:
            self._inspect(rows(spool, self._key))
        except BaseException:
            spool.close()
            raise
        return spool

    def _inspect(self, found: Iterator[dict[str, Any]]) -> None:
        """Go through all rows once; a reply that must not count raises."""
        for row in found:
            self._record(row)

    @staticmethod
    def _says_empty(text: str) -> bool:
        """For aggregates a 404 is documented as "data not found", without a body; a web page is another thing."""
        return not text.lstrip().startswith("<")


@dataclass
class TransactionsRetriever(ReportRetriever):
    """The transactions of one day."""

    _key = "transactions"
    _record = staticmethod(transaction)

    def _inspect(self, found: Iterator[dict[str, Any]]) -> None:
        keys: set[int] = set()
        count = unpaid = 0
        for row in found:
            count += 1
            key, paid = glance(row)
            keys.add(key)
            unpaid += not paid
        if len(keys) < count:
            LOGGER.warning(
                "%s transactions of this day share revenue id and commission id with another: a destination that "
                "removes duplicates by transaction_key keeps one of each.",
                count - len(keys),
            )
        if unpaid:
            LOGGER.warning("%s of %s transactions of this day come without a revenue of yours.", unpaid, count)

    @staticmethod
    def _says_empty(text: str) -> bool:
        """No 404 is documented for transactions: only one that says in words that there is no data is an empty day."""
        if text.lstrip().startswith("<") or not _NO_DATA.search(text):
            return False
        LOGGER.warning("Sovrn answered 404 and that there is no data: taken as a day without transactions.")
        return True


@dataclass
class CampaignsRetriever(Retriever):
    """The sites of the account, page by page.

    `page` is documented without its first number. So the first request names none, the next one asks for page 1, which
    is the same again or the second; the end is a page that brings nothing new, never a short one.
    """

    name: str
    config: Config
    requester: HttpRequester

    def __post_init__(self) -> None:
        self._api = ApiClient(
            self.requester,
            FixedWindowLimiter(CAMPAIGN_REQUESTS_PER_MINUTE),
            tries=self.config.get("max_tries", 5),
            read_seconds=self.config.get("read_timeout_seconds", 120),
        )

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield every campaign once."""
        seen: set[str] = set()
        number, fresh = 0, True
        while fresh or number < 3:
            token = {"page": number or ""}
            page = [campaign(row) for row in self._api.get(_campaigns, token=token)]
            if not page and not number:
                return
            fresh = False
            for record in page:
                if record["campaign_id"] not in seen:
                    seen.add(record["campaign_id"])
                    fresh = True
                    yield Record(record, self.name, stream_slice)
            number += 1


def _campaigns(body: Any) -> list[dict[str, Any]]:
    found = rows_of(body if isinstance(body, dict) else None, "campaigns")
    if any(row.get("campaignId") in (None, "") for row in found):
        raise BadReplyError("a campaign comes without its id")
    return found
