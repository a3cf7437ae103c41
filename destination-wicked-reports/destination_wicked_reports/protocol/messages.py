"""Airbyte messages as bytes: lines in from a pipe, messages out through one buffer that is flushed at once."""

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

from destination_wicked_reports.errors import InvalidInputError

#: Lines read at once; more of them would leave the processor's cache before they are looked at.
CHUNK = 1 << 17
#: Message types that are no business of a destination's.
PASSED_OVER = frozenset({"LOG", "CONTROL", "SPEC", "CATALOG", "CONNECTION_STATUS", "DESTINATION_CATALOG"})


def parse(line: bytes, number: int) -> dict[str, Any]:
    """Return one message as it came, its parts checked as far as the writer uses them; raises InvalidInputError."""
    try:
        message: dict[str, Any] = orjson.loads(line)
        kind = message["type"]
        if kind == "RECORD":
            record = message["record"]
            whole = type(record["stream"]) is str and type(record["data"]) is dict
            whole = whole and ("namespace" not in record or isinstance(record["namespace"], str | None))
        elif kind == "STATE":
            message = json.loads(line)  # a platform's whole numbers may be longer than orjson's
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
            whole = kind in PASSED_OVER
    except orjson.JSONDecodeError:
        raise InvalidInputError(number, "is not whole JSON") from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise InvalidInputError(number, "is not a whole Airbyte message")
    return message


class Output:
    """Standard output, one whole message at a time from any thread, each visible at once."""

    def __init__(self, stream: BinaryIO | None = None):
        if stream is None and sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._stream = stream or sys.stdout.buffer
        self._lock = threading.Lock()

    def emit(self, message: Any) -> None:
        """Write one message, given as a JSON-ready object or as an encoded line without its end."""
        line = message if isinstance(message, bytes) else _encoded(message)
        with self._lock:
            self._stream.write(line + b"\n")
            self._stream.flush()


def _encoded(message: Any) -> bytes:
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError:  # numbers past 64 bits, more than 254 levels
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


class OutputHandler(logging.Handler):
    """Turns log records into LOG messages on the same output, so that no message is ever torn by another."""

    def __init__(self, output: Output):
        super().__init__()
        self._output = output
        self.setFormatter(AirbyteLogFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one LOG message."""
        self._output.emit(self.format(record).encode())


def read_lines(descriptor: int, timeout: float) -> Iterator[list[bytes]]:
    """Yield the lines of a pipe as they come, a list at a time; an empty list when none came for `timeout` seconds.

    The empty lists let the caller look after its requests and its clock while the source is silent. The last list may
    end with a line that has no end: the source may have died in the middle of it.
    """
    rest = b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], timeout)
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
