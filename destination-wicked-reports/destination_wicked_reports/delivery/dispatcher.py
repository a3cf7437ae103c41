"""Sends rows to Wicked and records their outcomes.

`add` drops the rows that the ledger knows and queues the others. A full queue is cut into a batch, `_submit` writes the
batch to the outbox and posts it in a thread, and `collect` acts on the result:

    result     rows with an id (products, contacts, orders, items)    rows without (payments, clicks, marketing)
    ACCEPTED   recorded as sent, except for the rows that Wicked names: those are rejected
    REJECTED   the batch is bisected until the bad row is alone, which is rejected
    PARTIAL    bisected as above, because Wicked may get such a row twice     in doubt, but for the rows named
    UNKNOWN    never returned: the client repeats the request                 in doubt

Endpoints are sent in Wicked's order (products, contacts, orders, order items, order payments, clicks, marketing): a
batch waits until no batch of an earlier endpoint is in flight. Batches of one endpoint are posted in parallel unless
they have an order in common.

Every row counts as unsettled in `oldest` until its outcome is recorded, so that its STATE is not released.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.endpoints import ENDPOINTS, LOAD_ORDER, RANK, UPDATABLE, Endpoint
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.delivery.dead_letters import ORDER_REJECTED, OUTCOME_UNKNOWN, TOO_LARGE
from destination_wicked_reports.delivery.queue import ROW_BYTES, Queue
from destination_wicked_reports.delivery.source_systems import SourceSystemGuard, was_sent_under_former_name
from destination_wicked_reports.delivery.tally import CHANGED, UNCHANGED, Tally
from destination_wicked_reports.errors import NotStoredError
from destination_wicked_reports.ledger.ledger import ACCEPTED, Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import IN_DOUBT, OrderFacts, Row
from destination_wicked_reports.signals import POLL_SECONDS, POST_THREAD, SIGNALS

#: After a signal, how many seconds the responses of running requests are awaited. Docker kills after 10 seconds.
GRACE_SECONDS = 4.0


class Dispatcher:
    """Sends each row at most once. Used by one thread; only the posts run in others.

    `in_flight` is how many requests may run at once; `clock` is in seconds.
    """

    def __init__(
        self,
        client: WickedClient,
        ledger: Ledger,
        tally: Tally,
        *,
        batch_rows: int,
        in_flight: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.orders = OrderBook(ledger)
        self._guard = SourceSystemGuard(ledger)
        self._client = client
        self._ledger = ledger
        self._tally = tally
        self._max_in_flight = in_flight
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix=POST_THREAD)
        self._queues = {endpoint: Queue(endpoint, batch_rows, clock) for endpoint in LOAD_ORDER}
        self._in_flight: dict[Future[PostResult | None], Batch] = {}
        #: Set once a post failed for good, or the run did: nothing more is posted.
        self._stopped = threading.Event()
        #: Parts of refused batches, in the outbox and waiting for a free thread; they go before anything else.
        self._bisected: deque[Batch] = deque()
        #: Batches cut from their queue that wait in `_submit`.
        self._submitting: list[Batch] = []
        #: Batches that this run will not deliver any more; their STATEs are never released.
        self._failed: list[Batch] = []
        #: By endpoint and key, the last row queued or in flight: a duplicate is found before the ledger knows the row.
        self._latest: dict[str, dict[str, Row]] = {endpoint: {} for endpoint in LOAD_ORDER}
        #: Sales with a rejected row and with later rows, computed from it, still to be sent.
        self._invalidated_sales: set[str] = set()
        #: Sales of rows that `add` has not queued yet.
        self._later_sales: set[str] = set()

        #: By `id`, the batches whose dead letters are written while their outcome is not in the ledger yet.
        self._reported: set[int] = set()
        #: Whether requests still run that `abort` no longer waits for.
        self._abandoned = False

    @property
    def counts(self) -> dict[str, Counter[str]]:
        """Rows by endpoint and outcome."""
        return self._tally.counts

    def verify_location(self) -> None:
        """Raise LedgerError if the ledger was moved or removed, so that the next run would not find it."""
        self._ledger.verify_location()

    # -- queueing ---------------------------------------------------------------------------------------------------

    def add(self, rows: Iterable[Row], stored: Iterable[OrderFacts] = ()) -> None:
        """Queue the rows that are new, and send every batch that is full.

        `stored` are orders that the mapping stored in the ledger. Raises ConfigurationError for a source system that
        was changed, see `SourceSystemGuard`.
        """
        self._add(self._guard.admit(rows, stored))

    def _add(self, added: list[Row]) -> None:
        """Queue rows.

        The rows of one sale are sent in the order in which they were made, across endpoints: a further order waits
        until every earlier refund of its sale is settled.
        """
        if self._ledger.acquire(row.key for row in added):
            self.recover()
        for group in self._in_sale_order(added):
            by_endpoint: dict[str, list[Row]] = {endpoint: [] for endpoint in LOAD_ORDER}
            for row in group:
                by_endpoint[row.endpoint].append(row)
            for endpoint, new in by_endpoint.items():
                if new:
                    self._queue_new(endpoint, new)
            for endpoint in LOAD_ORDER:
                while self._queues[endpoint].full:
                    self._send_up_to(endpoint, one_batch=True)
        self._invalidated_sales = {key for key in self._invalidated_sales if self._has_later_rows(key)}

    def _in_sale_order(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Yield the rows in groups. Flush before an order whose sale has an unsettled refund."""
        start = 0
        endpoints: dict[str, str] = {}
        for position, row in enumerate(rows):
            if row.sale_key is None:
                continue
            unsettled = endpoints.get(row.sale_key) or self.orders.queued_endpoint(row.sale_key)
            if unsettled is not None and RANK[row.endpoint] < RANK[unsettled]:
                self._later_sales = {row.sale_key for row in rows[position:] if row.sale_key is not None}
                yield rows[start:position]
                start, endpoints = position, {}
                self._flush()
            endpoints[row.sale_key] = row.endpoint
        self._later_sales = set()
        yield rows[start:]

    def _queue_new(self, endpoint: str, rows: list[Row]) -> None:
        known = self._ledger.known(endpoint, [row.key for row in rows])
        counts, latest, new = self.counts[endpoint], self._latest[endpoint], list[Row]()
        for row in rows:
            duplicate = latest.get(row.key)
            digest = known.get(row.key) if duplicate is None else duplicate.digest
            if digest not in (None, row.digest) and was_sent_under_former_name(self._ledger, row, digest):
                digest = row.digest
            if digest is not None and (digest == row.digest or endpoint not in UPDATABLE):
                counts[UNCHANGED if digest == row.digest else CHANGED] += 1
            elif len(row.body) > ROW_BYTES:
                self._reject([(row, TOO_LARGE)])
                if row.sale_key:
                    self._invalidated_sales.add(row.sale_key)
            else:
                latest[row.key] = row
                if row.sale_key:
                    self.orders.queue(row)
                new.append(row)
        self._queues[endpoint].extend(new)

    # -- what is unsettled ------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether any request is in flight."""
        return bool(self._in_flight)

    def oldest(self) -> float:
        """Return the lowest sequence of the unsettled rows; infinity if there is none."""
        batches = self._ahead() + self._submitting + self._failed
        held = self._guard.oldest()
        return min([held] + [batch.sequence for batch in batches] + [queue.oldest for queue in self._queues.values()])

    def waiting_since(self) -> float:
        """Return when the oldest queued row was queued, in seconds of `clock`; infinity if there is none."""
        return min(queue.since for queue in self._queues.values())

    # -- sending ----------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Resolve the requests that a dead run left in the outbox, before anything new is sent.

        Orders of affiliate and shop sales are sent again byte for byte: the amounts may have changed since, and the
        ledger has to record what Wicked got first. Other rows with an id come again from the source. Payments, clicks
        and marketing rows have no id, and Wicked might store them twice (docs/vendors/wicked-reports.md 2.5): they are
        in doubt.
        """
        for batch in sorted(self._ledger.unfinished(), key=lambda batch: RANK[batch.endpoint]):
            if not batch.rows:
                self._ledger.commit(batch, [])
                continue
            for row in batch.rows:
                self._latest[batch.endpoint][row.key] = row
                if row.sale_key:
                    self.orders.queue(row)
            if not ENDPOINTS[batch.endpoint].key:
                self._mark_in_doubt(batch, OUTCOME_UNKNOWN)
            else:
                self._submit(batch)

    def flush(self) -> None:
        """Send everything, in Wicked's order, and wait for all results."""
        self._add(self._guard.release())
        self._flush()

    def _flush(self) -> None:
        self._send_up_to(LOAD_ORDER[-1])
        while self._in_flight:
            self.collect(block=True)

    def abort(self, *, at_once: bool = False) -> None:
        """Send nothing more, but record the results of what is in flight. For a run that has failed already.

        `at_once`, or a signal in the meantime, bounds the wait: after `GRACE_SECONDS` a response counts as lost, and a
        request that still runs after twice as long is left in the outbox. Further errors are not raised, because the
        run's own error is reported; what they concern stays in the outbox.
        """
        self._stopped.set()
        self._client.stop(GRACE_SECONDS if at_once else None)
        end = time.monotonic() + 2 * GRACE_SECONDS if at_once else float("inf")
        interrupted: BaseException | None = None
        with SIGNALS.deferred():
            while self._in_flight and time.monotonic() < end:
                try:
                    SIGNALS.check()
                except BaseException as error:
                    if interrupted is not None:
                        raise
                    interrupted = error
                    self._client.stop(GRACE_SECONDS)
                    end = min(end, time.monotonic() + 2 * GRACE_SECONDS)
                for future in wait(self._in_flight, POLL_SECONDS, FIRST_COMPLETED).done:
                    with contextlib.suppress(Exception):
                        self._settle(future)
                    if future in self._in_flight:
                        self._failed.append(self._in_flight.pop(future))
            self._abandoned = bool(self._in_flight)
            self._failed += self._in_flight.values()
            self._in_flight.clear()
            while self._bisected:
                with contextlib.suppress(Exception):
                    self._leave_to_next_run(self._bisected.popleft())
        if interrupted is not None:
            raise interrupted

    def _leave_to_next_run(self, batch: Batch) -> None:
        """Give up a batch that was not posted. It stays in the outbox only if Wicked may have it from before."""
        self._failed.append(batch)
        if not batch.maybe_stored:
            self._ledger.commit(batch, [])

    def close(self) -> None:
        """End the threads, without waiting for those that `abort` gave up."""
        self._threads.shutdown(wait=not self._abandoned, cancel_futures=True)

    def _send_up_to(self, last: str, *, one_batch: bool = False) -> None:
        """Send the queues up to this endpoint, full or not: its rows may refer to rows of earlier endpoints."""
        for endpoint in LOAD_ORDER[: RANK[last] + 1]:
            while self._queues[endpoint]:
                self._submit(self._queues[endpoint].cut())
                if endpoint == last and one_batch:
                    break

    def _submit(self, batch: Batch) -> None:
        """Write the batch to the outbox and post it, once nothing that must come first is in flight."""
        self._submitting.append(batch)
        while self._must_wait(batch):
            self.collect(block=True)
        if not self._invalidated_sales.isdisjoint(batch.identities):
            invalid = [(row, ORDER_REJECTED) for row in batch.rows if row.sale_key in self._invalidated_sales]
            self._reject(invalid)
            rest = batch.without_sales(self._invalidated_sales)
            self._invalidated_sales -= {key for key in batch.identities if not self._has_later_rows(key)}
            self._submitting[self._submitting.index(batch) :] = [rest] if rest else []
            if rest is None:
                return
            batch = rest
        if not batch.outbox_id:
            self._ledger.begin(batch)
        self._post(batch)
        self._submitting.remove(batch)

    def _post(self, batch: Batch) -> None:
        endpoint = ENDPOINTS[batch.endpoint]
        self._in_flight[self._threads.submit(self._post_in_thread, endpoint, batch)] = batch

    def _post_in_thread(self, endpoint: Endpoint, batch: Batch) -> PostResult | None:
        """Post a batch; return None, with nothing sent, if the dispatcher was stopped before its turn."""
        if self._stopped.is_set():
            return None
        try:
            return self._client.post(endpoint.path, batch.body, batch.rows, repeatable=bool(endpoint.key))
        except Exception:
            self._stopped.set()
            raise

    def _must_wait(self, batch: Batch) -> bool:
        """Tell whether a batch may not be posted yet.

        One batch more than may be in flight is accepted, and waits in the thread pool, so that no thread is idle while
        an outcome is recorded. Not so for rows without an id: in the outbox before their turn, they would be in doubt
        if the run died.
        """
        ahead, rank = self._ahead(), RANK[batch.endpoint]
        limit = self._max_in_flight + 1 if ENDPOINTS[batch.endpoint].key else self._max_in_flight
        return len(ahead) >= limit or any(
            RANK[other.endpoint] < rank or not batch.identities.isdisjoint(other.identities) for other in ahead
        )

    def _ahead(self) -> list[Batch]:
        return [*self._in_flight.values(), *self._bisected]

    # -- outcomes ---------------------------------------------------------------------------------------------------

    def collect(self, *, block: bool = False) -> None:
        """Record the outcome of every request that has ended; with `block`, wait until one has.

        Raises the error of a request that failed for good.
        """
        while block and self._in_flight and not wait(self._in_flight, POLL_SECONDS, FIRST_COMPLETED).done:
            SIGNALS.check()
        done = [future for future in self._in_flight if future.done()]
        for future in done:
            self._settle(future)
        while self._bisected and len(self._in_flight) < self._max_in_flight and not self._stopped.is_set():
            self._post(self._bisected[0])
            self._bisected.popleft()
        if done:
            self._tally.check()

    def _settle(self, future: Future[PostResult | None]) -> None:
        """Record the outcome of one request; raises its error if it failed for good."""
        batch = self._in_flight[future]
        try:
            result = future.result()
        except Exception as error:
            self._failed.append(self._in_flight.pop(future))
            if isinstance(error, NotStoredError) and not batch.maybe_stored:
                self._ledger.commit(batch, [])
            raise
        try:
            if result is None:
                self._leave_to_next_run(batch)
            else:
                self._apply(batch, result)
        except OSError:  # the dead-letter file cannot be written
            self._failed.append(self._in_flight.pop(future))
            self._record_without_dead_letters(batch, result)
            raise
        del self._in_flight[future]  # only now: an interruption before this line must not release its STATE

    def _apply(self, batch: Batch, result: PostResult) -> None:
        repeatable = bool(ENDPOINTS[batch.endpoint].key)
        if repeatable and result.in_doubt:
            batch.maybe_stored = True
            self._bisect(batch, next(iter(result.in_doubt.values())))
            return
        match result.outcome:
            case Outcome.ACCEPTED:
                self._apply_to_rows(batch, result, "")
            case Outcome.REJECTED | Outcome.PARTIAL if repeatable or result.outcome is Outcome.REJECTED:
                batch.maybe_stored = batch.maybe_stored or result.outcome is Outcome.PARTIAL
                self._bisect(batch, result.reason)
            case _:
                self._apply_to_rows(batch, result, result.reason)

    def _apply_to_rows(self, batch: Batch, result: PostResult, in_doubt: str) -> None:
        """Record each row as rejected, in doubt or sent; `in_doubt` is the reason if all that are not rejected are."""
        others = [(position, row) for position, row in enumerate(batch.rows) if position not in result.rejected]
        reasons = dict.fromkeys([position for position, _ in others], in_doubt) if in_doubt else result.in_doubt
        doubtful = [row for position, row in others if position in reasons]
        accepted = [row for position, row in others if position not in reasons]
        batches = [batch]
        if doubtful and accepted:
            batches = [batch.with_rows(accepted), batch.with_rows(doubtful)]
            self._ledger.begin(*batches, replaces=batch)
        if id(batch) not in self._reported:
            self._reject([(batch.rows[position], reason) for position, reason in result.rejected.items()])
            for position, row in others:
                if position in reasons:
                    self._tally.mark_in_doubt(row, reasons[position])
            self._reported.add(id(batch))
        if accepted or not doubtful:
            self._commit(batches[0], accepted, ACCEPTED)
            self._tally.accept(batch.endpoint, accepted)
        if doubtful:
            self._commit(batches[-1], doubtful, IN_DOUBT)
        self._reported.discard(id(batch))

    def _record_without_dead_letters(self, batch: Batch, result: PostResult | None) -> None:
        """Record what needs no dead letter: rows that Wicked accepted, and that it refused the others.

        Refused rows come again from the source, because their STATE is not released. Rows in doubt stay in the outbox.
        """
        if result is None or result.in_doubt or batch.maybe_stored:
            return
        if result.outcome is Outcome.ACCEPTED:
            accepted = [row for position, row in enumerate(batch.rows) if position not in result.rejected]
            self._ledger.commit(batch, accepted, ACCEPTED)
            self._tally.accept(batch.endpoint, accepted)
        elif result.outcome is Outcome.REJECTED:
            self._ledger.commit(batch, [])

    def _bisect(self, batch: Batch, reason: str) -> None:
        """Split a refused batch in two, or reject its only row."""
        if len(batch.rows) == 1:
            if id(batch) not in self._reported:
                self._reject([(batch.rows[0], reason)])
                self._reported.add(id(batch))
            self._commit(batch, [], ACCEPTED)
            self._reported.discard(id(batch))
            return
        if self._stopped.is_set():
            self._leave_to_next_run(batch)
            return
        middle = len(batch.rows) // 2
        parts = [batch.with_rows(rows) for rows in (batch.rows[:middle], batch.rows[middle:])]
        self._ledger.begin(*parts, replaces=batch)
        self._bisected.extend(parts)

    def _mark_in_doubt(self, batch: Batch, reason: str) -> None:
        """Report rows that Wicked may or may not have; they count as sent and are not sent again automatically."""
        self._apply_to_rows(batch, PostResult(Outcome.UNKNOWN, {}), reason)

    def _commit(self, batch: Batch, rows: list[Row], status: str) -> None:
        self._tally.dead_letters.sync()  # the dead letters must be durable before the batch leaves the outbox
        self._ledger.commit(batch, rows, status)
        self._forget(rows)

    def _reject(self, refused: list[tuple[Row, str]]) -> None:
        for row, reason in refused:
            self._tally.reject(row, reason)
        self._forget([row for row, _ in refused])
        self._invalidated_sales.update(
            row.sale_key for row, _ in refused if row.sale_key and self._has_later_rows(row.sale_key)
        )

    def _has_later_rows(self, sale_key: str) -> bool:
        return sale_key in self._later_sales or self.orders.queued_endpoint(sale_key) is not None

    def _forget(self, rows: list[Row]) -> None:
        for row in rows:
            latest = self._latest[row.endpoint]
            if latest.get(row.key) is row:
                del latest[row.key]
        self.orders.release(rows)
