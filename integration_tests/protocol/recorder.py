"""Records every connector process that a test starts: its piped input, its output and its exit code.

`subprocess.Popen` is replaced during a test session, so that no test can forget the check. Other processes, and those
whose output goes to a file or nowhere, are not recorded.
"""

from __future__ import annotations

import io
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson

from integration_tests.protocol.validator import ANSWERS, DESTINATION, SOURCES, STREAMING, Run, violations

NAMES = "|".join((*SOURCES, DESTINATION))
#: a console script or an image's name, or Python code that runs one
SCRIPT = re.compile(rf"(?:.*/)?({NAMES})(?::[\w.-]+)?")
CODE = re.compile(rf"from ({NAMES.replace('-', '_')})\.run import run\b")
#: records and states; everything else that a run prints is read by people and log collectors
DATA = re.compile(r'^\s*\{"type": ?"(RECORD|STATE)"')
LEAK = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}|sim-(wecantrack|wicked|sovrn)-key|secret-key")
#: exit codes of a killed process; 137 is a container's
KILLED = (-9, 137)

_real = subprocess.Popen
_started: list[Recording] = []


class _Tap(io.RawIOBase):
    """A pipe's end that keeps a copy of what passes through."""

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
    """A `Popen` that copies what passes through its pipes if it runs a connector's command."""

    connector = ""
    command = ""
    stderr_text = ""  # if standard error was a pipe and `communicate` read it

    def __init__(self, args: Any, *more: Any, **settings: Any) -> None:
        self.begun = time.clock_gettime(time.CLOCK_REALTIME)  # a test may freeze `time.time`
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
        """Do as the base class, which bypasses the taps if more than one pipe is open."""
        before = [len(tap.passed) if tap else 0 for tap in (self._out, self._in)]
        out, err = super().communicate(input, timeout)
        for tap, length, data in ((self._out, before[0], out), (self._in, before[1], input)):
            if tap is not None and data and len(tap.passed) == length:
                tap.passed += data.encode() if isinstance(data, str) else data
        if self._out is not None:
            self._out.ended = True
        if err:
            self.stderr_text += err if isinstance(err, str) else err.decode(errors="replace")
        return out, err

    def run(self) -> Run:
        """Return the run for the validator."""
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
    """Start recording."""
    subprocess.Popen = Recording  # type: ignore[misc]


def remove() -> None:
    """Stop recording."""
    subprocess.Popen = _real  # type: ignore[misc]


def take() -> list[str]:
    """Check and drop the runs since the last call; return the violations, each with its command."""
    runs = [(process.run(), process.stderr_text) for process in _started]
    _started.clear()
    return [
        f"{run.connector} {run.command}: {violation}"
        for run, stderr in runs
        for violation in (*violations(run), *leaks(run.stdout.decode(errors="replace") + stderr))
    ]


def leaks(printed: str) -> list[str]:
    """Return the lines with a key or an e-mail address that are neither records nor states."""
    return [
        f"printed a secret or an e-mail address: {line[:300]}"
        for line in printed.splitlines()
        if not DATA.match(line) and LEAK.search(line)
    ]


def forget() -> None:
    """Drop the runs since the last call."""
    _started.clear()


def connector_of(args: Any) -> tuple[str, str] | None:
    """Return connector and command of a command line, or None; the command is "" if there is none."""
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
    """Return the stream with a tap between its buffer and the pipe."""
    text = stream if isinstance(stream, io.TextIOWrapper) else None
    settings: dict[str, Any] = (
        {"encoding": text.encoding, "errors": text.errors, "write_through": True} if text is not None else {}
    )
    binary = text.detach() if text is not None else stream
    tap = _Tap(binary if isinstance(binary, io.RawIOBase) else binary.detach())
    wrapped = buffered(tap)
    return (io.TextIOWrapper(wrapped, **settings) if text is not None else wrapped), tap


def _streams(args: Any) -> frozenset[str] | None:
    """Return the streams of the catalog file in a command line, or None if there is none."""
    line = [str(part) for part in args]
    try:
        catalog = orjson.loads(Path(line[line.index("--catalog") + 1]).read_bytes())
        return frozenset(stream["stream"]["name"] for stream in catalog["streams"])
    except (ValueError, IndexError, OSError, KeyError, TypeError):
        return None
