"""Checks one connector process against the Airbyte protocol.

Message types and declared schemas are in schemas.py. This module checks what no schema can: which messages a command
prints and how many, that records match what `discover` declares, that states follow their records, the order of stream
statuses, and that a destination returns states unchanged.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from integration_tests.protocol.schemas import declared, first_error, schema_violations, shapes

Message = dict[str, Any]

SOURCES = ("source-wecantrack", "source-sovrn", "source-wicked-reports")
DESTINATION = "destination-wicked-reports"
PAYLOADS = {
    "RECORD": "record",
    "STATE": "state",
    "LOG": "log",
    "TRACE": "trace",
    "CONTROL": "control",
    "SPEC": "spec",
    "CONNECTION_STATUS": "connectionStatus",
    "CATALOG": "catalog",
    "DESTINATION_CATALOG": "destination_catalog",
}
#: the message of a command that prints exactly one, if it succeeds
ANSWERS = {"spec": "SPEC", "check": "CONNECTION_STATUS", "discover": "CATALOG"}
#: the messages of a command that prints many
STREAMING = {"read": ("RECORD", "STATE"), "write": ("STATE",), "": ()}
#: the statuses that a status may follow
FOLLOWS = {
    "STARTED": ("",),
    "RUNNING": ("STARTED",),
    "COMPLETE": ("STARTED", "RUNNING"),
    "INCOMPLETE": ("STARTED", "RUNNING"),
}
#: exit codes of a run stopped by a signal, whose streams may stay open
STOPPED = (130, 143)
CLOCK_SECONDS = 2
MAX_VIOLATIONS = 20


@dataclass
class Run:
    """One process of a connector; `whole` if it ended on its own or by SIGTERM and its output was read to the end."""

    connector: str
    command: str
    stdout: bytes
    code: int | None
    whole: bool
    begun: float
    ended: float
    stdin: bytes | None = None
    streams: frozenset[str] | None = None


@dataclass
class StreamProgress:
    """A stream's status and counts so far; `unstated` is the number of records since its last state."""

    status: str = ""
    unstated: int = 0
    records: int = 0


def violations(run: Run) -> list[str]:
    """Return the protocol violations of a run, at most `MAX_VIOLATIONS`."""
    return list(islice(Validator(run).violations(), MAX_VIOLATIONS))


