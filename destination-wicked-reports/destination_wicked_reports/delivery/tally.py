"""Counts what became of the rows of a run, and writes those that failed to the dead-letter file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.api.endpoints import LOAD_ORDER, ORDERS
from destination_wicked_reports.api.json_text import text_of
from destination_wicked_reports.api.samples import (
    OTHER_REASONS,
    Sampled,
    add_reason,
    name_of_reject,
    name_of_row,
    without_values,
)
from destination_wicked_reports.base.errors import config_error
from destination_wicked_reports.delivery.dead_letters import (
    ORDER_REJECTED,
    OUTCOME_UNKNOWN,
    REJECTED,
    TOO_LARGE,
    DeadLetterFile,
)
from destination_wicked_reports.delivery.health import Health
from destination_wicked_reports.delivery.record_counts import RecordCounts
from destination_wicked_reports.mappings.affiliate.returns import NOTHING_TO_FIX
from destination_wicked_reports.model import (
    ADDRESS,
    ID_ALONE,
    IN_DOUBT,
    SYNTHETIC,
    WAITING,
    Deleted,
    Reject,
    Row,
    Skip,
    Stored,
    Unattributed,
    Unchanged,
    Waiting,
)

#: `changed`: an order or item that was sent before with other content, which Wicked cannot update.
SENT, UNCHANGED, CHANGED = "sent", "unchanged", "changed"
_ORDERS = ORDERS.name
#: A sale that was left out, because its buyer is unknown.
SKIPPED = "skipped"
BUYERS = (ADDRESS, ID_ALONE, SYNTHETIC, WAITING, SKIPPED)
#: Lines of the closing log that name fields.
MOST_LINES = 20
OUTCOMES = (SENT, UNCHANGED, CHANGED, REJECTED, IN_DOUBT)
#: The domain of synthetic contacts, which is reserved (RFC 2606).
SYNTHETIC_DOMAIN = b".invalid"
#: Reasons that quote nothing.
_OWN_REASONS = frozenset({ORDER_REJECTED, OUTCOME_UNKNOWN, TOO_LARGE})


class Tally:
    """Counts by endpoint and outcome, and skipped records by reason. With `fail_fast`, `check` ends the run."""

    def __init__(self, dead_letters: DeadLetterFile, *, fail_fast: bool = False, test_mode: bool = False) -> None:
        self.dead_letters = dead_letters
        self.health = Health(test_mode=test_mode)
        self.counts: dict[str, Counter[str]] = {endpoint: Counter() for endpoint in LOAD_ORDER}
        self.skipped: dict[str, Sampled] = {}
        #: rejected rows, by endpoint, field and reason
        self.rejected: dict[tuple[str, str, str], Sampled] = {}
        self.records = RecordCounts()
        #: who bought: the orders sent by what identifies the buyer, and the sales that were not sent without one
        self.attribution: Counter[str] = Counter()
        self.unattributed_reasons: set[str] = set()
        #: whether a buyer was found for any order, sent or not
        self.buyer_found = False
        #: records that are marked as deleted, by stream
        self.deleted: Counter[str] = Counter()
        #: invalid optional fields, by endpoint, field and reason
        self.left_out: Counter[tuple[str, str, str]] = Counter()
        #: how many of the rejected are returns with which nothing is wrong
        self._returns = 0
        self._fail_fast = fail_fast

    def rows_of(self, normalized: Iterable[Row | Reject | Skip]) -> list[Row]:
        """Return the rows among a normalizer's results; count the rest, and write rejects to the dead-letter file."""
        rows: list[Row] = []
        for result in normalized:
            if isinstance(result, Row):
                rows.append(result)
                if result.endpoint == _ORDERS:
                    self.buyer_found = True
                if result.left_out:
                    self.left_out.update((result.endpoint, *field) for field in result.left_out)
            elif isinstance(result, Deleted):
                self.deleted[result.stream] += 1
            elif isinstance(result, Unchanged):
                self.counts[result.endpoint][UNCHANGED] += 1
                self.buyer_found = True
            elif isinstance(result, Stored):
                self.buyer_found = True
            elif isinstance(result, Waiting):
                self.attribution[WAITING] += 1
                self.buyer_found = True
            elif isinstance(result, Skip):
                self.skip(result.reason, result.sample)
                if isinstance(result, Unattributed):
                    self.attribution[SKIPPED] += 1
                    self.unattributed_reasons.add(result.reason)
            else:
                self.dead_letters.reject(result)
                self._count_failed(REJECTED, result.endpoint, result.sequence)
                self._returns += result.reason in NOTHING_TO_FIX
                self._count_reason(result.endpoint, result.field, result.reason, name_of_reject(result))
        self.check()
        return rows

    def skip(self, reason: str, sample: str = "") -> None:
        """Count a record, or a line of a dead-letter file, that is not sent."""
        add_reason(self.skipped, reason, OTHER_REASONS, sample)

    def reject(self, row: Row, reason: str) -> None:
        """Record a row that may not be sent, or that Wicked refused."""
        self.dead_letters.reject_row(row, reason)
        self._count_failed(REJECTED, row.endpoint, row.record or row.sequence)
        shown = reason if reason in _OWN_REASONS else without_values(reason, row)
        self._count_reason(row.endpoint, "", shown, name_of_row(row))

    def accept(self, endpoint: str, rows: Sequence[Row]) -> None:
        """Count rows that Wicked accepted."""
        self.counts[endpoint][SENT] += len(rows)
        self.health.add(endpoint, rows)
        if endpoint == _ORDERS:
            self.attribution.update(identified_by(row.body) for row in rows)

    def mark_in_doubt(self, row: Row, reason: str) -> None:
        """Record a row that Wicked may or may not have stored."""
        self.dead_letters.mark_in_doubt(row, reason)
        self._count_failed(IN_DOUBT, row.endpoint, row.record or row.sequence)

    @property
    def empty(self) -> bool:
        """Whether no row was counted yet."""
        return not any(self.counts.values())

    @property
    def only_unchanged(self) -> bool:
        """Whether rows were counted, and all of them were sent before."""
        return all(not counts or set(+counts) == {UNCHANGED} for counts in self.counts.values()) and not self.deleted

    @property
    def changed(self) -> int:
        """How many rows came again with other content and were not sent."""
        return self._total(CHANGED)

    @property
    def failed(self) -> int:
        """How many rows were rejected or are in doubt; each is in the dead-letter file."""
        return self._total(REJECTED) + self._total(IN_DOUBT)

    def check(self) -> None:
        """With `fail_fast`, raise the failure once there is one."""
        if self._fail_fast and self.failed:
            raise self.failure()

    def failure(self) -> AirbyteTracedException:
        """Return the error that ends a run in which rows failed."""
        rejected, in_doubt = self._total(REJECTED), self._total(IN_DOUBT)
        parts = []
        if wrong := rejected - self._returns:
            rows = "1 row was" if wrong == 1 else f"{wrong:,} rows were"
            parts.append(f"{rows} rejected: fix the data at the source or the mapping.")
        if self._returns:
            rows = "1 return was" if self._returns == 1 else f"{self._returns:,} returns were"
            parts.append(f"{rows} not applied in full: there is nothing to fix, and the reason says what follows.")
        if in_doubt:
            rows, them = ("1 row", "it") if in_doubt == 1 else (f"{in_doubt:,} rows", "them")
            parts.append(
                f"The outcome of {rows} is unknown (the response was lost). Check whether Wicked has {them}; if not, "
                f"resend {them} with `replay --in-doubt`."
            )
        parts.append(f"See {self.dead_letters.path} for each row and its reason.")
        return config_error(" ".join(parts))

    def lines(self) -> Iterator[str]:
        """Yield one line per endpoint, such as `orders: 2 sent, 0 unchanged, 0 changed, 0 rejected, 0 in doubt`."""
        for endpoint, counts in self.counts.items():
            if counts:
                yield counts_line(endpoint, counts)

    def left_out_lines(self) -> Iterator[str]:
        """Yield the optional fields that were not sent, such as `orders.City: left out of 2 rows: ...`."""
        for (endpoint, field, reason), count in self.left_out.most_common(MOST_LINES):
            yield f"{endpoint}.{field}: left out of {'1 row' if count == 1 else f'{count:,} rows'}: {reason}"
        if len(self.left_out) > MOST_LINES:
            yield f"and {len(self.left_out) - MOST_LINES:,} more fields were left out."

    def _count_failed(self, outcome: str, endpoint: str, sequence: int) -> None:
        self.counts[endpoint][outcome] += 1
        self.records.reject(sequence)

    def _count_reason(self, endpoint: str, field: str, reason: str, sample: str) -> None:
        add_reason(self.rejected, (endpoint, field, reason), (endpoint, "", OTHER_REASONS), sample)

    def _total(self, outcome: str) -> int:
        return sum(counts[outcome] for counts in self.counts.values())


def counts_line(endpoint: str, counts: Mapping[str, int]) -> str:
    """Return what became of the rows of one endpoint."""
    return f"{endpoint}: " + ", ".join(f"{counts.get(each, 0):,} {each.replace('_', ' ')}" for each in OUTCOMES)


def identified_by(order: bytes) -> str:
    """Return what identifies the buyer of an order, given its encoded fields."""
    address = text_of(order, b'"ContactEmail":"')
    if not address:
        return ID_ALONE
    return SYNTHETIC if address.endswith(SYNTHETIC_DOMAIN) else ADDRESS
