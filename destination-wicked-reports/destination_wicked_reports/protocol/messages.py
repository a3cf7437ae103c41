"""Airbyte messages as lines: reads them from a pipe, parses them, writes them to standard output."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import select
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson
from airbyte_cdk.logger import AirbyteLogFormatter

from destination_wicked_reports.api.json_text import BYTE_ORDER_MARK, read_json
from destination_wicked_reports.base.errors import config_error, transient_error
from destination_wicked_reports.base.json_parser import may_lose_digits
from destination_wicked_reports.errors import InvalidInputError

#: Bytes per read. Larger chunks no longer fit into the processor's cache.
CHUNK = 1 << 17
#: Seconds without input after which `read_lines` yields an empty list.
POLL_SECONDS = 0.2
#: Bytes of the longest line. No row of more than 10 MB can be sent.
LINE_LIMIT = 64 << 20
#: Bytes of an unreadable line in which its stream is looked for, and which the dead letter shows.
HEAD = 1 << 16
EXCERPT = 4000
TOO_LONG = f"longer than {LINE_LIMIT >> 20} MB"
TOO_DEEP = "nested too deep"
#: The texts and marks of JSON, wherever they are.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\],:]', re.DOTALL).finditer
#: Message types a destination ignores.
IGNORED = frozenset({"LOG", "CONTROL", "SPEC", "CATALOG", "CONNECTION_STATUS", "DESTINATION_CATALOG"})


@dataclass(slots=True)
class BadRecord:
    """A RECORD with something that JSON does not allow; `reason` names it. `data` shows as much as could be read."""

    stream: str
    namespace: str
    data: dict[str, Any]
    reason: str


@dataclass(slots=True)
class LongLine:
    """The beginning of a line that is longer than LINE_LIMIT; the rest was dropped."""

    head: bytes


#: A line as it arrived, and what the writer takes.
RawLine = bytes | LongLine
Line = bytes | LongLine | BadRecord


def parse(line: bytes, number: int) -> dict[str, Any] | BadRecord | None:
    """Return one message, None for a blank line.

    Raises InvalidInputError unless the parts that the writer uses are valid.
    """
    try:
        message: Any = orjson.loads(line)
        if may_lose_digits(line):
            message = read_json(line)[0]
        if message["type"] == "RECORD":
            record = message["record"]
            whole = type(record["stream"]) is str and type(record["data"]) is dict
            if whole and ("namespace" not in record or isinstance(record["namespace"], str | None)):
                return message  # type: ignore[no-any-return]
    except (orjson.JSONDecodeError, RecursionError):
        return _parse_leniently(line, number)
    except (KeyError, TypeError):
        raise _invalid(number) from None
    return _checked(message, line, number)


def _invalid(number: int) -> InvalidInputError:
    return InvalidInputError(number, "is not a valid Airbyte message")


def _checked(message: Any, line: bytes, number: int) -> dict[str, Any]:
    """Return a message; raises InvalidInputError if it is none."""
    try:
        kind = message["type"]
        if kind == "RECORD":
            record = message["record"]
            whole = type(record["stream"]) is str and type(record["data"]) is dict
            whole = whole and ("namespace" not in record or isinstance(record["namespace"], str | None))
        elif kind == "STATE":
            message = read_state(line)
            state = message["state"]
            whole = isinstance(state.get("destinationStats"), dict | None)
            if state.get("type") == "STREAM":
                descriptor = state["stream"]["stream_descriptor"]
                whole = (
                    whole
                    and isinstance(descriptor["name"], str)
                    and isinstance(descriptor.get("namespace"), str | None)
                )
        elif kind == "TRACE":
            whole = isinstance(message["trace"].get("error"), dict | None)
        else:
            whole = kind in IGNORED
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        whole = False
    if not whole:
        raise _invalid(number)
    checked: dict[str, Any] = message
    return checked


def _parse_leniently(line: bytes, number: int) -> dict[str, Any] | BadRecord | None:
    """Return the message of a line that orjson refuses."""
    if not line.strip():
        return None
    try:
        message, fault = read_json(line)
    except RecursionError:
        return _unreadable(line, number, TOO_DEEP)
    except ValueError:
        raise InvalidInputError(number, "is not complete JSON") from None
    message = _checked(message, line, number)
    if fault and message["type"] == "RECORD":
        record = message["record"]
        return BadRecord(record["stream"], record.get("namespace") or "", record["data"], contains(fault))
    return message


def parse_long(line: LongLine, number: int) -> BadRecord:
    """Return the record that a line above the limit begins; raises InvalidInputError if it shows no stream."""
    return _unreadable(line.head, number, TOO_LONG)


def _unreadable(line: bytes, number: int, reason: str) -> BadRecord:
    found = find_names(line[:HEAD])
    stream = found.get(("record", "stream"))
    if stream is None:
        raise InvalidInputError(number, f"is {reason}, and not a record whose stream can be read")
    return BadRecord(stream, found.get(("record", "namespace"), ""), excerpt(line), f"the record is {reason}")


def contains(fault: str) -> str:
    """Return the reason of a dead letter."""
    return f"the record contains {fault}"


def excerpt(line: bytes) -> dict[str, Any]:
    """Return the beginning of a line in the form of a record, for the dead-letter file."""
    return {"line": line[:EXCERPT].decode(errors="replace")}


def find_names(head: bytes) -> dict[tuple[str, ...], str]:
    """Return the texts outside of data at the beginning of a line, by their path: `("record", "stream")`.

    It reads no more than it must, so the line may be incomplete or nested without end.
    """
    found: dict[tuple[str, ...], str] = {}
    path: list[str] = []
    key = ""
    pending = ""  # the last text, which is a key if a colon follows
    after_colon = False
    for token in _TOKENS(head):
        mark = token[0]
        if mark[:1] == b'"':
            pending = mark[1:-1].decode(errors="replace")
            where = (*path[1:], key)
            if after_colon and len(where) <= 2:
                found[where] = _unescaped(pending)
            after_colon = False
        elif mark == b":":
            key, after_colon = pending, True
        elif mark in b"{[":
            path.append(key if after_colon else "")
            after_colon = False
        elif mark in b"}]":
            del path[-1:]
            after_colon = False
        else:
            after_colon = False
    return found


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def read_state(line: bytes) -> Any:
    """Return a STATE so that `encode` writes every number of it as it was; raises ValueError.

    The value belongs to the source or the platform, which may use longer numbers and deeper nesting than orjson reads.
    """
    line.removeprefix(BYTE_ORDER_MARK).decode()  # a STATE that is not UTF-8 would be changed
    return read_json(line, exact=orjson.Fragment)[0]


def encode(message: Any) -> bytes:
    """Return a message as a line without a newline."""
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError:  # integers of more than 64 bits, more than 254 levels, lone surrogates
        return json.dumps(message, separators=(",", ":"), default=_decode_fragment).encode()


def _decode_fragment(value: Any) -> Any:
    return json.loads(orjson.dumps(value))


class Output:
    """Standard output, or another stream. Writes whole messages from any thread and flushes each."""

    def __init__(self, stream: BinaryIO | None = None):
        self._stream = stream
        self._lock = threading.Lock()

    def emit(self, message: Any) -> None:
        """Write one message, given as an object or as an encoded line without a newline; raises OSError."""
        line = message if isinstance(message, bytes) else encode(message)
        with self._lock:
            stream = self._stream or self.open()
            stream.write(line + b"\n")
            stream.flush()

    def open(self) -> BinaryIO:
        """Return the stream; raises OSError if this process was started with standard output closed.

        Call it before opening any file, because a file would take the free descriptor 1.
        """
        if self._stream is None:
            if sys.stdout is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._stream = sys.stdout.buffer
        return self._stream


class OutputHandler(logging.Handler):
    """Writes log records as LOG messages through the same lock as all other messages."""

    def __init__(self, output: Output):
        super().__init__()
        self._output = output
        self.setFormatter(AirbyteLogFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one LOG message."""
        self._output.emit(self.format(record).encode())


