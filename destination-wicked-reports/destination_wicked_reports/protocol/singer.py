"""Translates between Singer and Airbyte: a tap's lines for the writer, and the writer's messages for a Singer runner.

Source: the Singer specification, "Target" and "Message types"; the behavior of tap-airbyte-wrapper 0.7.0 and
Meltano 4.4.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, TextIO

import orjson
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.api.deletion_marks import Marks, find_marks, is_deleted
from destination_wicked_reports.api.json_text import read_json
from destination_wicked_reports.base.errors import config_error
from destination_wicked_reports.base.json_parser import may_lose_digits
from destination_wicked_reports.base.terminal_log import format_line
from destination_wicked_reports.errors import InvalidInputError
from destination_wicked_reports.protocol.catalog import prefix_hint
from destination_wicked_reports.protocol.messages import (
    HEAD,
    TOO_DEEP,
    TOO_LONG,
    BadRecord,
    Line,
    LongLine,
    Output,
    RawLine,
    contains,
    encode,
    excerpt,
    find_names,
    read_state,
)

logger = logging.getLogger("airbyte")

#: Only states of tap-airbyte-wrapper have this key.
WRAPPER_KEY = "airbyte_state"
#: Columns that taps and Meltano add.
ADDED = "_sdc_"


class SingerOutput(Output):
    """Writes the value of each STATE to standard output, one a line, and logs and errors as text to standard error."""

    def __init__(self, stream: BinaryIO | None = None, log: TextIO | None = None):
        super().__init__(stream)
        self._log = log or sys.stderr

    def emit(self, message: Any) -> None:
        """Write one Airbyte message as a Singer target does."""
        if isinstance(message, bytes):
            message = orjson.loads(message)
        if message["type"] == "STATE":
            super().emit(message["state"]["data"])
        elif message["type"] == "LOG":
            self._write_log(message["log"]["level"], message["log"]["message"])
        elif message["type"] == "TRACE":
            self._write_log("CRITICAL", message["trace"]["error"]["message"])

    def _write_log(self, level: str, text: str) -> None:
        self._log.write(f"{format_line(level, text)}\n")
        self._log.flush()


class Translator:
    """Translates lists of Singer lines, line by line, so that line numbers in messages are those of the tap's output.

    `streams` are the streams that the mapping supports; `route` returns the one for a name in another spelling.
    `renamed` maps a stream of the tap to one of them, or to None
    to leave it out. `keep_versions` ignores ACTIVATE_VERSION messages instead of refusing them.
    """

    def __init__(
        self,
        streams: Collection[str],
        renamed: Mapping[str, str | None],
        *,
        keep_versions: bool = False,
        route: Callable[[str], str | None] | None = None,
    ):
        self._streams = streams
        self._route = route or (lambda stream: stream if stream in streams else None)
        self._renamed = renamed
        self._keep_versions = keep_versions
        self._names: dict[str, str | None] = {}
        self._line_number = 0
        self._wrapper_state: bytes | None = None
        self._is_final = False
        self._deleted: Counter[str] = Counter()
        #: the columns of the last record, those that the tap added, and the marks of deletion among these
        self._names_seen: tuple[str, ...] = ()
        self._added: frozenset[str] = frozenset()
        self._marks: Marks = ()

    def translate(self, input_lines: Iterable[Sequence[RawLine]]) -> Iterator[list[Line]]:
        """Yield lists of Airbyte lines, empty for a Singer line without one.

        Raises InvalidInputError or config_error for a line, after yielding the lines before it.
        """
        for lines in input_lines:
            translated: list[Line] = []
            try:
                for line in lines:
                    self._line_number += 1
                    translated.append(self._translate(line))
            except AirbyteTracedException:
                yield translated
                raise
            yield translated
        if self._is_final:
            yield [self._wrapper_state or b""]
        elif self._wrapper_state is not None:
            logger.warning(
                "The tap ended before its sync was complete. Its records were delivered, but its state is not "
                "returned: find out why it ended and run it again. It starts where this run started; nothing is sent "
                "twice."
            )
        for name, count in self._deleted.items():
            logger.warning(
                "%s: %s rows are marked as deleted and were left out: Wicked Reports cannot delete.", name, count
            )

    def _translate(self, line: RawLine) -> Line:
        if isinstance(line, LongLine):
            return self._unreadable(line.head, TOO_LONG)
        if not line.strip():
            return b""
        fault = ""
        try:
            try:
                message = orjson.loads(line)
                if may_lose_digits(line):
                    message = read_json(line, exact=orjson.Fragment)[0]
            except orjson.JSONDecodeError:
                message, fault = read_json(line)
        except RecursionError:
            return self._unreadable(line, TOO_DEEP)
        except ValueError:
            raise InvalidInputError(self._line_number, "is not complete JSON") from None
        try:
            kind = message["type"]
            if kind == "RECORD":
                self._is_final = False
                return self._record(_stream_of(message), message["record"], fault)
            if kind == "STATE":
                return self._take_state(read_state(line)["value"])
            self._is_final = False
            if kind == "SCHEMA":
                self._add(_stream_of(message))
            elif kind == "ACTIVATE_VERSION":
                self._activate(_stream_of(message))
            elif kind == "BATCH":
                raise config_error(
                    f"The tap sends stream {_stream_of(message)} as BATCH files, which this target does not read: "
                    "remove batch_config from the tap's settings."
                )
            else:
                raise InvalidInputError(self._line_number, "is not a Singer message")
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError):
            raise InvalidInputError(self._line_number, "is not a valid Singer message") from None
        return b""

    def _unreadable(self, line: bytes, reason: str) -> Line:
        """Return a record that cannot be read as a whole, if its beginning shows its stream."""
        names = find_names(line[:HEAD])
        if names.get(("type",)) != "RECORD" or ("stream",) not in names:
            raise InvalidInputError(self._line_number, f"is {reason}, and not a record whose stream can be read")
        name = self._name_of(names["stream",])
        return b"" if name is None else BadRecord(name, "", excerpt(line), f"the record is {reason}")

    def _name_of(self, stream: str) -> str | None:
        if stream not in self._names:
            raise InvalidInputError(self._line_number, "is a record of a stream without an earlier SCHEMA")
        return self._names[stream]

    def _record(self, stream: str, record: dict[str, Any], fault: str) -> Line:
        name = self._name_of(stream)
        if name is None:
            return b""
        if type(record) is not dict:
            raise TypeError
        names = tuple(record)
        if names != self._names_seen:
            self._names_seen = names
            self._added = frozenset(field for field in names if field[:5].lower() == ADDED)
            self._marks = find_marks(self._added)
        if self._marks and is_deleted(record, self._marks):
            self._deleted[stream] += 1
            return b""
        data = {field: value for field, value in record.items() if field not in self._added} if self._added else record
        if fault:
            return BadRecord(name, "", data, contains(fault))
        return encode({"type": "RECORD", "record": {"stream": name, "data": data}})

    def _take_state(self, value: Any) -> bytes:
        """Return a state at once, except one of tap-airbyte-wrapper.

        The wrapper writes states and records from different threads, so that a state can precede its records, and a
        runner keeps a state even if the tap fails. The wrapper repeats its last state after all records: only a
        repeated state is safe.
        """
        if isinstance(value, dict) and WRAPPER_KEY in value:
            self._is_final = self._wrapper_state == _state(value)
            self._wrapper_state = _state(value)
            return b""
        return _state(value)

    def _add(self, stream: str) -> None:
        alias = self._alias(stream)
        name = None if alias is None else self._route(alias)
        if alias is not None and name is None:
            known = ", ".join(sorted(self._streams))
            raise config_error(
                f"Stream {stream} is not supported by this mapping: deselect it in the tap, or use stream_maps to "
                f"rename it to one of these: {known}.{prefix_hint(stream, self._streams)}"
            )
        self._names[stream] = name

    def _alias(self, stream: str) -> str | None:
        """Return the name that `stream_maps` gives a stream; a name in it goes before a pattern such as `*`."""
        if stream in self._renamed:
            return self._renamed[stream]
        patterns = (pattern for pattern in self._renamed if "*" in pattern and fnmatchcase(stream, pattern))
        return next((self._renamed[pattern] for pattern in patterns), stream)

    def _activate(self, stream: str) -> None:
        if not self._keep_versions and self._alias(stream) is not None:
            raise config_error(
                f"The tap replaces all rows of stream {stream} (ACTIVATE_VERSION), but Wicked Reports cannot delete "
                'the older rows: let the tap read it incrementally, or set activate_version to "ignore" to keep them.'
            )


def _stream_of(message: Mapping[str, Any]) -> str:
    stream = message["stream"]
    if not isinstance(stream, str):
        raise TypeError
    return stream


def _state(value: Any) -> bytes:
    return encode({"type": "STATE", "state": {"type": "LEGACY", "data": value}})
