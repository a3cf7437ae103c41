"""Replay: fixed rows of the dead-letter file are sent once, and the sale's state stays right."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from builders.destination import lines_of, make_row
from destination_wicked_reports.api.contacts import ContactApi
from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.api.rows import RowMaker
from destination_wicked_reports.commands.dead_letter_reader import DeadLetter, DeadLetterReader
from destination_wicked_reports.commands.replay import (
    NOT_ASKED_FOR,
    OUTDATED,
    Replay,
    check_file,
    dismiss,
    read_dead_letters,
)
from destination_wicked_reports.config.mappings import WecantrackMapping
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery import dead_letters as module
from destination_wicked_reports.delivery.dead_letters import TOO_DEEP, DeadLetterFile
from destination_wicked_reports.delivery.session import open_session
from destination_wicked_reports.errors import ConfigurationError, ReplayError
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.ledger.sale_json import sale_facts
from destination_wicked_reports.mappings.affiliate.contact_lookup import WickedLookup
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import IN_DOUBT, OpenOrder, Reject, Row, SalePayment, SaleState

SALE_KEY = "wecantrack\x1fwct-1-A"
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
WHEN = "2026-03-01 10:00:00"
PAID = SaleState(
    "EUR", (OpenOrder(1, Decimal(10), Decimal(0), WHEN),), 1, 1, ordered_at=WHEN, contact_email="buyer at example"
)
APPROVED = (SalePayment(1, "APPROVED", Decimal(10)),)
REFUND = {
    "SourceSystem": "wecantrack",
    "OrderID": "wct-1-A",
    "PaymentDate": "2026-03-05 10:00:00",
    "Amount": 4.5,
    "Status": "PARTIALLY REFUNDED",
}
REFUNDED = PAID._replace(open_orders=(OpenOrder(1, Decimal(10), Decimal("4.5"), REFUND["PaymentDate"]),), version=2)
EMPTY = PAID._replace(open_orders=(), version=3)


def row_of(endpoint: str, fields: dict, key: str | None = None) -> Row:
    return RowMaker(ENDPOINTS[endpoint]).encode(dict(fields), endpoint, 0, key)


def order_row(sale: SaleState = PAID, payments: tuple[SalePayment, ...] = APPROVED, **changes) -> Row:
    """The first order of the sale."""
    return RowMaker(ENDPOINTS["orders"]).encode({**ORDER, **changes}, "orders", 0, None, SALE_KEY, sale, payments)


def refund_row(sale: SaleState = REFUNDED, **changes) -> Row:
    """A refund of the sale's first order."""
    fields = {**REFUND, **changes}
    carried = (SalePayment(1, fields["Status"], Decimal(str(fields["Amount"]))),)
    key = f"{SALE_KEY}#{sale.version}"
    return RowMaker(ENDPOINTS["order_payments"]).encode(fields, "order_payments", 0, key, SALE_KEY, sale, carried)


def payment(amount: float = 5, **extra) -> dict:
    fields = {"SourceSystem": "shop", "OrderID": "1", "PaymentDate": "2026-03-01 10:00:00", "Amount": amount}
    return {**fields, "Status": "APPROVED", **extra}


class Bench:
    """A ledger, a dead-letter file and a scripted Wicked; every replay opens and closes them like the command."""

    def __init__(self, wicked, tmp_path):
        self.wicked = wicked
        self.dead_letters = DeadLetterFile(tmp_path / "dead_letters.jsonl")
        self.again = DeadLetterFile(tmp_path / "again.jsonl", repeat=True)
        self.config = Config.parse(
            {
                "api_key": "k",
                "api_url": wicked.url,
                "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
                "rejected_records_path": str(self.again.path),
            }
        )
        self.skipped: dict = {}

    def record(self, *rows: Row, status: str = "accepted") -> None:
        """Record rows as sent by a sync."""
        with open_session(self.config) as session:
            batch = Batch(rows[0].endpoint, list(rows))
            session.ledger.begin(batch)
            session.ledger.commit(batch, list(rows), status)

    def edit(self, change) -> None:
        """Apply a function to each line of the file."""
        self.dead_letters.close()
        lines = [orjson.loads(line) for line in self.dead_letters.path.read_bytes().splitlines()]
        for line in lines:
            change(line)
        self.dead_letters.path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    def replay(self, normalizer=None, *, in_doubt: bool = False) -> list[tuple[str, list[dict]]]:
        """Replay the file. Return the path and rows of every request."""
        self.dead_letters.close()
        normalizer = normalizer or NativeNormalizer()
        reader = DeadLetterReader(normalizer.streams, native=isinstance(normalizer, NativeNormalizer))
        size = check_file(self.dead_letters.path, reader)
        del self.wicked.requests[:]
        with open_session(self.config, replay=True, resend_in_doubt=in_doubt) as session:
            replay = Replay(session, normalizer)
            lines = (content for _, content in read_dead_letters(self.dead_letters.path, reader, size))
            replay.send(line for line in lines if isinstance(line, DeadLetter))
            self.skipped = {reason: sampled.count for reason, sampled in session.tally.skipped.items()}
            self.summary = list(replay.summary())
        return [(path, json.loads(body)) for method, path, _, body in self.wicked.requests if method == "POST"]

    def sale(self) -> SaleState | None:
        with open_session(self.config) as session:
            return session.ledger.sales([SALE_KEY]).get(SALE_KEY)


