"""kill -9 at random points of both processes, run again: nothing lost or doubled, rows in doubt are reported."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from decimal import Decimal

import pytest

from integration_tests.simulator.server import running_simulator
from integration_tests.support.processes import catalog, finish_pipe, start_pipe

FIRST, SECOND = "2026-04-01T12:00:00", "2026-05-01T12:00:00"
KILLS_PER_SYNC = 10
LIMIT_SECONDS = 120
RULE = r"(?P<contact_id>U[0-9]+)-"


class Pipeline:
    """The two connectors with their files, run repeatedly."""

    def __init__(self, simulator, workspace, tmp_path):
        self.simulator, self.workspace = simulator, workspace
        self.dead_letters_path = tmp_path / "rejected_records.jsonl"
        self.source = {
            "api_key": simulator.wecantrack_key,
            "api_url": simulator.url,
            "start_date": "2026-03-01",
        }
        self.destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {
                "type": "wecantrack",
                "contact_rules": [{"field": "sub_ids.*", "pattern": RULE}],
                "without_contact": "synthetic",
            },
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
            "batch_rows": 60,
            "on_rejected_record": "skip",
        }
        self.states: list = []
        self.codes: Counter = Counter()

    def run(self, end: str, kill: str | None, rng: random.Random) -> bool:
        """Run the pipe once, to its end or to a kill at a random point. Return whether it completed."""
        asked = catalog("transactions")
        state = self.workspace.file("state.json", self.states)
        reader, writer = start_pipe(
            self.workspace.command(
                "source-wecantrack", "read", config={**self.source, "end_date": end}, catalog=asked, state=state
            ),
            self.workspace.command("destination-wicked-reports", "write", config=self.destination, catalog=asked),
        )
        if kill:
            self._wait_for_posts(rng.randint(1, 6), writer)
            time.sleep(rng.random() * 0.05)  # chooses the point inside the request; waits for nothing
            for name, process in (("source", reader), ("destination", writer)):
                if kill in (name, "both"):
                    process.kill()
        result = finish_pipe(self.workspace, reader, writer)
        if result.state:
            self.states = result.state
        self.codes[kill, result.source_code, result.destination.code] += 1
        return result.source_code == 0 and result.destination.code == 0

    def _wait_for_posts(self, number: int, writer) -> None:
        begun = self._posts()
        deadline = time.monotonic() + LIMIT_SECONDS
        while self._posts() < begun + number and writer.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def _posts(self) -> int:
        by_path = self.simulator.stats()["requests"]["by_path"]
        return sum(count for path, count in by_path.items() if path.startswith("POST"))

    def dead_letters(self) -> list[dict]:
        if not self.dead_letters_path.exists():
            return []
        return [json.loads(line) for line in self.dead_letters_path.read_text().splitlines()]

    def missing(self) -> Counter:
        """Return the payments in doubt that Wicked does not have: those to resend after a check."""
        stored = Counter(map(name_of, self.simulator.wicked_rows("orderpayments")))
        lines = self.dead_letters()
        in_doubt = Counter(name_of(line["row"]) for line in lines if line["endpoint"] == "order_payments")
        return in_doubt - stored


def name_of(payment: dict) -> tuple:
    return payment["OrderID"], payment["PaymentDate"], Decimal(str(payment["Amount"])), payment["Status"]


def sums(pipeline, instants) -> tuple[dict, dict]:
    """Return gross, approved and refunded per order: expected, and in Wicked plus the missing payments."""
    truth = pipeline.simulator.truth(instants, orders=True)
    held = pipeline.simulator.held(orders=True)
    mine = {
        key: [Decimal(row["gross"]), Decimal(row["approved"]), Decimal(row["refunded"])] for key, row in held.items()
    }
    for (order, _, amount, status), count in pipeline.missing().items():
        mine[order][1 if status == "APPROVED" else 2] += amount * count if status != "DECLINED" else 0
    expected = {k: [Decimal(r["gross"]), Decimal(r["approved"]), Decimal(r["refunded"])] for k, r in truth.items()}
    return expected, mine


@pytest.mark.parametrize(
    "seed", [pytest.param(1), *(pytest.param(n, marks=pytest.mark.campaign) for n in range(2, 12))]
)
def test_after_kills_at_random_points_wicked_has_the_expected_sums(workspace, tmp_path, seed):
    rng = random.Random(seed)
    with running_simulator(start=FIRST, frozen=True) as simulator:
        simulator.generate(seed=seed, transactions=2400, days=30, later_days=30)
        simulator.throttle(100_000)
        simulator.fault("slow", method="POST", seconds=0.02, times=0)
        pipeline = Pipeline(simulator, workspace, tmp_path)
        for end in (FIRST, SECOND):
            simulator.set_clock(end, frozen=True)
            for _ in range(KILLS_PER_SYNC):
                pipeline.run(end, rng.choice(["source", "destination", "both"]), rng)
            assert pipeline.run(end, None, rng), workspace.results[-1].said
        expected, mine = sums(pipeline, [FIRST, SECOND])
        assert mine == expected
        clicks = Counter(row["OrderID"] for row in simulator.wicked_rows("clicks"))
        assert set(clicks.values()) == {1}
        assert simulator.held()["orphan_payments"] == 0
        assert all(line["outcome"] == "in_doubt" for line in pipeline.dead_letters())
        killed = sum(count for (kill, *_), count in pipeline.codes.items() if kill)
        assert killed == 2 * KILLS_PER_SYNC
