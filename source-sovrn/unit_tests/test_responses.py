"""No bad response is read as an empty day."""

import gzip
import json

import pytest

from .conftest import INTERVAL, TOTALS, TRANSACTIONS, fill, serve

FAULTS = [
    "html_200", "empty_200", "null_200", "list_200", "object_200", "error_200", "half_body", "half_body_no_length",
    "half_body_longer_length", "broken_chunked", "reset_mid_body", "close_before_answer", "nan_in_json", "status_500",
    "status_503", "throttled_bare", "throttled_garbage", "hang",
]  # fmt: skip
#: Faults of a body that can be read nevertheless: NaN is read as null.
READABLE = ["nan_in_json"]
REFUSALS = {"status_401": "config_error", "status_400": "config_error", "status_404": "config_error",
            "redirect_302": "config_error"}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_given_a_fault_once_when_read_then_every_row_comes_after_a_retry(fault, sim, config, read):
    expected = fill(sim)
    sim.fault(fault, TRANSACTIONS, nth=2, times=1, seconds=3)
    outcome = read({**config, "read_timeout_seconds": 1})
    assert outcome.error is None
    assert sorted(outcome.keys()) == sorted(expected)
    assert outcome.states() == [{"update_date": f"2026-01-0{day}"} for day in (1, 2, 3)]
    assert sim.faults()[0]["struck"] == 1


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in READABLE])
def test_given_a_fault_permanently_when_read_then_it_fails_as_transient_and_state_stays_before_the_hole(
    fault, sim, config, read
):
    fill(sim)
    sim.fault(fault, TRANSACTIONS, nth=2, times=0, seconds=2)
    outcome = read({**config, "read_timeout_seconds": 0.3, "max_tries": 3})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "transient_error"
    assert outcome.states() == [{"update_date": "2026-01-01"}]
    assert len(outcome.rows()) == 5
    assert outcome.statuses()[-1] == ("transactions", "INCOMPLETE")


@pytest.mark.parametrize(("fault", "kind"), REFUSALS.items())
def test_given_a_refusal_when_read_then_it_ends_at_once_with_the_right_type(fault, kind, sim, config, read, clock):
    fill(sim)
    sim.fault(fault, TRANSACTIONS, nth=2, times=0)
    outcome = read(config)
    assert outcome.error is not None
    assert outcome.error.failure_type.value == kind
    assert outcome.states() == [{"update_date": "2026-01-01"}]
    assert len(sim.requests(TRANSACTIONS)) == 2
    assert clock.slept == [INTERVAL] * 2


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in READABLE])
def test_given_a_fault_once_when_the_totals_are_read_then_they_are_whole(fault, sim, config, read):
    fill(sim)
    expected = read(config, "merchants_by_date").rows("merchants_by_date")
    sim.fault(fault, TOTALS, times=1, seconds=3)
    outcome = read({**config, "read_timeout_seconds": 1}, "merchants_by_date")
    assert outcome.error is None
    assert outcome.rows("merchants_by_date") == expected != []


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "nan_in_json"])
def test_given_a_fault_once_when_the_campaigns_are_read_then_they_are_whole(fault, sim, config, read):
    expected = [row["campaignId"] for row in sim.sovrn.campaigns({"campaign_id": 7, "name": "PRIMARY"})]
    sim.fault(fault, times=1, seconds=3)
    outcome = read({**config, "read_timeout_seconds": 1}, "campaigns")
    assert outcome.error is None
    assert [int(row["campaign_id"]) for row in outcome.rows("campaigns")] == expected


@pytest.mark.parametrize(
    "body",
    [
        '{"transactions":[{"account":{}}]}',
        '{"transactions":[1]}',
        '{"transactions":{}}',
        '{"transactions":[]',
        '{"transactions":[]}]',
        '{"transactions":[],}',
        '{"transactions":[{"commission":{"revenueId":"1"}},]}',
        '{"results":[]}',
        '{"transactions":[{"commission":{"revenueId":"1","orderValue":Infinit}}]}',
        '{"transactions":[{"a":' + "[" * 5000 + "]" * 5000 + "}]}",
        '{1:[],"transactions":[]}',
    ],
)
def test_given_a_body_that_is_not_a_day_when_read_then_it_does_not_count(body, sim, config, read):
    expected = fill(sim)
    serve(sim, body)
    outcome = read(config)
    assert outcome.error is None
    assert sorted(outcome.keys()) == sorted(expected)


@pytest.mark.parametrize("cut", [1, 10, 60, -9, -1])
def test_given_a_gzipped_body_cut_short_when_read_then_it_does_not_count(cut, sim, config, tmp_path):
    from source_sovrn.base.errors import BadResponseError
    from source_sovrn.streaming_json import read_rows

    whole = gzip.compress(json.dumps({"transactions": [{"revenueId": n} for n in range(100)]}).encode())
    file = tmp_path / "body"
    file.write_bytes(whole)
    with file.open("rb") as spool:
        assert len(list(read_rows(spool, "transactions"))) == 100
    file.write_bytes(whole[:cut])
    with file.open("rb") as spool, pytest.raises(BadResponseError):
        list(read_rows(spool, "transactions"))


def test_an_empty_list_is_an_empty_day(sim, config, read):
    outcome = read(config)
    assert outcome.error is None
    assert outcome.rows() == []
    assert outcome.states()[-1] == {"update_date": "2026-01-03"}


