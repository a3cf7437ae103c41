"""The Airbyte protocol as a judge of one connector process: whether a platform may rely on all that it printed.

Shapes and declared schemas are in schemas.py. What no schema can say is written here: which messages a command prints
and how many, records that validate against what `discover` declares, states after their records, stream statuses in
order, states echoed whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from integration_tests.protocol.schemas import declared, first_error, schema_breaches, shapes

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
#: what a command may print besides LOG and TRACE: of the first three exactly one if the run ends well
ANSWERS = {"spec": "SPEC", "check": "CONNECTION_STATUS", "discover": "CATALOG"}
STREAMING = {"read": ("RECORD", "STATE"), "write": ("STATE",), "": ()}
#: a status may follow these
FOLLOWS = {
    "STARTED": ("",),
    "RUNNING": ("STARTED",),
    "COMPLETE": ("STARTED", "RUNNING"),
    "INCOMPLETE": ("STARTED", "RUNNING"),
}
#: exit codes of a run that was told to stop: its streams stay open
STOPPED = (130, 143)
CLOCK_SECONDS = 2
MOST_BREACHES = 20


@dataclass
class Run:
    """One process of a connector. `whole`: it ended by itself, or by SIGTERM, and its output was read to the end."""

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
class Seen:
    """What was seen of a stream so far."""

    status: str = ""
    unstated: int = 0
    records: int = 0


def breaches(run: Run) -> list[str]:
    """Return what is wrong with a run's output, at most `MOST_BREACHES` sentences; an empty list is a pass."""
    found: list[str] = []
    for breach in Judge(run).judge():
        found.append(breach)
        if len(found) == MOST_BREACHES:
            break
    return found


