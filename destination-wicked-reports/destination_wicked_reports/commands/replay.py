"""Sending the rows of a dead-letter file again, once they are mended: the way of a sync, with the same memory.

First every line is checked, and one that may not be sent stops the replay before anything leaves. Then a record goes
through the mapping as if the source had sent it now, and a row goes to its endpoint under the name that the ledger
knows it by. What was accepted meanwhile, by a sync or by an earlier replay, is known and is not sent again; nor is a
row of an affiliate order that was told otherwise since, for it was computed from what Wicked knew then.

Held rows may be at Wicked already. They are left alone unless the user, who has looked, asks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from destination_wicked_reports.commands.dead_letter_reader import DeadLetter, DeadLetterReader, joined
from destination_wicked_reports.delivery.dispatcher import FATES, REJECTED, UNCHANGED, WITHHELD
from destination_wicked_reports.delivery.session import Session
from destination_wicked_reports.errors import ConfigurationError, ReplayError
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.model import Record, Reject, Row, Skip, Unchanged
from destination_wicked_reports.signals import SIGNALS

MOST_FAULTS = 20
HELD_BACK = "held rows, which Wicked may have already: look there, and send those that are missing with --held"
OUTDATED = "rows and records that are older than what Wicked was told since: the next sync tells what is missing"


def letters_of(
    path: Path, mender: DeadLetterReader, size: int | None = None
) -> Iterator[tuple[int, DeadLetter | ReplayError]]:
    """Yield line number and content, or fault, of every line up to `size` bytes; blank lines are left out."""
    left = path.stat().st_size if size is None else size
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            left -= len(line)
            if left < 0:
                return
            if line.strip():
                yield number, _read(mender, line)


def _read(mender: DeadLetterReader, line: bytes) -> DeadLetter | ReplayError:
    try:
        return mender.read(line)
    except ReplayError as error:
        return error


def refuse_broken(path: Path, mender: DeadLetterReader) -> int:
    """Raise ConfigurationError naming the lines that may not be sent; return the size of what was checked."""
    try:
        size = path.stat().st_size
        faults = [f"line {n} {found}" for n, found in letters_of(path, mender, size) if isinstance(found, ReplayError)]
    except OSError as error:
        raise ConfigurationError(f"The dead-letter file {path} cannot be read ({error.strerror}).") from None
    if faults:
        more = f"\nand {len(faults) - MOST_FAULTS:,} more" if len(faults) > MOST_FAULTS else ""
        raise ConfigurationError(
            f"Nothing was sent, for {len(faults):,} of the lines in {path} cannot be. Mend or remove them:\n"
            + "\n".join(faults[:MOST_FAULTS])
            + more
        )
    return size


class Replay:
    """Feeds letters to the delivery of an open run."""

    def __init__(self, run: Session, normalizer: Normalizer, *, held: bool) -> None:
        self._run = run
        self._normalizer = normalizer
        self._held = held
        self._delivery = run.delivery
        self.left: Counter[str] = Counter()
        run.ledger.repeats_held = held

    def send(self, letters: Iterable[DeadLetter]) -> None:
        """Send what these letters hold and wait for every outcome; what is refused again is written down again."""
        delivery = self._delivery
        try:
            with SIGNALS.deferred():
                delivery.recover()
                for letter in letters:
                    if letter.record is not None:
                        self._send_record(letter.record)
                    elif letter.held and not self._held:
                        self.left[HELD_BACK] += 1
                    else:
                        self._send_row(letter)
                    delivery.settle()
                    SIGNALS.check()
                delivery.flush()
                self._add(self._normalizer.finish(delivery.orders))
                delivery.flush()
        except BaseException:
            delivery.drain()
            raise
        finally:
            self._run.letters.sync()

    def _send_record(self, record: Record) -> None:
        # Alone, so that what is asked of the ledger is what this record needs, whatever stands before it.
        self._add(self._normalizer.normalize([record], self._delivery.orders))

    def _send_row(self, letter: DeadLetter) -> None:
        row = letter.row
        if row is not None and row.order_key:
            self._enter(row)
            self._delivery.orders.load([row.order_key])
            row = joined(letter, self._delivery.orders.get(row.order_key))
        if row is None:
            self.left[OUTDATED] += 1
        else:
            self._delivery.add([row])

    def _enter(self, row: Row) -> None:
        if self._run.ledger.enter([row.key]):
            self._delivery.recover()

    def _add(self, normalized: Iterable[Row | Reject | Skip]) -> None:
        rows: list[Row] = []
        for made in normalized:
            if isinstance(made, Row):
                rows.append(made)
            elif isinstance(made, Unchanged):
                self._delivery.counts[made.endpoint][UNCHANGED] += 1
            elif isinstance(made, Skip):
                self.left[made.reason] += 1
            else:
                self._run.letters.reject(made)
                self._delivery.counts[made.endpoint][REJECTED] += 1
        self._delivery.add(rows)

    @property
    def refused(self) -> int:
        """How many rows were rejected or held again."""
        return sum(counts[REJECTED] + counts[WITHHELD] for counts in self._delivery.counts.values())

    def summary(self) -> Iterator[str]:
        """Yield what became of the lines, by endpoint."""
        for endpoint, counts in self._delivery.counts.items():
            if counts:
                yield f"{endpoint}: " + ", ".join(f"{counts[fate]:,} {fate}" for fate in FATES)
        for why, count in self.left.items():
            yield f"left: {count:,} {why}"
        if not any(self._delivery.counts.values()):
            yield "nothing was sent"
        yield from self._normalizer.notes()
