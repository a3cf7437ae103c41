"""`ledger`: status, search, export, in-doubt, forget and copy, on files; on PostgreSQL see integration_tests."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from builders.destination import make_row, sale
from destination_wicked_reports.commands import cli
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.ledger.runs import Run, recorded_run
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import IN_DOUBT, Contribution, SalePayment

APPROVED = (SalePayment(1, "APPROVED", Decimal("10.00")),)
REFUND = (SalePayment(1, "REFUNDED", Decimal("10.00")),)


@pytest.fixture
def ledger(sqlite_ledger):
    return sqlite_ledger


@pytest.fixture
def run(tmp_path, capsys):
    def command(job, *options, name="ledger.sqlite"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"api_key": "k", "ledger": {"type": "sqlite", "path": str(tmp_path / name)}}))
        code = cli.main(["ledger", job, "--config", str(path), *map(str, options)])
        command.out, command.err = capsys.readouterr()
        return code

    return command


def sent(ledger, *rows, status="accepted"):
    batch = Batch(rows[0].endpoint, list(rows))
    ledger.begin(batch)
    ledger.commit(batch, list(rows), status)


def sell(ledger, name="o1", *, contact="U1", aliases=("click-77",)):
    """Send a sale's order, and its refund."""
    key = f"shop\x1f{name}"
    state = sale("10.00", contact_id=contact, aliases=aliases)
    sent(ledger, keyed("orders", key, sale_key=key, sale=state, payments=APPROVED))
    later = sale("10.00", 2, contact_id=contact, aliases=aliases)
    sent(ledger, keyed("order_payments", f"{key}#2", sale_key=key, sale=later, payments=REFUND))


def keyed(endpoint, key, **fields):
    row = make_row(endpoint, 1, **fields)
    row.key = key
    return row


def test_an_id_is_found_by_any_part_by_the_sources_own_id_and_literally(ledger, run):
    sell(ledger, "wct-1-A27")
    sell(ledger, "100%", aliases=("x_y",))
    for part in ("a27", "shop/wct-1", "click-77"):
        assert run("search", part, "--json") == 0, run.err
        found = [json.loads(line) for line in run.out.splitlines()]
        assert [row.get("endpoint") for row in found] == ["orders", "order_payments", None]
        assert found[1]["payments"] == [{"number": 1, "status": "REFUNDED", "amount": "10.00"}]
        assert found[2]["sale"]["key"] == "shop/wct-1-A27"
    run("search", "%", "--json")
    assert {json.loads(line)["key"] for line in run.out.splitlines()[:2]} == {"shop/100%", "shop/100%#2"}
    run("search", "_7")
    assert run.out == "Nothing with this id was sent or waits.\n"


def test_a_search_is_bounded_and_says_so(ledger, run):
    sent(ledger, *(make_row("contacts", number) for number in range(150)))
    assert run("search", "shop") == 0
    assert len(run.out.splitlines()) == 101
    assert "Only the first 100 rows" in run.err


def test_the_export_has_every_sending_as_csv_or_json(ledger, run):
    sell(ledger)
    sent(ledger, make_row("contacts", 5, Email="a"))
    sent(ledger, make_row("contacts", 5, Email="b"))
    run("export")
    header, *lines = run.out.splitlines()
    assert header.startswith("sent_at,endpoint,key")
    assert sorted(line.split(",")[1] for line in lines) == ["contacts", "contacts", "order_payments", "orders"]
    run("export", "--format", "jsonl")
    rows = [json.loads(line) for line in run.out.splitlines()]
    assert {row["payments"] for row in rows if row["endpoint"] == "orders"} == {'[[1,"APPROVED","10.00"]]'}


def test_control_characters_of_an_id_never_reach_the_terminal(ledger, run):
    sent(ledger, keyed("orders", "shop\x1fa\x1b[31m"))
    ledger.claim("k")
    ledger.close()
    for job, options in (("search", ["31m"]), ("export", []), ("forget", ["--source-system", "shop"])):
        assert run(job, *options) == 0, (job, run.err)
        assert "31m" in run.out
        assert "\x1b" not in run.out


