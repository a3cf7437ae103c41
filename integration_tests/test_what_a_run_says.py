"""What a run of the destination says: the first line, the closing lines, and when it is an error."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess

import pytest

from integration_tests.support.processes import BIN, RUN_SECONDS, catalog

NAME = "destination-wicked-reports"
RULE = {"field": "sub_ids.*", "pattern": r"^(?P<contact_id>U[0-9]+)-"}


@pytest.fixture
def settings(simulator, tmp_path):
    """The configuration of the destination; `settings(...)` changes it."""

    def make(mapping=None, **changes):
        return {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": mapping or {"type": "wecantrack", "contact_rules": [RULE]},
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
            **changes,
        }

    return make


def sale(number: int, sub_id: str = "U1-x", **fields):
    data = {
        "transaction_key": f"101-T{number}",
        "transaction_id": f"T{number}",
        "user_network_account_id": 101,
        "status": "approved",
        "currency_id": "EUR",
        "commission_amount": "12.50",
        "sale_amount": "100.00",
        "order_date": "2026-05-01 10:00:00",
        "validation_date": "2026-05-02 10:00:00",
        "modified_date": "2026-05-02 10:00:00",
        "last_wct_update": "2026-05-02 10:00:00",
        "advertiser_id": "7",
        "advertiser_name": "Shoes",
        "sub_ids": {"s1": sub_id},
        **fields,
    }
    return {"type": "RECORD", "record": {"stream": "transactions", "data": data, "emitted_at": 1}}


def state(at: int):
    stream = {"stream_descriptor": {"name": "transactions"}, "stream_state": {"at": at}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": stream}}


def write(workspace, config, messages, **files):
    return workspace.run(NAME, "write", config=config, catalog=catalog("transactions"), stdin=messages, **files)


def levels(result) -> list[tuple[str, str]]:
    return [(each["log"]["level"], each["log"]["message"]) for each in result.messages if each["type"] == "LOG"]


@pytest.mark.parametrize(("test_mode", "word"), [(False, "LIVE: "), (True, "TEST MODE: ")])
def test_the_first_line_of_a_run_says_where_rows_go(workspace, simulator, settings, test_mode, word):
    result = write(workspace, settings(test_mode=test_mode), [sale(1), state(1)])

    assert result.code == 0
    assert levels(result)[0][1].startswith(word)
    assert simulator.wicked_key not in result.said


@pytest.mark.parametrize("stdin", [b"", b"\n \n"])
def test_no_input_at_all_is_an_error(workspace, settings, stdin):
    result = write(workspace, settings(), stdin)

    assert result.code == 1
    assert "did the source start?" in result.errors[0]["message"]
    assert result.errors[0]["failure_type"] == "config_error"


def test_a_source_without_records_is_no_error(workspace, settings):
    result = write(workspace, settings(), [state(1)])

    assert result.code == 0
    assert "Nothing was sent: the source delivered no records." in result.logs


def test_a_first_run_that_skips_everything_fails_and_a_later_one_warns(workspace, settings):
    lost = [sale(1, "Ann-77"), state(1), sale(2, "x"), state(2)]
    first = write(workspace, settings(), lost)

    assert first.code == 1
    assert first.errors[0]["failure_type"] == "config_error"
    assert "101-T1: sub_ids.s1 Aaa-00; 101-T2: sub_ids.s1 a" in first.errors[0]["message"]
    assert first.states == []

    assert write(workspace, settings(), [sale(3), state(3)]).code == 0
    later = write(workspace, settings(), lost)

    assert later.code == 0
    assert [each["stream"]["stream_state"]["at"] for each in later.states] == [1, 2]
    assert "Nothing was sent: skipped 2 of 2 records, see below." in later.logs
    assert not any("Nothing new to send" in line for line in later.logs)
    (warning,) = [text for level, text in levels(later) if level == "WARN" and text.startswith("skipped")]
    assert "read the source again from its start date" in warning


def test_every_run_ends_with_who_bought(workspace, settings):
    rules = [RULE, {"field": "sub_ids.*", "pattern": r"^(?P<email>\S+@\S+)$"}]
    mapping = {"type": "wecantrack", "contact_rules": rules}
    result = write(
        workspace,
        settings(mapping),
        [sale(1), sale(2, "ann@shop.test"), sale(3, "x"), sale(4, "y"), state(1)],
    )

    assert (
        "Who bought, of 4 sales: 1 with an e-mail address (25 %), 1 with a contact id alone (25 %), 0 with a "
        "synthetic contact (0 %), 0 waiting for the contact (0 %), 2 skipped without a contact (50 %)."
    ) in result.logs
    again = write(workspace, settings(mapping), [sale(1), state(1)])
    assert "Who bought: no new sales." in again.logs
    assert again.logs.index("Who bought: no new sales.") == len(again.logs) - 1


def test_reasons_of_rejected_rows_are_in_the_closing_log_and_each_record_counts_once(workspace, settings, tmp_path):
    bad = [sale(2, order_date="yesterday"), sale(3, order_date="last week")]
    report = tmp_path / "report.json"
    result = write(workspace, settings(), [sale(1), *bad, state(1)], report=report)

    assert result.code == 1
    (line,) = [text for level, text in levels(result) if level == "WARN" and "rejected: CreateDate" in text]
    assert line.startswith("orders: 2 rejected: CreateDate: ")
    assert line.endswith(" (101-T2; 101-T3)")
    assert result.states[0]["destinationStats"] == {"recordCount": 1.0, "rejectedRecordCount": 2.0}
    found = json.loads(report.read_text())
    assert found["records"] == {"received": 3, "rejected": 2}
    assert found["attribution"]["id"] == 1


# -- check, ledger and the command line --------------------------------------------------------------------------------


def test_check_says_what_was_confirmed(workspace, simulator, settings, tmp_path):
    write(workspace, settings(), [sale(1), state(1)])
    result = workspace.run(NAME, "check", config=settings())

    (status,) = result.of("CONNECTION_STATUS")
    assert levels(result)[0][1].startswith("LIVE: ")
    assert status["message"].startswith("LIVE: rows go to the Wicked Reports account with the key fingerprint ")
    assert f"The ledger {tmp_path / 'ledger.sqlite'} has 2 rows. No data was sent." in status["message"]
    assert simulator.wicked_key not in result.said
    test = workspace.run(NAME, "check", config=settings(test_mode=True)).of("CONNECTION_STATUS")[0]
    assert test["message"].startswith("TEST MODE: rows go to the test store of ")
    assert "has 0 rows of test mode, and 2 of live mode." in test["message"]
    none = workspace.run(NAME, "check", config=settings(ledger={"type": "none"})).of("CONNECTION_STATUS")[0]
    assert "There is no ledger. No data was sent." in none["message"]


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["search", "1"], ["export"], ["in-doubt"]])
def test_the_first_line_of_ledger_says_which_store_it_shows(workspace, settings, words):
    write(workspace, settings(), [sale(1), state(1)])
    program, command, *options = workspace.command(NAME, "ledger", config=settings())
    line = [program, command, *words, *options]
    done = subprocess.run(line, capture_output=True, text=True, timeout=RUN_SECONDS, check=True)

    assert done.stderr.startswith("LIVE: ")
    assert "LIVE" not in done.stdout


def run_on_a_terminal(command: list[str], stdin: bytes) -> tuple[bytes, str]:
    """Run a command whose standard error is a terminal; return both outputs."""
    mine, its = pty.openpty()
    try:
        done = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=its, timeout=RUN_SECONDS, check=False
        )
        os.close(its)
        its = -1
        shown = b""
        while True:
            try:
                chunk = os.read(mine, 1 << 16)
            except OSError:  # Linux: everything was read and no process has the other end open
                break
            if not chunk:
                break
            shown += chunk
        return done.stdout, shown.decode()
    finally:
        os.close(mine)
        if its >= 0:
            os.close(its)


def test_on_a_terminal_log_lines_for_people_go_to_standard_error_beside_the_json(workspace, settings):
    command = workspace.command(NAME, "write", config=settings(), catalog=catalog("transactions"))
    stdin = b"".join(json.dumps(message).encode() + b"\n" for message in (sale(1, order_date="x"), state(1)))
    output, shown = run_on_a_terminal(command, stdin)

    lines = shown.splitlines()
    assert f"{NAME} INFO LIVE: rows go to " in lines[0]
    assert f"{NAME} WARN orders: 1 rejected: CreateDate: " in shown
    assert f"{NAME} ERROR 1 row was rejected" in lines[-1]
    assert {json.loads(line)["type"] for line in output.splitlines()} == {"LOG", "STATE", "TRACE"}
    _, quiet = run_on_a_terminal([*command, "--log-format", "json"], stdin)
    assert quiet == ""


@pytest.mark.unjudged_output("help is text")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "usage: destination-wicked-reports"),
        (["read"], 2, "invalid choice: 'read'"),
        (["write"], 2, "--config, --catalog"),
        (["--version"], 0, "destination-wicked-reports 0.1.0"),
        (["--help"], 0, "ledger "),
        (["--help"], 0, "replay "),
        (["write", "--help"], 0, "--log-format"),
        (["ledger", "--help"], 0, "in-doubt"),
    ],
)
def test_the_command_line_explains_itself(arguments, code, words):
    done = subprocess.run(
        [str(BIN / NAME), *arguments], capture_output=True, text=True, timeout=RUN_SECONDS, stdin=subprocess.DEVNULL
    )

    said = done.stdout + done.stderr
    assert (done.returncode, words in said, "Traceback" in said) == (code, True, False), said
    assert "--report" not in said
    assert "--debug" not in said


def test_a_run_that_is_terminated_says_how_to_continue(workspace, settings):
    command = workspace.command(NAME, "write", config=settings(), catalog=catalog("transactions"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(sale(1)).encode() + b"\n")
        process.stdin.flush()
        lines = [process.stdout.readline(), process.stdout.readline()]  # it listens to signals before the first one
        process.send_signal(signal.SIGTERM)
        lines += process.stdout.readlines()

    assert process.returncode == 143
    assert json.loads(lines[-1])["log"]["message"].startswith("Stopped. Everything sent so far is in the ledger")


# -- rows in doubt, known to the ledger --------------------------------------------------------------------------------


def test_rows_in_doubt_are_reported_until_they_are_dismissed_although_their_file_is_gone(
    workspace, simulator, settings, tmp_path
):
    simulator.fault("store_then_close", "/clicks", method="POST", times=0)
    config = settings({"type": "wecantrack", "without_contact": "synthetic"})
    report = tmp_path / "report.json"
    first = write(workspace, config, [sale(1), sale(2), state(1)], report=report)
    count = json.loads(report.read_text())["in_doubt_open"]
    assert first.code == 1
    assert count == 2
    assert not any("no open line in" in line for line in first.logs)
    dead_letters = tmp_path / "rejected_records.jsonl"
    dead_letters.unlink()

    second = write(workspace, config, [state(2)], report=report)
    assert json.loads(report.read_text())["in_doubt_open"] == count
    (warning,) = [text for level, text in levels(second) if level == "WARN" and "no open line in" in text]
    assert warning.startswith(f"2 rows in doubt have no open line in {dead_letters}: ")

    program, command, *options = workspace.command(NAME, "ledger", config=config)
    line = [program, command, "in-doubt", "--dismiss", *options]
    subprocess.run(line, capture_output=True, timeout=RUN_SECONDS, check=True)
    third = write(workspace, config, [state(3)], report=report)
    assert json.loads(report.read_text())["in_doubt_open"] == 0
    assert not any("in doubt" in line and "no open line" in line for line in third.logs)
