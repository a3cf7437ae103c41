"""Normalization and validation of the configuration, and the request parameters made from it."""

import pytest
from airbyte_cdk.sources.utils.schema_helpers import check_config_against_spec_or_exit
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_sovrn import SourceSovrn

from integration_tests.support.source_fixtures import LOGGER

from .conftest import CAMPAIGNS, SUBJECT, TOTALS, TRANSACTIONS, requested_days


def query(sim, path=TRANSACTIONS):
    return dict(sim.requests(path)[0]["query"])


def spec():
    return SourceSovrn().spec(LOGGER)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([100, 200], "100,200"),
        (["100", " 200"], "100,200"),
        ("100, 200", "100,200"),
        ("100", "100"),
        (100, "100"),
        ("007,7", "7"),
        ([12345678901234567890], "12345678901234567890"),
    ],
)
def test_ids_go_out_as_a_comma_list(given, sent, sim, config, read):
    config = {**config, "campaign_ids": given, "merchant_group_ids": given, "program_type": "CPA"}
    check_config_against_spec_or_exit(config, spec())
    assert read(config, "transactions", "merchants_by_date").error is None
    filters = {"campaignIds": sent, "merchantGroupIds": sent, "programType": "CPA"}
    assert query(sim) == {"updateDate": "2026-01-01", **filters}
    assert query(sim, TOTALS) == {"clickDateStart": "2026-01-01", "clickDateEnd": "2026-01-04", **filters}


@pytest.mark.parametrize("empty", ["", []])
def test_filters_that_are_not_set_are_not_sent(empty, sim, config, read):
    read({**config, "campaign_ids": empty, "merchant_group_ids": empty, "program_type": ""})
    assert query(sim) == {"updateDate": "2026-01-01"}


@pytest.mark.parametrize("name", ["campaign_ids", "merchant_group_ids"])
@pytest.mark.parametrize("bad", ["0", "1,,2", "-1", "1;2", "abc", [0], [1, -2], ["1.5"], [True], ["\u0661"], "1,", 0])
def test_ids_that_are_invalid_are_refused_before_any_request(name, bad, sim, config, read):
    outcome = read({**config, name: bad})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "config_error"
    assert f"{name} must be positive whole numbers" in outcome.error.message
    assert sim.requests() == []


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-01-01", "2026-01-01", ["2026-01-01"]),
        ("2026-01-01T06:30:00Z", "2026-01-02T00:00:00Z", ["2026-01-01", "2026-01-02"]),
        ("2026-01-01T06:30:00.000Z", "2026-01-01T23:59:59", ["2026-01-01"]),
    ],
)
def test_dates_are_whole_days_however_they_are_written(start, end, days, sim, config, read):
    config = {**config, "start_date": start, "end_date": end}
    check_config_against_spec_or_exit(config, spec())
    assert read(config).error is None
    assert requested_days(sim) == days


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"start_date": "2026-02-31"}, "start_date is not a valid date"),
        ({"end_date": "2026-13-01"}, "end_date is not a valid date"),
        ({"end_date": "2025-12-31"}, "end_date is before start_date"),
        ({"start_date": ""}, "start_date is missing"),
        ({"end_date": 5}, "end_date is not a valid date"),
        ({"end_date": True}, "end_date is not a valid date"),
        ({"end_date": ["2026-01-01"]}, "end_date is not a valid date"),
        ({"api_url": "http://viglink.io"}, "api_url must be an https URL"),
        ({"api_url": "http://localhost.evil.example"}, "api_url must be an https URL"),
        ({"api_url": "ftp://viglink.io"}, "api_url must be an https URL"),
        ({"api_url": "https://user@viglink.io"}, "api_url must be an https URL"),
        ({"api_url": "viglink.io"}, "api_url must be an https URL"),
    ],
)
def test_a_wrong_configuration_is_refused_before_any_request(wrong, words, sim, config, read):
    outcome = read({**config, **wrong})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "config_error"
    assert words in outcome.error.message
    status = SUBJECT.check({**config, **wrong})
    assert words in status.message
    assert sim.requests() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_date": "01/02/2026"},
        {"end_date": "tomorrow"},
        {"date_type": "sale_date"},
        {"program_type": "cpx"},
        {"lookback_days": -1},
        {"secret_key": ""},
        {"request_interval_seconds": -1},
    ],
)
def test_the_spec_refuses_early(wrong, sim, config):
    with pytest.raises(AirbyteTracedException):
        check_config_against_spec_or_exit({**config, **wrong}, spec())


def test_without_api_url_the_vendors_two_hosts_are_used():
    config = {"secret_key": "k", "start_date": "2026-01-01", "end_date": "2026-01-01"}
    urls = {
        stream.name: stream._stream_partition_generator._partition_factory._retriever.requester.get_url()
        for stream in SourceSovrn(config=config).streams(config)
    }
    expected = {
        "transactions": f"https://viglink.io{TRANSACTIONS}",
        "merchants_by_date": f"https://viglink.io{TOTALS}",
        "campaigns": f"https://rest.viglink.com{CAMPAIGNS}",
    }
    assert {name: urls[name] for name in expected} == expected
