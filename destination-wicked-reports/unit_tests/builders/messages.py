"""Airbyte messages as input lines, and the STATEs of an output."""

from __future__ import annotations

import orjson


def record(number: int, stream: str = "orders", namespace: str | None = None, **data) -> bytes:
    body = {"stream": stream, "namespace": namespace, "emitted_at": 1, "data": {"n": number, **data}}
    return orjson.dumps({"type": "RECORD", "record": body})


def state(number: int, stream: str = "orders", namespace: str | None = None, **extra) -> bytes:
    descriptor = {"name": stream, "namespace": namespace}
    body = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": {"at": number}}, **extra}
    return orjson.dumps({"type": "STATE", "state": body})


def status(what: str, namespace: str | None = None) -> bytes:
    said = {"stream_descriptor": {"name": "orders", "namespace": namespace}, "status": what}
    return orjson.dumps({"type": "TRACE", "trace": {"type": "STREAM_STATUS", "stream_status": said}})


def states(out) -> list[int]:
    return [m["state"]["stream"]["stream_state"]["at"] for m in out if isinstance(m, dict) and m["type"] == "STATE"]
