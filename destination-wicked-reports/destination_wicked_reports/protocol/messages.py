"""Airbyte messages as lines: reads them from a pipe, parses them, writes them to standard output."""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
from airbyte_cdk.logger import AirbyteLogFormatter

from destination_wicked_reports.base.errors import transient_error
from destination_wicked_reports.errors import InvalidInputError

#: Bytes per read. Larger chunks no longer fit into the processor's cache.
CHUNK = 1 << 17
#: Seconds without input after which `read_lines` yields an empty list.
POLL_SECONDS = 0.2
#: Message types a destination ignores.
IGNORED = frozenset({"LOG", "CONTROL", "SPEC", "CATALOG", "CONNECTION_STATUS", "DESTINATION_CATALOG"})


def parse(line: bytes, number: int) -> dict[str, Any]:
    """Return one message; raises InvalidInputError unless the parts that the writer uses are valid."""
    try:
        message: dict[str, Any] = orjson.loads(line)
        kind = message["type"]
        if kind == "RECORD":
            record = message["record"]
            whole = type(record["stream"]) is str and type(record["data"]) is dict
            whole = whole and ("namespace" not in record or isinstance(record["namespace"], str | None))
        elif kind == "STATE":
            message = json.loads(line)  # STATEs of a platform may have longer integers than orjson reads
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
    except orjson.JSONDecodeError:
        raise InvalidInputError(number, "is not complete JSON") from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise InvalidInputError(number, "is not a valid Airbyte message")
    return message


class Output:
    """Standard output, or another stream. Writes whole messages from any thread and flushes each."""

    def __init__(self, stream: BinaryIO | None = None):
        self._stream = stream
        self._lock = threading.Lock()

    def emit(self, message: Any) -> None:
        """Write one message, given as an object or as an encoded line without a newline; raises OSError."""
        line = message if isinstance(message, bytes) else _encoded(message)
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


def _encoded(message: Any) -> bytes:
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError:  # integers of more than 64 bits, or more than 254 levels
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


class OutputHandler(logging.Handler):
    """Writes log records as LOG messages through the same lock as all other messages."""

    def __init__(self, output: Output):
        super().__init__()
        self._output = output
        self.setFormatter(AirbyteLogFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one LOG message."""
        self._output.emit(self.format(record).encode())


def read_lines(descriptor: int) -> Iterator[list[bytes]]:
    """Yield the lines of a pipe as they arrive, a list at a time.

    Yields an empty list after every `POLL_SECONDS` without input, so that the caller can check its requests and its
    clock. The last line may be incomplete if the source died while writing it. Raises transient_error if the pipe
    cannot be read.
    """
    try:
        yield from _read_lines(descriptor)
    except OSError as error:
        raise transient_error(
            f"Standard input cannot be read ({error.strerror}). Everything before was delivered; run the sync again."
        ) from None


def _read_lines(descriptor: int) -> Iterator[list[bytes]]:
    rest = b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
        if not ready:
            yield []
            continue
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            break
        lines = chunk.split(b"\n")
        lines[0] = rest + lines[0]
        rest = lines.pop()
        yield lines
    if rest:
        yield [rest]
