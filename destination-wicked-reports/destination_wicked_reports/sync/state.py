"""The state file: the last state of every stream, and the ledger that was filled up to there."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from destination_wicked_reports.base.json_files import unreadable
from destination_wicked_reports.config.files import is_locked, write_atomically
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync.exit_codes import STOPPED, CommandError, refusal

State = dict[str, Any]


class StateFile:
    """What `run` has to know of the runs before it, by source. Every change is on disk before the method returns.

    A change that cannot be written raises CommandError, and is kept in memory.

    The file is JSON: `{"sources": {NAME: {"ledger": ID, "mode": "live", "states": [STATE, ...], "begun": INSTANT,
    "last_run": {...}}}}`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # sources can run side by side
        self._sources: dict[str, dict[str, Any]] = _read(path)

    def states(self, source: str) -> list[State]:
        """Return the last state of each stream, as the source reads them."""
        return list(self._of(source)["states"])

    def keep(self, source: str, state: State) -> None:
        """Replace the state of one stream, or the global state."""
        states = [each for each in self.states(source) if _subject(each) != _subject(state)]
        self._change(source, states=[*states, state])

    def reset(self, source: str, streams: list[str] | None = None) -> list[str]:
        """Remove the states of these streams, or all; return the names of those removed. A global state is of all."""
        states = self.states(source)
        gone = [each for each in states if streams is None or stream_of(each) in streams or stream_of(each) is None]
        self._change(source, states=[each for each in states if each not in gone])
        return [stream_of(each) or "all streams" for each in gone]

    def ledger(self, source: str) -> tuple[str, str]:
        """Return the id of the ledger that was filled up to the states, and the mode, live or test."""
        entry = self._of(source)
        return str(entry.get("ledger") or ""), str(entry.get("mode") or "")

    def begin(self, source: str, ledger: str, mode: str) -> None:
        """Record that a run begins, and the ledger that it fills."""
        self._change(source, ledger=ledger, mode=mode, begun=_now())

    def unfinished(self, source: str) -> str:
        """Return when a run began that has recorded no end, as with `kill -9`; empty if there is none."""
        return str(self._of(source).get("begun") or "")

    def last_run(self, source: str) -> Mapping[str, Any]:
        """Return what the last run recorded with `finish`; empty if there was none."""
        return dict(self._of(source).get("last_run") or {})

    def finish(self, source: str, last_run: Mapping[str, Any]) -> None:
        """Record that a run ended, when and how."""
        self._change(source, last_run={"ended": _now(), **last_run}, begun="")

    def remove_unfinished(self) -> None:
        """Remove what a process that was killed while it wrote has left. Nobody else may be writing."""
        for path in self.path.parent.glob(f".{glob.escape(self.path.name)}.*"):
            path.unlink(missing_ok=True)

    def _of(self, source: str) -> dict[str, Any]:
        return self._sources.get(source) or {"states": []}

    def _change(self, source: str, **changes: Any) -> None:
        with self._lock:
            self._sources[source] = {**self._of(source), **changes}
            content = json.dumps({"sources": self._sources}, indent=1, ensure_ascii=False) + "\n"
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self.path, content.encode())
            except OSError as error:
                raise refusal(f"The state file {self.path}", error) from None


@dataclass(slots=True, frozen=True)
class RunLock:
    """The lock of a state file. `descriptor` is for the process that must end before the next run begins."""

    descriptor: int
    #: Folders that earlier runs noted; they exist only if the run was killed.
    left: list[Path]

    def note(self, line: object) -> None:
        """Write down the process, or a folder that the next run has to remove if this one is killed."""
        with contextlib.suppress(OSError):  # the lock holds all the same
            os.write(self.descriptor, f"{line}\n".encode())


@contextlib.contextmanager
def run_lock(state: Path) -> Iterator[RunLock]:
    """Hold the lock of a state file. Raises CommandError if another run holds it, or it cannot be written."""
    path = _lock_path(state)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise refusal(f"The state file {state}", error) from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.readline().strip()
            raise CommandError(
                f"Another run uses {state} (process {holder or 'unknown'}, or the destination that it started): wait "
                "until it ends. Nothing was read or sent.",
                STOPPED,
            ) from None
        file.seek(0)
        left = [folder for line in file.read().splitlines()[1:] if (folder := Path(line)).is_dir()]
        lock = RunLock(file.fileno(), left)
        file.truncate(0)
        for line in (os.getpid(), *left):
            lock.note(line)
        yield lock


def is_running(state: Path) -> bool:
    """Return whether a run, or the destination that it started, holds the lock of a state file."""
    return is_locked(_lock_path(state))


def _lock_path(state: Path) -> Path:
    return state.with_name(state.name + ".lock")


def stream_of(state: State) -> str | None:
    """Return the stream of a state; None for a global one."""
    descriptor = _subject(state)
    return None if descriptor is None else descriptor[1]


def position_of(state: State) -> str:
    """Return how far a state reaches: its first text that begins like a date, else its values."""
    values = (state.get("stream") or {}).get("stream_state")
    texts = [str(value) for value in values.values()] if isinstance(values, dict) else []
    return next((text for text in texts if text[:2].isdigit() and text[4:5] == "-"), ", ".join(texts)[:60])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _subject(state: State) -> tuple[str, str] | None:
    descriptor = (state.get("stream") or {}).get("stream_descriptor")
    return (str(descriptor.get("namespace") or ""), str(descriptor["name"])) if descriptor else None


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        sources = json.loads(path.read_text(encoding="utf-8"))["sources"]
        if all(isinstance(entry["states"], list) for entry in sources.values()):
            return dict(sources)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(unreadable(f"The state file {path}", error)) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ConfigurationError(
        f"{path} is not a state file of wicked-reports-sync: restore a backup, or move the file away to read "
        "everything again. The ledger keeps rows from being sent twice."
    )
