"""What a configuration may say, how it reaches the vendor, and what is refused before anything is asked."""

import json

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_wecantrack import SourceWecantrack
from source_wecantrack.base.entrypoint import _Entrypoint

from .conftest import LOGGER


def query(sim):
    return sim.requests("/api/v3/transactions")[0]["query"]


def spec():
    return SourceWecantrack().spec(LOGGER)


def test_every_property_has_a_title_in_title_case_and_a_description():
    for name, declared in spec().connectionSpecification["properties"].items():
        assert all(word[0].isupper() for word in declared["title"].split()), name
        assert len(declared["description"]) > 30, name


def test_the_source_is_made_without_arguments_and_takes_each_commands_config(sim, config):
    source = SourceWecantrack()
    assert source.check(LOGGER, config).status.value == "SUCCEEDED"
    assert len(source.discover(LOGGER, config).streams) == 5


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
        ["limit", "1000"],
    ])  # fmt: skip


def test_filters_that_are_not_set_are_not_sent(sim, config, read):
    read({**config, "statuses": [], "network_id": "", "network_account_tags": []})
    assert {name for name, _ in query(sim)} == {"date_type", "start_date", "end_date", "page", "limit"}


def test_click_totals_are_asked_for_with_good_defaults(sim, config, read):
    read(config, "clicks_aggregation")
    sent = dict(sim.requests("/api/v2/clicks/aggregation")[0]["query"])
    assert sent == {"last_clicks": "75000", "group_by": "networks,network_accounts", "page": "1", "limit": "1000"}


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
        ({"start_date": "2026-02-31"}, "start_date is not a date of the calendar"),
        ({"end_date": "2026-13-01"}, "end_date is not a date of the calendar"),
        ({"end_date": "2025-12-31"}, "end_date lies before start_date"),
        ({"start_date": ""}, "start_date is missing"),
        ({"api_url": "http://api.wecantrack.com"}, "api_url must be an https address"),
        ({"api_url": "http://localhost.evil.example"}, "api_url must be an https address"),
        ({"api_url": "ftp://api.wecantrack.com"}, "api_url must be an https address"),
        ({"api_url": "https://user@api.wecantrack.com"}, "api_url must be an https address"),
        ({"api_url": "api.wecantrack.com"}, "api_url must be an https address"),
        ({"api_url": "http://[bad"}, "api_url must be an https address"),
        ({"api_url": "https://[::1"}, "api_url must be an https address"),
        ({"api_url": "https://:443"}, "api_url must be an https address"),
        ({"api_url": "https://[::1]:port"}, "api_url must be an https address"),
        ({"api_url": "http://localhost:99999"}, "api_url must be an https address"),
        ({"api_key": "k\u00e9y\u2603"}, "The API key is empty or no key"),
        ({"api_key": "key\n"}, "The API key is empty or no key"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_asked(wrong, words, sim, config, read):
    outcome = read({**config, **wrong})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "config_error"
    assert words in outcome.error.message
    status = SourceWecantrack(config={**config, **wrong}).check(LOGGER, {**config, **wrong})
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
    assert message.startswith(f"The configuration is refused: {name}")
    assert not (isinstance(value, str) and value in message)


def test_a_missing_key_is_named(sim, config):
    with pytest.raises(AirbyteTracedException, match="api_key"):
        _Entrypoint.validate_connection(spec(), {"start_date": "2026-01-01"})


def test_every_stream_declares_one_key_column_at_most_and_describes_every_field(sim, config):
    for stream in SourceWecantrack(config=config).discover(LOGGER, config).streams:
        keys = stream.source_defined_primary_key or []
        assert len(keys) <= 1
        assert all(key[0] in stream.json_schema["properties"] for key in keys)
        assert stream.json_schema["additionalProperties"] is True
        assert all(declared["description"] for declared in stream.json_schema["properties"].values())


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


@pytest.mark.parametrize(("wrong", "right"), [("enddate", "end_date"), ("Lookback_Hours", "lookback_hours")])
def test_a_misspelt_key_is_refused_for_it_would_do_nothing(wrong, right, sim, config):
    with pytest.raises(AirbyteTracedException, match=f"{wrong} is no setting of this connector: did you mean {right}"):
        _Entrypoint.validate_connection(spec(), {**config, wrong: 5})
    _Entrypoint.validate_connection(spec(), {**config, "__injected": 1, "stream_maps": {}})


def test_a_start_in_the_future_is_told(sim, config, read, caplog):
    assert read({**config, "start_date": "2031-01-01", "end_date": "2031-01-02"}).error is None
    assert "start_date lies in the future" in caplog.text


def test_an_optional_key_that_is_null_counts_as_left_out_and_a_required_one_as_missing(sim, config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "end_date": None, "statuses": None, "network_id": None}))
    read = SourceWecantrack.read_config(str(path))
    assert read == {key: value for key, value in config.items() if key != "end_date"}
    _Entrypoint.validate_connection(spec(), read)
    path.write_text(json.dumps({**config, "start_date": None}))
    with pytest.raises(AirbyteTracedException, match="'start_date' is a required property"):
        _Entrypoint.validate_connection(spec(), SourceWecantrack.read_config(str(path)))
