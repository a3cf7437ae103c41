"""The commands of `wicked-reports-sync`: help, version, exit codes, and the way from `init` to the first run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from integration_tests.support.processes import RUN_SECONDS
from integration_tests.support.sync import CONTACT_RULE, FIRST, PROGRAM, sync_folder

COMMANDS = ["init", "check", "plan", "preview", "run", "status", "reset", "reconcile", "destination"]


def call(*arguments: str, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        stdin=subprocess.DEVNULL,
        **settings,
    )


@pytest.fixture
def sync(tmp_path):
    with sync_folder(tmp_path, transactions=300) as folder:
        yield folder


def test_every_command_has_help_and_a_wrong_option_is_a_wrong_configuration(tmp_path):
    helped = call("--help")
    assert helped.returncode == 0
    assert "Exit codes: 0 all well" in helped.stdout
    assert call("--version").stdout.startswith("wicked-reports-sync 0.")
    assert call().returncode == 3
    for command in COMMANDS:
        assert f"\n    {command}" in helped.stdout
        own = call(command, "--help")
        assert own.returncode == 0
        assert own.stdout.startswith("usage: wicked-reports-sync " + command)
        wrong = call(command, "--no-such-option", cwd=tmp_path)
        assert wrong.returncode == 3
        assert "unrecognized arguments" in wrong.stderr


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "init"])
def test_without_a_file_every_command_names_init(tmp_path, command):
    more = ["--", "ledger", "status"] if command == "destination" else []
    refused = call(command, *more, cwd=tmp_path)
    assert refused.returncode == 3
    assert "wicked-reports-sync init" in refused.stderr


def test_without_the_extra_it_says_what_to_install():
    code = "import sys; sys.modules['rich'] = None\nfrom destination_wicked_reports.sync.cli import cli\ncli()"
    lacking = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert lacking.returncode == 3
    assert "pip install 'airbyte-destination-wicked-reports[cli]'" in lacking.stderr


def test_from_init_to_the_first_run_and_back(sync, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    flags = ["--source", "wecantrack", "--start-date", "2026-03-20", "--live", "--api-url", sync.simulator.url]
    flags += ["--contact-pattern", CONTACT_RULE["pattern"], "--without-contact", "synthetic"]
    written = call("init", *flags, cwd=folder)
    assert written.returncode == 0, written.stderr
    assert "export WECANTRACK_API_KEY=..." in written.stdout
    assert call("init", *flags, cwd=folder).returncode == 3
    file = folder / "sync.yaml"
    text = file.read_text()
    assert not any(secret in text for secret in (sync.simulator.wecantrack_key, sync.simulator.wicked_key))
    file.write_text(text.replace("    start_date:", f"    end_date: {FIRST}\n    start_date:"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return call(*arguments, cwd=folder, env=sync.environment())

    checked = run("check")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.endswith("All well.\n")
    planned = run("plan")
    assert "transactions  2026-03-20    13        13" in planned.stdout
    assert run("run").returncode == 0
    shown = run("status")
    assert "ended " in shown.stdout
    assert f"transactions from {FIRST}" in shown.stdout
    assert run("destination", "--", "ledger", "status", "--by-day").stdout.startswith("day")
    orders = len(sync.simulator.wicked_rows("orders"))
    assert orders
    assert run("reset").returncode == 3
    assert run("reset", "no-such-stream").returncode == 3
    assert run("reset", "transactions").returncode == 0
    assert "the start date 2026-03-20" in run("status").stdout
    assert run("run").returncode == 0
    assert len(sync.simulator.wicked_rows("orders")) == orders


def test_reconcile_compares_and_returns_its_own_exit_code(sync):
    assert sync.run("run").returncode == 0
    sync.simulator.outbound.process()
    same = sync.run("reconcile", "--", "--rows", "0")
    assert same.returncode == 0, same.stdout + same.stderr


def test_check_refuses_what_two_sides_do_not_agree_on(sync):
    sync.settings["source"]["config"]["date_type"] = "order_date"
    sync.settings["destination"]["mapping"]["recognize"] = "approved"
    sync.write()
    refused = sync.run("check")
    assert refused.returncode == 3
    assert "set date_type to last_wct_update" in refused.stderr


def test_two_accounts_run_one_after_the_other_into_one_ledger(sync, tmp_path):
    source = sync.settings.pop("source")
    mapping = sync.settings["destination"].pop("mapping")
    accounts = {"one": 101, "two": 401}
    sync.settings = {
        "sources": [
            {
                **source,
                "name": name,
                "config": {**source["config"], "network_account_id": account},
                "mapping": {**mapping, "source_system": f"wct-{name}"},
            }
            for name, account in accounts.items()
        ],
        **sync.settings,
    }
    sync.write()
    both = sync.run("run")
    assert both.returncode == 0, both.stdout + both.stderr
    orders = sync.simulator.wicked_rows("orders")
    names = {name: sum(row["SourceSystem"] == f"wct-{name}" for row in orders) for name in ("one", "two")}
    assert all(names.values())
    assert sum(names.values()) == len(orders)
    assert sync.position("one") == sync.position("two") == FIRST
    again = sync.run("run", "--source", "two")
    assert again.returncode == 0
    assert len(sync.simulator.wicked_rows("orders")) == len(orders)


@pytest.mark.parametrize("option", ["--records", "--days"])
@pytest.mark.parametrize("value", ["0", "-3", "seven", "1.5", "\u0663", "9" * 20])
def test_preview_refuses_a_number_below_one_and_says_what_to_write(sync, option, value):
    done = sync.run("preview", option, value)
    assert done.returncode == 3
    assert f"argument {option}: not a whole number of at least 1; write one such as 7" in done.stderr


def test_preview_refuses_more_days_than_there_are(sync):
    done = sync.run("preview", "--days", "999999999999")
    assert done.returncode == 3
    assert done.stderr == "999,999,999,999 days ago there was no calendar: choose fewer days.\n"


def test_preview_shows_what_a_run_would_send_and_sends_and_keeps_nothing(sync):
    shown = sync.run("preview")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Rows that a run would send" in shown.stdout
    assert sync.simulator.wicked_rows("orders") == []
    assert not (sync.folder / "state.json").exists()
    rows = sync.run("preview", "--json").stdout.splitlines()
    assert len(rows) > 100
    sync.outputs.clear()  # a preview shows rows, which have people's addresses