@dataclass
class Validator:
    """Reads the lines of a run once."""

    run: Run
    kinds: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    failed_checks: int = 0
    progress: defaultdict[str, StreamProgress] = field(default_factory=lambda: defaultdict(StreamProgress))
    states: list[Message] = field(default_factory=list)

    def violations(self) -> Iterator[str]:
        """Yield each violation."""
        *lines, rest = self.run.stdout.split(b"\n")
        if rest and self.run.whole:
            yield f"the last line is incomplete: {_quoted(rest)}"
        for number, line in enumerate(lines, 1):
            for violation in self._line(line):
                yield f"line {number}: {violation}: {_quoted(line)}"
        yield from self._end()

    def _line(self, line: bytes) -> Iterator[str]:
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield "not JSON"
            return
        kind = message.get("type") if isinstance(message, dict) else None
        if kind not in PAYLOADS:
            yield "not a message of a known type"
            return
        if message.keys() != {"type", PAYLOADS[kind]}:
            yield f"a {kind} message has exactly the fields type and {PAYLOADS[kind]}"
            return
        answer = ANSWERS.get(self.run.command)
        if answer == "CATALOG" and self.run.connector == DESTINATION:
            answer = "DESTINATION_CATALOG"
        if kind not in ("LOG", "TRACE", "CONTROL", answer, *STREAMING.get(self.run.command, ())):
            yield f"{self.run.command or 'no command'} must not print {kind}"
            return
        self.kinds[kind] += 1
        error = first_error(shapes(lenient_state=self.run.command == "write"), message)
        if error is not None:
            yield error
            return
        yield from getattr(self, f"_{kind.lower()}", lambda _: ())(message[PAYLOADS[kind]])

    # -- single messages ----------------------------------------------------------------------------------------------

    def _record(self, record: Message) -> Iterator[str]:
        stream = self.progress[record["stream"]]
        stream.records += 1
        stream.unstated += 1
        yield from self._moment(record["emitted_at"])
        if not isinstance(record["emitted_at"], int):
            yield "emitted_at is not an integer"
        if self.run.streams is not None and record["stream"] not in self.run.streams:
            yield "the stream is not in the catalog"
        if stream.status != "RUNNING":
            yield f"a record of a stream that is {stream.status or 'not STARTED'}"
        schema = declared(self.run.connector).get(record["stream"])
        error = "discover does not declare the stream" if schema is None else first_error(schema, record["data"])
        if error is not None:
            yield error

    def _state(self, state: Message) -> Iterator[str]:
        self.states.append(state)
        if self.run.command != "read":
            return
        if state.get("type") != "STREAM" or "stream" not in state:
            yield "a source's state must be of type STREAM"
            return
        stream = self.progress[state["stream"]["stream_descriptor"]["name"]]
        if stream.status not in ("STARTED", "RUNNING"):
            yield f"the state of a stream that is {stream.status or 'not STARTED'}"
        count = (state.get("sourceStats") or {}).get("recordCount")
        if count is not None and count != stream.unstated:
            yield f"recordCount is {count}, but there were {stream.unstated} records since the previous state"
        stream.unstated = 0

    def _connection_status(self, status: Message) -> Iterator[str]:
        self.failed_checks += status["status"] == "FAILED"
        yield from ()

    def _trace(self, trace: Message) -> Iterator[str]:
        part = trace["type"].lower()
        yield from self._moment(trace["emitted_at"])
        if {name for name, value in trace.items() if value is not None} != {"type", "emitted_at", part}:
            yield f"a {trace['type']} trace has exactly the field {part}"
        elif part == "error":
            self.errors += 1
        elif part == "stream_status":
            yield from self._status(trace["stream_status"])

    def _status(self, message: Message) -> Iterator[str]:
        stream, status = self.progress[message["stream_descriptor"]["name"]], message["status"]
        if status == "RUNNING" and message.get("reasons") and stream.status in ("STARTED", "RUNNING"):
            return  # rate-limited waits are reported each time
        if stream.status not in FOLLOWS[status]:
            yield f"{status} after {stream.status or 'nothing'}"
        if status == "COMPLETE" and stream.unstated:
            yield f"COMPLETE without a state after the last {stream.unstated} records"
        stream.status = status

    def _catalog(self, catalog: Message) -> Iterator[str]:
        names = Counter(stream["name"] for stream in catalog["streams"])
        yield from (f"stream {name} is listed {count} times" for name, count in names.items() if count > 1)
        for stream in catalog["streams"]:
            yield from schema_violations(stream["json_schema"])
            needed = [path[0] for path in stream.get("source_defined_primary_key") or ()]
            needed += (stream.get("default_cursor_field") or ())[:1]
            yield from (
                f"{stream['name']}.{name} is a key or cursor, but not a property"
                for name in needed
                if name not in stream["json_schema"].get("properties", {})
            )

    def _destination_catalog(self, catalog: Message) -> Iterator[str]:
        for operation in catalog["operations"]:
            yield from schema_violations(operation["json_schema"])

    def _spec(self, spec: Message) -> Iterator[str]:
        yield from schema_violations(spec["connectionSpecification"])

    def _moment(self, milliseconds: float) -> Iterator[str]:
        if not (self.run.begun - CLOCK_SECONDS) * 1000 <= milliseconds <= (self.run.ended + CLOCK_SECONDS) * 1000:
            yield f"emitted_at {milliseconds} is not in milliseconds within this run"

    # -- the whole run ------------------------------------------------------------------------------------------------

    def _end(self) -> Iterator[str]:
        run = self.run
        if run.command == "write" and run.stdin is not None:
            yield from self._echo(run.stdin)
        if not run.whole or run.code == 2:  # 2: a usage error, explained on standard error
            return
        if run.command in ANSWERS:
            answers = sum(self.kinds[kind] for kind in (*ANSWERS.values(), "DESTINATION_CATALOG"))
            if answers != 1 and (run.code == 0 or answers > 1):
                yield f"{run.command} printed {answers} results"
        # a source reports each stream that failed, and at the end which ones did
        failed = sum(progress.status == "INCOMPLETE" for progress in self.progress.values())
        most = failed + (len(self.progress) > 1) if run.command == "read" and failed else 1
        # a check that FAILED may say by an error that this is no fault of the configuration
        allowed = (1 <= self.errors <= most) if run.code else self.errors <= self.failed_checks
        if run.code not in STOPPED and not allowed:
            yield f"{self.errors} error traces with exit code {run.code}"
        if run.command == "read" and run.code == 0:
            expected = run.streams or self.progress.keys()
            yield from (
                f"stream {name} is not COMPLETE" for name in expected if self.progress[name].status != "COMPLETE"
            )
        elif run.command == "read" and run.code not in STOPPED:
            yield from (
                f"stream {name} ended without a status"
                for name, stream in self.progress.items()
                if stream.status not in ("COMPLETE", "INCOMPLETE")
            )

    def _echo(self, stdin: bytes) -> Iterator[str]:
        """Compare the states with those of the input: unchanged, in order, with the right counts."""
        expected = list(_input_states(stdin))
        if len(self.states) > len(expected):
            yield f"{len(self.states)} of {len(expected)} states were returned"
        elif self.run.whole and self.run.code == 0 and len(self.states) < len(expected):
            yield f"only {len(self.states)} of {len(expected)} states were returned"
        for number, (returned, (state, count)) in enumerate(zip(self.states, expected, strict=False), 1):
            stats = returned.get("destinationStats") or {}
            counted = stats.get("recordCount", 0) + stats.get("rejectedRecordCount", 0)
            own = {name: stats[name] for name in ("recordCount", "rejectedRecordCount") if name in stats}
            expected_stats = {**(state.get("destinationStats") or {}), **own}
            if len(own) != 2 or counted != count or returned != {**state, "destinationStats": expected_stats}:
                yield f"state {number} differs from the input or does not count {count} records: {_quoted(returned)}"


def _input_states(stdin: bytes) -> Iterator[tuple[Message, int]]:
    """Yield each input state with the number of records since the last state of its stream (global: since the last)."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in stdin.split(b"\n"):
        try:
            message = _input_message(line)
            kind = message["type"]
            if kind == "RECORD":
                counts[message["record"].get("namespace") or "", message["record"]["stream"]] += 1
            elif kind == "STATE":
                state = message["state"]
                if state.get("type") == "STREAM":
                    described = state["stream"]["stream_descriptor"]
                    yield state, counts.pop((described.get("namespace") or "", described["name"]), 0)
                else:
                    yield state, counts.total()
                    counts.clear()
        except (ValueError, KeyError, TypeError, AttributeError):  # noqa: PERF203 - one bad line ends it
            return  # the destination refuses the line and everything after it


def _input_message(line: bytes) -> Any:
    """Return a message of the input, also one with values that JSON does not allow: it counts, as a dead letter."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        text = line.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
        return json.loads(text, strict=False, parse_int=lambda digits: int(digits[:4000]))


def _quoted(part: Any) -> str:
    return repr(part if isinstance(part, bytes) else orjson.dumps(part))[:300]
