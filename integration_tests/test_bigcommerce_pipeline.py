"""A BigCommerce shop into Wicked Reports, read by Airbyte's source-bigcommerce from the package index."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from integration_tests.simulator.server import running_simulator
from integration_tests.support.bigcommerce_source import bigcommerce_source
from integration_tests.support.processes import catalog, finish_pipe, start_pipe

# The first test installs the source into its own environment; it requests every order twice.
pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]

FIRST, SECOND, THIRD = "2026-04-05T12:00:00", "2026-04-10T12:00:00", "2026-04-20T12:00:00"
START = "2026-04-01"
STREAMS = ("customers", "products", "orders", "order_products", "transactions")


class Sync:
    """Airbyte's source and the destination with one simulator, one ledger, and a state for each connection."""

    def __init__(self, source, simulator, workspace, tmp_path):
        self.source, self.simulator, self.workspace = source, simulator, workspace
        workspace.secrets.append(simulator.bigcommerce.token)
        self.config = {
            "start_date": START,
            "access_token": simulator.bigcommerce.token,
            "store_hash": simulator.bigcommerce.store_hash,
        }
        self.destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {
                "type": "bigcommerce",
                "subscription_rules": [{"field": "external_id", "pattern": "^(?P<subscription_id>SUB-[0-9]+)"}],
            },
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
        }
        self.states: dict = {}

    def start(self, streams=STREAMS):
        asked = catalog(*streams)
        reader = self.source.command(
            self.workspace, "read", config=self.config, catalog=asked, state=self.states.get(streams, [])
        )
        writer = self.workspace.command("destination-wicked-reports", "write", config=self.destination, catalog=asked)
        return start_pipe(reader, writer)

    def finish(self, pipe, streams=STREAMS):
        result = finish_pipe(self.workspace, *pipe)
        self.states[streams] = result.state or self.states.get(streams, [])
        return result

    def run(self, at, streams=STREAMS):
        self.simulator.set_clock(at, frozen=True)
        result = self.finish(self.start(streams), streams)
        assert result.source_code == 0, result.destination.said
        assert result.destination.code == 0, result.destination.said
        return result.destination

    def holds_the_truth(self, *instants):
        """Compare every order's total, both nets and number of lines; nothing may be duplicated or orphaned."""
        orders = self.simulator.held(orders=True)
        lines = Counter(str(row["OrderID"]) for row in self.simulator.wicked_rows("orderitems"))
        sums = ("gross", "net", "net_by_orders", "net_by_payments")
        held = {key: {name: order[name] for name in sums} | {"lines": lines[key]} for key, order in orders.items()}
        assert held == self.simulator.bigcommerce.truth(instants)
        counters = self.simulator.stats()["wicked"]
        assert counters.get("orders.unknown_contact", 0) == 0
        assert [name for name in counters if name.endswith(("orphans", "unknown_fields")) and counters[name]] == []
        assert counters.get("orders.duplicates", 0) == counters.get("orderpayments.duplicates", 0) == 0
        known = {str(row["SourceID"]) for row in self.simulator.wicked_rows("products")}
        # A further order of a sale that rose is for no product: what rose is the order, not one of its lines.
        assert {row["ProductID"] for row in self.simulator.wicked_rows("orderitems")} <= {*known, ""}
        return held


@pytest.fixture
def shop():
    """A simulator with a generated shop: four days of orders, and changes up to ten days later."""
    with running_simulator(start="2026-04-01T00:00:00", frozen=True) as simulator:
        simulator.bigcommerce.generate(orders=45, days=4, later_days=7)
        yield simulator


@pytest.fixture
def source(shop):
    with bigcommerce_source(shop.url) as found:
        yield found


@pytest.fixture
def sync(source, shop, workspace, tmp_path) -> Sync:
    return Sync(source, shop, workspace, tmp_path)


def test_the_source_accepts_the_right_token_and_reports_a_wrong_one(sync):
    sync.config["access_token"] = "wrong"
    pipe = sync.finish(sync.start(("customers",)), ("customers",))
    asked = [(request["path"], request["status"]) for request in sync.simulator.requests() if "/v3/" in request["path"]]
    assert asked == [("/stores/simstore/v3/customers", 401)]
    assert pipe.source_code != 0
    assert sync.simulator.wicked_rows("contacts") == []


def test_after_three_syncs_wicked_stores_every_order_and_contact(sync):
    for at in (FIRST, SECOND, THIRD):
        sync.run(at)
    held = sync.holds_the_truth(FIRST, SECOND, THIRD)
    assert len(held) > 30
    assert len({order["net"] == order["gross"] for order in held.values()}) == 2
    orders = sync.simulator.wicked_rows("orders")
    chained = {row["SourceID"]: row.get("SubscriptionID") for row in orders}
    first = {key for key in held if "~" not in key}  # a further order has no SubscriptionID
    assert chained == dict.fromkeys(held) | {key: f"SUB-{int(key) % 3}" for key in first if int(key) % 5 == 0}
    contacts = {str(row["SourceID"]): row["Email"] for row in sync.simulator.wicked_rows("contacts")}
    assert {len(contacts[row["ContactID"] or row["ContactEmail"]].split("@")) for row in orders} == {2}
    assert {key.isdigit() or key == mail == mail.lower() for key, mail in contacts.items()} == {True}
    assert {key.isdigit() for key in contacts} == {True, False}


def test_reading_the_last_day_again_sends_nothing(sync):
    sync.run(THIRD)
    before = sync.simulator.stats()["requests"]["by_path"]
    done = sync.run(THIRD)
    after = sync.simulator.stats()["requests"]["by_path"]
    posts = {path: after[path] - before.get(path, 0) for path in after if path.startswith("POST")}
    assert sum(posts.values()) == 0, (posts, done.logs)
    assert len(done.states) > 0
    sync.holds_the_truth(THIRD)


def test_the_order_of_the_streams_does_not_matter_and_deleted_orders_are_refunded(sync):
    sync.simulator.switch("bigcommerce.deleted", "listed")
    backwards = STREAMS[::-1]
    sync.run(FIRST, backwards)
    sync.run(THIRD, backwards)
    sync.holds_the_truth(FIRST, THIRD)


def test_one_connection_per_stream_and_a_full_read_give_the_same_result(sync):
    for stream in ("transactions", "order_products", "orders", "products", "customers"):
        sync.run(FIRST, (stream,))
    sync.holds_the_truth(FIRST)
    sync.run(THIRD)
    sync.holds_the_truth(FIRST, THIRD)


def test_after_kills_at_random_points_wicked_stores_what_it_must(sync):
    rng = random.Random(3)
    sync.destination["batch_rows"] = 20
    sync.simulator.set_clock(FIRST, frozen=True)
    sync.simulator.fault("slow", method="POST", seconds=0.03, times=0)
    for _ in range(2):
        reader, writer = sync.start()
        begun, posts = time.monotonic(), rng.randint(1, 5)
        while writer.poll() is None and time.monotonic() - begun < 60:
            by_path = sync.simulator.stats()["requests"]["by_path"]
            if sum(count for path, count in by_path.items() if path.startswith("POST")) >= posts:
                break
            time.sleep(0.005)
        rng.choice([reader, writer]).kill()
        sync.finish((reader, writer))
    sync.run(FIRST)
    sync.run(SECOND)
    orders = sync.simulator.held(orders=True)
    truth = sync.simulator.bigcommerce.truth([FIRST, SECOND])
    assert {key: order["net"] for key, order in orders.items()} == {key: one["net"] for key, one in truth.items()}