def test_the_status_shows_runs_that_ended_run_and_were_killed(ledger, run):
    Run(ledger, "write")  # killed
    with recorded_run(ledger, "write") as ended:
        ended.report = {"rows": {"orders": {"sent": 3, "rejected": 1, "in_doubt": 0}}}
    with pytest.raises(RuntimeError), recorded_run(ledger, "replay"):
        raise RuntimeError
    Run(ledger, "target")
    sent(ledger, make_row("order_payments", 1), status=IN_DOUBT)
    sell(ledger)
    run("status", "--json")
    (shown,) = [json.loads(line) for line in run.out.splitlines()]
    states = {(each["command"], each["state"], each["code"]) for each in shown["runs"]}
    assert {("write", "ended", 0), ("replay", "ended", 1), ("write", "not ended", "")} <= states
    assert sum(each["state"] == "running" for each in shown["runs"]) == 1
    assert [each["sent"] for each in shown["runs"] if each["code"] == 0] == [3]
    assert shown["in_doubt"] == {"order_payments": 1}
    ledger.close()
    run("status")
    assert "In doubt: 1 order_payments." in run.out
    assert "running" not in run.out


def test_rows_in_doubt_are_listed_with_their_reason_and_written_for_replay(ledger, run, tmp_path):
    row = make_row("order_payments", 1)
    sent(ledger, row, status=IN_DOUBT)
    dead_letters = DeadLetterFile(tmp_path / "rejected_records.jsonl")
    dead_letters.mark_in_doubt(row, "the reply was lost")
    dead_letters.reject_row(make_row(number=2), "refused")
    dead_letters.close()
    run("in-doubt", "--json")
    assert [json.loads(line)["reason"] for line in run.out.splitlines()] == ["the reply was lost"]
    file = tmp_path / "missing.jsonl"
    assert run("in-doubt", "--write", file) == 0
    assert [json.loads(line)["key"] for line in file.read_text().splitlines()] == [row.key]
    assert file.stat().st_mode & 0o077 == 0
    assert run("in-doubt", "--write", file) == 1


def test_rows_in_doubt_are_closed_in_the_ledger_and_in_the_file(ledger, run, tmp_path):
    row, other = make_row("order_payments", 1), make_row("order_payments", 2)
    sent(ledger, row, other, status=IN_DOUBT)
    ledger.claim("k")
    ledger.close()
    dead_letters = DeadLetterFile(tmp_path / "rejected_records.jsonl")
    dead_letters.mark_in_doubt(row, "the reply was lost")
    assert run("in-doubt", "--dismiss") == 0
    assert run.out == "2 rows in doubt were dismissed; nothing was sent.\n"
    assert dead_letters.reminder() == ""
    dead_letters.close()
    assert (run("in-doubt"), run.out) == (0, "No row is in doubt.\n")
    run("status", "--json")
    assert json.loads(run.out)["in_doubt"] == {}


@pytest.mark.parametrize("option", [("--ask",), ("--settle",), ("--write", "FILE")])
def test_rows_in_doubt_are_not_all_closed_together_with_what_concerns_some(ledger, run, option):
    sent(ledger, make_row("order_payments", 1), status=IN_DOUBT)
    ledger.close()
    assert run("in-doubt", "--dismiss", *option) == 1
    assert run.err.endswith("\n--dismiss closes all rows in doubt, so give it alone.\n")
    assert (run("in-doubt", "--json"), len(run.out.splitlines())) == (0, 1)


def test_a_dead_letter_of_another_ledger_is_not_closed(ledger, run, tmp_path):
    row, foreign = make_row("order_payments", 1), make_row("order_payments", 2)
    sent(ledger, row, status=IN_DOUBT)
    ledger.claim("k")
    ledger.close()
    dead_letters = DeadLetterFile(tmp_path / "rejected_records.jsonl")
    for each in (row, foreign):
        dead_letters.mark_in_doubt(each, "the reply was lost")
    assert run("in-doubt", "--dismiss") == 0
    assert run.out == "1 row in doubt was dismissed; nothing was sent.\n"
    assert [each["key"] for each in dead_letters.open_rows_in_doubt()] == [foreign.key]
    dead_letters.close()


