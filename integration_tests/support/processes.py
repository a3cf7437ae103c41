"""Runs the connectors as users do: console scripts, files, pipes. All output is kept and checked for leaks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

#: folder of the console scripts: this Python's, or that of another installation to test
BIN = Path(os.environ.get("CONNECTORS_BIN") or Path(sys.executable).parent)
RUN_SECONDS = 240

Message = dict[str, Any]


@dataclass
class Result:
    """One run's output and exit code; `foreign` are lines of standard output that are no messages."""

    code: int
    messages: list[Message]
    stderr: str
    foreign: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Message]:
        """Return the payloads of one message type."""
        key = {"CONNECTION_STATUS": "connectionStatus"}.get(kind, kind.lower())
        return [message[key] for message in self.messages if message["type"] == kind]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The data of every record."""
        return [record["data"] for record in self.of("RECORD")]

    @property
    def states(self) -> list[dict[str, Any]]:
        """Every state."""
        return self.of("STATE")

    @property
    def logs(self) -> list[str]:
        """The text of every log message."""
        return [log["message"] for log in self.of("LOG")]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The error of every error trace."""
        return [trace["error"] for trace in self.of("TRACE") if trace["type"] == "ERROR"]

    @property
    def said(self) -> str:
        """Everything that a person or a log collector sees: all output but records and states."""
        shown = [json.dumps(m, ensure_ascii=False) for m in self.messages if m["type"] not in ("RECORD", "STATE")]
        return "\n".join([*shown, *self.foreign, self.stderr])


def read_output(stdout: bytes) -> tuple[list[Message], list[str]]:
    """Split output into messages and other lines."""
    messages: list[Message] = []
    foreign: list[str] = []
    for line in stdout.splitlines():
        message = _message(line)
        if message is None:
            foreign.append(line.decode(errors="replace"))
        else:
            messages.append(message)
    return messages, foreign


def _message(line: bytes) -> Message | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "type" in message else None


class Workspace:
    """A folder with the connectors' input files, and every result of a test."""

    def __init__(self, folder: Path, secrets: Sequence[str] = ()):
        self.folder = folder
        self.secrets = list(secrets)
        self.results: list[Result] = []

    def file(self, name: str, content: Any) -> Path:
        """Write a JSON file and return its path."""
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path

    def command(self, script: str, command: str, **files: Any) -> list[str]:
        """Return the command line of a console script; a file given as data is written first."""
        line = [str(BIN / script), command]
        for name, content in files.items():
            if content is None:
                continue
            path = content if isinstance(content, Path) else self.file(f"{script}.{name}.json", content)
            line += [f"--{name}", str(path)]
        return line

    def run(self, script: str, command: str, *, stdin: bytes | Iterable[Message] | None = None, **files: Any) -> Result:
        """Run one command to its end."""
        if stdin is not None and not isinstance(stdin, bytes):
            stdin = b"".join(json.dumps(message).encode() + b"\n" for message in stdin)
        done = subprocess.run(
            self.command(script, command, **files),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        return self.keep(done.returncode, done.stdout, done.stderr)

    def keep(self, code: int, stdout: bytes, stderr: bytes) -> Result:
        """Keep a result, so that `leaks` checks it."""
        messages, foreign = read_output(stdout)
        self.results.append(Result(code, messages, stderr.decode(errors="replace"), foreign))
        return self.results[-1]

    def leaks(self) -> Iterator[str]:
        """Yield what no log may contain: keys, e-mail addresses, and lines that are no messages."""
        for result in self.results:
            yield from (f"secret in: {result.said[:500]}" for secret in self.secrets if secret in result.said)
            yield from (f"e-mail address: {found}" for found in EMAIL.findall(result.said))
            yield from (f"not a message: {line[:200]}" for line in result.foreign)


#: example.com counts, too, since fixtures use it for people
EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+")


@dataclass
class PipeResult:
    """The result of `source read | destination write`."""

    source_code: int
    destination: Result
    source_stderr: str

    @property
    def state(self) -> list[dict[str, Any]]:
        """The last state of every stream that the destination returned, from which the next run starts."""
        latest = {}
        for state in self.destination.states:
            latest[json.dumps(state["stream"]["stream_descriptor"], sort_keys=True)] = state
        return list(latest.values())


def start_pipe(source: list[str], destination: list[str]) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Start two connectors joined by a pipe; the data pass through this process, so that they can be checked."""
    reader = subprocess.Popen(source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer = subprocess.Popen(destination, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert reader.stdout is not None
    assert writer.stdin is not None
    threading.Thread(target=_relay, args=(reader.stdout, writer.stdin), daemon=True).start()
    writer.stdin = None  # `communicate` would close it
    return reader, writer


def _relay(source: IO[bytes], sink: IO[bytes]) -> None:
    """Forward data until one end closes; closing both lets the source notice if the destination dies."""
    with contextlib.suppress(BrokenPipeError), source, sink:
        while chunk := source.read1(1 << 16):  # type: ignore[attr-defined]
            sink.write(chunk)
            sink.flush()


def finish_pipe(workspace: Workspace, reader: subprocess.Popen[bytes], writer: subprocess.Popen[bytes]) -> PipeResult:
    """Wait for both ends of a pipe and collect their output."""
    stdout, stderr = writer.communicate(timeout=RUN_SECONDS)
    assert reader.stderr is not None
    source_stderr = reader.stderr.read()
    reader.stderr.close()
    reader.wait(timeout=RUN_SECONDS)
    result = workspace.keep(writer.returncode, stdout, stderr + source_stderr)
    return PipeResult(reader.returncode, result, source_stderr.decode(errors="replace"))


def catalog(*streams: str, mode: str = "incremental", destination_mode: str = "append") -> dict[str, Any]:
    """Return a configured catalog of these streams."""
    return {
        "streams": [
            {
                "stream": {
                    "name": name,
                    "json_schema": {"type": "object"},
                    "supported_sync_modes": ["full_refresh", "incremental"],
                },
                "sync_mode": mode,
                "destination_sync_mode": destination_mode,
            }
            for name in streams
        ]
    }
