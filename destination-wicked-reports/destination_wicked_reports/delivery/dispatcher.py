"""Rows on their way: what goes next, what must wait for what, and what became of it.

Rows leave in Wicked's order (products, contacts, orders, order items, order payments, clicks, marketing): a batch waits
until no batch of an earlier endpoint is under way. Batches of one endpoint travel side by side.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.endpoints import ENDPOINTS, LOAD_ORDER, RANK, UPDATABLE, Endpoint
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.delivery.dead_letters import FATE_UNKNOWN, ORDER_REJECTED, TOO_LARGE, DeadLetterFile
from destination_wicked_reports.delivery.queue import ROW_BYTES, Queue
from destination_wicked_reports.errors import NotStoredError
from destination_wicked_reports.ledger.ledger import ACCEPTED, HELD, Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import Row
from destination_wicked_reports.signals import LOOK_SECONDS, SIGNALS

SENT, UNCHANGED, CHANGED, REJECTED, WITHHELD = FATES = ("sent", "unchanged", "changed", "rejected", "held")


class Dispatcher:
    """Takes rows, sends each at most once, and knows the oldest that is not settled yet. Used by one thread."""

    def __init__(
        self,
        client: WickedClient,
        ledger: Ledger,
        letters: DeadLetterFile,
        *,
        batch_rows: int,
        in_flight: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.orders = OrderBook(ledger)
        self.counts: dict[str, Counter[str]] = {endpoint: Counter() for endpoint in LOAD_ORDER}
        #: called after outcomes are recorded; raises to end the run there
        self.after_settling: Callable[[], None] = lambda: None
        self._client = client
        self._ledger = ledger
        self._letters = letters
        self._in_flight = in_flight
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="post")
        self._queues = {endpoint: Queue(endpoint, batch_rows, clock) for endpoint in LOAD_ORDER}
        self._under_way: dict[Future[PostResult | None], Batch] = {}
        #: set once a post has failed for good, or the run has.
        self._over = threading.Event()
        #: halves of refused batches, marked and waiting for a free place; they go before anything else does.
        self._halves: deque[Batch] = deque()
        self._in_hand: list[Batch] = []
        #: batches that this run will not deliver any more; they hold their STATEs back for good.
        self._failed: list[Batch] = []
        #: by endpoint and key, the last row queued or under way: its twin is known before the ledger knows it.
        self._latest: dict[str, dict[str, Row]] = {endpoint: {} for endpoint in LOAD_ORDER}
        #: orders of which a row was rejected while later ones, computed from it, are still queued.
        self._doomed: set[str] = set()

    # -- taking rows ------------------------------------------------------------------------------------------------

    def add(self, rows: Iterable[Row]) -> None:
        """Queue what is new among these rows, and send every batch that is full."""
        by_endpoint: dict[str, list[Row]] = {endpoint: [] for endpoint in LOAD_ORDER}
        for row in rows:
            by_endpoint[row.endpoint].append(row)
        if self._ledger.enter(row.key for made in by_endpoint.values() for row in made):
            self.recover()
        for endpoint, made in by_endpoint.items():
            if made:
                self._queue_new(endpoint, made)
        for endpoint in LOAD_ORDER:
            while self._queues[endpoint].full:
                self._send_up_to(endpoint, one_batch=True)

    def _queue_new(self, endpoint: str, rows: list[Row]) -> None:
        known = self._ledger.known(endpoint, [row.key for row in rows])
        counts, latest, fresh = self.counts[endpoint], self._latest[endpoint], list[Row]()
        for row in rows:
            twin = latest.get(row.key)
            digest = known.get(row.key) if twin is None else twin.digest
            if digest is not None and (digest == row.digest or endpoint not in UPDATABLE):
                counts[UNCHANGED if digest == row.digest else CHANGED] += 1
            elif len(row.body) > ROW_BYTES:
                self._reject([(row, TOO_LARGE)])
            else:
                latest[row.key] = row
                if row.order_key:
                    self.orders.queue(row)
                fresh.append(row)
        self._queues[endpoint].extend(fresh)

    # -- what is not settled ----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Tell whether any request is under way."""
        return bool(self._under_way)

    def oldest(self) -> float:
        """Return the lowest sequence among records with a row queued or under way; infinity if there is none."""
        on_their_way = [batch.sequence for batch in self._ahead() + self._in_hand + self._failed]
        return min(on_their_way + [queue.oldest for queue in self._queues.values()])

    def waiting_since(self) -> float:
        """Return since when a row has waited in a queue, by the clock; infinity if none does."""
        return min(queue.since for queue in self._queues.values())

    # -- sending ----------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Deal with what an earlier run sent without learning its fate, before anything new goes out.

        Affiliate orders are sent again, byte for byte: the commission may have changed since, and what Wicked was told
        first must be what the ledger remembers. Other rows with an id come again from the source. Payments, clicks and
        marketing rows have no id, and Wicked may store them twice (wicked-facts.md section 2.5): they are held and
        reported.
        """
        for batch in sorted(self._ledger.unfinished(), key=lambda batch: RANK[batch.endpoint]):
            if not batch.rows:
                self._ledger.settle(batch, [])
                continue
            for row in batch.rows:
                self._latest[batch.endpoint][row.key] = row
                if row.order_key:
                    self.orders.queue(row)
            if not ENDPOINTS[batch.endpoint].key:
                self._hold(batch, FATE_UNKNOWN)
            else:
                self._submit(batch)

    def flush(self) -> None:
        """Send everything queued, in Wicked's order, and wait for every outcome."""
        self._send_up_to(LOAD_ORDER[-1])
        while self._under_way:
            self.settle(block=True)

    def drain(self) -> None:
        """Send nothing more, but learn what became of what is under way. For a run that is failing already."""
        self._over.set()
        self._client.stop()
        while self._under_way:
            before = len(self._under_way)
            try:
                self.settle(block=True)
            except Exception:
                if len(self._under_way) == before:
                    raise
        while self._halves:
            self._give_up(self._halves.popleft())

    def _give_up(self, batch: Batch) -> None:
        """Leave an unsent batch to the next run, marked only if Wicked may have it from before."""
        self._failed.append(batch)
        if not batch.unsure:
            self._ledger.settle(batch, [])

    def close(self) -> None:
        """End the threads; nothing may be under way any more."""
        self._threads.shutdown()

    def _send_up_to(self, last: str, *, one_batch: bool = False) -> None:
        """Send the queues up to this endpoint: whatever its rows may refer to goes first, however few rows it is."""
        for endpoint in LOAD_ORDER[: RANK[last] + 1]:
            while self._queues[endpoint]:
                self._submit(self._queues[endpoint].cut())
                if endpoint == last and one_batch:
                    break

    def _submit(self, batch: Batch) -> None:
        """Mark the batch in the ledger and post it, once nothing that must come first is under way."""
        self._in_hand.append(batch)  # out of its queue and not yet under way: its STATE must not leave either
        while self._must_wait(batch):
            self.settle(block=True)
        if not self._doomed.isdisjoint(batch.names):
            self._reject([(row, ORDER_REJECTED) for row in batch.rows if row.order_key in self._doomed])
            rest = batch.without(self._doomed)
            self._doomed -= {name for name in batch.names if not self.orders.is_queued(name)}
            self._in_hand[self._in_hand.index(batch) :] = [rest] if rest else []
            if rest is None:
                return
            batch = rest
        if not batch.mark:
            self._ledger.mark(batch)
        self._post(batch)
        self._in_hand.remove(batch)

    def _post(self, batch: Batch) -> None:
        endpoint = ENDPOINTS[batch.endpoint]
        self._under_way[self._threads.submit(self._send, endpoint, batch)] = batch

    def _send(self, endpoint: Endpoint, batch: Batch) -> PostResult | None:
        """Post a batch, in a thread of the pool; None, and nothing is sent, once the run is over."""
        if self._over.is_set():
            return None
        try:
            return self._client.post(endpoint.path, batch.body, batch.rows, repeatable=bool(endpoint.key))
        except Exception:
            self._over.set()
            raise

    def _must_wait(self, batch: Batch) -> bool:
        """Tell whether a batch may not go yet.

        One more than may be in flight: it waits inside the pool, so that no thread idles while an outcome is written
        down. Not so rows without an id: marked before their turn, they would be taken for sent if the run died.
        """
        ahead, rank = self._ahead(), RANK[batch.endpoint]
        most = self._in_flight + 1 if ENDPOINTS[batch.endpoint].key else self._in_flight
        return len(ahead) >= most or any(
            RANK[other.endpoint] < rank or not batch.names.isdisjoint(other.names) for other in ahead
        )

    def _ahead(self) -> list[Batch]:
        return [*self._under_way.values(), *self._halves]

    # -- outcomes ---------------------------------------------------------------------------------------------------

    def settle(self, *, block: bool = False) -> None:
        """Record the outcome of every request that has ended; with `block`, wait until one has."""
        while block and self._under_way and not wait(self._under_way, LOOK_SECONDS, FIRST_COMPLETED).done:
            SIGNALS.check()
        done = [future for future in self._under_way if future.done()]
        for future in done:
            batch = self._under_way[future]
            repeatable = bool(ENDPOINTS[batch.endpoint].key)
            try:
                verdict = future.result()
            except Exception as error:
                self._failed.append(self._under_way.pop(future))
                if isinstance(error, NotStoredError) and not batch.unsure:
                    self._ledger.settle(batch, [])
                raise
            if verdict is None:
                self._give_up(batch)
            else:
                self._judge(batch, verdict, repeatable)
            del self._under_way[future]  # not before: whatever interrupts us, its STATE must not leave
        while self._halves and len(self._under_way) < self._in_flight and not self._over.is_set():
            self._post(self._halves[0])
            self._halves.popleft()
        if done:
            self.after_settling()

    def _judge(self, batch: Batch, verdict: PostResult, repeatable: bool) -> None:
        match verdict.outcome:
            case Outcome.ACCEPTED:
                accepted = [row for place, row in enumerate(batch.rows) if place not in verdict.rejected]
                self._reject([(batch.rows[place], reason) for place, reason in verdict.rejected.items()])
                self._remember(batch, accepted, ACCEPTED)
                self.counts[batch.endpoint][SENT] += len(accepted)
            case Outcome.REJECTED | Outcome.PARTIAL if repeatable or verdict.outcome is Outcome.REJECTED:
                batch.unsure = batch.unsure or verdict.outcome is Outcome.PARTIAL
                self._halve(batch, verdict.reason)
            case _:
                self._hold(batch, verdict.reason)

    def _halve(self, batch: Batch, reason: str) -> None:
        """Find the bad row of a batch that was refused whole."""
        if len(batch.rows) == 1:
            self._reject([(batch.rows[0], reason)])
            self._remember(batch, [], ACCEPTED)
            return
        middle = len(batch.rows) // 2
        halves = [batch.of(rows) for rows in (batch.rows[:middle], batch.rows[middle:])]
        self._ledger.mark(*halves, instead_of=batch)
        self._halves.extend(halves)

    def _hold(self, batch: Batch, reason: str) -> None:
        """Give up rows that Wicked may or may not have: reported, remembered, never sent again by themselves."""
        for row in batch.rows:
            self._letters.hold(row, reason)
        self.counts[batch.endpoint][WITHHELD] += len(batch.rows)
        self._remember(batch, batch.rows, HELD)

    def _remember(self, batch: Batch, rows: list[Row], status: str) -> None:
        self._letters.sync()  # a rejected or held row is in the dead-letter file before the ledger forgets it
        self._ledger.settle(batch, rows, status)
        self._leave(rows)

    def _reject(self, refused: list[tuple[Row, str]]) -> None:
        for row, reason in refused:
            self._letters.reject_row(row, reason)
            self.counts[row.endpoint][REJECTED] += 1
        self._leave([row for row, _ in refused])
        self._doomed.update(
            row.order_key for row, _ in refused if row.order_key and self.orders.is_queued(row.order_key)
        )

    def _leave(self, rows: list[Row]) -> None:
        for row in rows:
            latest = self._latest[row.endpoint]
            if latest.get(row.key) is row:
                del latest[row.key]
        self.orders.settle(rows)
