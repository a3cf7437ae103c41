"""Joins `source read` and `destination write`, and yields what both report while they run.

The records pass through this process as bytes, a chunk at a time: if the destination is slow the source blocks, and
memory stays flat. Each process has its own session, so that a Ctrl-C on the terminal reaches only this one, which then
ends the source first: the destination still delivers what was read.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from destination_wicked_reports.sync.connectors import error_of, read_message

SOURCE, DESTINATION = "source", "destination"
_CHUNK = 1 << 16
#: A longer line that is no record is cut: no log line or state is that long.
_LONGEST = 1 << 20
_RECORD = b'{"type":"RECORD"'
#: Lines of standard error that are kept for a process that fails without a message.
_LAST_LINES = 5
#: Log lines of the source that the destination has not repeated yet.
_LOG_LINES = 1000


@dataclass(slots=True, frozen=True)
class Event:
    """A message of one of the processes, or a line of its standard error as `text`."""

    side: str
    message: dict[str, Any] = field(default_factory=dict)
    text: str = ""


class Lines:
    """Splits a stream of bytes into lines; counts records and yields all other messages."""

    def __init__(self) -> None:
        self.records = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Take a chunk, and yield the lines and messages that it completes, records excepted."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST:
            self._rest = self._rest[: len(_RECORD)]  # enough to know a record
        for line in lines:
            if line.startswith(_RECORD):
                self.records += 1
                continue
            message = read_message(line)
            if message is not None and message["type"] == "RECORD":
                self.records += 1
            elif message is not None:
                yield line, message


class Pipeline:
    """Two running processes. `events` yields until both have ended."""

    def __init__(self, source: Sequence[str], destination: Sequence[str], lock: int) -> None:
        """Start both. The destination inherits the descriptor `lock`, and so holds that lock until it ends."""
        self._events: queue.Queue[Event | None] = queue.Queue(1000)
        self._source_lines = Lines()
        self._passed_on: deque[bytes] = deque(maxlen=_LOG_LINES)
        self._stops = 0
        self._read_all = threading.Event()
        #: Whether the source was ended because the destination had ended before it.
        self.cut_off = False
        #: Whether the source has written anything.
        self.wrote = False
        self.errors: dict[str, list[tuple[str, str]]] = {SOURCE: [], DESTINATION: []}
        self._last_lines: dict[str, deque[str]] = {side: deque(maxlen=_LAST_LINES) for side in (SOURCE, DESTINATION)}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
        self._destination = subprocess.Popen(  # noqa: S603 - this installation's own program
            destination, stdin=subprocess.PIPE, pass_fds=(lock,), **pipes
        )
        try:
            self._source = subprocess.Popen(source, stdin=subprocess.DEVNULL, **pipes)  # noqa: S603
        except OSError:
            self._destination.kill()
            self._destination.wait()
            raise
        tasks: list[Any] = [self._relay, self._read_answers]
        tasks += [lambda side=side: self._read_errors(side) for side in (SOURCE, DESTINATION)]
        self._threads = [threading.Thread(target=self._report_end, args=(task,), daemon=True) for task in tasks]
        for thread in self._threads:
            thread.start()

    @property
    def records(self) -> int:
        """The number of records that the source has written."""
        return self._source_lines.records

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stops > 0

    def events(self, interval: float) -> Iterator[Event | None]:
        """Yield what both processes report until they end, and None whenever nothing came for `interval` seconds."""
        running = len(self._threads)
        while running:
            try:
                event = self._events.get(timeout=interval)
            except queue.Empty:
                yield None
                continue
            if event is None:
                running -= 1
                continue
            error = error_of(event.message)
            if error:
                self.errors[event.side].append(error)
            if event.text:
                self._last_lines[event.side].append(event.text)
            yield event
        self.codes = {SOURCE: self._source.wait(), DESTINATION: self._destination.wait()}

    def stop(self) -> None:
        """Stop reading; what was read is still delivered. Called again, also stop sending; a third time, kill both."""
        self._stops += 1
        with contextlib.suppress(ProcessLookupError):
            self._source.send_signal(signal.SIGTERM if self._stops < 3 else signal.SIGKILL)
            if self._stops > 1:
                self._destination.send_signal(signal.SIGINT if self._stops < 3 else signal.SIGKILL)

    def close(self) -> None:
        """End both processes, whatever happened here."""
        for process in (self._source, self._destination):
            if process.poll() is None:
                process.kill()
            process.wait()

    def last_words(self, side: str) -> str:
        """Return the last error message of a process, else the end of its standard error, else what killed it."""
        if self.errors[side]:
            return self.errors[side][-1][0]
        if self._last_lines[side]:
            return " ".join(self._last_lines[side])
        code = self.codes[side]
        if code >= 0:
            return f"it ended with code {code}."
        hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
        return f"it was killed by {signal.Signals(-code).name}{hint}."

    def _report_end(self, task: Any) -> None:
        try:
            task()
        finally:
            self._events.put(None)

    def _relay(self) -> None:
        """Pass on the source's output until one end closes. Closing both lets the source notice a dead destination."""
        output, sink = self._source.stdout, self._destination.stdin
        assert output is not None
        assert sink is not None
        with contextlib.suppress(BrokenPipeError), output, sink:
            while chunk := os.read(output.fileno(), _CHUNK):
                self.wrote = True
                messages = list(self._source_lines.feed(chunk))
                self._passed_on.extend(line for line, message in messages if message["type"] == "LOG")
                for _, message in messages:
                    self._events.put(Event(SOURCE, message))
                _write(sink, chunk)
            self._read_all.set()

    def _read_answers(self) -> None:
        output, lines = self._destination.stdout, Lines()
        assert output is not None
        with output:
            while chunk := os.read(output.fileno(), _CHUNK):
                for line, message in lines.feed(chunk):
                    if line in self._passed_on:  # the destination repeats the source's log
                        self._passed_on.remove(line)
                    else:
                        self._events.put(Event(DESTINATION, message))
        if not self._read_all.is_set():  # a source that waits for a rate limit would notice only when it writes
            self.cut_off = True
            self._source.terminate()

    def _read_errors(self, side: str) -> None:
        stream = self._source.stderr if side == SOURCE else self._destination.stderr
        assert stream is not None
        with stream:
            for line in stream:
                self._events.put(Event(side, text=line.decode(errors="replace").rstrip()))


def _write(sink: IO[bytes], chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(sink.fileno(), view) :]
