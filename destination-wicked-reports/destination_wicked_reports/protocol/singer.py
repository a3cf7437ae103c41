"""The Singer protocol's two sides: a tap's lines for the writer, and the writer's messages as a target says them.

Protocol: the Singer specification, "Target" and "Message types"; what taps and Meltano make of it: clients.md 2.3, 2.4.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TextIO

import orjson
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.errors import InvalidInputError
from destination_wicked_reports.protocol.messages import Output

logger = logging.getLogger("airbyte")

#: What tap-airbyte-wrapper puts into each of its states, and by which they are known.
WRAPPED = "airbyte_state"


class SingerOutput(Output):
    """States go to standard output, each its value alone on one line; everything else is for people, on stderr."""

    def __init__(self, stream: BinaryIO | None = None, log: TextIO | None = None):
        super().__init__(stream)
        self._log = log or sys.stderr

    def emit(self, message: Any) -> None:
        """Write one Airbyte message the Singer way."""
        if isinstance(message, bytes):
            message = orjson.loads(message)
        if message["type"] == "STATE":
            super().emit(message["state"]["data"])
        elif message["type"] == "LOG":
            self._say(message["log"]["level"], message["log"]["message"])
        elif message["type"] == "TRACE":
            self._say("CRITICAL", message["trace"]["error"]["message"])

    def _say(self, level: str, text: str) -> None:
        self._log.write(f"{level} {text}\n")
        self._log.flush()


class Translator:
    """Singer lines to Airbyte lines, in lists as they came: one line for one line, so that line numbers stay true.

    `streams` are those that the mapping knows; `renamed` is, by the tap's name, the name here, or None to leave the
    stream out.
    """

    def __init__(self, streams: Collection[str], renamed: Mapping[str, str | None], *, keep_versions: bool = False):
        self._known = streams
        self._renamed = renamed
        self._keep_versions = keep_versions
        self._names: dict[str, str | None] = {}
        self._number = 0
        self._held: Any = None
        self._repeated = False
        self._deleted: Counter[str] = Counter()

    def translate(self, input_lines: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
        """Yield what the writer takes; what came before a line that cannot be taken is yielded before the error."""
        for lines in input_lines:
            taken: list[bytes] = []
            try:
                for line in lines:
                    self._number += 1
                    taken.append(self._translate(line) if line.strip() else b"")
            except AirbyteTracedException:
                yield taken
                raise
            yield taken
        if self._repeated:
            yield [_state(self._held)]
        elif self._held is not None:
            logger.warning(
                "The tap ended before its sync was complete. What it wrote is delivered, and its state is not handed "
                "back: see why it ended and run it again; it begins where this run began, and nothing is sent twice."
            )
        for name, count in self._deleted.items():
            logger.warning("%s: %s rows are marked as deleted. Wicked Reports cannot delete: left out.", name, count)

    def _translate(self, line: bytes) -> bytes:
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise InvalidInputError(self._number, "is not whole JSON") from None
        try:
            kind = message["type"]
            if kind == "RECORD":
                self._repeated = False
                return self._record(_named(message), message["record"])
            if kind == "STATE":
                return self._take_state(message["value"])
            self._repeated = False
            if kind == "SCHEMA":
                self._add(_named(message))
            elif kind == "ACTIVATE_VERSION":
                self._activate(_named(message))
            elif kind == "BATCH":
                raise config_error(
                    f"The tap sends stream {_named(message)} as BATCH files, which this target does not read: take "
                    "batch_config out of the tap's settings."
                )
            else:
                raise InvalidInputError(self._number, "is not a Singer message")
        except (KeyError, TypeError, AttributeError):
            raise InvalidInputError(self._number, "is not a whole Singer message") from None
        return b""

    def _record(self, stream: str, record: dict[str, Any]) -> bytes:
        if stream not in self._names:
            raise InvalidInputError(self._number, "is a record of a stream whose SCHEMA did not come before it")
        name = self._names[stream]
        if name is None:
            return b""
        if record.get("_sdc_deleted_at"):
            self._deleted[stream] += 1
            return b""
        data = {field: value for field, value in record.items() if not field.startswith("_sdc_")}
        return orjson.dumps({"type": "RECORD", "record": {"stream": name, "data": data}})

    def _take_state(self, value: Any) -> bytes:
        """Pass a state on, unless its tap writes states ahead of their records.

        tap-airbyte-wrapper writes records from other threads than states (clients.md 2.3), and a runner keeps a state
        even if the tap fails. Only when it has written everything does it repeat its last state; so that one counts.
        """
        if isinstance(value, dict) and WRAPPED in value:
            self._repeated = self._held == value
            self._held = value
            return b""
        return _state(value)

    def _add(self, stream: str) -> None:
        name = self._renamed.get(stream, stream)
        if name is not None and name not in self._known:
            known = ", ".join(sorted(self._known))
            raise config_error(
                f"Stream {stream} has no place in Wicked Reports with this mapping: deselect it in the tap, or say in "
                f"stream_maps which of these it is: {known}."
            )
        self._names[stream] = name

    def _activate(self, stream: str) -> None:
        if not self._keep_versions and self._renamed.get(stream, stream) is not None:
            raise config_error(
                f"The tap replaces stream {stream} as a whole (ACTIVATE_VERSION), and Wicked Reports cannot remove the "
                'older rows: let the tap read it incrementally, or set activate_version to "ignore" to keep them.'
            )


def _named(message: Mapping[str, Any]) -> str:
    stream = message["stream"]
    if not isinstance(stream, str):
        raise TypeError
    return stream


def _state(value: Any) -> bytes:
    return orjson.dumps({"type": "STATE", "state": {"type": "LEGACY", "data": value}})


def config_error(message: str) -> AirbyteTracedException:
    """Return the error that ends a run for what the user must change."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.config_error)