@pytest.fixture
def bench(wicked, tmp_path):
    made = Bench(wicked, tmp_path)
    yield made
    made.dead_letters.close()
    made.again.close()


# -- once -------------------------------------------------------------------------------------------------------------


def test_a_fixed_row_is_sent_and_a_second_replay_sends_nothing(bench):
    bench.dead_letters.reject_row(row_of("order_payments", payment()), "bad")
    bench.edit(lambda line: line["row"].update(Amount=7.25))
    assert bench.replay() == [("/orderpayments", [payment(7.25)])]
    assert bench.replay() == []


def test_a_row_that_a_sync_sent_meanwhile_is_not_sent_again(bench):
    row = row_of("order_payments", payment())
    bench.dead_letters.reject_row(row, "bad")
    bench.record(row)
    assert bench.replay() == []


def test_two_equal_payments_stay_two_after_the_same_edit(bench):
    first = row_of("order_payments", payment())
    bench.dead_letters.reject_row(first, "bad")
    bench.dead_letters.reject_row(replace(first, key=f"{first.key}#2"), "bad")
    bench.edit(lambda line: line["row"].update(Status="REFUNDED"))
    ((_, rows),) = bench.replay()
    assert rows == [payment(Status="REFUNDED")] * 2
    assert bench.replay() == []


def test_a_fixed_record_goes_through_the_mapping(bench):
    bench.dead_letters.close()
    line = {"reason": "r", "field": "Amount", "endpoint": "order_payments", "stream": "order_payments"}
    bench.dead_letters.path.write_bytes(orjson.dumps({**line, "row": payment(Amount="3.10")}) + b"\n")
    assert bench.replay() == [("/orderpayments", [payment(3.1)])]
    assert bench.replay() == []


def test_a_row_refused_again_goes_to_the_dead_letter_file_again(bench):
    bench.dead_letters.reject_row(row_of("order_payments", payment()), "bad")
    bench.wicked.answers = [(200, {}, b'{"success":"Successfully"}')]
    bench.dead_letters.close()
    bench.wicked.answers = [(400, {}, b'{"error":"no such order"}')]
    bench.replay()
    (again,) = lines_of(bench.again)
    assert again["row"]["OrderID"] == "1"
    assert len(bench.replay()) == 1, "a row that was never accepted can be sent again"


# -- rows in doubt ----------------------------------------------------------------------------------------------------


def test_rows_in_doubt_are_not_sent_by_default(bench):
    row = row_of("order_payments", payment())
    bench.dead_letters.mark_in_doubt(row, "lost")
    bench.record(row, status=IN_DOUBT)
    assert bench.replay() == []
    assert bench.skipped == {NOT_ASKED_FOR: 1}


def test_rows_in_doubt_are_sent_once_if_asked_for(bench):
    row = row_of("order_payments", payment())
    bench.dead_letters.mark_in_doubt(row, "lost")
    bench.record(row, status=IN_DOUBT)
    assert bench.replay(in_doubt=True) == [("/orderpayments", [payment()])]
    assert bench.replay(in_doubt=True) == []


def test_a_row_in_doubt_must_not_be_edited(bench):
    bench.dead_letters.mark_in_doubt(row_of("order_payments", payment()), "lost")
    bench.edit(lambda line: line["row"].update(Amount=1))
    with pytest.raises(ConfigurationError, match="line 1 is in doubt and was edited"):
        bench.replay(in_doubt=True)


