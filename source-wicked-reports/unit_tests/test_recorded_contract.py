"""Replays one recorded exchange per stream with the network blocked: what is requested, and what is read from it.

The recordings were made with the simulator, not the vendor. To record again, delete `cassettes/` and run
`pytest --record-mode=once source-wicked-reports/unit_tests/test_recorded_contract.py`.
"""

import pytest

from integration_tests.support.recordings import recorded_url, recording_options

from .conftest import SUBJECT


def populate(client):
    client.outbound.seed(start="2026-01-01", days=20, contacts=4, orders=5, clicks=9, twins=1)


@pytest.fixture
def recording(record_mode):
    with recorded_url(record_mode, SUBJECT.now, populate) as url:
        yield url


@pytest.fixture(scope="module")
def vcr_config():
    return recording_options("apikey")


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.parametrize("stream", SUBJECT.streams)
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
