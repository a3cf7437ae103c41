"""Reads the file of `--state`: a list of states, or messages of an earlier run, of which the last state counts.

Messages may be everything that a source or a destination printed, or lines cut from it. Lines that are not messages are
skipped, because the output of a killed run can end in the middle of a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airbyte_cdk.models import AirbyteStateMessage, AirbyteStateMessageSerializer

from .json_files import UnusableFileError, parse_json, unreadable

#: Larger files are read line by line, in flat memory.
_MAX_DOCUMENT_BYTES = 4_000_000
_ADVICE = "Pass the messages that an earlier run printed, or omit --state to start over."
#: What the CDK's cursors for partitions wrap around the state of a stream.
_WRAPPER = "use_global_cursor"


def read_states(path: str) -> list[AirbyteStateMessage]:
    """Return the last state of each stream; raises UnusableFileError.

    A shared state that applies to all streams is refused, because no source writes one and the CDK crashes on it.
    """
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for stored in _stored_states(path):
            for stream in _streams_of(stored, path):
                descriptor = stream["stream_descriptor"]
                name, namespace = descriptor["name"], descriptor.get("namespace") or ""
                known = {"stream_descriptor": {"name": name, **({"namespace": namespace} if namespace else {})}}
                latest[name, namespace] = {**known, "stream_state": _unwrapped(stream.get("stream_state"))}
        return [AirbyteStateMessageSerializer.load({"type": "STREAM", "stream": stream}) for stream in latest.values()]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UnusableFileError(f"The state file {path} has a state of an unknown form. {_ADVICE}") from None


def _stored_states(path: str) -> list[dict[str, Any]]:
    """Return the states in a file, in order: of a JSON document, or of the lines that are messages."""
    content, states = bytearray(), []
    try:
        with open(path, "rb") as file:
            for line in file:
                if len(content) <= _MAX_DOCUMENT_BYTES:
                    content += line
                if b"STATE" in line or b"STREAM" in line:
                    states += _states_of(_value(line))
    except OSError as error:
        raise UnusableFileError(unreadable(f"The state file {path}", error)) from None
    is_list = content.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"[")
    if len(content) <= _MAX_DOCUMENT_BYTES:
        try:
            document = parse_json(bytes(content), path, "state")
        except UnusableFileError as error:
            first = _value(bytes(content).splitlines()[0]) if content else None
            is_messages = isinstance(first, dict) and "type" in first
            if is_list or not (states or is_messages):
                raise UnusableFileError(f"{error} {_ADVICE}") from None
        else:
            if document in (None, [], {}):
                return []
            parts = document if isinstance(document, list) else [document]
            states = [state for part in parts for state in _states_of(part, is_only=True)]
    if not states:
        raise UnusableFileError(f"The state file {path} has no state. {_ADVICE}")
    return states


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _states_of(value: Any, *, is_only: bool = False) -> list[dict[str, Any]]:
    """Return the states in a message, a list of messages or a state itself; none for another message.

    With `is_only`, a value of another form is a state of all streams by name, or raises TypeError.
    """
    if isinstance(value, list):
        return [state for part in value for state in _states_of(part)]
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "STATE":
        return [value["state"]]
    if kind in ("STREAM", "GLOBAL", "LEGACY"):
        return [value]
    if kind is None and is_only:
        if not isinstance(value, dict):
            raise TypeError
        return [value] if "stream" in value or "global" in value else [{"data": value}]
    return []


def _streams_of(stored: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """Return the states of single streams in a state."""
    if stored.get("stream") is not None:
        return [stored["stream"]]
    if stored.get("global") is not None:
        if stored["global"].get("shared_state") is not None:
            raise UnusableFileError(
                f"The state file {path} has a GLOBAL state with a shared_state, which this source never writes. Pass a "
                "state that this source wrote, or omit --state to start over."
            )
        return list(stored["global"]["stream_states"])
    return [
        {"stream_descriptor": {"name": name}, "stream_state": dict(state)} for name, state in stored["data"].items()
    ]


def _unwrapped(state: Any) -> Any:
    return state["state"] if isinstance(state, dict) and _WRAPPER in state and "state" in state else state