def test_an_affiliate_payment_in_doubt_does_not_count_twice(bench):
    bench.record(order_row())
    bench.dead_letters.mark_in_doubt(refund_row(), "lost")
    bench.record(refund_row(), status=IN_DOUBT)
    assert len(bench.replay(in_doubt=True)) == 1
    assert bench.sale() == REFUNDED


def test_a_row_in_doubt_does_not_make_an_outdated_row_current(bench):
    """Both were made before the sale was refunded altogether; the replay may not compute from the row in doubt."""
    bench.record(order_row())
    bench.dead_letters.mark_in_doubt(refund_row(), "lost")
    bench.record(refund_row(), status=IN_DOUBT)
    later = REFUNDED._replace(open_orders=(OpenOrder(1, Decimal(10), Decimal(5), WHEN),), version=3)
    bench.dead_letters.reject_row(refund_row(later, Amount=0.5), "bad")
    bench.record(refund_row(EMPTY, Amount=5.5, Status="REFUNDED"))
    assert [row["Amount"] for _, rows in bench.replay(in_doubt=True) for row in rows] == [4.5]
    assert bench.skipped == {OUTDATED: 1}
    assert bench.sale() == EMPTY


# -- affiliate and shop orders ----------------------------------------------------------------------------------------


def test_a_fixed_order_is_recorded_as_sent_with_its_fixed_contact(bench):
    bench.dead_letters.reject_row(order_row(), "bad address")
    bench.edit(lambda line: line["row"].update(ContactEmail="buyer.example"))
    ((path, (sent,)),) = bench.replay()
    assert (path, sent["ContactEmail"], sent["OrderPayments"]) == ("/orders", "buyer.example", ORDER["OrderPayments"])
    assert bench.sale() == PAID._replace(contact_email="buyer.example")
    assert bench.replay() == []


def test_an_address_that_the_ledger_must_not_keep_is_sent_and_not_stored(bench):
    bench.dead_letters.reject_row(order_row(PAID._replace(contact_id="U1", contact_email="")), "bad address")
    bench.edit(lambda line: line["row"].update(ContactID="U1", ContactEmail="buyer.example"))
    lookup = {"type": "wicked", "keep": "memory"}
    mapping = WecantrackMapping(contact_lookup=lookup, contact_source_system="crm")
    api = ContactApi(bench.wicked.url, "k", 120)
    ((_, (sent,)),) = bench.replay(WecantrackNormalizer(mapping, WickedLookup(mapping, api, "memory")))
    assert sent["ContactEmail"] == "buyer.example"
    assert bench.sale() == PAID._replace(contact_id="U1", contact_email="")


def test_a_refund_after_a_fixed_order_keeps_the_fixed_contact(bench):
    bench.dead_letters.reject_row(order_row(), "bad address")
    bench.dead_letters.reject_row(refund_row(), "computed from it")

    def fix(line):
        if line["endpoint"] == "orders":
            line["row"]["ContactEmail"] = "buyer.example"

    bench.edit(fix)
    assert [path for path, _ in bench.replay()] == ["/orders", "/orderpayments"]
    assert bench.sale() == REFUNDED._replace(contact_email="buyer.example")


