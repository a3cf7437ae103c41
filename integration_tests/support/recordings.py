"""Recorded exchanges with the simulator, which tests replay with the network blocked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator

#: Host in recorded exchanges; the simulator's port differs in every run.
RECORDED_HOST = "http://localhost"


@contextmanager
def recorded_url(
    record_mode: str, start: str, populate: Callable[[SimulatorClient], object] | None = None
) -> Iterator[str]:
    """Yield the URL to read from: a populated simulator while recording, else one that no server listens on."""
    if record_mode == "none":
        yield RECORDED_HOST
        return
    with running_simulator(start=start, frozen=True) as client:
        if populate is not None:
            populate(client)
        yield client.url


def recording_options(*secret_headers: str, match_on: Sequence[str] = ("query",)) -> dict[str, Any]:
    """Return the `vcr_config` of recorded exchanges, without secrets, ports, dates and admin requests.

    `match_on` names what must be equal besides method, scheme and path.
    """
    return {
        "filter_headers": [*secret_headers, "host"],
        "before_record_request": _anonymize_request,
        "before_record_response": _anonymize_response,
        "match_on": ["method", "scheme", "path", *match_on],
        "decode_compressed_response": True,
    }


def _anonymize_request(request: Any) -> Any:
    parts = urlsplit(request.uri)
    if parts.path.startswith("/_sim/"):
        return None
    request.uri = RECORDED_HOST + request.uri.removeprefix(f"{parts.scheme}://{parts.netloc}")
    return request


def _anonymize_response(response: Any) -> Any:
    text = response["body"]["string"].decode()
    port = text.partition("http://127.0.0.1:")[2].partition("/")[0]
    response["body"]["string"] = text.replace(f"http://127.0.0.1:{port}", RECORDED_HOST).encode()
    response["headers"] = {
        name: value for name, value in response["headers"].items() if name.lower() not in ("date", "content-length")
    }
    return response