def test_a_dismissed_row_counts_as_sent_unless_a_replay_asks_for_rows_in_doubt(ledger, tmp_path):
    row, other = make_row("order_payments", 1), make_row("order_payments", 2)
    sent(ledger, row, other, status=IN_DOUBT)
    ledger.dismiss({"order_payments": [row.key]})
    assert ledger.in_doubt() == {"order_payments": [other.key]}
    assert ledger.known("order_payments", [row.key]) == {row.key: row.digest}
    ledger.close()
    replaying = Ledger.sqlite(tmp_path / "ledger.sqlite", "live", resend_in_doubt=True)
    assert replaying.known("order_payments", [row.key, other.key]) == {}
    replaying.close()


# -- report -----------------------------------------------------------------------------------------------------------

DONE = {
    "ended": True,
    "records": {"received": 5},
    "rows": {"orders": {"sent": 3, "unchanged": 1, "changed": 0, "rejected": 0, "in_doubt": 0}},
    "skipped": [{"reason": "no contact", "count": 1, "samples": ["T1"]}],
    "rejected": [],
}
REJECTED = {
    **DONE,
    "rows": {"orders": {"sent": 3, "unchanged": 0, "changed": 0, "rejected": 2, "in_doubt": 1}},
    "rejected": [{"endpoint": "orders", "field": "OrderTotal", "reason": "not a number", "count": 2, "samples": ["a"]}],
    "in_doubt_open": 4,
}


def finished(ledger, report, command="write", code=0):
    recorded = Run(ledger, command)
    recorded.report = report
    recorded.end(code)


def test_the_report_says_what_the_last_sync_did_by_reason(ledger, run):
    finished(ledger, DONE)
    finished(ledger, {"forgotten": {}}, "forget")
    assert run("report") == 0, run.err
    first, *lines = run.out.splitlines()
    assert first.startswith("The run of ")
    assert first.endswith(") ended with code 0.")
    assert lines == [
        "5 records received.",
        "orders: 3 sent, 1 unchanged, 0 changed, 0 rejected, 0 in doubt",
        "skipped 1 record: no contact (T1)",
    ]
    finished(ledger, REJECTED, "target", code=1)
    assert run("report") == 2
    assert run.out.splitlines()[-4:] == [
        "orders: 3 sent, 0 unchanged, 0 changed, 2 rejected, 1 in doubt",
        "orders: 2 rejected: OrderTotal: not a number (such as a)",
        "skipped 1 record: no contact (T1)",
        "4 rows in doubt in all. `ledger in-doubt` lists them.",
    ]


@pytest.mark.parametrize(
    ("report", "code"), [({**REJECTED, "ended": False}, 1), (DONE, 130), ({}, 0)], ids=["cut short", "stopped", "empty"]
)
def test_a_run_that_did_not_reach_its_end_is_a_failure_whatever_it_sent(ledger, run, report, code):
    finished(ledger, report, code=code)
    assert run("report") == 1


def test_a_killed_run_and_one_in_progress_are_failures_and_said_so(ledger, run):
    Run(ledger, "write")
    assert run("report") == 1
    assert "is running." in run.out
    ledger.close()
    assert run("report") == 1
    assert "was killed." in run.out


def test_since_shows_every_run_since_then_and_refuses_if_there_was_none(ledger, run, monkeypatch):
    for at, report in ((1000, REJECTED), (2000, DONE), (3000, REJECTED), (4000, DONE)):
        monkeypatch.setattr("destination_wicked_reports.ledger.runs.time.time", lambda at=at: at)
        finished(ledger, report)
    assert run("report", "--since", 2000, "--json") == 2
    assert [json.loads(line)["started"][11:19] for line in run.out.splitlines()] == ["00:33:20", "00:50:00", "01:06:40"]
    assert run("report", "--since", 3001) == 0
    assert run("report", "--since", 4001) == 1
    assert "has no run since 1970-01-01T01:06:41Z" in run.err


# -- forget -----------------------------------------------------------------------------------------------------------