@pytest.mark.parametrize(
    ("made", "change"),
    [
        (refund_row, {"Amount": 3}),
        (refund_row, {"Status": "REFUNDED"}),
        (refund_row, {"PaymentDate": "2026-03-06 10:00:00"}),
        (order_row, {"OrderTotal": 9}),
        (order_row, {"OrderCurrency": "USD"}),
        (order_row, {"CreateDate": "2026-03-02 10:00:00"}),
        (order_row, {"OrderPayments": []}),
        (order_row, {"OrderPayments": [{**ORDER["OrderPayments"][0], "Amount": 9}]}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_amounts_currency_status_and_dates_of_a_sale_cannot_be_edited(bench, made, change):
    bench.dead_letters.reject_row(made(), "bad")
    bench.edit(lambda line: line["row"].update(change))
    with pytest.raises(ConfigurationError, match=r"line 1 belongs to an affiliate or shop order.*undo that edit"):
        bench.replay()
    assert bench.wicked.requests == []


@pytest.mark.parametrize(("made", "name"), [(refund_row, "OrderID"), (order_row, "SourceID")], ids=["refund", "order"])
def test_the_ids_of_a_sale_cannot_be_edited(bench, made, name):
    bench.dead_letters.reject_row(made(), "bad")
    bench.edit(lambda line: line["row"].update({name: "wct-1-B"}))
    with pytest.raises(ConfigurationError, match="whose SourceSystem and id cannot be edited"):
        bench.replay()


def test_refunds_of_one_order_follow_each_other(bench):
    bench.record(order_row())
    bench.dead_letters.reject_row(refund_row(), "bad")
    bench.dead_letters.reject_row(refund_row(EMPTY, Amount=5.5, Status="REFUNDED"), "computed from it")
    assert [row["Status"] for _, rows in bench.replay() for row in rows] == ["PARTIALLY REFUNDED", "REFUNDED"]
    assert bench.sale() == EMPTY


def test_a_further_order_follows_the_refund_before_it(bench):
    bench.record(order_row())
    emptied = EMPTY._replace(version=2)
    bench.dead_letters.reject_row(refund_row(emptied, Amount=10, Status="REFUNDED"), "bad")
    again = emptied._replace(open_orders=(OpenOrder(2, Decimal(8), Decimal(0), WHEN),), order_count=2, version=3)
    paid = [{**ORDER["OrderPayments"][0], "Amount": 8}]
    further = order_row(
        again, (SalePayment(2, "APPROVED", Decimal(8)),), SourceID="wct-1-A~2", OrderTotal=8, OrderPayments=paid
    )
    bench.dead_letters.reject_row(further, "computed from it")
    assert [path for path, _ in bench.replay()] == ["/orderpayments", "/orders"]
    assert bench.sale() == again


def test_what_was_computed_from_a_row_that_is_refused_again_stays_rejected(bench):
    bench.dead_letters.reject_row(order_row(), "bad")
    bench.dead_letters.reject_row(refund_row(), "computed from it")
    bench.wicked.answers = [(400, {}, b'{"error":"no"}')]
    assert [path for path, _ in bench.replay()] == ["/orders"]
    assert [line["endpoint"] for line in lines_of(bench.again)] == ["orders", "order_payments"]
    assert bench.sale() is None


def test_a_refund_of_a_sale_that_changed_since_is_left_to_the_next_sync(bench):
    bench.dead_letters.reject_row(refund_row(), "bad")
    bench.record(order_row())
    other = EMPTY._replace(version=2)
    bench.record(refund_row(other, Amount=10, Status="REFUNDED"))
    assert bench.replay() == []
    assert bench.skipped == {OUTDATED: 1}
    assert bench.sale() == other


def test_a_refund_whose_order_was_never_sent_is_left_to_the_next_sync(bench):
    bench.dead_letters.reject_row(refund_row(), "bad")
    assert bench.replay() == []
    assert bench.skipped == {OUTDATED: 1}


def test_a_shops_order_with_a_nested_refund_is_sent_after_a_fix(bench):
    paid = [ORDER["OrderPayments"][0], {key: REFUND[key] for key in ("PaymentDate", "Amount", "Status")}]
    payments = (*APPROVED, SalePayment(1, "PARTIALLY REFUNDED", Decimal("4.5")))
    bench.dead_letters.reject_row(order_row(REFUNDED, payments, OrderPayments=paid), "bad")
    bench.edit(lambda line: line["row"].update(ContactEmail="buyer@example.com"))
    assert [path for path, _ in bench.replay()] == ["/orders"]
    assert bench.sale() == REFUNDED._replace(contact_email="buyer@example.com")
    assert bench.replay() == []


def test_after_a_replay_the_next_sync_sends_only_the_difference(bench):
    """The order was refused, fixed and replayed; the sale is then declined: one refund, and no second order."""
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
    bench.dead_letters.reject_row(order_row(), "bad address")
    bench.replay(WecantrackNormalizer(rules))
    declined = {**sale, "status": "declined", "last_wct_update": "2026-03-09 10:00:00"}
    line = {"endpoint": "orders", "stream": "transactions", "form": "record", "row": declined}
    bench.dead_letters.path.write_bytes(orjson.dumps(line) + b"\n")
    sent = bench.replay(WecantrackNormalizer(rules))
    assert [
        (path, row["Amount"], row["Status"]) for path, rows in sent for row in rows if path == "/orderpayments"
    ] == [("/orderpayments", 10, "REFUNDED")]
    assert "/orders" not in dict(sent)


# -- invalid lines ----------------------------------------------------------------------------------------------------

GOOD = {"endpoint": "order_payments", "stream": "order_payments", "form": "record", "row": payment()}
SENT = {**GOOD, "form": "row", "key": "k", "digest": "00"}
PLAIN_SALE = sale_facts(PAID)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{broken", "is not JSON"),
        (b'{"row": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "is not JSON"),
        ({**GOOD, "endpoint": ["orders"]}, "other than products"),
        ({**GOOD, "stream": ["orders"]}, "the configured mapping does not take"),
        (b"[1]", "is not a line of a dead-letter file"),
        ({**GOOD, "row": None}, "is not a line of a dead-letter file"),
        ({**GOOD, "Amount": 3}, "unknown fields .Amount."),
        ({**GOOD, "outcome": "fixed"}, "other than rejected and in_doubt"),
        ({**GOOD, "endpoint": "carts"}, "other than products"),
        ({**GOOD, "stream": "carts"}, "the configured mapping does not take"),
        ({**GOOD, "form": "both"}, "has a `form` other than record"),
        ({**GOOD, "outcome": "in_doubt"}, "only rows that were sent can be in doubt"),
        ({**SENT, "row": payment(Amount="four")}, "Amount"),
        ({**SENT, "row": payment(Amuont=4)}, "Amuont: not a field of order_payments"),
        ({**SENT, "key": None}, "lacks the row's `key`"),
        ({**SENT, "sale_key": "o", "sale": {"version": 1}}, "lacks a complete `sale`"),
        ({**SENT, "sale_key": "o", "sale": PLAIN_SALE, "payments": []}, "lacks a complete `sale`"),
        ({**SENT, "endpoint": "orders", "row": {**ORDER, "OrderItems": "none"}}, "OrderItems: not a list of objects"),
    ],
)
def test_a_line_that_cannot_be_sent_stops_the_replay_before_anything_is_sent(bench, line, fault):
    invalid = line if isinstance(line, bytes) else orjson.dumps(line)
    bench.dead_letters.path.write_bytes(orjson.dumps(GOOD) + b"\n\n" + invalid + b"\n")
    with pytest.raises(ConfigurationError, match=f"(?s)Nothing was sent.*line 3 .*{fault}"):
        bench.replay()
    assert bench.wicked.requests == []


def test_what_the_ledger_stores_about_an_order_cannot_be_replayed(bench):
    bench.dead_letters.reject(Reject("bad", "Email", "orders", "orders", {"OrderID": "1"}, from_ledger=True))
    with pytest.raises(ConfigurationError, match=r"(?s)line 1 shows what.*remove the line.*run a sync"):
        bench.replay()


def test_a_missing_file_is_named(bench, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        check_file(tmp_path / "none.jsonl", DeadLetterReader(["orders"], native=True))


def test_errors_quote_no_value_of_a_row():
    reader = DeadLetterReader(["orders"], native=True)
    with pytest.raises(ReplayError) as caught:
        reader.read(orjson.dumps({**SENT, "row": payment(Amount="Jane Doe")}))
    assert "Jane" not in str(caught.value)


def test_a_record_that_cannot_be_serialized_is_written_as_far_as_possible(dead_letters):
    deep: list = []
    for _ in range(300):
        deep = [deep]
    data = {"id": 7, "big": 2**70, "odd": "\ud800", "no": None, "yes": True, "deep": deep}
    dead_letters.reject(Reject("bad", "Email", "contacts", "contacts", data))
    (line,) = lines_of(dead_letters)
    assert line["reason"] == "bad"
    assert TOO_DEEP in str(line["row"].pop("deep"))
    assert line["row"] == {"id": 7, "big": str(2**70), "odd": "?", "no": None, "yes": True}


def test_a_dead_letter_has_what_a_replay_needs(dead_letters):
    row = order_row(OrderTotal=orjson.Fragment("10.00"))
    dead_letters.reject_row(row, "bad")
    (line,) = lines_of(dead_letters)
    assert (line["form"], line["key"], line["digest"]) == ("row", row.key, row.digest.hex())
    assert (line["sale_key"], line["sale"]["version"], line["sale"]["open_orders"][0]["total"]) == (SALE_KEY, 1, "10")
    assert line["payments"] == [[1, "APPROVED", "10", WHEN]]
    assert b"10.00" in dead_letters.path.read_bytes()


# -- open dead letters ------------------------------------------------------------------------------------------------


class TestOpenDeadLetters:
    def reject(self, dead_letters: DeadLetterFile, number: int = 1, **extra) -> None:
        row = {"SourceSystem": "shop", "SourceID": str(number)}
        dead_letters.reject(Reject("no", "Email", "contacts", "contacts", row, **extra))

    def test_there_is_no_reminder_without_a_file_or_a_line(self, dead_letters):
        assert dead_letters.reminder() == ""
        dead_letters.path.write_bytes(b"\n")
        assert dead_letters.reminder() == ""

    def test_lines_are_counted_until_they_are_settled(self, dead_letters, ledger):
        self.reject(dead_letters, 1)
        self.reject(dead_letters, 2)
        dead_letters.mark_in_doubt(make_row("orders", 1), "lost")
        assert dead_letters.reminder().startswith(f"Open: 3 dead letters are in {dead_letters.path} (1 in doubt). ")
        first, *_ = lines_of(dead_letters)
        dead_letters.settle([first["id"]])
        assert "Open: 2 dead letters are" in dead_letters.reminder()
        assert dismiss(dead_letters.path, dead_letters, ledger) == 3
        assert dead_letters.reminder() == ""
        self.reject(dead_letters)
        assert "Open: 1 dead letter is" in dead_letters.reminder()

    def test_a_dismissed_row_in_doubt_is_closed_in_the_ledger_too(self, dead_letters, ledger):
        rows = [make_row("order_payments", number) for number in (1, 2)]
        batch = Batch("order_payments", rows)
        ledger.begin(batch)
        ledger.commit(batch, rows, IN_DOUBT)
        dead_letters.mark_in_doubt(rows[0], "lost")
        assert dead_letters.without_line([row.key for row in rows]) == [rows[1].key]
        assert dismiss(dead_letters.path, dead_letters, ledger) == 1
        assert ledger.in_doubt() == {"order_payments": [rows[1].key]}
        assert dead_letters.without_line([rows[0].key]) == [rows[0].key]

    def test_what_the_ledger_offers_again_is_not_counted(self, dead_letters):
        self.reject(dead_letters, from_ledger=True)
        assert dead_letters.reminder() == ""

    def test_an_id_inside_a_row_is_not_the_lines_own(self, dead_letters, ledger):
        lines = [{"row": {"id": "0123456789abcdef", "form": "facts", "n": number}} for number in range(2)]
        dead_letters.path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        assert "Open: 2 dead letters" in dead_letters.reminder()
        dismiss(dead_letters.path, dead_letters, ledger)
        assert dead_letters.reminder() == ""

    def test_a_large_file_is_read_up_to_a_limit(self, dead_letters, monkeypatch):
        for number in range(5):
            self.reject(dead_letters, number)
        monkeypatch.setattr(module, "READ_BYTES", 600)
        assert "Open: at least " in dead_letters.reminder()

    def test_a_replayed_copy_settles_the_lines_of_the_original(self, wicked, tmp_path):
        bench = Bench(wicked, tmp_path)
        self.reject(bench.again)
        bench.again.mark_in_doubt(row_of("order_payments", payment()), "lost")
        bench.again.close()
        bench.dead_letters.path.write_bytes(bench.again.path.read_bytes())
        bench.edit(lambda line: line["outcome"] == "rejected" and line["row"].update(CreateDate="2026-03-01 10:00:00"))
        bench.edit(lambda line: line["outcome"] == "rejected" and line["row"].update(Email="a@b.example"))
        assert [path for path, _ in bench.replay()] == ["/contacts"]
        assert "Open: 1 dead letter is" in bench.again.reminder()
        assert "(1 in doubt)" in bench.again.reminder()
        bench.replay(in_doubt=True)
        assert bench.again.reminder() == ""

    def test_a_line_that_fails_again_is_open_once(self, wicked, tmp_path):
        bench = Bench(wicked, tmp_path)
        self.reject(bench.again)
        bench.again.close()
        bench.dead_letters.path.write_bytes(bench.again.path.read_bytes())
        assert bench.replay() == []
        assert len(lines_of(bench.again)) == 2
        assert "Open: 1 dead letter is" in bench.again.reminder()
