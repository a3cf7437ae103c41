"""The dead-letter file: every row that is not certainly stored in Wicked, with the reason, one JSON object per line.

A line has `outcome` (`rejected` or `in_doubt`), an `id`, `reason`, `field` (Wicked's name, or empty), `endpoint`,
`stream`, `at` (UTC) and `row`. `form` says what `row` is:

- `record`: the source's record, from which no row could be made;
- `facts`: what the ledger stores about one order, from which no row could be made;
- `row`: the row as sent to the endpoint. The line also has `key` and `digest`, which identify the row in the ledger,
  and for a row of a sale `sale_key`, its `payments` (number of the order, status, amount, date), and `sale`, the state
  that the ledger would have stored.

`commands/dead_letter_reader.py` reads the file. Next to it, `*.settled` lists the ids of the lines that were replayed
or dismissed; every run reports how many of the others there are.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.errors import DeadLetterFileError
from destination_wicked_reports.model import IN_DOUBT, Reject, Row

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
#: orjson parses 1,024 levels of nesting but serializes only 254.
_LEVELS = 100
_LONGEST_INTEGER = 14_000
TOO_DEEP = "(nested too deep to be written)"

REJECTED = "rejected"
#: Ends the name of the file with the ids of the lines that were replayed or dismissed.
SETTLED_SUFFIX = ".settled"
#: Bytes of the dead-letter file that `reminder` reads at most.
READ_BYTES = 64 << 20
_ID = re.compile(rb'"id"\s*:\s*"([0-9a-f]{16})"').search
RECORD, FACTS, ROW = "record", "facts", "row"

#: Reasons for rows that the connector itself does not send, or does not send again.
TOO_LARGE = "The row is larger than the 10 MB that Wicked Reports accepts in one request."
ORDER_REJECTED = "An earlier row of the same order was rejected, and this row was computed from it."
OUTCOME_UNKNOWN = "A previous run ended after this row may have been sent and before Wicked Reports responded."


class DeadLetterFile:
    """Appends to one file. Only its owner may read it, because it contains customers' rows.

    Every method raises DeadLetterFileError if the file cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.counts = {REJECTED: 0, IN_DOUBT: 0}
        self._descriptor = -1
        self._unsynced = False

    def reject(self, reject: Reject) -> None:
        """Append a record that could not become a row."""
        details = {"form": FACTS if reject.from_ledger else RECORD}
        self._write(REJECTED, reject.reason, reject.field, reject.endpoint, reject.stream, reject.row, details)

    def reject_row(self, row: Row, reason: str) -> None:
        """Append a row that Wicked refused, or that may not be sent."""
        self._write_row(REJECTED, row, reason)

    def mark_in_doubt(self, row: Row, reason: str) -> None:
        """Append a row that Wicked may or may not have stored."""
        self._write_row(IN_DOUBT, row, reason)

    def sync(self) -> None:
        """Make what was written durable. Called before a STATE that covers these rows is released."""
        if self._unsynced:
            with _named():
                os.fsync(self._descriptor)
            self._unsynced = False

    def close(self) -> None:
        """Sync and close the file."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1

    def check_writable(self) -> None:
        """Open the file for appending, as the first rejected row would."""
        with _named():
            existed = self.path.exists()
            self._open()
            self.close()
            if not existed:
                self.path.unlink()

    # -- lines that nobody has dealt with yet --------------------------------------------------------------------------

    def settle(self, ids: Iterable[str]) -> None:
        """Record that the lines with these ids were replayed or dismissed; raises OSError."""
        content = "".join(f"{each}\n" for each in ids).encode()
        if not content:
            return
        descriptor = os.open(self._settled_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)

    def reminder(self) -> str:
        """Return a sentence about the lines that were neither replayed nor dismissed, "" if there are none.

        Lines about what the ledger stores are not counted, because every run tries these orders again.
        """
        counts, whole = self._count_open()
        total, least = counts.total(), "" if whole else "at least "
        if not total:
            return ""
        lines_are = "1 dead letter is" if total == 1 else f"{total:,} dead letters are"
        in_doubt = f" ({counts[IN_DOUBT]:,} in doubt)" if counts[IN_DOUBT] else ""
        return (
            f"Open: {least}{lines_are} in {self.path}{in_doubt}. Fix the rows and send them with `replay`, or close "
            "them with `replay --dismiss`."
        )

    def open_in_doubt(self) -> int:
        """Return how many rows in doubt were neither replayed nor dismissed."""
        return self._count_open()[0][IN_DOUBT]

    def _count_open(self) -> tuple[Counter[str], bool]:
        """Return the open lines by outcome, and whether the whole file was read."""
        counts: Counter[str] = Counter()
        rest = READ_BYTES
        try:
            settled = set(self._settled_path.read_bytes().split()) if self._settled_path.exists() else set()
            with self.path.open("rb") as lines:
                for line in lines:
                    rest -= len(line)
                    if rest < 0:
                        break
                    if not line.isspace() and not _has(line, b"form", FACTS) and line_id(line).encode() not in settled:
                        counts[IN_DOUBT if _has(line, b"outcome", IN_DOUBT) else REJECTED] += 1
        except OSError:  # the file does not exist; if it cannot be read, writing to it fails and is reported
            pass
        return counts, rest >= 0

    @property
    def _settled_path(self) -> Path:
        return self.path.with_name(self.path.name + SETTLED_SUFFIX)

    def _open(self) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                self._append(b"\n")  # a run was killed in the middle of a line: start a new one

    def _write_row(self, outcome: str, row: Row, reason: str) -> None:
        details: dict[str, Any] = {"form": ROW, "key": row.key, "digest": row.digest.hex()}
        if row.sale_key and row.sale:
            dates = [payment.get("PaymentDate") for payment in payments_of(row.endpoint, orjson.loads(row.body))]
            payments = [[*payment, date] for payment, date in zip(row.payments, dates, strict=False)]
            details |= {"sale_key": row.sale_key, "sale": row.sale, "payments": payments}
        self._write(outcome, reason, "", row.endpoint, row.stream, orjson.Fragment(row.body), details)

    def _write(
        self, outcome: str, reason: str, field: str, endpoint: str, stream: str, row: Any, details: dict[str, Any]
    ) -> None:
        with _named():
            self._open()
        dead_letter = {
            "outcome": outcome,
            "id": os.urandom(8).hex(),
            "reason": reason,
            "field": field,
            "endpoint": endpoint,
            "stream": stream,
            "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **details,
            "row": row,
        }
        try:
            line = orjson.dumps(dead_letter, default=str, option=_OPTIONS)
        except orjson.JSONEncodeError:
            # A record that cannot be serialized must not stop every run: write what can be.
            line = orjson.dumps({**dead_letter, "row": _serializable(row, _LEVELS)}, default=str, option=_OPTIONS)
        with _named():
            self._append(line)
        self.counts[outcome] += 1
        self._unsynced = True

    def _append(self, line: bytes) -> None:
        """Write all of a line or nothing: a full disk takes part of it without an error."""
        size = os.fstat(self._descriptor).st_size
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise


def payments_of(endpoint: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the payments that a row carries: those nested in an order, or the row itself if it is a payment."""
    if endpoint == ORDER_PAYMENTS.name:
        return [fields]
    return fields.get("OrderPayments") or [] if endpoint == ORDERS.name else []


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Turn an OSError into a DeadLetterFileError, so that no other file's error is taken for one of this file."""
    try:
        yield
    except OSError as error:
        raise DeadLetterFileError(error.errno, error.strerror or type(error).__name__) from None


def line_id(line: bytes) -> str:
    """Return the id of a line; for one without, such as a line written by hand, the digest of its content."""
    found = _ID(line.partition(b'"row"')[0])
    return found[1].decode() if found else blake2b(line.strip(), digest_size=8).hexdigest()


def _has(line: bytes, name: bytes, value: str) -> bool:
    """Return whether a line has this value, looking only before `row`, which comes last."""
    head = line.partition(b'"row"')[0]
    return re.search(rb'"%s"\s*:\s*"%s"' % (name, value.encode()), head) is not None


def _serializable(value: Any, levels: int) -> Any:
    """Return a value that orjson can serialize: deeper levels become TOO_DEEP, other unsupported values text."""
    if isinstance(value, dict):
        if not levels:
            return TOO_DEEP
        return {_serializable(str(k), 1): _serializable(v, levels - 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_serializable(each, levels - 1) for each in value] if levels else TOO_DEEP
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > _LONGEST_INTEGER:
        return f"(an integer of {value.bit_length():,} bits)"  # Python refuses to convert it
    small = isinstance(value, int) and value.bit_length() < 64
    return value if value is None or small or isinstance(value, float | orjson.Fragment) else str(value)
