"""The report of a run: what it holds, and that it is written however the run ends."""

from __future__ import annotations

import json

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from builders.destination import COMPLETE, lines_of, make_row
from builders.messages import record, state
from destination_wicked_reports.api.samples import MOST_REASONS, name_of_record, name_of_row, without_values
from destination_wicked_reports.delivery.closing import InputEnd, closing_lines
from destination_wicked_reports.delivery.report import RunReport, reported
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.destination import DestinationWickedReports
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.model import Skip
from destination_wicked_reports.protocol.messages import Output


@pytest.fixture
def config(wicked, tmp_path):
    return {
        "api_key": "k",
        "api_url": wicked.url,
        "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
    }


def catalog(*streams):
    from destination_wicked_reports.commands.singer_target import every_stream

    whole = every_stream({"api_key": "k"})
    whole.streams = [each for each in whole.streams if each.stream.name in streams]
    return whole


def deliver(config, lines, report, tmp_path, *streams):
    with (tmp_path / "out").open("wb") as out:
        DestinationWickedReports(Output(out)).deliver(config, catalog(*streams), [lines], report)


def test_it_counts_records_and_rows_and_names_reasons_with_samples(config, tmp_path) -> None:
    order = COMPLETE["orders"]
    lines = [
        record(1, **order),
        record(2, **{**order, "SourceID": "o2", "OrderTotal": "a lot"}),
        record(3, "contacts", **{**COMPLETE["contacts"], "SourceID": "ann@shop.example", "Email": ""}),
        state(1),
    ]
    report = RunReport()

    with pytest.raises(AirbyteTracedException):
        deliver(config, lines, report, tmp_path, "orders", "contacts")

    found = report.to_json()
    assert found["ended"] is True
    assert found["mode"] == "live"
    assert len(found["account"]) == 16
    assert found["ledger"]["rows"] == 1
    assert found["ledger"]["location"] == str(tmp_path / "ledger.sqlite")
    assert found["records"] == {"received": 3, "rejected": 2}
    assert found["rows"]["orders"] == {"sent": 1, "unchanged": 0, "changed": 0, "rejected": 1, "in_doubt": 0}
    assert [(each["endpoint"], each["field"], each["samples"]) for each in found["rejected"]] == [
        ("orders", "OrderTotal", ["o2"]),
        ("contacts", "Email", ["record 3"]),
    ]
    assert "ann@" not in json.dumps(found)


def test_it_is_written_after_a_failure_with_the_reason(tmp_path) -> None:
    path = tmp_path / "report.json"
    path.write_text("of an earlier run")

    with pytest.raises(ConfigurationError), reported(path):
        raise ConfigurationError("The catalog is missing.")

    found = json.loads(path.read_text())
    assert (found["ended"], found["error"]) == (False, "The catalog is missing.")
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_a_report_that_cannot_be_written_is_a_configuration_error(tmp_path) -> None:
    with pytest.raises(AirbyteTracedException, match="cannot be written"), reported(tmp_path / "no" / "report.json"):
        pass


def test_reasons_of_wicked_reports_are_shown_without_what_they_quote(dead_letters) -> None:
    row = make_row(Email="ann@shop.example", LastName="Bee")
    tally = Tally(dead_letters)

    tally.reject(row, "Contact Bee <ann@shop.example> has order 4711 already: Email 'x y' is invalid")

    ((endpoint, field, reason),) = tally.rejected
    assert (endpoint, field) == ("orders", "")
    assert reason == "Contact … <…> has order … already: Email … is invalid"
    assert lines_of(dead_letters)[0]["reason"].startswith("Contact Bee")


def test_the_number_of_reasons_and_samples_is_bounded(dead_letters) -> None:
    tally = Tally(dead_letters)

    tally.rows_of(Skip(f"reason {number}", number, sample=f"id{number}") for number in range(3 * MOST_REASONS))

    assert len(tally.skipped) == MOST_REASONS + 1
    other = tally.skipped["other reasons"]
    assert (other.count, len(other.samples)) == (2 * MOST_REASONS, 3)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"transaction_key": "7-12"}, "7-12"),
        ({"SourceID": 12}, "12"),
        ({"SourceID": "ann@shop.example"}, "record 4"),
        ({"SourceID": "x" * 61}, "record 4"),
        ({"SourceID": "a\x1b[31m"}, "record 4"),
        ({"name": "Ann"}, "record 4"),
    ],
)
def test_a_sample_of_a_record_is_a_plain_id_or_its_position(data, name) -> None:
    assert name_of_record(data, 4) == name


def test_a_sample_of_a_contact_is_its_position_even_if_its_id_is_plain() -> None:
    assert name_of_row(make_row("contacts", 1, sequence=9)) == "record 9"
    assert name_of_row(make_row("orders", 1, sequence=9)) == "1"
    assert name_of_row(make_row("clicks", 1, sequence=0)) == ""


def test_without_values_keeps_short_words() -> None:
    assert without_values("An id is a must", make_row(a="a", b="an")) == "An id is a must"


def test_a_sale_that_waited_in_the_ledger_and_is_skipped_is_no_record_of_the_input(dead_letters):
    tally = Tally(dead_letters)
    tally.rows_of([Skip("no contact", 0)])
    lines = [text for _, text in closing_lines(tally, InputEnd(True, False, ()), ())]
    assert lines[0] == "Nothing was sent: skipped 1 record, see below."
