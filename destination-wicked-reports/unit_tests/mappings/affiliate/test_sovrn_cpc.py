"""CPC rows: added up exactly, sent once their day is complete, never lost and never sent twice."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import orjson
import pytest
from builders.affiliate import bodies, payments
from builders.destination import ScriptedClient
from builders.sovrn import CHANGED, NOON_CHANGED, NOON_SOLD, SOLD, Desk, click, make_normalizer, reasons, transaction
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.config.mappings import SovrnMapping
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.affiliate.base import NO_CONTACT, WORTHLESS
from destination_wicked_reports.mappings.affiliate.returns import EXCESS
from destination_wicked_reports.mappings.affiliate.sovrn import CPC_GROWTH, CPC_GROWTH_DAYS
from destination_wicked_reports.mappings.affiliate.sovrn_cpc import CPC_WAITING, WAIT_DAYS
from destination_wicked_reports.model import Record, Row, Skip
from hypothesis import given, settings
from hypothesis import strategies as st

RULES: dict[str, Any] = {
    "cpc_smallest_change": "0",
    "cpc": "rollup",
    "contact_rules": [],
    "without_contact": "synthetic",
}
EARLY = date.fromisoformat(SOLD) + timedelta(days=WAIT_DAYS)
COMPLETE = EARLY + timedelta(days=1)


def clicks(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [click(number, **changes) for number in range(count)]


class TestGroups:
    def test_a_day_of_one_campaign_page_and_merchant_is_one_order(self):
        made = Desk(**RULES)(*clicks(10))
        assert [row.endpoint for row in made] == ["products", "contacts", "orders", "clicks"]
        (order,), (sent,) = bodies(made, "orders"), bodies(made, "clicks")
        assert order["SourceID"].startswith(f"sovrn-cpc-1234-{SOLD}-")
        assert (order["CreateDate"], order["OrderTotal"]) == (NOON_SOLD, 0.08)  # 0.075, not ten times 0.01
        assert order["OrderPayments"] == [{"PaymentDate": NOON_SOLD, "Amount": 0.08, "Status": "APPROVED"}]
        assert order["OrderItems"][0]["ProductID"] == "567"
        assert order["ContactEmail"] == f"{order['SourceID']}@sovrn.invalid"
        assert (sent["Source"], sent["Campaign"], sent["Date_Time"]) == ("fb", "may", NOON_SOLD)

    @pytest.mark.parametrize(
        "other",
        [
            {"commission_date": "2024-05-13"},
            {"campaign_id": "78"},
            {"page_utm_term": "x"},
            {"merchant_group_id": "5"},
            {"account_id": "9"},
        ],
    )
    def test_what_differs_in_any_of_these_is_another_order(self, other):
        assert len(bodies(Desk(**RULES)(click(1, "1"), click(2, "1", **other)), "orders")) == 2

    def test_what_differs_elsewhere_is_not(self):
        made = Desk(**RULES)(click(1, "1"), click(2, "1", cuid="U7", link_utm_source="x", country="de"))
        assert len(bodies(made, "orders")) == 1

    def test_a_sum_of_less_than_a_cent_is_no_order_and_counted(self):
        assert reasons(Desk(**RULES)(click(1, "0.0049"))) == [WORTHLESS]

    def test_without_a_contact_a_rollup_is_skipped_and_counted_once(self):
        desk = Desk(**{**RULES, "without_contact": "skip"})
        assert reasons(desk(*clicks(10))) == [NO_CONTACT]
        assert desk() == []

    def test_a_rule_over_the_pages_utms_can_find_the_contact(self):
        rule = {"field": "page_utm_campaign", "pattern": "(?P<contact_id>.+)"}
        assert bodies(Desk(cpc="rollup", contact_rules=[rule])(*clicks(2)), "orders")[0]["ContactID"] == "may"


class TestWaiting:
    def test_a_day_is_sent_once_it_is_older_than_five_days_even_without_new_rows(self):
        desk = Desk(**RULES)
        assert desk(*clicks(2), today=EARLY) == [Skip(CPC_WAITING, 0), Skip(CPC_WAITING, 1)]
        assert payments(desk(today=COMPLETE)) == [("APPROVED", 0.02, NOON_SOLD)]  # 0.015
        assert payments(desk(today=COMPLETE)) == []

    def test_rows_read_again_or_edited_while_they_wait_count_once(self):
        desk = Desk(**RULES)
        desk(*clicks(2), today=EARLY)
        desk(click(1, "1.00"), click(0), today=EARLY)
        assert payments(desk(today=COMPLETE)) == [("APPROVED", 1.01, NOON_SOLD)]

    def test_what_comes_after_the_order_is_a_further_order_or_a_refund_of_the_difference(self):
        desk = Desk(**RULES)
        desk(*clicks(2))
        late = {"update_date": "2024-06-25"}
        assert payments(desk(click(7, "1.00", **late))) == [("APPROVED", 1, "2024-06-25 12:00:00")]
        assert payments(desk(click(7, "0.50", **late))) == [("PARTIALLY REFUNDED", 0.5, "2024-06-25 12:00:01")]
        assert payments(desk(click(7, "0.50", **late))) == []

    def test_less_than_half_a_cent_more_is_sent_once_it_rounds_to_a_cent(self):
        desk = Desk(**RULES)
        desk(*clicks(4))  # 0.0300
        assert payments(desk(click(8, "0.0040"))) == []
        assert payments(desk(click(9, "0.0010"))) == [("APPROVED", 0.01, "2024-06-20 12:00:00")]

    def test_growth_below_the_smallest_waits_until_it_is_worth_sending_or_for_thirty_days(self):
        rules = {**RULES, "cpc_smallest_change": "1.00"}
        desk, soon = Desk(**rules), date.fromisoformat(SOLD) + timedelta(days=CPC_GROWTH_DAYS - 1)
        desk(click(1, "2.00"), today=soon)
        assert reasons(desk(click(2, "0.40"), today=soon)) == [CPC_GROWTH]
        assert reasons(desk(today=soon)) == [CPC_GROWTH], "it stays pending"
        assert payments(desk(click(3, "0.60"), today=soon)) == [("APPROVED", 1, NOON_CHANGED)]
        changed = date.fromisoformat(CHANGED)
        assert payments(desk(click(4, "0.10"), today=changed + timedelta(days=CPC_GROWTH_DAYS - 1))) == []
        assert payments(desk(today=changed + timedelta(days=CPC_GROWTH_DAYS))) == [("APPROVED", 0.1, NOON_CHANGED)]

    def test_a_row_that_moves_to_another_group_leaves_its_old_one(self):
        desk = Desk(**RULES)
        desk(click(1, "1.00"), click(2, "2.00"))
        made = desk(click(2, "2.00", campaign_id="78"))
        assert sorted(payment[:2] for payment in payments(made)) == [("APPROVED", 2), ("PARTIALLY REFUNDED", 2)]

    def test_a_sale_that_turns_out_to_be_a_click_is_refunded_and_rolled_up(self):
        desk = Desk(**RULES)
        desk(transaction("2.00"))
        made = desk(transaction("2.00", program_type="cpc"))
        assert sorted(payment[:2] for payment in payments(made)) == [("APPROVED", 2), ("REFUNDED", 2)]

    def test_a_click_that_turns_out_to_be_a_sale_leaves_its_rollup(self):
        desk = Desk(**RULES)
        desk(transaction("2.00", program_type="cpc"))
        made = desk(transaction("2.00"))
        assert sorted(payment[:2] for payment in payments(made)) == [("APPROVED", 2), ("REFUNDED", 2)]

    def test_negative_clicks_reduce_their_group_to_zero_at_most(self):
        desk = Desk(**RULES)
        desk(click(1, "1.00"))
        assert payments(desk(click(2, "-0.25")))[0][:2] == ("PARTIALLY REFUNDED", 0.25)
        assert payments(desk(click(3, "-2.00")))[0][:2] == ("REFUNDED", 0.75)
        assert reasons(desk()) == [EXCESS]
        assert desk() == []

    def test_many_due_groups_are_sent_page_by_page(self, monkeypatch):
        monkeypatch.setattr("destination_wicked_reports.ledger.sale_totals.PAGE", 3)
        made = Desk(**RULES)(*[click(n, "1.00", campaign_id=str(n)) for n in range(10)])
        assert len(bodies(made, "orders")) == 10

    def test_what_waits_stays_while_rollup_is_off_and_is_sent_once_it_is_on_again(self):
        desk = Desk(**RULES)
        desk(*clicks(2), today=EARLY)
        assert desk(today=COMPLETE, cpc="skip") == []
        assert payments(desk(today=COMPLETE)) == [("APPROVED", 0.02, NOON_SOLD)]


class TestInvariants:
    row = st.tuples(st.integers(0, 3), st.decimals(min_value=-1, max_value=5, places=4), st.sampled_from(["77", "78"]))
    runs: ClassVar[Any] = st.lists(st.tuples(st.lists(row, max_size=4), st.booleans()), min_size=1, max_size=5)

    @settings(deadline=None, max_examples=60)
    @given(runs)
    def test_every_group_counts_what_its_rows_add_up_to_once_rounded(self, runs):
        desk, seen = Desk(**RULES), {}
        for entries, complete in [*runs, ([], True)]:
            for number, amount, campaign in entries:
                seen[number] = (campaign, amount)
            made = desk(
                *[click(number, str(amount), campaign_id=campaign) for number, amount, campaign in entries],
                today=COMPLETE if complete else EARLY,
            )
            assert all(payment[1] > 0 for payment in payments(made))
        due = [sum((a for c, a in seen.values() if c == campaign), Decimal(0)) for campaign in ("77", "78")]
        rows = desk.ledger.connection.exec_driver_sql("select key from sales").all()
        desk.ledger.connection.rollback()
        nets = sorted(net for (name,) in rows if (net := desk.net(name)))
        assert nets == sorted(c for amount in due if (c := amount.quantize(Decimal("0.01"), "ROUND_HALF_UP")) > 0)


class TestRuns:
    """The whole writer: what is due is sent at the end of the input, and blocks no STATE."""

    def write(self, ledger, dead_letters, client, records, states=1):
        lines = [
            orjson.dumps({"type": "RECORD", "record": {"stream": "transactions", "emitted_at": 1, "data": data}})
            for data in records
        ]
        state = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "transactions"}, "stream_state": {}}}
        lines += [orjson.dumps({"type": "STATE", "state": state})] * states
        out: list[Any] = []
        tally = Tally(dead_letters)
        dispatcher = Dispatcher(client, ledger, tally, batch_rows=3, in_flight=2)
        normalizer = make_normalizer(**RULES)
        writer = Writer(normalizer, dispatcher, tally, out.append, {("", "transactions"): "transactions"}, batch_rows=3)
        try:
            writer.write([lines])
        finally:
            dispatcher.close()
        return out, tally

    def test_rollups_leave_at_the_end_of_the_run(self, ledger, dead_letters):
        client = ScriptedClient()
        out, _ = self.write(ledger, dead_letters, client, clicks(8, campaign_id="1") + clicks(0))
        assert len(out) == 1
        assert [path for path, _ in client.posts] == ["/products", "/contacts", "/orders", "/clicks"]
        again = ScriptedClient()
        self.write(ledger, dead_letters, again, clicks(8, campaign_id="1"))
        assert again.posts == []

    def test_a_refused_rollup_is_tried_again_by_the_next_run(self, ledger, dead_letters):
        def refuse(path, rows):
            refused = {0: "no"} if path == "/orders" else {}
            return PostResult(Outcome.ACCEPTED, refused)

        _, tally = self.write(ledger, dead_letters, ScriptedClient(refuse), clicks(8))
        assert tally.failed == 1
        again = ScriptedClient()
        self.write(ledger, dead_letters, again, [])
        assert [path for path, _ in again.posts] == ["/orders"]

    def test_a_run_killed_before_its_end_has_the_rows_in_the_ledger(self, ledger, dead_letters):
        records = [Record("transactions", data, n) for n, data in enumerate(clicks(8))]
        assert list(make_normalizer(**RULES).normalize(records, OrderBook(ledger))) == []
        client = ScriptedClient()
        self.write(ledger, dead_letters, client, [])
        assert "/orders" in [path for path, _ in client.posts]


def test_rows_of_a_rollup_block_no_state():
    made = Desk(**RULES)(*clicks(8))
    assert min(row.sequence for row in made if isinstance(row, Row)) > 10**9


def test_the_form_names_the_same_number_of_days():
    assert f"more than {WAIT_DAYS} days old" in str(SovrnMapping.model_fields["cpc"].description)
