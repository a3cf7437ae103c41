"""Rows on their way: order between endpoints, batches, refusals, lost replies."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from builders.destination import ACCEPTED, ScriptedClient, make_row, read_letters
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.delivery import dispatcher as module
from destination_wicked_reports.delivery import queue
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.errors import NotStoredError
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import OrderState

REFUSED = PostResult(Outcome.REJECTED, {}, "refused whole")


@pytest.fixture
def deliver(ledger, letters):
    made = []

    def make(client, *, batch_rows=1000, in_flight=4):
        made.append(Dispatcher(client, ledger, letters, batch_rows=batch_rows, in_flight=in_flight))
        return made[-1]

    yield make
    for delivery in made:
        delivery.drain()
        delivery.close()


def test_rows_leave_in_wickeds_order_whatever_order_they_came_in(deliver):
    client = ScriptedClient()
    delivery = deliver(client)
    names = ["marketing", "clicks", "order_payments", "order_items", "orders", "contacts", "products"]
    delivery.add(make_row(endpoint) for endpoint in names)
    delivery.flush()
    assert [path for path, _ in client.posts] == [
        "/products",
        "/contacts",
        "/orders",
        "/orderitems",
        "/orderpayments",
        "/clicks",
        "/marketing",
    ]
    assert client.most_at_once == 1


def test_a_full_batch_takes_along_what_its_rows_may_refer_to(deliver):
    client = ScriptedClient()
    delivery = deliver(client, batch_rows=2)
    delivery.add([make_row("contacts", 1), make_row("order_payments", 1)])
    delivery.add([make_row("orders", 1), make_row("orders", 2), make_row("orders", 3)])
    while delivery.busy:
        delivery.settle(block=True)
    assert client.posts == [("/contacts", ["1"]), ("/orders", ["1", "2"])]
    delivery.flush()
    assert client.posts[2:] == [("/orders", ["3"]), ("/orderpayments", ["1"])]


def test_batches_of_one_endpoint_travel_side_by_side_and_never_more_than_allowed(deliver):
    together = threading.Barrier(3, timeout=10)

    def answer(path, rows):
        together.wait()
        return ACCEPTED

    client = ScriptedClient(answer)
    delivery = deliver(client, batch_rows=10, in_flight=3)
    delivery.add(make_row(number=n) for n in range(60))
    delivery.flush()
    assert client.most_at_once == 3
    assert [len(keys) for _, keys in client.posts] == [10] * 6


@pytest.mark.parametrize(("endpoint", "ready"), [("orders", True), ("order_payments", False)])
def test_the_next_batch_is_ready_before_its_turn_unless_a_dead_run_would_take_it_for_sent(deliver, endpoint, ready):
    answered = threading.Event()

    def answer(path, rows):
        answered.wait(10)
        return ACCEPTED

    client = ScriptedClient(answer)
    delivery = deliver(client, batch_rows=1, in_flight=1)
    delivery.add([make_row(endpoint, 1)])
    following = Batch(endpoint, [make_row(endpoint, 2)])
    assert delivery._must_wait(following) is not ready
    if ready:
        delivery.add([make_row(endpoint, 2)])  # does not wait for the first
    answered.set()
    delivery.add([make_row(endpoint, 3)])
    delivery.flush()
    assert client.most_at_once == 1
    assert delivery.counts[endpoint] == {"sent": 2 + ready}


def test_what_was_ready_when_a_post_failed_for_good_is_not_sent_and_not_taken_for_sent(deliver, ledger):
    failing = threading.Event()

    def answer(path, rows):
        failing.wait(10)
        raise NotStoredError(message="refused", failure_type=FailureType.config_error)

    client = ScriptedClient(answer)
    delivery = deliver(client, batch_rows=1, in_flight=1)
    delivery.add([make_row(number=1)])
    delivery.add([make_row(number=2)])
    failing.set()
    with pytest.raises(AirbyteTracedException, match="refused"):
        delivery.flush()
    delivery.drain()
    assert client.posts == [("/orders", ["1"])]
    assert ledger.unfinished() == []
    assert delivery.oldest() < float("inf")


def test_a_batch_ends_before_it_is_too_large(deliver, monkeypatch):
    monkeypatch.setattr(queue, "BATCH_BYTES", 1000)
    client = ScriptedClient()
    delivery = deliver(client)
    rows = [make_row(number=n, text="x" * 300) for n in range(10)]
    delivery.add(rows)
    delivery.flush()
    assert max(sum(len(rows[int(key)].body) + 1 for key in keys) for _, keys in client.posts) <= 1000
    assert sum(len(keys) for _, keys in client.posts) == 10


def test_a_row_that_no_request_can_hold_is_rejected_unsent(deliver, letters, monkeypatch):
    monkeypatch.setattr(module, "ROW_BYTES", 100)
    client = ScriptedClient()
    delivery = deliver(client)
    delivery.add([make_row(number=1, text="x" * 200), make_row(number=2)])
    delivery.flush()
    assert client.posts == [("/orders", ["2"])]
    assert [letter["reason"] for letter in read_letters(letters)] == [module.TOO_LARGE]


def test_the_same_row_again_is_not_sent_in_this_run_or_the_next(deliver):
    client = ScriptedClient()
    delivery = deliver(client)
    delivery.add([make_row(), make_row()])
    delivery.add([make_row()])
    delivery.flush()
    delivery.add([make_row()])
    again = deliver(client)
    again.add([make_row()])
    again.flush()
    assert client.posts == [("/orders", ["1"])]
    assert delivery.counts["orders"] == {"sent": 1, "unchanged": 3}
    assert again.counts["orders"] == {"unchanged": 1}


def test_a_changed_contact_is_sent_again_and_a_changed_order_is_not(deliver):
    client = ScriptedClient()
    delivery = deliver(client)
    for city in ("Oslo", "Rome"):
        delivery.add([make_row("contacts", City=city), make_row("orders", City=city)])
    delivery.flush()
    assert client.posts == [("/contacts", ["1"]), ("/contacts", ["1"]), ("/orders", ["1"])]
    assert delivery.counts["orders"] == {"sent": 1, "changed": 1}


def test_a_row_that_wicked_names_is_rejected_and_the_others_stay(deliver, letters, ledger):
    client = ScriptedClient(lambda path, rows: PostResult(Outcome.ACCEPTED, {1: "bad date"}))
    delivery = deliver(client)
    rows = [make_row(number=n) for n in (1, 2, 3)]
    delivery.add(rows)
    delivery.flush()
    assert [(letter["outcome"], letter["reason"], letter["row"]["SourceID"]) for letter in read_letters(letters)] == [
        ("rejected", "bad date", "2")
    ]
    assert set(ledger.known("orders", [row.key for row in rows])) == {rows[0].key, rows[2].key}


@pytest.mark.parametrize("bad", [0, 1, 499, 998, 999])
def test_a_batch_refused_whole_is_halved_until_the_bad_row_stands_alone(deliver, letters, ledger, bad):
    client = ScriptedClient(lambda path, rows: REFUSED if any(r.key.endswith(f"\x1f{bad}") for r in rows) else ACCEPTED)
    delivery = deliver(client)
    delivery.add(make_row(number=n) for n in range(1000))
    delivery.flush()
    assert [letter["row"]["SourceID"] for letter in read_letters(letters)] == [str(bad)]
    assert delivery.counts["orders"] == {"sent": 999, "rejected": 1}
    assert len(client.posts) <= 21
    assert ledger.unfinished() == []


def test_a_batch_of_bad_rows_only_is_rejected_row_by_row_and_the_next_endpoint_waits(deliver):
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orders" else ACCEPTED)
    delivery = deliver(client)
    delivery.add([*(make_row("orders", n) for n in range(64)), make_row("clicks", 1)])
    delivery.flush()
    assert delivery.counts["orders"] == {"rejected": 64}
    assert client.posts[-1] == ("/clicks", ["1"])
    assert len(client.posts) == 128


def test_an_unclear_answer_splits_rows_with_an_id_and_holds_all_others(deliver, letters):
    def answer(path, rows):
        return PostResult(Outcome.PARTIAL, {}, "some") if len(rows) > 1 else ACCEPTED

    client = ScriptedClient(answer)
    delivery = deliver(client)
    delivery.add([make_row("orders", 1), make_row("orders", 2)])
    delivery.add([make_row("order_payments", 1), make_row("order_payments", 2)])
    delivery.flush()
    assert delivery.counts["orders"] == {"sent": 2}
    assert delivery.counts["order_payments"] == {"held": 2}
    assert [letter["outcome"] for letter in read_letters(letters)] == ["held", "held"]


def test_a_held_row_is_never_sent_again(deliver):
    client = ScriptedClient(lambda path, rows: PostResult(Outcome.UNKNOWN, {}, "no answer"))
    delivery = deliver(client)
    delivery.add([make_row("order_payments")])
    delivery.flush()
    again = deliver(client)
    again.add([make_row("order_payments")])
    again.flush()
    assert len(client.posts) == 1
    assert again.counts["order_payments"] == {"unchanged": 1}


def test_after_a_kill_affiliate_orders_are_sent_again_and_rows_without_an_id_are_held(deliver, ledger, letters):
    order = make_row("orders", order_key="o", order=state("10", 1))
    for row in (make_row("order_payments"), order):
        ledger.mark(Batch(row.endpoint, [row]))
    client = ScriptedClient()
    delivery = deliver(client)
    delivery.recover()
    delivery.flush()
    assert client.posts == [("/orders", ["1"])]
    assert ledger.orders(["o"]) == {"o": state("10", 1)}
    assert [letter["reason"] for letter in read_letters(letters)] == [module.FATE_UNKNOWN]
    assert ledger.unfinished() == []
    delivery.add([make_row("orders"), make_row("order_payments")])
    delivery.flush()
    assert len(client.posts) == 1


def test_after_a_kill_other_rows_with_an_id_are_sent_when_the_source_brings_them_again(deliver, ledger):
    client = ScriptedClient(fail)
    delivery = deliver(client)
    delivery.add([make_row("contacts")])
    with pytest.raises(AirbyteTracedException):
        delivery.flush()
    again = deliver(ScriptedClient())
    again.recover()
    again.add([make_row("contacts")])
    again.flush()
    assert again.counts["contacts"] == {"sent": 1}
    assert ledger.unfinished() == []


def state(approved: str, payments: int) -> OrderState:
    return OrderState(Decimal(10), Decimal(approved), status="approved", payments=payments)


def test_a_payment_computed_from_a_rejected_order_is_rejected_too(deliver, letters, ledger):
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orders" else ACCEPTED)
    delivery = deliver(client)
    delivery.add([make_row("orders", order_key="o", order=state("10", 1))])
    delivery.add([make_row("order_payments", order_key="o", order=state("12", 2)), make_row("order_payments", 2)])
    delivery.flush()
    assert client.posts == [("/orders", ["1"]), ("/orderpayments", ["2"])]
    assert [letter["reason"] for letter in read_letters(letters)] == ["refused whole", module.ORDER_REJECTED]
    assert ledger.orders(["o"]) == {}
    delivery.orders.load(["o"])
    assert delivery.orders.get("o") is None


def test_two_payments_of_one_order_never_share_a_request(deliver, ledger):
    client = ScriptedClient()
    delivery = deliver(client)
    delivery.add(make_row("order_payments", n, order_key="o", order=state(str(n), n)) for n in (1, 2))
    delivery.flush()
    assert client.posts == [("/orderpayments", ["1"]), ("/orderpayments", ["2"])]
    assert client.most_at_once == 1
    assert ledger.orders(["o"])["o"].payments == 2


def fail(path, rows):
    """503 for ever, as the client tells it: of rows with an id nobody can say that none was taken."""
    error = NotStoredError if path == "/orderpayments" else AirbyteTracedException
    raise error(message="503 for ever", failure_type=FailureType.transient_error)


def test_when_wicked_stays_away_payments_are_not_taken_for_sent_and_not_held(deliver, ledger):
    delivery = deliver(ScriptedClient(fail))
    delivery.add([make_row("order_payments")])
    with pytest.raises(AirbyteTracedException):
        delivery.flush()
    assert ledger.unfinished() == []
    assert ledger.known("order_payments", [make_row().key]) == {}


def test_when_wicked_stays_away_affiliate_orders_are_kept_for_the_next_run(deliver, ledger):
    delivery = deliver(ScriptedClient(fail))
    delivery.add([make_row("orders", order_key="o", order=state("10", 1))])
    with pytest.raises(AirbyteTracedException):
        delivery.flush()
    assert [row.key for batch in ledger.unfinished() for row in batch.rows] == [make_row().key]


def test_the_oldest_unsettled_record_is_known_through_queue_and_flight(deliver):
    gate = threading.Event()

    def answer(path, rows):
        gate.wait(10)
        return ACCEPTED

    delivery = deliver(ScriptedClient(answer), batch_rows=2)
    assert delivery.oldest() == float("inf")
    delivery.add(make_row(number=n, sequence=n) for n in (1, 2, 3))
    assert delivery.oldest() == 1
    gate.set()
    while delivery.busy:
        delivery.settle(block=True)
    assert delivery.oldest() == 3
    delivery.flush()
    assert delivery.oldest() == float("inf")


def orders_left(ledger):
    return sorted(row.order_key for batch in ledger.unfinished() for row in batch.rows)


def told(number, total="10.00", endpoint="orders", payments=0):
    state = OrderState(Decimal(total), payments=payments)
    return make_row(endpoint, number, order_key=f"o{number}", order=state)


def test_orders_that_a_dead_run_left_stay_marked_until_their_fate_is_known(deliver, ledger):
    """Wicked may have them as they were: another run must not tell them anew with another amount."""
    for number in (1, 2):
        ledger.mark(Batch("orders", [told(number)]))

    def refuse(path, rows):
        raise NotStoredError(message="refused", failure_type=FailureType.config_error)

    delivery = deliver(ScriptedClient(refuse), in_flight=1)
    delivery.recover()
    with pytest.raises(AirbyteTracedException, match="refused"):
        delivery.flush()
    delivery.drain()
    assert orders_left(ledger) == ["o1", "o2"]


def test_orders_that_were_perhaps_taken_before_the_run_failed_stay_marked(deliver, ledger):
    def lose(path, rows):
        raise AirbyteTracedException(message="no answer, then 401", failure_type=FailureType.config_error)

    delivery = deliver(ScriptedClient(lose))
    delivery.add([told(1)])
    with pytest.raises(AirbyteTracedException):
        delivery.flush()
    delivery.drain()
    assert orders_left(ledger) == ["o1"]


def test_halves_of_which_some_were_stored_stay_marked_when_the_run_fails(deliver, ledger):
    def answer(path, rows):
        if len(rows) == 4:
            return PostResult(Outcome.PARTIAL, {}, "some stored")
        raise NotStoredError(message="refused", failure_type=FailureType.config_error)

    delivery = deliver(ScriptedClient(answer), in_flight=1)
    delivery.add([told(number) for number in range(4)])
    with pytest.raises(AirbyteTracedException):
        delivery.flush()
    delivery.drain()
    assert orders_left(ledger) == ["o0", "o1", "o2", "o3"]


def test_every_later_row_of_a_refused_order_is_rejected_with_it(deliver, letters, ledger):
    """One sale told three times in a run: its order is refused, so neither payment may go out alone."""
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orders" else ACCEPTED)
    delivery = deliver(client, batch_rows=1)
    order = told(1)
    first, second = told(1, endpoint="order_payments", payments=1), told(1, "15.00", "order_payments", payments=2)
    first.key, second.key = "o1#1", "o1#2"
    delivery.add([order, first, second])
    delivery.flush()
    assert [path for path, _ in client.posts] == ["/orders"]
    assert [letter["endpoint"] for letter in read_letters(letters)] == ["orders", "order_payments", "order_payments"]
    assert ledger.orders(["o1"]) == {}


def test_a_row_that_changes_and_changes_back_ends_as_it_came_last(deliver):
    bodies = []

    def answer(path, rows):
        bodies.extend(row.body for row in rows)
        return ACCEPTED

    delivery = deliver(ScriptedClient(answer))
    delivery.add([make_row("contacts", City="Oslo")])
    delivery._send_up_to("contacts", one_batch=True)
    delivery.add([make_row("contacts", City="Rome")])
    while delivery.busy:
        delivery.settle(block=True)
    delivery.add([make_row("contacts", City="Oslo")])
    delivery.flush()
    assert [b"Oslo" in body for body in bodies] == [True, False, True]


def test_an_unexpected_failure_of_one_post_does_not_keep_others_from_being_written_down(deliver, ledger):
    together = threading.Barrier(2, timeout=10)

    def answer(path, rows):
        together.wait()
        if rows[0].key.endswith("\x1f1"):
            raise ValueError("a bug")
        return ACCEPTED

    delivery = deliver(ScriptedClient(answer), batch_rows=1, in_flight=2)
    delivery.add([make_row("order_payments", 1), make_row("order_payments", 2)])
    with pytest.raises(ValueError, match="a bug"):
        delivery.flush()
    delivery.drain()
    assert not delivery.busy
    assert set(ledger.known("order_payments", ["shop\x1f1", "shop\x1f2"])) == {"shop\x1f2"}
    assert [row.key for batch in ledger.unfinished() for row in batch.rows] == ["shop\x1f1"]