def read_lines(descriptor: int) -> Iterator[list[RawLine]]:
    """Yield the lines of a pipe as they arrive, a list at a time.

    Yields an empty list after every `POLL_SECONDS` without input, so that the caller can check its requests and its
    clock. The last line may be incomplete if the source died while writing it. Of a line of more than LINE_LIMIT bytes
    only the beginning is kept. Raises transient_error if the pipe cannot be read.
    """
    try:
        yield from _read_lines(descriptor)
    except OSError as error:
        raise transient_error(
            f"Standard input cannot be read ({error.strerror}). Everything before was delivered; run the sync again."
        ) from None


def standard_input() -> int:
    """Return the descriptor of standard input; raises config_error if the caller closed it."""
    if sys.stdin is None:
        raise config_error("Standard input is closed. Pipe the messages of a source into this command.")
    return sys.stdin.fileno()


def require_input(input_lines: Iterable[list[RawLine]]) -> Iterator[list[RawLine]]:
    """Yield these lists of lines; raise config_error at the end if every line was blank or there was none."""
    arrived = False
    for lines in input_lines:
        arrived = arrived or any(isinstance(line, LongLine) or line.strip() for line in lines)
        yield lines
    if not arrived:
        raise config_error(
            "No messages arrived on standard input: did the source start? Fix the error that it printed, and run the "
            "sync again."
        )


def _read_lines(descriptor: int) -> Iterator[list[RawLine]]:
    pieces: list[bytes] = []  # of the line that is not complete yet
    size = 0
    while True:
        ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
        if not ready:
            yield []
            continue
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            break
        first, *lines = chunk.split(b"\n")
        if size <= LINE_LIMIT:
            pieces.append(first)
        size += len(first)
        if size > LINE_LIMIT:
            pieces = [b"".join(pieces)[:HEAD]]
        if not lines:
            yield []
            continue
        rest = lines.pop()
        yield [_joined(pieces, size), *lines]
        pieces, size = [rest], len(rest)
    if size:
        yield [_joined(pieces, size)]


def _joined(pieces: list[bytes], size: int) -> RawLine:
    whole = b"".join(pieces)
    return LongLine(whole) if size > LINE_LIMIT else whole
