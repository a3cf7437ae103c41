"""No bad response is read as an empty page."""

import json

import pytest

from .conftest import fill

FAULTS = [
    "html_200", "empty_200", "null_200", "list_200", "object_200", "error_200", "half_body", "half_body_no_length",
    "half_body_longer_length", "broken_chunked", "reset_mid_body", "close_before_answer", "nan_in_json", "status_500",
    "status_503", "throttled_bare", "throttled_garbage", "hang",
]  # fmt: skip
#: Faults of a body that can be read nevertheless: NaN is read as null.
READABLE = ["nan_in_json"]
REFUSALS = {"status_401": "config_error", "status_403": "config_error", "status_422": "config_error",
            "redirect_302": "config_error", "status_404": "config_error"}  # fmt: skip
SMALL = {
    "network_accounts": "/api/v2/network_accounts",
    "networks": "/api/v2/networks",
    "websites": "/api/v1/websites",
    "clicks_aggregation": "/api/v2/clicks/aggregation",
}
UNDETECTABLE = {"list_200", "nan_in_json"}  # an empty array is valid there, and there are no amounts to corrupt


@pytest.mark.parametrize("fault", FAULTS)
def test_given_a_fault_once_when_read_then_every_row_comes_after_a_retry(fault, sim, config, read):
    expected = fill(sim)
    sim.fault(fault, "/api/v3/transactions", nth=2, times=1, seconds=3)
    outcome = read({**config, "read_timeout_seconds": 1})
    assert outcome.error is None
    assert sorted(outcome.keys()) == sorted(expected)
    assert outcome.states()[-1] == {"last_wct_update": "2026-01-03T23:59:59"}
    assert sim.faults()[0]["struck"] == 1


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in READABLE])
def test_given_a_fault_permanently_when_read_then_it_fails_as_transient_and_state_stays_before_the_hole(
    fault, sim, config, read
):
    fill(sim)
    sim.fault(fault, "/api/v3/transactions", nth=2, times=0, seconds=2)
    outcome = read({**config, "read_timeout_seconds": 0.3, "max_tries": 3})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "transient_error"
    assert outcome.states() == [{"last_wct_update": "2026-01-01T23:59:59"}]
    assert outcome.statuses()[-1] == ("transactions", "INCOMPLETE")


@pytest.mark.parametrize(("fault", "kind"), REFUSALS.items())
def test_given_a_refusal_when_read_then_it_ends_at_once_with_the_right_type(fault, kind, sim, config, read, clock):
    fill(sim)
    sim.fault(fault, "/api/v3/transactions", nth=2, times=0)
    outcome = read(config)
    assert outcome.error is not None
    assert outcome.error.failure_type.value == kind
    assert outcome.states() == [{"last_wct_update": "2026-01-01T23:59:59"}]
    assert len(sim.requests("/api/v3/transactions")) == 2
    assert clock.slept == []


@pytest.mark.parametrize("stream", ["networks", "clicks_aggregation"])
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in UNDETECTABLE])
def test_given_a_fault_once_when_a_small_stream_is_read_then_it_is_whole(stream, fault, sim, config, read):
    fill(sim)
    sim.generate(transactions=50, days=5, later_days=0)
    expected = len(read(config, stream).rows(stream))
    sim.fault(fault, SMALL[stream], times=1, seconds=3)
    outcome = read({**config, "read_timeout_seconds": 1}, stream)
    assert outcome.error is None
    assert len(outcome.rows(stream)) == expected > 0


@pytest.mark.parametrize("stream", SMALL)
@pytest.mark.parametrize("fault", ["html_200", "object_200", "null_200", "error_200", "half_body"])
def test_given_a_bad_body_permanently_when_a_small_stream_is_read_then_it_fails(stream, fault, sim, config, read):
    sim.fault(fault, SMALL[stream], times=0)
    outcome = read(config, stream)
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "transient_error"
    assert outcome.states(stream) == []


def test_given_rows_without_ids_when_read_then_the_page_does_not_count(sim, config, read):
    fill(sim)
    body = '{"current_page":1,"last_page":1,"per_page":1000,"total":1,"data":[{"sale_amount":"1"}]}'
    sim.fault("status", "/api/v3/transactions", status=200, times=1, body=body)
    assert len(read(config).rows()) == 15


def test_given_counts_written_as_text_when_read_then_they_are_taken(sim, config, read):
    body = (
        '{"current_page":"1","last_page":1,"per_page":"1000","total":1,'
        '"data":[{"transaction_id":"a","user_network_account_id":1}]}'
    )
    sim.fault("status", "/api/v3/transactions", status=200, times=1, body=body)
    assert read(config).keys() == ["1-a"]


def test_given_another_page_than_requested_when_read_then_it_does_not_count(sim, config, read):
    expected = fill(sim)
    body = '{"current_page":2,"last_page":1,"per_page":1000,"total":0,"data":[]}'
    sim.fault("status", "/api/v3/transactions", status=200, times=1, body=body)
    assert sorted(read(config).keys()) == sorted(expected)


