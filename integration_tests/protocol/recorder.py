"""Every connector process that a test starts, recorded: what went in by a pipe, what came out, and how it ended.

`subprocess.Popen` is replaced for the length of a test session, so that no helper and no test can forget to ask. A
process of another kind is left alone; so is one whose output goes to a file or nowhere.
"""

from __future__ import annotations

import io
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson

from integration_tests.protocol.validator import ANSWERS, DESTINATION, SOURCES, STREAMING, Run, breaches

NAMES = "|".join((*SOURCES, DESTINATION))
#: a console script or an image's name, and Python code that runs one
SCRIPT = re.compile(rf"(?:.*/)?({NAMES})(?::[\w.-]+)?")
CODE = re.compile(rf"from ({NAMES.replace('-', '_')})\.run import run\b")
#: Records and states are the product; everything else that a run prints is read by people and log collectors.
PRODUCT = re.compile(r'^\s*\{"type": ?"(RECORD|STATE)"')
LEAK = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}|sim-(wecantrack|wicked|sovrn)-key|secret-key")
#: exit codes of a process that had no say in its end; 137 is a container's
KILLED = (-9, 137)

_real = subprocess.Popen
_started: list[Recording] = []


class _Tap(io.RawIOBase):
    """A pipe's end that remembers what went through it."""

    def __init__(self, pipe: io.RawIOBase) -> None:
        self._pipe = pipe
        self.passed = bytearray()
        self.ended = False

    def readable(self) -> bool:
        return self._pipe.readable()

    def writable(self) -> bool:
        return self._pipe.writable()

    def fileno(self) -> int:
        return self._pipe.fileno()

    def readinto(self, buffer: Any) -> int | None:
        count = self._pipe.readinto(buffer)
        self.passed += memoryview(buffer)[: count or 0]
        self.ended = self.ended or count == 0
        return count

    def write(self, data: Any) -> int | None:
        count = self._pipe.write(data)
        self.passed += memoryview(data)[: count or 0]
        return count

    def close(self) -> None:
        try:
            self._pipe.close()
        finally:
            super().close()


class Recording(_real):  # type: ignore[type-arg]
    """A `Popen` whose pipes are tapped if it runs a connector's command."""

    connector = ""
    command = ""
    said = ""  # on standard error, where that was a pipe and `communicate` read it

    def __init__(self, args: Any, *more: Any, **settings: Any) -> None:
        self.begun = time.clock_gettime(time.CLOCK_REALTIME)  # also where a test freezes `time.time`
        super().__init__(args, *more, **settings)
        found = connector_of(args)
        self._out: _Tap | None = None
        self._in: _Tap | None = None
        if found is None or self.stdout is None:
            return
        self.connector, self.command = found
        self.stdout, self._out = _tapped(self.stdout, io.BufferedReader)
        if self.stdin is not None:
            self.stdin, self._in = _tapped(self.stdin, io.BufferedWriter)
        _started.append(self)

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Do as the base class does, which goes around the taps where more than one pipe is open."""
        before = [len(tap.passed) if tap else 0 for tap in (self._out, self._in)]
        out, err = super().communicate(input, timeout)
        for tap, length, data in ((self._out, before[0], out), (self._in, before[1], input)):
            if tap is not None and data and len(tap.passed) == length:
                tap.passed += data.encode() if isinstance(data, str) else data
        if self._out is not None:
            self._out.ended = True
        if err:
            self.said += err if isinstance(err, str) else err.decode(errors="replace")
        return out, err

    def run(self) -> Run:
        """Return what the judge wants to know."""
        assert self._out is not None
        return Run(
            connector=self.connector,
            command=self.command,
            stdout=bytes(self._out.passed),
            code=self.returncode,
            whole=self._out.ended and self.returncode is not None and self.returncode not in KILLED,
            begun=self.begun,
            ended=time.clock_gettime(time.CLOCK_REALTIME),
            stdin=None if self._in is None else bytes(self._in.passed),
            streams=_streams(self.args),
        )


def install() -> None:
    """Record from now on."""
    subprocess.Popen = Recording  # type: ignore[misc]


def remove() -> None:
    """Record no more."""
    subprocess.Popen = _real  # type: ignore[misc]


def take() -> list[str]:
    """Judge the runs since the last call, forget them, and return what was wrong, each with its command."""
    runs = [(process.run(), process.said) for process in _started]
    _started.clear()
    return [
        f"{run.connector} {run.command}: {wrong}"
        for run, said in runs
        for wrong in (*breaches(run), *leaks(run.stdout.decode(errors="replace") + said))
    ]


def leaks(printed: str) -> list[str]:
    """Return the lines that hold a key or an e-mail address and are no product."""
    return [
        f"printed a secret or an e-mail address: {line[:300]}"
        for line in printed.splitlines()
        if not PRODUCT.match(line) and LEAK.search(line)
    ]


def forget() -> None:
    """Forget the runs so far."""
    _started.clear()


def connector_of(args: Any) -> tuple[str, str] | None:
    """Return connector and command of a command line, or None; the command is empty where none was given."""
    if isinstance(args, (str, bytes)):
        return None
    line = [str(part) for part in args]
    for place, part in enumerate(line):
        matched = SCRIPT.fullmatch(part) or CODE.search(part)
        if matched is None:
            continue
        command = line[place + 1] if place + 1 < len(line) else ""
        if command in (*ANSWERS, *STREAMING) and (command or place < 2):
            return matched[1].replace("_", "-"), command
    return None


def _tapped(stream: Any, buffered: Any) -> tuple[Any, _Tap]:
    """Return the stream again with a tap between its buffer and the pipe."""
    text = stream if isinstance(stream, io.TextIOWrapper) else None
    settings: dict[str, Any] = (
        {"encoding": text.encoding, "errors": text.errors, "write_through": True} if text is not None else {}
    )
    binary = text.detach() if text is not None else stream
    tap = _Tap(binary if isinstance(binary, io.RawIOBase) else binary.detach())
    again = buffered(tap)
    return (io.TextIOWrapper(again, **settings) if text is not None else again), tap


def _streams(args: Any) -> frozenset[str] | None:
    """Return the streams of the catalog file that a command line names; None if it names none that can be read."""
    line = [str(part) for part in args]
    try:
        catalog = orjson.loads(Path(line[line.index("--catalog") + 1]).read_bytes())
        return frozenset(stream["stream"]["name"] for stream in catalog["streams"])
    except (ValueError, IndexError, OSError, KeyError, TypeError):
        return None
