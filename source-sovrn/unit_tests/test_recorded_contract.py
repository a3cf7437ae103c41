"""Replays one recorded exchange per stream with the network blocked: what is requested, and what is read from it.

The recordings were made with the simulator, not the vendor. To record again, delete `cassettes/` and run
`pytest --record-mode=once source-sovrn/unit_tests/test_recorded_contract.py`.
"""

import pytest

from integration_tests.support.recordings import recorded_url, recording_options

from .conftest import SUBJECT


def populate(client):
    client.sovrn.generate(transactions=120, days=40, later_days=0)
    client.sovrn.pace(0)


@pytest.fixture
def recording(record_mode):
    with recorded_url(record_mode, SUBJECT.now, populate) as url:
        yield url


@pytest.fixture(scope="module")
def vcr_config():
    return recording_options("authorization")


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.parametrize("stream", SUBJECT.streams)
def test_the_recorded_exchange_still_reads(stream, recording, read, clock):
    config = {
        "secret_key": "sim-sovrn-key",
        "start_date": "2026-01-10",
        "end_date": "2026-01-11",
        "api_url": recording,
        "max_tries": 1,
    }
    outcome = read(config, stream)
    assert outcome.error is None
    assert outcome.rows(stream)
    assert outcome.states(stream)
