"""One recorded exchange for each endpoint, replayed with the network blocked: what goes out, and what comes of it.

The recordings were made against the simulator, not the vendor. To make them anew, delete `cassettes/` and run
`pytest --record-mode=once source-wicked-reports/unit_tests/test_recorded_contract.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from integration_tests.simulator.server import running_simulator

HOST = "http://localhost"
STREAMS = [
    "contacts",
    "orders",
    "clicks",
    "selected_contacts",
    "selected_contact_clicks",
    "selected_contact_orders",
]


@pytest.fixture
def recording(record_mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address to read from: a simulator's while recording, else one where nobody answers."""
    if record_mode == "none":
        yield HOST
        return
    with running_simulator(start="2026-02-01T12:00:00Z", frozen=True) as client:
        client.outbound.seed(start="2026-01-01", days=20, contacts=4, orders=5, clicks=9, twins=1)
        yield client.url


def anonymous_request(request: Any) -> Any:
    """Leave out the port of the day and everything of the admin API."""
    parts = urlsplit(request.uri)
    if parts.path.startswith("/_sim/"):
        return None
    request.uri = HOST + request.uri.removeprefix(f"{parts.scheme}://{parts.netloc}")
    return request


def anonymous_response(response: Any) -> Any:
    """Leave out what changes from day to day."""
    response["headers"] = {
        name: value for name, value in response["headers"].items() if name.lower() not in ("date", "content-length")
    }
    return response


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    return {
        "filter_headers": ["apikey", "host"],
        "before_record_request": anonymous_request,
        "before_record_response": anonymous_response,
        "match_on": ["method", "scheme", "path", "query"],
        "decode_compressed_response": True,
    }


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.parametrize("stream", STREAMS)
def test_the_recorded_exchange_still_reads(stream, recording, read, clock):
    config = {
        "api_key": "sim-wicked-key",
        "start_date": "2026-01-01",
        "end_date": "2026-01-20",
        "contact_ids": ["c000001", "nobody@example.com"],
        "page_size": 4,
        "api_url": recording,
        "max_tries": 1,
    }
    outcome = read(config, stream)
    assert outcome.error is None
    assert outcome.rows(stream)
    assert outcome.states(stream)
