"""Sends the rows of a dead-letter file again, after they were fixed, through the same steps as a sync.

First every line is checked; one that cannot be sent stops the replay before anything is sent. Then a record goes
through the mapping as if the source had just sent it, and a row goes to its endpoint under the key that the ledger
knows it by. Rows that a sync or an earlier replay sent meanwhile are known and not sent again. A row of a sale (an
affiliate or shop order) is not sent if the sale has changed since, because it was computed from the sale's state at
that time; the next sync sends the difference.

Rows in doubt may be in Wicked already, so they are sent only if the user asks for it (`resend_in_doubt` of the ledger).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from destination_wicked_reports.api.endpoints import ORDERS
from destination_wicked_reports.base.json_files import unreadable
from destination_wicked_reports.commands.dead_letter_reader import DeadLetter, DeadLetterReader, is_current
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile, line_id, row_of
from destination_wicked_reports.delivery.session import Session
from destination_wicked_reports.errors import ConfigurationError, ReplayError
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.model import Record, Row
from destination_wicked_reports.signals import SIGNALS

MAX_LISTED_LINES = 20
NOT_ASKED_FOR = "rows in doubt: check whether Wicked has them, and send the missing ones with --in-doubt"
OUTDATED = "rows and records older than what was sent since: the next sync sends the difference"


def read_dead_letters(
    path: Path, reader: DeadLetterReader, size: int | None = None
) -> Iterator[tuple[int, DeadLetter | ReplayError]]:
    """Yield the number and the content or error of every line within the first `size` bytes, except blank lines."""
    remaining = path.stat().st_size if size is None else size
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            remaining -= len(line)
            if remaining < 0:
                return
            if line.strip():
                yield number, _read(reader, line)


def _read(reader: DeadLetterReader, line: bytes) -> DeadLetter | ReplayError:
    try:
        return reader.read(line)
    except ReplayError as error:
        return error


def check_file(path: Path, reader: DeadLetterReader) -> int:
    """Return the size of the checked file; ConfigurationError lists the lines that cannot be sent."""
    try:
        size = path.stat().st_size
        errors = [
            f"line {number} {result}"
            for number, result in read_dead_letters(path, reader, size)
            if isinstance(result, ReplayError)
        ]
    except OSError as error:
        raise ConfigurationError(unreadable(f"The dead-letter file {path}", error)) from None
    if errors:
        more = f"\nand {len(errors) - MAX_LISTED_LINES:,} more" if len(errors) > MAX_LISTED_LINES else ""
        raise ConfigurationError(
            f"Nothing was sent, because {len(errors):,} of the lines in {path} cannot be. Fix or remove them:\n"
            + "\n".join(errors[:MAX_LISTED_LINES])
            + more
        )
    return size


def dismiss(path: Path, dead_letters: DeadLetterFile, ledger: Ledger) -> int:
    """Close every line of a dead-letter file without sending it; return how many. Raises ConfigurationError."""
    keys: dict[str, list[str]] = {}
    try:
        with path.open("rb") as lines:
            ids = []
            for line in lines:
                if line.strip():
                    ids.append(line_id(line))
                    if row := row_of(line):
                        keys.setdefault(row[0], []).append(row[1])
        dead_letters.settle(ids)
        ledger.dismiss(keys)
    except OSError as error:
        raise ConfigurationError(f"The dead-letter file {path} cannot be closed ({error.strerror}).") from None
    return len(ids)


class Replay:
    """Passes dead letters to the dispatcher of an open session."""

    def __init__(self, session: Session, normalizer: Normalizer) -> None:
        self._session = session
        self._normalizer = normalizer
        self._dispatcher = session.dispatcher
        self._tally = session.tally
        #: Rows in doubt of sales are queued, and overlay their sales with an earlier state until they are sent.
        self._queued_in_doubt = False

    def send(self, dead_letters: Iterable[DeadLetter]) -> None:
        """Send these dead letters and wait for all results; rows that fail again go to the dead-letter file again."""
        dispatcher = self._dispatcher
        done: list[str] = []  # ids of the lines that are sent, outdated, or in the file again under another id
        try:
            with SIGNALS.deferred():
                dispatcher.recover()
                for dead_letter in dead_letters:
                    if dead_letter.record is not None:
                        self._send_record(dead_letter.record)
                    elif dead_letter.in_doubt and not self._session.ledger.resend_in_doubt:
                        self._tally.skip(NOT_ASKED_FOR)
                        continue
                    else:
                        self._send_row(dead_letter)
                    done.append(dead_letter.id)
                    dispatcher.collect()
                    SIGNALS.check()
                dispatcher.flush()
                dispatcher.add(self._tally.rows_of(self._normalizer.finish(dispatcher.orders)))
                dispatcher.flush()
                self._session.ledger.verify_location()
        except BaseException as error:
            dispatcher.abort(at_once=not isinstance(error, Exception))
            raise
        finally:
            self._session.dead_letters.sync()
        self._session.dead_letters.settle(done)

    def _send_record(self, record: Record) -> None:
        self._flush_in_doubt()
        # One at a time, so that the mapping loads the ledger's state after the records before it.
        normalized = self._normalizer.normalize([record], self._dispatcher.orders)
        self._dispatcher.add(self._tally.rows_of(normalized))

    def _send_row(self, dead_letter: DeadLetter) -> None:
        row = dead_letter.row
        if row is None:
            return
        if row.sale is not None:
            row.sale = self._normalizer.as_stored(row.sale)
        if row.sale_key and dead_letter.in_doubt:
            self._queued_in_doubt = True
        elif row.sale_key and row.sale:
            self._flush_in_doubt()
            self._acquire(row)
            self._dispatcher.orders.load([row.sale_key])
            known = self._dispatcher.orders.get(row.sale_key)
            if not is_current(row, known):
                self._tally.skip(OUTDATED)
                return
            if known and row.endpoint != ORDERS.name:
                # Its order may have been sent with a fixed contact.
                row.sale = row.sale._replace(contact_id=known.contact_id, contact_email=known.contact_email)
        self._dispatcher.add([row])

    def _acquire(self, row: Row) -> None:
        if self._session.ledger.acquire([row.key]):
            self._dispatcher.recover()

    def _flush_in_doubt(self) -> None:
        if self._queued_in_doubt:
            self._dispatcher.flush()
            self._queued_in_doubt = False

    def summary(self) -> Iterator[str]:
        """Yield what became of the lines."""
        yield from self._tally.lines()
        yield from self._tally.left_out_lines()
        for reason, sampled in self._tally.skipped.items():
            yield f"not sent: {sampled.count:,} {reason}"
        if self._tally.empty:
            yield "Nothing was sent."
        yield from self._normalizer.notes()