def test_given_a_404_that_reports_no_data_when_transactions_are_read_then_the_day_is_empty_with_a_warning(
    sim, config, read, caplog
):
    sim.switch("sovrn.empty_day", "404")
    expected = fill(sim, days=2)
    outcome = read(config)
    assert outcome.error is None
    assert set(outcome.keys()) == expected
    assert outcome.states()[-1] == {"update_date": "2026-01-03"}
    assert "reading it as a day without transactions" in caplog.text


@pytest.mark.parametrize("body", ["", '{"message":"Not Found"}', "<html>data not found</html>", "no Route matched"])
def test_given_another_404_when_transactions_are_read_then_it_is_never_an_empty_day(body, sim, config, read):
    serve(sim, body, status=404, times=0)
    outcome = read(config)
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "config_error"
    assert outcome.states() == []


@pytest.mark.parametrize("body", ["", '{"message":"Merchant data not found"}'])
def test_a_404_of_the_totals_means_that_there_are_none(body, sim, config, read):
    serve(sim, body, TOTALS, status=404, times=0)
    outcome = read(config, "merchants_by_date")
    assert outcome.error is None
    assert outcome.rows("merchants_by_date") == []
    assert outcome.states("merchants_by_date") == [{"date": "2026-01-03"}]


def test_a_web_page_under_404_is_not_a_response_of_the_totals(sim, config, read):
    serve(sim, "<html>not found</html>", TOTALS, status=404, times=0)
    assert read(config, "merchants_by_date").error.failure_type.value == "config_error"


@pytest.mark.parametrize("text", ["", "\\ud83d"])
@pytest.mark.parametrize("depth", [300, 800, 5000])
def test_given_a_row_nested_too_deeply_when_read_then_the_day_does_not_count(depth, text, sim, config, read):
    row = f'{{"revenueId":"1","cuid":"{text}","new":{"[" * depth}{"]" * depth}}}'
    serve(sim, f'{{"transactions":[{row}]}}', times=0)
    outcome = read({**config, "max_tries": 1})
    assert outcome.error.failure_type.value == "transient_error"
    assert "the body is nested too deeply" in outcome.error.message
    assert outcome.states() == []


def test_given_a_row_of_many_parts_that_are_not_deep_when_read_then_it_is_emitted(sim, config, read):
    serve(sim, f'{{"transactions":[{{"revenueId":"1","new":{json.dumps([[{}]] * 200)}}}]}}')
    assert read({**config, "end_date": "2026-01-01"}).rows()[0]["new"] == [[{}]] * 200


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_given_a_value_that_json_does_not_have_when_read_then_it_is_null_with_a_warning(
    word, sim, config, read, caplog
):
    serve(sim, f'{{"transactions":[{{"commission":{{"revenueId":"1","orderValue":{word}}}}},{{"revenueId":"2"}}]}}')
    rows = read({**config, "end_date": "2026-01-01"}).rows()
    assert [(row["revenue_id"], row["order_value"]) for row in rows] == [("1", None), ("2", None)]
    assert "Stream transactions: 1 values that are not JSON (NaN or Infinity) were read as null." in caplog.text


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (b"Shop \\ud83d", "Shop \ufffd"),
        (b"caf\xe9", "caf\ufffd"),
        (b"a\nb", "a\nb"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600"),
        (b"\xed\xa0\xbd", "\ufffd"),
    ],
)
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_given_text_that_a_strict_parser_rejects_when_read_then_the_row_is_read(start, wrong, text, tmp_path):
    from source_sovrn.base.json_parser import Repairs
    from source_sovrn.streaming_json import read_rows

    filler = b'{"revenueId":"0","cuid":"%s"},' % (b"x" * 1000) * 300  # several blocks
    file = tmp_path / "body"
    file.write_bytes(start + b'{"transactions":[' + filler + b'{"revenueId":"1","cuid":"' + wrong + b'"}]}')
    repairs = Repairs()
    with file.open("rb") as spool:
        assert list(read_rows(spool, "transactions", repairs))[-1]["cuid"] == text
    assert repairs.text is ("\ufffd" in text)


def test_given_a_report_that_is_too_large_when_read_then_it_does_not_count(sim, config, read, monkeypatch):
    fill(sim)
    monkeypatch.setattr("source_sovrn.streaming_json.MAX_REPORT_BYTES", 300)
    error = read({**config, "max_tries": 2}).error
    assert error.failure_type.value == "transient_error"
    assert "the body is larger than 300 bytes" in error.message or "the decompressed body is larger" in error.message


def test_given_a_small_body_that_unpacks_to_a_large_one_when_read_then_it_does_not_count(tmp_path, monkeypatch):
    from source_sovrn.base.errors import BadResponseError
    from source_sovrn.streaming_json import read_rows

    monkeypatch.setattr("source_sovrn.streaming_json.MAX_REPORT_BYTES", 1_000_000)
    file = tmp_path / "body"
    file.write_bytes(gzip.compress(b" " * 3_000_000))
    with file.open("rb") as spool, pytest.raises(BadResponseError, match="the decompressed body is larger"):
        list(read_rows(spool, "transactions"))


def test_without_a_temporary_folder_the_error_says_what_to_set(sim, config, read, monkeypatch):
    def refuse() -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    fill(sim)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    error = read(config).error
    assert error.failure_type.value == "config_error"
    assert error.message.endswith("(No usable temporary directory found). Set TMPDIR to a folder that is writable.")
