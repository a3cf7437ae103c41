"""Normalization and validation of the configuration, and the request parameters made from it."""

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_wecantrack import SourceWecantrack
from source_wecantrack.base.entrypoint import _Entrypoint

from integration_tests.support.source_fixtures import LOGGER

from .conftest import SUBJECT


def query(sim):
    return sim.requests("/api/v3/transactions")[0]["query"]


def spec():
    return SourceWecantrack().spec(LOGGER)


def test_filters_go_out_as_the_vendor_documents_them(sim, config, read):
    filters = {
        "statuses": ["pending", "approved"],
        "network_id": "1e5",
        "network_account_id": 7,
        "network_account_tags": ["a b", "c"],
        "website_id": "12",
    }
    assert read({**config, **filters}).error is None
    assert query(sim)[:3] == [
        ["date_type", "last_wct_update"],
        ["start_date", "2026-01-01T00:00:00"],
        ["end_date", "2026-01-02T00:00:00"],
    ]
    assert sorted(query(sim)[3:]) == sorted([
        ["status[]", "pending"],
        ["status[]", "approved"],
        ["network_id", "1e5"],
        ["network_account_id", "7"],
        ["network_account_tags[]", "a b"],
        ["network_account_tags[]", "c"],
        ["website_id", "12"],
        ["page", "1"],
        ["limit", str(SUBJECT.default("page_size"))],
    ])  # fmt: skip


def test_filters_that_are_not_set_are_not_sent(sim, config, read):
    read({**config, "statuses": [], "network_id": "", "network_account_tags": []})
    assert {name for name, _ in query(sim)} == {"date_type", "start_date", "end_date", "page", "limit"}


def test_click_totals_are_requested_with_good_defaults(sim, config, read):
    read(config, "clicks_aggregation")
    sent = dict(sim.requests("/api/v2/clicks/aggregation")[0]["query"])
    assert sent == {
        "last_clicks": str(SUBJECT.default("last_clicks")),
        "group_by": ",".join(SUBJECT.default("clicks_group_by")),
        "page": "1",
        "limit": str(SUBJECT.default("page_size")),
    }


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-01-01", "2026-01-01", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("2026-01-01T06:30:00", "2026-01-01T07:00:00", "2026-01-01T06:30:00", "2026-01-01T07:00:01"),
        ("2026-01-01T06:30:00Z", "2026-01-01T07:00:00Z", "2026-01-01T06:30:00", "2026-01-01T07:00:01"),
        ("2026-01-01T06:30:00Z", "2026-01-01T06:30:00Z", "2026-01-01T06:30:00", "2026-01-01T06:30:01"),
    ],
)
def test_dates_may_be_days_or_seconds_with_or_without_z(start, end, first, last, sim, config, read):
    config = {**config, "start_date": start, "end_date": end}
    _Entrypoint.validate_connection(spec(), config)
    assert read(config).error is None
    assert (dict(query(sim))["start_date"], dict(query(sim))["end_date"]) == (first, last)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"start_date": "2026-02-31"}, "start_date is not a valid date"),
        ({"end_date": "2026-13-01"}, "end_date is not a valid date"),
        ({"end_date": "2025-12-31"}, "end_date is before start_date"),
        ({"start_date": ""}, "start_date is missing"),
        ({"api_url": "http://api.wecantrack.com"}, "api_url must be an https URL"),
        ({"api_url": "http://localhost.evil.example"}, "api_url must be an https URL"),
        ({"api_url": "ftp://api.wecantrack.com"}, "api_url must be an https URL"),
        ({"api_url": "https://user@api.wecantrack.com"}, "api_url must be an https URL"),
        ({"api_url": "api.wecantrack.com"}, "api_url must be an https URL"),
        ({"api_url": "http://[bad"}, "api_url must be an https URL"),
        ({"api_url": "https://[::1"}, "api_url must be an https URL"),
        ({"api_url": "https://:443"}, "api_url must be an https URL"),
        ({"api_url": "https://[::1]:port"}, "api_url must be an https URL"),
        ({"api_url": "http://localhost:99999"}, "api_url must be an https URL"),
        ({"api_key": "k\u00e9y\u2603"}, "The API key is empty or has invalid characters"),
        ({"api_key": "key\n"}, "The API key is empty or has invalid characters"),
    ],
)
def test_a_wrong_configuration_is_refused_before_any_request(wrong, words, sim, config, read):
    outcome = read({**config, **wrong})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "config_error"
    assert words in outcome.error.message
    status = SUBJECT.check({**config, **wrong})
    assert words in status.message
    assert "\u2603" not in status.message
    assert sim.requests() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_date": "01/02/2026"},
        {"start_date": "2026-01-01 00:00"},
        {"end_date": "tomorrow"},
        {"date_type": "sale_date"},
        {"statuses": ["paid"]},
        {"lookback_hours": -1},
        {"website_id": "main"},
        {"last_clicks": 75001},
        {"api_key": "with space"},
        {"api_key": "k\u00e9y\u2603"},
    ],
)
def test_the_spec_refuses_early_and_names_the_field_without_its_value(wrong, sim, config):
    with pytest.raises(AirbyteTracedException) as refusal:
        _Entrypoint.validate_connection(spec(), {**config, **wrong})
    (name, value), message = next(iter(wrong.items())), refusal.value.message
    assert refusal.value.failure_type.value == "config_error"
    assert message.startswith(f"Invalid configuration: {name}")
    assert not (isinstance(value, str) and value in message)


def test_fields_that_no_schema_knows_pass_through_untouched(sim, config, read):
    row = (
        '{"transaction_id":"a","user_network_account_id":1,"sub_ids":[],"click_metadata":null,'
        '"sale_amount":"0.10","brand_new":{"x":[1,null]}}'
    )
    body = f'{{"current_page":1,"last_page":1,"per_page":1000,"total":1,"data":[{row}]}}'
    sim.fault("status", "/api/v3/transactions", status=200, body=body)
    assert read(config).rows() == [
        {
            "transaction_id": "a", "user_network_account_id": 1, "sub_ids": [], "click_metadata": None,
            "sale_amount": "0.10", "brand_new": {"x": [1, None]}, "transaction_key": "1-a",
        }
    ]  # fmt: skip


def test_a_start_in_the_future_is_reported(sim, config, read, caplog):
    assert read({**config, "start_date": "2031-01-01", "end_date": "2031-01-02"}).error is None
    assert "start_date is in the future" in caplog.text
