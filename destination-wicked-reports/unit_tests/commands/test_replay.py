"""Replay: mended rows of the dead-letter file are sent once, and an order's memory stays right."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from builders.destination import make_row, read_letters
from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.api.rows import RowMaker
from destination_wicked_reports.commands.dead_letter_reader import DeadLetter, DeadLetterReader
from destination_wicked_reports.commands.replay import HELD_BACK, OUTDATED, Replay, letters_of, refuse_broken
from destination_wicked_reports.config.mappings import WecantrackMapping
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.dead_letters import TOO_DEEP, DeadLetterFile
from destination_wicked_reports.delivery.session import running
from destination_wicked_reports.errors import ConfigurationError, ReplayError
from destination_wicked_reports.ledger.ledger import HELD
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import OrderState, Reject, Row

ORDER_KEY = "wecantrack\x1fwct-1-A"
ORDER = {
    "SourceSystem": "wecantrack",
    "SourceID": "wct-1-A",
    "CreateDate": "2026-03-01 10:00:00",
    "ContactID": "",
    "ContactEmail": "buyer at example",
    "OrderTotal": 10,
    "OrderCurrency": "EUR",
    "OrderItems": [{"OrderItemID": "wct-1-A", "ProductID": "", "Qty": 1, "PPU": 10}],
    "OrderPayments": [{"PaymentDate": "2026-03-01 10:00:00", "Amount": 10, "Status": "APPROVED"}],
}
TOLD = OrderState(Decimal(10), Decimal(10), Decimal(0), "APPROVED", 1, 1, "EUR", "2026-03-01 10:00:00")
REFUND = {
    "SourceSystem": "wecantrack",
    "OrderID": "wct-1-A",
    "PaymentDate": "2026-03-05 10:00:00",
    "Amount": 4.5,
    "Status": "PARTIALLY REFUNDED",
}
REFUNDED = replace(TOLD, refunded=Decimal("4.5"), status="PARTIALLY REFUNDED", payments=2)


def row_of(endpoint: str, fields: dict, key: str | None = None, order: OrderState | None = None) -> Row:
    maker = RowMaker(ENDPOINTS[endpoint])
    return maker.encode(dict(fields), endpoint, 0, key, ORDER_KEY if order else None, order)


def payment(amount: float = 5, **extra) -> dict:
    fields = {"SourceSystem": "shop", "OrderID": "1", "PaymentDate": "2026-03-01 10:00:00", "Amount": amount}
    return {**fields, "Status": "APPROVED", **extra}


class Bench:
    """A ledger, a dead-letter file and a scripted Wicked; every replay opens and closes them as the command does."""

    def __init__(self, wicked, tmp_path):
        self.wicked = wicked
        self.letters = DeadLetterFile(tmp_path / "letters.jsonl")
        self.again = DeadLetterFile(tmp_path / "again.jsonl")
        self.config = Config.parse(
            {
                "api_key": "k",
                "api_url": wicked.url,
                "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
                "rejected_records_path": str(self.again.path),
            }
        )
        self.left: dict = {}

    def remember(self, *rows: Row, status: str = "accepted") -> None:
        with running(self.config) as run:
            batch = Batch(rows[0].endpoint, list(rows))
            run.ledger.mark(batch)
            run.ledger.settle(batch, list(rows), status)

    def mend(self, change) -> None:
        """Edit the file as a person would: line by line."""
        self.letters.close()
        lines = [orjson.loads(line) for line in self.letters.path.read_bytes().splitlines()]
        for line in lines:
            change(line)
        self.letters.path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    def replay(self, normalizer=None, *, held: bool = False) -> list[tuple[str, list[dict]]]:
        """Replay the file; return what Wicked got."""
        self.letters.close()
        normalizer = normalizer or NativeNormalizer()
        mender = DeadLetterReader(normalizer.streams, native=isinstance(normalizer, NativeNormalizer))
        size = refuse_broken(self.letters.path, mender)
        del self.wicked.requests[:]
        with running(self.config) as run:
            replay = Replay(run, normalizer, held=held)
            replay.send(
                letter for _, letter in letters_of(self.letters.path, mender, size) if isinstance(letter, DeadLetter)
            )
            self.left = dict(replay.left)
            self.summary = list(replay.summary())
        return [(path, json.loads(body)) for method, path, _, body in self.wicked.requests if method == "POST"]

    def order(self) -> OrderState | None:
        with running(self.config) as run:
            return run.ledger.orders([ORDER_KEY]).get(ORDER_KEY)


@pytest.fixture
def bench(wicked, tmp_path):
    made = Bench(wicked, tmp_path)
    yield made
    made.letters.close()
    made.again.close()


# -- once -------------------------------------------------------------------------------------------------------------


def test_a_mended_row_is_sent_and_a_second_replay_sends_nothing(bench):
    bench.letters.reject_row(row_of("order_payments", payment()), "bad")
    bench.mend(lambda line: line["row"].update(Amount=7.25))
    assert bench.replay() == [("/orderpayments", [payment(7.25)])]
    assert bench.replay() == []


def test_a_row_that_a_sync_sent_meanwhile_is_not_sent_again(bench):
    row = row_of("order_payments", payment())
    bench.letters.reject_row(row, "bad")
    bench.remember(row)
    assert bench.replay() == []


def test_two_equal_payments_stay_two_when_both_are_mended_alike(bench):
    first = row_of("order_payments", payment())
    bench.letters.reject_row(first, "bad")
    bench.letters.reject_row(replace(first, key=f"{first.key}#2"), "bad")
    bench.mend(lambda line: line["row"].update(Status="REFUNDED"))
    ((_, rows),) = bench.replay()
    assert rows == [payment(Status="REFUNDED")] * 2
    assert bench.replay() == []


def test_a_mended_record_goes_through_the_mapping(bench):
    bench.letters.close()
    line = {"reason": "r", "field": "Amount", "endpoint": "order_payments", "stream": "order_payments"}
    bench.letters.path.write_bytes(orjson.dumps({**line, "row": payment(Amount="3.10")}) + b"\n")
    assert bench.replay() == [("/orderpayments", [payment(3.1)])]
    assert bench.replay() == []


def test_what_is_refused_again_is_written_down_again(bench):
    bench.letters.reject_row(row_of("order_payments", payment()), "bad")
    bench.wicked.answers = [(200, {}, b'{"success":"Successfully"}')]
    bench.letters.close()
    bench.wicked.answers = [(400, {}, b'{"error":"no such order"}')]
    bench.replay()
    (again,) = read_letters(bench.again)
    assert again["row"]["OrderID"] == "1"
    assert len(bench.replay()) == 1, "a row that was never accepted may be sent again"


# -- held rows --------------------------------------------------------------------------------------------------------


def test_held_rows_are_left_alone_without_being_asked_for(bench):
    row = row_of("order_payments", payment())
    bench.letters.hold(row, "lost")
    bench.remember(row, status=HELD)
    assert bench.replay() == []
    assert bench.left == {HELD_BACK: 1}


def test_held_rows_are_sent_once_when_asked_for(bench):
    row = row_of("order_payments", payment())
    bench.letters.hold(row, "lost")
    bench.remember(row, status=HELD)
    assert bench.replay(held=True) == [("/orderpayments", [payment()])]
    assert bench.replay(held=True) == []


def test_a_held_row_may_not_be_edited(bench):
    bench.letters.hold(row_of("order_payments", payment()), "lost")
    bench.mend(lambda line: line["row"].update(Amount=1))
    with pytest.raises(ConfigurationError, match="line 1 is held and was edited"):
        bench.replay(held=True)


def test_a_held_affiliate_payment_does_not_count_twice(bench):
    row = row_of("order_payments", REFUND, f"{ORDER_KEY}#2", REFUNDED)
    bench.letters.hold(row, "lost")
    bench.remember(row, status=HELD)
    assert len(bench.replay(held=True)) == 1
    assert bench.order() == REFUNDED


# -- affiliate orders -------------------------------------------------------------------------------------------------


def test_a_mended_order_is_remembered_as_it_was_sent(bench):
    bench.letters.reject_row(row_of("orders", ORDER, order=TOLD), "bad address")
    bench.mend(lambda line: line["row"].update(ContactEmail="buyer.example"))
    ((path, (sent,)),) = bench.replay()
    assert (path, sent["ContactEmail"], sent["OrderPayments"]) == ("/orders", "buyer.example", ORDER["OrderPayments"])
    assert bench.order() == TOLD
    assert bench.replay() == []


def test_an_edited_amount_counts_as_it_was_sent(bench):
    bench.remember(row_of("orders", ORDER, order=TOLD))
    bench.letters.reject_row(row_of("order_payments", REFUND, f"{ORDER_KEY}#2", REFUNDED), "bad")
    bench.mend(lambda line: line["row"].update(Amount=3))
    assert len(bench.replay()) == 1
    assert bench.order() == replace(REFUNDED, refunded=Decimal(3))


def test_payments_of_one_order_follow_each_other(bench):
    bench.remember(row_of("orders", ORDER, order=TOLD))
    later = replace(REFUNDED, refunded=Decimal(10), status="REFUNDED", payments=3)
    bench.letters.reject_row(row_of("order_payments", REFUND, f"{ORDER_KEY}#2", REFUNDED), "bad")
    rest = {**REFUND, "Amount": 5.5, "Status": "REFUNDED"}
    bench.letters.reject_row(row_of("order_payments", rest, f"{ORDER_KEY}#3", later), "computed from it")
    assert [row["Status"] for _, rows in bench.replay() for row in rows] == ["PARTIALLY REFUNDED", "REFUNDED"]
    assert bench.order() == later


def test_a_payment_of_an_order_that_was_told_otherwise_since_is_left_to_the_next_sync(bench):
    bench.letters.reject_row(row_of("order_payments", REFUND, f"{ORDER_KEY}#2", REFUNDED), "bad")
    bench.remember(row_of("orders", ORDER, order=TOLD))
    other = replace(TOLD, refunded=Decimal(10), status="REFUNDED", payments=2)
    bench.remember(row_of("order_payments", {**REFUND, "Amount": 10}, f"{ORDER_KEY}#2", other))
    assert bench.replay() == []
    assert bench.left == {OUTDATED: 1}
    assert bench.order() == other


def test_a_shops_order_with_several_payments_is_sent_once_it_is_mended(bench):
    paid = [{**ORDER["OrderPayments"][0], "Amount": amount} for amount in (6, 4)]
    bench.letters.reject_row(row_of("orders", {**ORDER, "OrderPayments": paid}, order=replace(TOLD, payments=2)), "bad")
    bench.mend(lambda line: line["row"].update(ContactEmail="buyer@example.com"))
    assert [path for path, _ in bench.replay()] == ["/orders"]
    assert (bench.order().approved, bench.order().payments) == (10, 2)
    assert bench.replay() == []


def test_after_a_replay_the_next_sync_tells_only_the_difference(bench):
    """The order was refused, mended and replayed; the sale is then declined: one refund, and no second order."""
    rules = WecantrackMapping(without_contact="synthetic")
    sale = {
        "user_network_account_id": 1,
        "transaction_id": "A",
        "status": "approved",
        "commission_amount": "10",
        "currency_id": "EUR",
        "order_date": "2026-03-01 10:00:00",
        "validation_date": "2026-03-01 10:00:00",
        "last_wct_update": "2026-03-01 10:00:00",
    }
    bench.letters.reject_row(row_of("orders", ORDER, order=TOLD), "bad address")
    bench.replay(WecantrackNormalizer(rules))
    declined = {**sale, "status": "declined", "last_wct_update": "2026-03-09 10:00:00"}
    letter = {"endpoint": "orders", "stream": "transactions", "form": "record", "row": declined}
    bench.letters.path.write_bytes(orjson.dumps(letter) + b"\n")
    sent = bench.replay(WecantrackNormalizer(rules))
    assert [
        (path, row["Amount"], row["Status"]) for path, rows in sent for row in rows if path == "/orderpayments"
    ] == [("/orderpayments", 10, "REFUNDED")]
    assert "/orders" not in dict(sent)


# -- broken lines -----------------------------------------------------------------------------------------------------

GOOD = {"endpoint": "order_payments", "stream": "order_payments", "form": "record", "row": payment()}
SENT = {**GOOD, "form": "row", "key": "k", "digest": "00"}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{broken", "is not JSON"),
        (b'{"row": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "is not JSON"),
        ({**GOOD, "endpoint": ["orders"]}, "none of products"),
        ({**GOOD, "stream": ["orders"]}, "the configured mapping does not take"),
        (b"[1]", "is not a line of a dead-letter file"),
        ({**GOOD, "row": None}, "is not a line of a dead-letter file"),
        ({**GOOD, "Amount": 3}, "unknown fields .Amount."),
        ({**GOOD, "outcome": "mended"}, "neither rejected nor held"),
        ({**GOOD, "endpoint": "carts"}, "none of products"),
        ({**GOOD, "stream": "carts"}, "the configured mapping does not take"),
        ({**GOOD, "form": "both"}, "does not say what its row is"),
        ({**GOOD, "outcome": "held"}, "only rows that were sent are held"),
        ({**SENT, "row": payment(Amount="four")}, "Amount"),
        ({**SENT, "row": payment(Amuont=4)}, "Amuont: not a field of order_payments"),
        ({**SENT, "key": None}, "lacks the row's `key`"),
        ({**SENT, "order_key": "o", "order": {"total": "1"}}, "lacks a whole `order`"),
        ({**SENT, "endpoint": "orders", "row": {**ORDER, "OrderItems": "none"}}, "OrderItems: not a list of objects"),
    ],
)
def test_a_line_that_may_not_be_sent_stops_the_replay_before_anything_leaves(bench, line, fault):
    broken = line if isinstance(line, bytes) else orjson.dumps(line)
    bench.letters.path.write_bytes(orjson.dumps(GOOD) + b"\n\n" + broken + b"\n")
    with pytest.raises(ConfigurationError, match=f"(?s)Nothing was sent.*line 3 .*{fault}"):
        bench.replay()
    assert bench.wicked.requests == []


def test_what_the_ledger_keeps_of_an_order_is_no_row_to_replay(bench):
    bench.letters.reject(Reject("bad", "Email", "orders", "orders", {"OrderID": "1"}, kept=True))
    with pytest.raises(ConfigurationError, match=r"(?s)line 1 shows what.*remove the line.*run a sync"):
        bench.replay()


def test_a_missing_file_is_named(bench, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        refuse_broken(tmp_path / "none.jsonl", DeadLetterReader(["orders"], native=True))


def test_no_value_of_a_row_is_in_a_fault():
    mender = DeadLetterReader(["orders"], native=True)
    with pytest.raises(ReplayError) as caught:
        mender.read(orjson.dumps({**SENT, "row": payment(Amount="Jane Doe")}))
    assert "Jane" not in str(caught.value)


def test_a_record_that_json_cannot_hold_is_written_down_as_far_as_it_goes(letters):
    deep: list = []
    for _ in range(300):
        deep = [deep]
    data = {"id": 7, "big": 2**70, "odd": "\ud800", "no": None, "yes": True, "deep": deep}
    letters.reject(Reject("bad", "Email", "contacts", "contacts", data))
    (letter,) = read_letters(letters)
    assert letter["reason"] == "bad"
    assert TOO_DEEP in str(letter["row"].pop("deep"))
    assert letter["row"] == {"id": 7, "big": str(2**70), "odd": "?", "no": None, "yes": True}


def test_a_letter_holds_what_a_replay_needs(letters):
    row = make_row("orders", 3, order_key="shop\x1f3", order=TOLD, Price=orjson.Fragment("19.90"))
    letters.reject_row(row, "bad")
    (letter,) = read_letters(letters)
    assert (letter["form"], letter["key"], letter["digest"]) == ("row", row.key, row.digest.hex())
    assert (letter["order_key"], letter["order"]["approved"], letter["order"]["payments"]) == ("shop\x1f3", "10", 1)
    assert b"19.90" in letters.path.read_bytes()
