"""Reads the input and releases STATE messages: the durability rule.

A STATE is released (written to standard output) once every record before it is settled, that is, once

- Wicked accepted its rows and the ledger recorded that; or
- the row or the record is in the dead-letter file, synced to disk; or
- the ledger had the row already; or
- the record makes no row, or the ledger stores it for a later run.

Records are numbered in order of arrival, and a STATE takes the number of the last record before it. `Writer._release`
is the only place that releases STATEs: all those below the lowest number that is unsettled, which is the minimum of

- `Writer._records`: records that are not normalized yet,
- `Normalizer.oldest_buffered`: records that the mapping keeps in memory,
- `Dispatcher.oldest()`: rows that are queued, in flight, or left to the next run.

STATEs leave in the order of arrival and unchanged, `id` included, except for `destinationStats`: `recordCount` and
`rejectedRecordCount` add up to the records that the STATE covers (docs/airbyte-cdk.md 5.2). A record counts as
rejected, once, if any of its rows was rejected or is in doubt when the STATE leaves.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from destination_wicked_reports.base.errors import config_error
from destination_wicked_reports.delivery.closing import InputEnd, LogLine, closing_lines, first_names, unmatched_error
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.queue import BATCH_BYTES
from destination_wicked_reports.delivery.record_counts import Span, StreamKey
from destination_wicked_reports.delivery.tally import SKIPPED, Tally
from destination_wicked_reports.errors import InvalidInputError, LedgerError
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.model import Record, Reject, Row
from destination_wicked_reports.protocol.messages import BadRecord, Line, parse, parse_long
from destination_wicked_reports.signals import SIGNALS

logger = logging.getLogger("airbyte")

#: Airbyte wants a STATE at least every 15 minutes (docs/airbyte-cdk.md 5.2).
FLUSH_SECONDS = 600.0
#: How many full requests STATEs may lag behind the input, or how many requests' rows of them may wait, before partly
#: filled requests are sent to release them.
LAG_BATCHES = 10
#: Records normalized at a time: few enough for the processor's cache, and enough to share one query of the ledger.
GROUP_RECORDS = 200


@dataclass(slots=True)
class WaitingState:
    """A STATE that waits for the records up to `sequence`; `size` is the length of its line."""

    sequence: int
    message: dict[str, Any]
    size: int
    span: Span


class Writer:
    """Passes records through a normalizer to the dispatcher, and releases STATEs.

    `routes` maps (namespace, stream) to the normalizer's name of the stream; `restore` puts records into their source's
    form first. `first_run` says that an affiliate mapping has sent nothing yet, see `_release`.
    """

    def __init__(
        self,
        normalizer: Normalizer,
        dispatcher: Dispatcher,
        tally: Tally,
        emit: Callable[[Any], None],
        routes: Mapping[StreamKey, str],
        *,
        batch_rows: int,
        first_run: bool = False,
        restore: Callable[[list[Record]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._normalizer = normalizer
        self._dispatcher = dispatcher
        self._tally = tally
        self._counts = tally.records
        self._emit = emit
        self._routes = routes
        self._restore = restore
        self._batch_rows = batch_rows
        self._group = min(GROUP_RECORDS, batch_rows)
        self._first_run = first_run
        self._refused = False
        self._clock = clock
        self._lines = 0
        self._records: list[Record] = []
        self._records_bytes = 0
        self._records_since = float("inf")
        self._states: deque[WaitingState] = deque()
        self._states_bytes = 0
        self._open_streams: set[str] = set()
        self._source_failed = False
        #: Whether the input ended and everything in it was delivered.
        self.ended = False

    # -- the durability rule ----------------------------------------------------------------------------------------

    def write(self, input_lines: Iterable[Sequence[Line]]) -> None:
        """Deliver all records of the input. However the run ends, STATEs whose records are settled are released."""
        try:
            with SIGNALS.deferred():
                self._dispatcher.recover()
                try:
                    for lines in input_lines:
                        for line in lines:
                            self._take(line)
                        self._dispatcher.collect()
                        self._release()
                        if self._overdue():
                            self._flush()
                        SIGNALS.check()
                except InvalidInputError:
                    self._flush()
                    raise
                self._flush()
                self._finish()
                self._flush()
                self._dispatcher.verify_location()
                self.ended = True
                self._refuse_unmatched()
                self._release()
        except BaseException as error:
            self._dispatcher.abort(at_once=not isinstance(error, Exception))
            with contextlib.suppress(LedgerError):  # the run's own error is reported
                self._release()
            raise

    def _release(self) -> None:
        """Emit every STATE whose records are all settled, in order of arrival.

        In the first run of an affiliate mapping, STATEs wait until a buyer was found for any sale: if none is, the
        source has to be read again with other rules.
        """
        if self._first_run and not self._tally.buyer_found:
            return
        unread = self._records[0].sequence if self._records else float("inf")
        unsettled = min(self._dispatcher.oldest(), self._normalizer.oldest_buffered, unread)
        if self._states and self._states[0].sequence < unsettled:
            self._dispatcher.verify_location()
        while self._states and self._states[0].sequence < unsettled:
            self._tally.dead_letters.sync()
            state = self._states.popleft()
            self._states_bytes -= state.size
            delivered, rejected = self._counts.release(state.span)
            stats = {"recordCount": float(delivered), "rejectedRecordCount": float(rejected)}
            state.message["state"]["destinationStats"] = {
                **(state.message["state"].get("destinationStats") or {}),
                **stats,
            }
            self._emit(state.message)

    def _flush(self) -> None:
        self._normalize()
        self._dispatcher.flush()
        self._release()

    def _overdue(self) -> bool:
        since = min(self._records_since, self._dispatcher.waiting_since())
        if self._clock() - since >= FLUSH_SECONDS:
            return True
        limit = LAG_BATCHES * self._batch_rows
        if len(self._states) > limit or self._states_bytes > BATCH_BYTES:
            return True
        return bool(self._states) and self._counts.received - self._states[0].sequence > limit

    # -- messages ---------------------------------------------------------------------------------------------------

    def _take(self, line: Line) -> None:
        self._lines += 1
        if not isinstance(line, bytes):
            self._take_bad(line if isinstance(line, BadRecord) else parse_long(line, self._lines))
            return
        message = parse(line, self._lines)
        if not isinstance(message, dict):
            if message is not None:
                self._take_bad(message)
            return
        kind = message["type"]
        if kind == "RECORD":
            record = message["record"]
            key = (record.get("namespace") or "", record["stream"])
            route = self._routes.get(key) or self._unknown_stream(key)
            self._records.append(Record(route, record["data"], self._counts.add(key)))
            self._records_bytes += len(line)
            if len(self._records) == 1:
                self._records_since = self._clock()
            if len(self._records) >= self._group or self._records_bytes >= BATCH_BYTES:
                self._normalize()
        elif kind == "STATE":
            self._take_state(message, len(line))
        elif kind == "LOG":
            self._emit(line)  # in a shell pipe nothing else shows the source's log
        elif kind == "TRACE":
            self._take_trace(message["trace"])

    def _take_bad(self, record: BadRecord) -> None:
        """Write a record that is not valid JSON to the dead-letter file."""
        key = (record.namespace, record.stream)
        route = self._routes.get(key) or self._unknown_stream(key)
        endpoint = self._normalizer.endpoint_of(route)
        sequence = self._counts.add(key)
        self._tally.rows_of([Reject(record.reason, "", endpoint, route, record.data, sequence)])

    def _unknown_stream(self, key: StreamKey) -> NoReturn:
        namespace, name = key
        known = first_names({".".join(filter(None, each)) for each in self._routes})
        raise InvalidInputError(
            self._lines,
            f"is a record of stream {name}{f' in namespace {namespace}' if namespace else ''}, which is not in the "
            f"catalog. The catalog has {known or 'no stream'}",
            "select this stream in the catalog, or deselect it in the source",
        )

    def _take_state(self, message: dict[str, Any], size: int) -> None:
        """Queue a STATE, which covers the records since the last one of its stream, or of all streams if global."""
        state, key = message["state"], None
        if state.get("type") == "STREAM":
            descriptor = state["stream"]["stream_descriptor"]
            key = (descriptor.get("namespace") or "", descriptor["name"])
        self._states.append(WaitingState(self._counts.received, message, size, self._counts.span(key)))
        self._states_bytes += size

    def _take_trace(self, trace: dict[str, Any]) -> None:
        """Log an error of the source, and track which streams it started and did not complete."""
        if trace.get("type") == "ERROR":
            self._source_failed = True
            logger.warning("The source failed: %s", (trace.get("error") or {}).get("message"))
        status = trace.get("stream_status")
        if isinstance(status, dict):
            descriptor = status.get("stream_descriptor")
            descriptor = descriptor if isinstance(descriptor, dict) else {}
            name = ".".join(str(part) for part in (descriptor.get("namespace"), descriptor.get("name")) if part)
            (self._open_streams.discard if status.get("status") == "COMPLETE" else self._open_streams.add)(name)

    # -- records to rows --------------------------------------------------------------------------------------------

    def _normalize(self) -> None:
        if not self._records:
            return
        if self._restore is not None:
            self._restore(self._records)
        rows = self._tally.rows_of(self._normalizer.normalize(self._records, self._dispatcher.orders))
        self._dispatcher.add(rows, self._normalizer.take_stored_orders())
        self._records = []  # only now: if anything fails before this line, their STATE must not be released
        self._records_bytes = 0
        self._records_since = float("inf")

    def _finish(self) -> None:
        """Send the rows that the normalizer makes at the end of the input, a request at a time.

        A dead letter is synced before the normalizer continues, because it then drops what the dead letter is about.
        """
        rows: list[Row] = []
        for made in self._normalizer.finish(self._dispatcher.orders):
            rows += self._tally.rows_of([made])
            self._tally.dead_letters.sync()
            if len(rows) >= self._batch_rows:
                self._dispatcher.add(rows)
                rows = []
        self._dispatcher.add(rows)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _refuse_unmatched(self) -> None:
        """End a first run in which no contact rule matched anything: its records would be lost without notice."""
        self._refused = bool(self._first_run and self._tally.attribution[SKIPPED] and not self._tally.buyer_found)
        if self._refused:
            raise config_error(unmatched_error(self._tally))
        self._first_run = False

    def closing_lines(self) -> Iterator[LogLine]:
        """Yield the closing log lines."""
        end = InputEnd(self.ended, self._source_failed, self._open_streams, self._refused)
        notes = self._normalizer.notes()
        return closing_lines(self._tally, end, notes, finds_buyers=self._normalizer.finds_buyers)
