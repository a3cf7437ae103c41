"""The dead-letter file: every row that is not certainly stored in Wicked, with the reason, one JSON object per line.

A line has `outcome` (`rejected` or `in_doubt`), an `id`, `reason`, `field` (Wicked's name, or empty), `endpoint`,
`stream`, `at` (UTC) and `row`. `form` says what `row` is:

- `record`: the source's record, from which no row could be made;
- `facts`: what the ledger stores about one order, from which no row could be made;
- `row`: the row as sent to the endpoint. The line also has `key` and `digest`, which identify the row in the ledger,
  and for a row of a sale `sale_key`, its `payments` (number of the order, status, amount, date), and `sale`, the state
  that the ledger would have stored.

A rejected line also has a `hash` of its content. A row that is rejected again by later runs is in the file once, as
long as its line is open.

`commands/dead_letter_reader.py` reads the file. Next to it, `*.settled` lists the ids of the lines that were replayed
or dismissed; the others are open, and every run reports how many there are.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.config.files import NO_FILE_LOCKS, make_private, open_private
from destination_wicked_reports.errors import ConfigurationError, DeadLetterFileError
from destination_wicked_reports.ledger.sale_json import sale_facts
from destination_wicked_reports.mappings.affiliate.returns import NOTHING_TO_FIX
from destination_wicked_reports.model import IN_DOUBT, Reject, Row

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
#: orjson parses 1,024 levels of nesting but serializes only 254.
_LEVELS = 100
_LONGEST_INTEGER = 14_000
TOO_DEEP = "(nested too deep to be written)"

REJECTED = "rejected"
#: Counts rejected returns with which nothing is wrong.
_RETURN = "return"
#: Ends the name of the file with the ids of the lines that were replayed or dismissed.
SETTLED_SUFFIX = ".settled"
#: Bytes of the dead-letter file that are read at most: for `reminder`, and to find rows that are in the file already.
READ_BYTES = 64 << 20
#: Rows of this run that are remembered at most, to find them in the file.
MOST_HASHES = 250_000
#: The beginning of every line that this module writes.
_START = b'{"outcome'
_ID = re.compile(rb'"id"\s*:\s*"([0-9a-f]{16})"').search
_HASH = re.compile(rb'"hash"\s*:\s*"([0-9a-f]{32})"').search
RECORD, FACTS, ROW = "record", "facts", "row"

#: Reasons for rows that the connector itself does not send, or does not send again.
TOO_LARGE = "The row is larger than the 10 MB that Wicked Reports accepts in one request."
ORDER_REJECTED = "An earlier row of the same order was rejected, and this row was computed from it."
OUTCOME_UNKNOWN = "A previous run ended after this row may have been sent and before Wicked Reports responded."


class DeadLetterFile:
    """Appends to one file, which other processes may append to. Only its owner may read it: it has customers' rows.

    A row that was rejected by an earlier run, too, is only counted, unless `repeat` is set, as `replay` does: it closes
    the lines that it sends. Every method raises DeadLetterFileError if the file cannot be written.
    """

    def __init__(self, path: Path, *, repeat: bool = False):
        self.path = path
        self._repeat = repeat
        #: The hashes of open lines; None until the file was read.
        self._hashes: set[bytes] | None = None
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
                if not os.fstat(self._descriptor).st_nlink:
                    raise OSError(errno.ENOENT, "it was removed during the run")
            self._unsynced = False

    def close(self) -> None:
        """Sync and close the file."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1

    def check_writable(self) -> None:
        """Open the file for appending, as the first rejected row would. Also raises if it holds anything else."""
        with _named():
            existed = self.path.exists()
            with self._locked():
                start = os.pread(self._descriptor, 1 << 16, 0).lstrip()
                others = [each for each in _standard_files() if each != self._descriptor]  # one of 0-2 if it was closed
                is_output = any(os.path.sameopenfile(self._descriptor, each) for each in others)
            self.close()
            if not existed:
                self.path.unlink()
            if is_output:
                raise OSError(errno.EINVAL, "it is the standard input or output of this run")
            line = start.partition(b"\n")[0]
            if not (start.startswith(_START) or _START.startswith(start) or (line[:1] == b"{" and b'"row"' in line)):
                raise OSError(errno.EINVAL, "it exists and holds something else than dead letters")
            if existed:
                make_private(self.path)  # only now, when it is known to be a dead-letter file

    # -- lines that nobody has dealt with yet --------------------------------------------------------------------------

    def settle(self, ids: Iterable[str]) -> None:
        """Record that the lines with these ids were replayed or dismissed; raises OSError."""
        self._hashes = None  # of open lines
        content = "".join(f"{each}\n" for each in ids).encode()
        if not content:
            return
        descriptor = open_private(self._settled_path, os.O_WRONLY | os.O_APPEND)
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
        todo = []
        if counts[REJECTED]:
            todo.append("Fix the rejected rows and send them with `replay`.")
        if counts[_RETURN]:
            todo.append("Returns are in the ledger: there is nothing to fix.")
        if counts[IN_DOUBT]:
            todo.append(
                "`ledger in-doubt --ask` says which rows in doubt Wicked has; `replay --in-doubt` sends missing ones."
            )
        return (
            f"Open: {least}{lines_are} in {self.path}{in_doubt}. {' '.join(todo)} `replay --dismiss` closes the rest."
        )

    def open_in_doubt(self) -> int:
        """Return how many rows in doubt were neither replayed nor dismissed. The ledger knows more, if there is one."""
        return self._count_open()[0][IN_DOUBT]

    def without_line(self, keys: Iterable[str]) -> list[str]:
        """Return those of these ledger keys that no open line has; none if the file is too large to tell."""
        wanted = list(keys)
        if not wanted or not self._is_read_whole():
            return []
        known = {row[1] for line in self._open_lines() if (row := row_of(line))}
        return [key for key in wanted if key not in known]

    def open_rows_in_doubt(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of rows in doubt that were neither replayed nor dismissed, with numbers as Decimal."""
        for line in self._open_in_doubt():
            try:
                letter = json.loads(line, parse_float=Decimal)
            except (ValueError, RecursionError):  # a run was killed in the middle of a line
                continue
            yield {**letter, "id": line_id(line)}

    def write_in_doubt(self, path: Path, ids: Collection[str] | None = None) -> int:
        """Write the same lines, or those with these ids, to a new file, readable by its owner only; return how many."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be created ({error.strerror}). Choose another file.") from None
        count = 0
        with os.fdopen(descriptor, "wb") as file:
            for line in self._open_in_doubt():
                if ids is None or line_id(line) in ids:
                    file.write(line.rstrip(b"\n") + b"\n")
                    count += 1
        return count

    def _open_in_doubt(self) -> Iterator[bytes]:
        return (line for line in self._open_lines() if _has(line, b"outcome", IN_DOUBT))

    def _count_open(self) -> tuple[Counter[str], bool]:
        """Return the open lines by outcome, and whether the whole file was read."""
        counts: Counter[str] = Counter()
        for line in self._open_lines():
            if not _has(line, b"form", FACTS):
                outcome = IN_DOUBT if _has(line, b"outcome", IN_DOUBT) else REJECTED
                counts[_RETURN if any(_has(line, b"reason", each) for each in NOTHING_TO_FIX) else outcome] += 1
        return counts, self._is_read_whole()

    def _is_read_whole(self) -> bool:
        """Return whether `_open_lines` reads the whole file."""
        with contextlib.suppress(OSError):
            return self.path.stat().st_size <= READ_BYTES
        return True

    def _open_lines(self) -> Iterator[bytes]:
        """Yield the lines that were neither replayed nor dismissed, of the first `READ_BYTES` of the file."""
        rest = READ_BYTES
        try:
            settled = set(self._settled_path.read_bytes().split()) if self._settled_path.exists() else set()
            with self.path.open("rb") as lines:
                for line in lines:
                    rest -= len(line)
                    if rest < 0:
                        return
                    if not line.isspace() and line_id(line).encode() not in settled:
                        yield line
        except OSError:  # the file does not exist; if it cannot be read, writing to it fails and is reported
            return

    @property
    def _settled_path(self) -> Path:
        return self.path.with_name(self.path.name + SETTLED_SUFFIX)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the file against other processes. It is opened first, and again if it was moved away meanwhile."""
        while True:
            if self._descriptor < 0:
                self._descriptor = open_private(self.path, os.O_RDWR | os.O_APPEND)
                self._hashes = None
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            except OSError as error:
                raise OSError(error.errno, NO_FILE_LOCKS) from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._descriptor), self.path.stat()):
                    break
            self.close()
        try:
            yield
        finally:
            if self._descriptor >= 0:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _write_row(self, outcome: str, row: Row, reason: str) -> None:
        details: dict[str, Any] = {"form": ROW, "key": row.key, "digest": row.digest.hex()}
        if row.sale_key and row.sale:
            dates = [payment.get("PaymentDate") for payment in payments_of(row.endpoint, orjson.loads(row.body))]
            payments = [[*payment, date] for payment, date in zip(row.payments, dates, strict=False)]
            details |= {"sale_key": row.sale_key, "sale": sale_facts(row.sale), "payments": payments}
        self._write(outcome, reason, "", row.endpoint, row.stream, orjson.Fragment(row.body), details)

    def _write(
        self, outcome: str, reason: str, field: str, endpoint: str, stream: str, row: Any, details: dict[str, Any]
    ) -> None:
        try:
            content = orjson.dumps(row, default=str, option=_OPTIONS | orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            # A record that cannot be serialized must not stop every run: write what can be.
            row = _serializable(row, _LEVELS)
            content = orjson.dumps(row, default=str, option=_OPTIONS | orjson.OPT_SORT_KEYS)
        digest = ""
        if outcome == REJECTED:
            names = (details["form"], endpoint, stream, details.get("key", ""))
            digest = blake2b("\0".join(names).encode(errors="replace") + b"\0" + content, digest_size=16).hexdigest()
            details = {"hash": digest, **details}
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
        line = orjson.dumps(dead_letter, default=str, option=_OPTIONS)
        with _named(), self._locked():
            if self._repeat or outcome != REJECTED:
                self._append(line)
            else:
                self._append_once(line, bytes.fromhex(digest))
        self.counts[outcome] += 1
        self._unsynced = True  # also a line that an earlier run wrote: it may have died before it synced it

    def _append_once(self, line: bytes, digest: bytes) -> None:
        """Append a line unless the file has an open one of the same content."""
        if self._hashes is None:
            found = (_HASH(each.partition(b'"row"')[0]) for each in self._open_lines())
            self._hashes = {bytes.fromhex(each[1].decode()) for each in found if each}
        if digest in self._hashes:
            return
        self._append(line)
        if len(self._hashes) < MOST_HASHES:
            self._hashes.add(digest)

    def _append(self, line: bytes) -> None:
        """Write all of a line or nothing, to the locked file: a full disk takes part of it without an error."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a run was killed in the middle of a line: start a new one
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


def _standard_files() -> Iterator[int]:
    """Yield the descriptors of standard input, output and error that are open."""
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            yield descriptor


def line_id(line: bytes) -> str:
    """Return the id of a line; for one without, such as a line written by hand, the digest of its content."""
    found = _ID(line.partition(b'"row"')[0])
    return found[1].decode() if found else blake2b(line.strip(), digest_size=8).hexdigest()


def row_of(line: bytes) -> tuple[str, str] | None:
    """Return the endpoint and the ledger key of a line about a row; None for any other line."""
    if b'"key"' not in line:  # not only before "row", which is also the value of "form"
        return None
    try:
        letter = orjson.loads(line)
    except orjson.JSONDecodeError:  # written by hand, or cut
        return None
    endpoint, key = letter.get("endpoint"), letter.get("key")
    return (endpoint, key) if isinstance(endpoint, str) and isinstance(key, str) else None


def _has(line: bytes, name: bytes, value: str) -> bool:
    """Return whether a line has this value, looking only before `row`, which comes last."""
    head = line.partition(b'"row"')[0]
    return re.search(rb'"%s"\s*:\s*"%s"' % (name, re.escape(value.encode())), head) is not None


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