@pytest.mark.parametrize("depth", [300, 5000])
def test_given_a_row_nested_too_deeply_when_read_then_the_page_does_not_count(depth, sim, config, read):
    row = f'{{"transaction_id":"a","user_network_account_id":1,"sub_ids":{"[" * depth}{"]" * depth}}}'
    body = f'{{"current_page":1,"last_page":1,"per_page":1000,"total":1,"data":[{row}]}}'
    sim.fault("status", "/api/v3/transactions", status=200, times=0, body=body)
    outcome = read({**config, "max_tries": 1})
    assert outcome.error.failure_type.value == "transient_error"
    assert "no valid response" in outcome.error.message
    assert outcome.states() == []


@pytest.mark.parametrize("wrong", [("[1]", 7), ('"a"', 1.5), ('"a"', "true"), (1.25, 7)])
def test_given_an_id_that_may_have_lost_digits_when_read_then_the_page_does_not_count(wrong, sim, config, read):
    row = '{{"transaction_id":{},"user_network_account_id":{}}}'.format(*wrong)
    body = f'{{"current_page":1,"last_page":1,"per_page":1000,"total":1,"data":[{row}]}}'
    sim.fault("status", "/api/v3/transactions", status=200, times=0, body=body)
    outcome = read({**config, "max_tries": 1})
    assert "an id that is neither text nor a 64-bit integer" in outcome.error.message
    assert outcome.states() == []


def page(rows: str, **numbers: int) -> str:
    counts = {"current_page": 1, "last_page": 1, "per_page": 1000, "total": 1, **numbers}
    return json.dumps(counts)[:-1] + f',"data":[{rows}]}}'


def test_ids_and_amounts_keep_every_digit(sim, config, read):
    row = (
        '{"transaction_id":123456789012345678901,"user_network_account_id":98765432109876543210987,'
        '"order_ref":12345678901234567890123,"sale_amount":1234567890123.456789,"commission_amount":10.10}'
    )
    sim.fault("status", "/api/v3/transactions", status=200, body=page(row))
    (found,) = read({**config, "end_date": "2026-01-01"}).rows()
    assert found == {
        "transaction_key": "98765432109876543210987-123456789012345678901",
        "transaction_id": "123456789012345678901",
        "user_network_account_id": "98765432109876543210987",
        "order_ref": "12345678901234567890123",
        "sale_amount": "1234567890123.456789",
        "commission_amount": 10.1,
    }


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_value_that_json_does_not_have_is_null_with_a_warning(word, sim, config, read, caplog):
    rows = f'{{"transaction_id":"a","user_network_account_id":1,"sale_amount":{word}}}'
    sim.fault("status", "/api/v3/transactions", status=200, body=page(rows))
    (row,) = read({**config, "end_date": "2026-01-01"}).rows()
    assert row["sale_amount"] is None
    assert "Stream transactions: 1 values that are not JSON (NaN or Infinity) were read as null." in caplog.text


@pytest.mark.parametrize("stream", ["networks", "websites", "network_accounts", "clicks_aggregation"])
def test_half_a_character_does_not_stop_a_stream(stream, sim, config, read, caplog):
    sim.fault("status", SMALL[stream], status=200, times=0, body='[{"id":1,"name":"Shop \\ud83d"}]')
    (row,) = read(config, stream).rows(stream)
    assert row["name"] == "Shop \ufffd"
    assert caplog.text.count(f"Stream {stream}: text has invalid characters") == 1


@pytest.mark.parametrize(
    "numbers",
    [
        {"total": 0},
        {"total": 1},
        {"last_page": 10**12},
        {"last_page": 0},
        {"last_page": 2},
        {"per_page": 0},
        {"per_page": 1},
        {"total": 3, "last_page": 10**12},
        {"total": 1500, "last_page": 1},
    ],
)
def test_a_page_whose_numbers_contradict_each_other_is_read_again(numbers, sim, config, read):
    expected = fill(sim)
    rows = ",".join(f'{{"transaction_id":"{n}","user_network_account_id":1}}' for n in range(2))
    body = page(rows, **{"total": 2, **numbers})
    sim.fault("status", "/api/v3/transactions", status=200, times=1, body=body)
    assert sorted(read(config).keys()) == sorted(expected)
    sim.fault("status", "/api/v3/transactions", status=200, times=0, body=body)
    outcome = read({**config, "max_tries": 2})
    assert outcome.error.failure_type.value == "transient_error"
    assert (outcome.rows(), outcome.states()) == ([], [])


def test_a_full_page_next_to_a_total_of_zero_is_not_a_whole_window(sim, config, read):
    rows = ",".join(f'{{"transaction_id":"{n}","user_network_account_id":1}}' for n in range(1000))
    sim.fault("status", "/api/v3/transactions", status=200, times=0, body=page(rows, total=0))
    outcome = read({**config, "max_tries": 2})
    assert "page 1 has 1000 rows, with per_page 1000 and total 0" in outcome.error.message
    assert outcome.states() == []


def test_a_window_of_absurdly_many_pages_is_refused_before_they_are_requested(sim, config, read):
    row = '{"transaction_id":"a","user_network_account_id":1}'
    body = page(row, total=10**12, per_page=1, last_page=10**12)
    sim.fault("status", "/api/v3/transactions", status=200, times=0, body=body)
    outcome = read({**config, "max_tries": 2})
    assert "announces 1000000000000 pages for one window, more than 100000" in outcome.error.message
    assert len(sim.requests("/api/v3/transactions")) == 1