def prepare(ledger):
    ledger.claim("k")
    sell(ledger, "o1")
    sell(ledger, "o10", contact="U2")
    sent(ledger, keyed("orders", "shop\x1fo1~2"), keyed("orders", "other\x1fo1"))
    sent(ledger, keyed("contacts", "shop\x1fU1"), keyed("contacts", "shop\x1fU2"))
    sent(ledger, keyed("clicks", "shop\x1fo1#click"))
    book = SaleTotals(ledger)
    book.load([], [], [])
    book.put(Contribution("p", "shop\x1fo1", Decimal(10)), b"{}", "2026-03-01")
    book.save()
    ledger.close()


def test_forgetting_names_the_orders_and_changes_nothing_without_yes(ledger, run, tmp_path):
    prepare(ledger)
    before = (tmp_path / "ledger.sqlite").read_bytes()
    assert run("forget", "--sale", "shop/o1") == 0
    assert "  shop/o1\n  shop/o1~2\n" in run.out
    assert "shop/o10" not in run.out
    assert "1 sales" in run.out
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


def test_a_sale_is_forgotten_with_all_its_rows_and_its_contact_and_nothing_else(ledger, run, tmp_path):
    prepare(ledger)
    assert run("forget", "--sale", "shop/o1~2", "--yes") == 0
    run("export", "--format", "jsonl")
    keys = {json.loads(line)["key"] for line in run.out.splitlines()}
    assert keys == {"shop/o10", "shop/o10#2", "other/o1", "shop/U2"}
    opened = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    assert list(opened.sales(["shop\x1fo1", "shop\x1fo10"])) == ["shop\x1fo10"]
    book = SaleTotals(opened)
    book.load(["p"], ["shop\x1fo1"], [])
    assert book.contribution("p") is None
    assert book.total("shop\x1fo1") is None
    opened.close()
    run("status", "--json")
    (line,) = json.loads(run.out)["runs"]
    assert (line["command"], line["code"]) == ("forget", 0)
    assert line["report"]["orders"] == ["shop/o1", "shop/o1~2"]


def test_an_id_of_two_source_systems_must_be_given_with_its_own(ledger, run):
    prepare(ledger)
    assert run("forget", "--sale", "o1", "--yes") == 1
    assert "other/o1, shop/o1" in run.err


def test_a_source_system_or_days_are_forgotten(ledger, run):
    prepare(ledger)
    assert run("forget", "--days", "2000-01-01", "2000-01-02") == 0
    assert "nothing to forget" in run.out
    assert run("forget", "--source-system", "shop", "--yes") == 0
    run("export", "--format", "jsonl")
    assert [json.loads(line)["key"] for line in run.out.splitlines()] == ["other/o1"]
    assert run("forget", "--days", "2000-01-01", "2100-01-01", "--yes") == 0
    run("export", "--format", "jsonl")
    assert run.out == ""


def test_nothing_is_forgotten_while_a_run_is_on_or_left_requests(ledger, run, tmp_path):
    ledger.claim("k")
    sell(ledger)
    assert run("forget", "--sale", "o1", "--yes") == 1
    assert "Another run is using" in run.err
    batch = Batch("order_payments", [make_row("order_payments", 9, sale_key="shop\x1fo1", sale=sale())])
    ledger.begin(batch)
    ledger.close()
    assert run("forget", "--sale", "o1", "--yes") == 1
    assert "requests with these rows in flight" in run.err


# -- copy -------------------------------------------------------------------------------------------------------------


def test_a_copy_has_every_table_and_a_filled_target_is_refused(ledger, run, tmp_path):
    prepare(ledger)
    (tmp_path / "new.json").write_text(
        json.dumps({"api_key": "k", "ledger": {"type": "sqlite", "path": str(tmp_path / "new.sqlite")}})
    )
    assert run("copy", "--to", tmp_path / "new.json") == 0
    run("export")
    before = run.out
    run("export", name="new.sqlite")
    assert run.out == before
    assert run("copy", "--to", tmp_path / "new.json") == 1
    assert "is not empty" in run.err
