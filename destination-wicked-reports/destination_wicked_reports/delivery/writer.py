"""The RECORD/STATE loop, and the durability rule: a STATE leaves only when every row before it is settled.

Settled means accepted by Wicked and written to the ledger, or written to the dead-letter file, or known to be there
already. STATEs leave in the order in which they came, whole (`id` included), with `destinationStats.recordCount`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.delivery.dispatcher import FATES, REJECTED, UNCHANGED, WITHHELD, Dispatcher
from destination_wicked_reports.delivery.queue import BATCH_BYTES
from destination_wicked_reports.errors import InvalidInputError
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.model import Record, Reject, Row, Skip, Unchanged
from destination_wicked_reports.protocol.messages import parse
from destination_wicked_reports.signals import SIGNALS

logger = logging.getLogger("airbyte")

#: Airbyte wants a STATE at least every 15 minutes (conventions.md section 4.3).
FLUSH_SECONDS = 600.0
#: STATEs may lag this many full requests behind the input before partly filled requests are sent to free them.
LAG_BATCHES = 10
#: Records become rows this many at a time: few enough to stay in the processor's cache, and enough to share the
#: ledger's answer.
GROUP = 200
StreamKey = tuple[str, str]


@dataclass(slots=True)
class HeldState:
    """A STATE that waits for the records up to `sequence`."""

    sequence: int
    message: dict[str, Any]


class Writer:
    """Feeds records through a normalizer into a delivery, and lets STATEs go.

    `routes` says what the normalizer calls each stream; `restore` puts records into their source's form beforehand.
    """

    def __init__(
        self,
        normalizer: Normalizer,
        delivery: Dispatcher,
        letters: DeadLetterFile,
        emit: Callable[[Any], None],
        routes: Mapping[StreamKey, str],
        *,
        batch_rows: int,
        restore: Callable[[list[Record]], None] | None = None,
        fail_fast: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._normalizer = normalizer
        self._delivery = delivery
        self._letters = letters
        self._emit = emit
        self._routes = routes
        self._restore = restore
        self._batch_rows = batch_rows
        self._group = min(GROUP, batch_rows)
        self._fail_fast = fail_fast
        delivery.after_settling = self._check
        self._clock = clock
        self.skipped: Counter[str] = Counter()
        self._lines = 0
        self._sequence = 0
        self._records: list[Record] = []
        self._records_bytes = 0
        self._records_since = float("inf")
        self._states: deque[HeldState] = deque()
        self._record_counts: Counter[StreamKey] = Counter()
        self._open_streams: set[str] = set()
        self._source_failed = False
        self._ended = False

    # -- the durability rule ----------------------------------------------------------------------------------------

    def write(self, input_lines: Iterable[list[bytes]]) -> None:
        """Deliver everything in the input; whatever happens, the STATEs that were earned leave."""
        try:
            with SIGNALS.deferred():
                self._delivery.recover()
                try:
                    for lines in input_lines:
                        for line in lines:
                            self._take(line)
                        self._delivery.settle()
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
                self._ended = True
        except BaseException:
            self._delivery.drain()
            self._release()
            raise

    def _flush(self) -> None:
        self._normalize()
        self._delivery.flush()
        self._release()

    def _release(self) -> None:
        """Let go every STATE whose records are all settled, in order of arrival."""
        unread = self._records[0].sequence if self._records else float("inf")
        unsettled = min(self._delivery.oldest(), self._normalizer.oldest_buffered, unread)
        while self._states and self._states[0].sequence < unsettled:
            self._letters.sync()
            self._emit(self._states.popleft().message)

    def _overdue(self) -> bool:
        since = min(self._records_since, self._delivery.waiting_since())
        if self._clock() - since >= FLUSH_SECONDS:
            return True
        return bool(self._states) and self._sequence - self._states[0].sequence > LAG_BATCHES * self._batch_rows

    # -- taking messages --------------------------------------------------------------------------------------------

    def _take(self, line: bytes) -> None:
        self._lines += 1
        if not line.strip():
            return
        message = parse(line, self._lines)
        kind = message["type"]
        if kind == "RECORD":
            record = message["record"]
            key = (record.get("namespace") or "", record["stream"])
            route = self._routes.get(key)
            if route is None:
                raise InvalidInputError(
                    self._lines, "is a record of a stream that the catalog does not name, or not in that namespace"
                )
            self._sequence += 1
            self._record_counts[key] += 1
            self._records.append(Record(route, record["data"], self._sequence))
            self._records_bytes += len(line)
            if len(self._records) == 1:
                self._records_since = self._clock()
            if len(self._records) >= self._group or self._records_bytes >= BATCH_BYTES:
                self._normalize()
        elif kind == "STATE":
            self._take_state(message)
        elif kind == "LOG":
            self._emit(line)  # in a shell pipe nobody else would show what the source is doing
        elif kind == "TRACE":
            self._take_trace(message["trace"])

    def _take_trace(self, trace: dict[str, Any]) -> None:
        """Hear of a source that fails, and remember which streams it has begun and not completed."""
        if trace.get("type") == "ERROR":
            self._source_failed = True
            logger.warning("The source failed: %s", (trace.get("error") or {}).get("message"))
        status = trace.get("stream_status")
        if isinstance(status, dict):
            described = status.get("stream_descriptor")
            described = described if isinstance(described, dict) else {}
            name = ".".join(str(part) for part in (described.get("namespace"), described.get("name")) if part)
            (self._open_streams.discard if status.get("status") == "COMPLETE" else self._open_streams.add)(name)

    def _take_state(self, message: dict[str, Any]) -> None:
        """Keep a STATE whole and count its records: since the last STATE of its stream, or of all for a global one."""
        state = message["state"]
        if state.get("type") == "STREAM":
            descriptor = state["stream"]["stream_descriptor"]
            count = self._record_counts.pop((descriptor.get("namespace") or "", descriptor["name"]), 0)
        else:
            count = sum(self._record_counts.values())
            self._record_counts.clear()
        state["destinationStats"] = {**(state.get("destinationStats") or {}), "recordCount": float(count)}
        self._states.append(HeldState(self._sequence, message))

    # -- records to rows --------------------------------------------------------------------------------------------

    def _normalize(self) -> None:
        """Turn the records at hand into rows, dead letters and counts."""
        if not self._records:
            return
        if self._restore is not None:
            self._restore(self._records)
        self._delivery.add(self._sift(self._normalizer.normalize(self._records, self._delivery.orders)))
        self._records = []  # not before: if anything fails on the way, their STATE must not leave
        self._records_bytes = 0
        self._records_since = float("inf")

    def _finish(self) -> None:
        """Hand over what the normalizer could not tell before the input ended, a request's worth at a time.

        One by one: a dead letter is on disk before the normalizer goes on, and forgets that it was to be written.
        """
        rows: list[Row] = []
        for made in self._normalizer.finish(self._delivery.orders):
            rows += self._sift([made])
            self._letters.sync()
            if len(rows) >= self._batch_rows:
                self._delivery.add(rows)
                rows = []
        self._delivery.add(rows)

    def _sift(self, normalized: Iterable[Row | Reject | Skip]) -> list[Row]:
        """Return the rows; write dead letters down, and count what was skipped."""
        rows: list[Row] = []
        for made in normalized:
            if isinstance(made, Row):
                rows.append(made)
            elif isinstance(made, Unchanged):
                self._delivery.counts[made.endpoint][UNCHANGED] += 1
            elif isinstance(made, Skip):
                self.skipped[made.reason] += 1
            else:
                self._letters.reject(made)
                self._delivery.counts[made.endpoint][REJECTED] += 1
        self._check()
        return rows

    # -- the end ----------------------------------------------------------------------------------------------------

    @property
    def refused(self) -> int:
        """How many rows were rejected or held so far; each is in the dead-letter file."""
        return sum(counts[REJECTED] + counts[WITHHELD] for counts in self._delivery.counts.values())

    def _check(self) -> None:
        if self._fail_fast and self.refused:
            raise self.failure()

    def failure(self) -> AirbyteTracedException:
        """Return the error that ends a run of which rows did not reach Wicked."""
        rejected, held = (
            sum(counts[fate] for counts in self._delivery.counts.values()) for fate in (REJECTED, WITHHELD)
        )
        told = []
        if rejected:
            told.append(f"{_rows(rejected)} rejected: mend them at the source or in the mapping.")
        if held:
            told.append(
                f"{_rows(held)} held, for nobody knows whether Wicked has them: see which it lacks, and replay those."
            )
        text = " ".join([*told, f"Each is in {self._letters.path} with its reason."])
        return AirbyteTracedException(message=text, internal_message=text, failure_type=FailureType.config_error)

    def summary(self) -> Iterator[str]:
        """Yield the lines of the closing log: per endpoint what was sent, unchanged, changed, rejected and held."""
        for endpoint, counts in self._delivery.counts.items():
            if counts:
                yield f"{endpoint}: " + ", ".join(f"{counts[what]:,} {what}" for what in FATES)
        if not any(self._delivery.counts.values()):
            if self._ended and self._source_failed:
                yield "nothing was sent: the source failed, and gave nothing that was new"
            elif self._ended:
                yield "nothing was there to send: Wicked has been told of everything that came"
            else:
                yield "the run broke off before Wicked had accepted anything"
        if self._open_streams and self._ended:  # else the run itself stopped, and its error says why
            yield (
                f"the input ended before {', '.join(sorted(self._open_streams))} was complete: the source stopped "
                f"early, so {'mend what it said and ' if self._source_failed else ''}run the sync again"
            )
        for reason, count in self.skipped.items():
            yield f"skipped {count:,} records: {reason}"
        yield from self._normalizer.notes()


def _rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count:,} rows were"
