"""`target-wicked-reports` run by Meltano after an independent tap: orders in Wicked's own fields, read from files."""

from __future__ import annotations

import json
import os
from decimal import Decimal

import pytest

from integration_tests.hosts.cases import NOWHERE, posts
from integration_tests.hosts.environments import EXAMPLES, finish, kill, run, wait_for
from integration_tests.hosts.meltano import Project

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]

TAP = "tap-orders"


class Shop(Project):
    """The example project with files of orders; the tap's bookmark is the files' modification time."""

    def write(self, name, orders, at, tail=b""):
        """Write a file, last changed at this second."""
        path = self.folder / "orders" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(json.dumps(order).encode() + b"\n" for order in orders) + tail)
        os.utime(path, (at, at))

    def held(self):
        """Return the stored orders' totals."""
        return totals(*self.simulator.wicked_rows("orders"))


@pytest.fixture
def shop(simulator, tmp_path):
    return Shop(tmp_path, simulator)


def orders(first, last):
    return [
        {
            "SourceSystem": "shop",
            "SourceID": str(number),
            "CreateDate": "2026-03-01T10:00:00Z",
            "ContactEmail": f"buyer{number}@example.com",
            "OrderTotal": f"{number}.{number % 100:02}",
            "OrderCurrency": "EUR",
        }
        for number in range(first, last + 1)
    ]


def totals(*rows):
    found = {row["SourceID"]: Decimal(row["OrderTotal"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_orders_arrive_exactly_the_next_run_uses_the_state_and_nothing_is_sent_twice(simulator, shop):
    shop.write("march", orders(1, 50), at=1_000_000)
    target = shop.wicked()
    first = shop.run(TAP, target)
    assert first.code == 0, first.text
    assert shop.held() == totals(*orders(1, 50))
    bookmark = "1970-01-12T13:46:40+00:00"
    assert shop.state(TAP, target)["bookmarks"]["orders"]["replication_key_value"] == bookmark
    before = posts(simulator)
    idle = shop.run(TAP, target)
    assert idle.code == 0, idle.text
    assert f"incremental sync with bookmark value: {bookmark}" in idle.text
    assert posts(simulator) == before
    # this tap reads every file again in each run; the ledger finds what is new
    shop.write("march", orders(1, 52), at=1_000_100)
    shop.write("april", orders(53, 55), at=1_000_100)
    new = shop.run(TAP, target)
    assert new.code == 0, new.text
    assert "orders: 5 sent, 50 unchanged, 0 changed" in new.text
    assert shop.held() == totals(*orders(1, 55))
    sent = [row["SourceID"] for request in simulator.requests("/orders", rows=True) for row in request["rows"]]
    assert sorted(sent, key=int) == list(totals(*orders(1, 55)))


def test_after_a_kill_no_state_is_kept_and_the_next_run_completes(simulator, shop):
    shop.write("march", orders(1, 120), at=1_000_000)
    target = shop.wicked(max_requests_in_flight=1)
    simulator.fault("slow", method="POST", seconds=0.5, times=0)
    process = shop.start(TAP, target)
    wait_for(lambda: simulator.wicked_rows("orders"), process)
    kill(process)
    assert finish(process).code == -9
    assert 0 < len(shop.held()) < 120
    assert shop.state(TAP, target) is None
    simulator.clear_faults()
    done = shop.run("--force", TAP, target)
    assert done.code == 0, done.text
    assert shop.held() == totals(*orders(1, 120))


def test_a_tap_that_fails_midway_keeps_no_state_and_once_fixed_the_rest_arrives(shop):
    shop.write("april", orders(1, 20), at=1_000_000)
    # more rows than the tap samples for its schema, so that it fails only during the read
    shop.write("march", orders(21, 1500), at=1_000_000, tail=b"\xff\n")
    target = shop.wicked()
    failed = shop.run(TAP, target)
    assert failed.code != 0
    assert shop.state(TAP, target) is None
    shop.write("march", orders(21, 1500), at=1_000_000)
    done = shop.run(TAP, target)
    assert done.code == 0, done.text
    assert "orders: 1,480 sent, 20 unchanged" in done.text
    assert shop.held() == totals(*orders(1, 1500))


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"api_key": "wrong"}, "refused the API key"), ({"api_url": NOWHERE}, "cannot be reached")],
    ids=["wrong key", "no network"],
)
def test_a_failing_target_ends_the_run_with_its_reason_and_keeps_no_state(simulator, shop, changes, said):
    shop.write("march", orders(1, 5), at=1_000_000)
    target = shop.wicked(**changes)
    failed = shop.run(TAP, target)
    assert failed.code != 0
    assert said in failed.text
    assert "The run ended before Wicked Reports accepted anything" in failed.text
    assert "Nothing new to send" not in failed.text
    assert shop.state(TAP, target) is None
    assert simulator.wicked_rows("orders") == []


@pytest.mark.parametrize("on_rejected_record", ["skip", "fail_at_end"])
def test_the_run_ends_with_what_was_sent_and_rejected(shop, on_rejected_record):
    bad = {**orders(3, 3)[0], "OrderTotal": "a lot"}
    shop.write("march", [*orders(1, 2), bad], at=1_000_000)
    done = shop.run(TAP, shop.wicked(on_rejected_record=on_rejected_record))
    assert bool(done.code) is (on_rejected_record == "fail_at_end"), done.text
    assert "orders: 2 sent, 0 unchanged, 0 changed, 1 rejected, 0 in doubt" in done.text
    assert "orders: 1 rejected: OrderTotal: not a number (3)" in done.text
    assert "1 row was rejected: fix the data at the source or the mapping." in done.text


def test_a_target_without_a_network_reports_it_when_tested(shop):
    target = shop.wicked(api_url=NOWHERE)
    failed = run([shop.meltano, "invoke", target, "--test"], shop.folder, **shop.variables)
    assert failed.code != 0
    assert "cannot be reached" in failed.text


def test_the_readmes_commands_store_the_keys_where_the_plugins_read_them(simulator, shop):
    readme = (EXAMPLES / "meltano" / "README.md").read_text(encoding="utf-8")
    before = (shop.folder / "meltano.yml").read_text()
    lines = [line for line in readme.splitlines() if "meltano config set" in line and "…" not in line]
    path = os.pathsep.join([str(shop.meltano.parent), os.environ["PATH"]])
    for line in lines:
        key = simulator.wicked_key if "wicked-reports" in line else simulator.wecantrack_key
        # the line as written, and what its user pastes then
        done = run(["bash", "-c", 'eval "$LINE" <<< "$PASTED"'], shop.folder, PATH=path, LINE=line, PASTED=key)
        assert done.code == 0, done.text
    kept = (shop.folder / ".env").read_text().splitlines()
    assert kept == [
        f"TAP_WECANTRACK_AIRBYTE_CONFIG_API_KEY='{simulator.wecantrack_key}'",
        f"TARGET_WICKED_REPORTS__WECANTRACK_API_KEY='{simulator.wicked_key}'",
        f"TARGET_WICKED_REPORTS__NATIVE_API_KEY='{simulator.wicked_key}'",
    ]
    assert "start_date: '2026-04-01'" not in before
    assert "start_date: '2026-04-01'" in (shop.folder / "meltano.yml").read_text()
    api = {"TARGET_WICKED_REPORTS__NATIVE_API_URL": simulator.url}
    tried = run([shop.meltano, "invoke", "target-wicked-reports--native", "--test"], shop.folder, **api)
    assert tried.code == 0, tried.text