@dataclass
class Judge:
    """Goes through the lines of a run once."""

    run: Run
    kinds: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    seen: defaultdict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    states: list[Message] = field(default_factory=list)

    def judge(self) -> Iterator[str]:
        """Yield each breach."""
        *lines, rest = self.run.stdout.split(b"\n")
        if rest and self.run.whole:
            yield f"the last line has no end: {_shown(rest)}"
        for number, line in enumerate(lines, 1):
            for breach in self._line(line):
                yield f"line {number}: {breach}: {_shown(line)}"
        yield from self._end()

    def _line(self, line: bytes) -> Iterator[str]:
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield "no JSON"
            return
        kind = message.get("type") if isinstance(message, dict) else None
        if kind not in PAYLOADS:
            yield "no message of a known type"
            return
        if message.keys() != {"type", PAYLOADS[kind]}:
            yield f"a {kind} message has the parts type and {PAYLOADS[kind]}, and no others"
            return
        answer = ANSWERS.get(self.run.command)
        if answer == "CATALOG" and self.run.connector == DESTINATION:
            answer = "DESTINATION_CATALOG"
        if kind not in ("LOG", "TRACE", "CONTROL", answer, *STREAMING.get(self.run.command, ())):
            yield f"{self.run.command or 'no command'} prints no {kind}"
            return
        self.kinds[kind] += 1
        error = first_error(shapes(lenient_state=self.run.command == "write"), message)
        if error is not None:
            yield error
            return
        yield from getattr(self, f"_{kind.lower()}", lambda _: ())(message[PAYLOADS[kind]])

    # -- single messages ----------------------------------------------------------------------------------------------

    def _record(self, record: Message) -> Iterator[str]:
        stream = self.seen[record["stream"]]
        stream.records += 1
        stream.unstated += 1
        yield from self._moment(record["emitted_at"])
        if not isinstance(record["emitted_at"], int):
            yield "emitted_at is no integer"
        if self.run.streams is not None and record["stream"] not in self.run.streams:
            yield "nobody asked for this stream"
        if stream.status != "RUNNING":
            yield f"a record of a stream that is {stream.status or 'not STARTED'}"
        schema = declared(self.run.connector).get(record["stream"])
        error = "of no stream that discover tells of" if schema is None else first_error(schema, record["data"])
        if error is not None:
            yield error

    def _state(self, state: Message) -> Iterator[str]:
        self.states.append(state)
        if self.run.command != "read":
            return
        if state.get("type") != "STREAM" or "stream" not in state:
            yield "a source's state is one of type STREAM"
            return
        stream = self.seen[state["stream"]["stream_descriptor"]["name"]]
        if stream.status not in ("STARTED", "RUNNING"):
            yield f"the state of a stream that is {stream.status or 'not STARTED'}"
        count = (state.get("sourceStats") or {}).get("recordCount")
        if count is not None and count != stream.unstated:
            yield f"recordCount is {count}, but {stream.unstated} records came since the state before"
        stream.unstated = 0

    def _trace(self, trace: Message) -> Iterator[str]:
        part = trace["type"].lower()
        yield from self._moment(trace["emitted_at"])
        if {name for name, value in trace.items() if value is not None} != {"type", "emitted_at", part}:
            yield f"a {trace['type']} trace has the part {part}, and no other"
        elif part == "error":
            self.errors += 1
        elif part == "stream_status":
            yield from self._status(trace["stream_status"])

    def _status(self, told: Message) -> Iterator[str]:
        stream, status = self.seen[told["stream_descriptor"]["name"]], told["status"]
        if status == "RUNNING" and told.get("reasons") and stream.status in ("STARTED", "RUNNING"):
            return  # a wait is told as often as it happens
        if stream.status not in FOLLOWS[status]:
            yield f"{status} after {stream.status or 'nothing'}"
        if status == "COMPLETE" and stream.unstated:
            yield f"COMPLETE, but no state covers the last {stream.unstated} records"
        stream.status = status

    def _catalog(self, catalog: Message) -> Iterator[str]:
        names = Counter(stream["name"] for stream in catalog["streams"])
        yield from (f"stream {name} comes {count} times" for name, count in names.items() if count > 1)
        for stream in catalog["streams"]:
            yield from schema_breaches(stream["json_schema"])
            needed = [path[0] for path in stream.get("source_defined_primary_key") or ()]
            needed += (stream.get("default_cursor_field") or ())[:1]
            yield from (
                f"{stream['name']}.{name} is a key or cursor, but no property"
                for name in needed
                if name not in stream["json_schema"].get("properties", {})
            )

    def _destination_catalog(self, catalog: Message) -> Iterator[str]:
        for operation in catalog["operations"]:
            yield from schema_breaches(operation["json_schema"])

    def _spec(self, spec: Message) -> Iterator[str]:
        yield from schema_breaches(spec["connectionSpecification"])

    def _moment(self, milliseconds: float) -> Iterator[str]:
        if not (self.run.begun - CLOCK_SECONDS) * 1000 <= milliseconds <= (self.run.ended + CLOCK_SECONDS) * 1000:
            yield f"emitted_at {milliseconds} is no moment of this run in milliseconds"

    # -- the whole run ------------------------------------------------------------------------------------------------

    def _end(self) -> Iterator[str]:
        run = self.run
        if run.command == "write" and run.stdin is not None:
            yield from self._echo(run.stdin)
        if not run.whole or run.code == 2:  # 2: the command line was refused, in plain words on standard error
            return
        if run.command in ANSWERS:
            answers = sum(self.kinds[kind] for kind in (*ANSWERS.values(), "DESTINATION_CATALOG"))
            if answers != 1 and (run.code == 0 or answers > 1):
                yield f"{run.command} printed {answers} answers"
        if run.code not in STOPPED and self.errors != (run.code != 0):
            yield f"{self.errors} error traces and exit code {run.code}"
        if run.command == "read" and run.code == 0:
            expected = run.streams or self.seen.keys()
            yield from (f"stream {name} is not COMPLETE" for name in expected if self.seen[name].status != "COMPLETE")
        elif run.command == "read" and run.code not in STOPPED:
            yield from (
                f"stream {name} ended without a status"
                for name, stream in self.seen.items()
                if stream.status not in ("COMPLETE", "INCOMPLETE")
            )

    def _echo(self, stdin: bytes) -> Iterator[str]:
        """Compare the states with those of the input: the same ones, whole, in order, with the right counts."""
        given = list(_given_states(stdin))
        if len(self.states) > len(given):
            yield f"{len(self.states)} states came back of {len(given)}"
        elif self.run.whole and self.run.code == 0 and len(self.states) < len(given):
            yield f"only {len(self.states)} states came back of {len(given)}"
        for number, (back, (state, count)) in enumerate(zip(self.states, given, strict=False), 1):
            stats = {**(state.get("destinationStats") or {}), "recordCount": count}
            if back != {**state, "destinationStats": stats}:
                yield f"state {number} is not what came in, with the {count} records before it: {_shown(back)}"


def _given_states(stdin: bytes) -> Iterator[tuple[Message, int]]:
    """Yield each state of the input, and the records since the last state of its stream, or of all for a global one."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in stdin.split(b"\n"):
        try:
            message = orjson.loads(line)
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
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):  # noqa: PERF203 - one bad line ends it
            return  # the destination refuses the line and all that follows


def _shown(part: Any) -> str:
    return repr(part if isinstance(part, bytes) else orjson.dumps(part))[:300]
