"""The state file: the last state of every stream, and the ledger that was filled up to there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from destination_wicked_reports.config.files import write_atomically
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync.exit_codes import STOPPED, CommandError

State = dict[str, Any]


class StateFile:
    """What `run` has to know of the runs before it, by source. Every change is on disk before the method returns.

    The file is JSON: `{"sources": {NAME: {"ledger": ID, "mode": "live", "states": [STATE, ...], "last_run": {...}}}}`.
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

    def bind(self, source: str, ledger: str, mode: str) -> None:
        """Record the ledger that is filled from now on."""
        if self.ledger(source) != (ledger, mode):
            self._change(source, ledger=ledger, mode=mode)

    def last_run(self, source: str) -> Mapping[str, Any]:
        """Return what the last run recorded with `finish`; empty if there was none."""
        return dict(self._of(source).get("last_run") or {})

    def finish(self, source: str, last_run: Mapping[str, Any]) -> None:
        """Record how a run ended."""
        self._change(source, last_run=dict(last_run))

    def _of(self, source: str) -> dict[str, Any]:
        return self._sources.get(source) or {"states": []}

    def _change(self, source: str, **changes: Any) -> None:
        with self._lock:
            self._sources[source] = {**self._of(source), **changes}
            content = json.dumps({"sources": self._sources}, indent=1, ensure_ascii=False) + "\n"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, content.encode())


@contextlib.contextmanager
def run_lock(state: Path) -> Iterator[int]:
    """Hold the lock of a state file; yield its descriptor, for the process that must end before the next run begins.

    Raises CommandError if another run holds it.
    """
    path = state.with_name(state.name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise CommandError(
                f"Another run uses {state} (process {holder or 'unknown'}, or the destination that it started): wait "
                "until it ends. Nothing was read or sent.",
                STOPPED,
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file.fileno()


def stream_of(state: State) -> str | None:
    """Return the stream of a state; None for a global one."""
    descriptor = _subject(state)
    return None if descriptor is None else descriptor[1]


def position_of(state: State) -> str:
    """Return how far a state reaches: its first text that begins like a date, else its values."""
    values = (state.get("stream") or {}).get("stream_state")
    texts = [str(value) for value in values.values()] if isinstance(values, dict) else []
    return next((text for text in texts if text[:2].isdigit() and text[4:5] == "-"), ", ".join(texts)[:60])


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
        raise ConfigurationError(f"The state file {path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ConfigurationError(
        f"{path} is not a state file of wicked-reports-sync: restore a backup, or move the file away to read "
        "everything again. The ledger keeps rows from being sent twice."
    )
