"""The dispatcher: order of endpoints, batches, refused requests, lost responses."""

from __future__ import annotations

import threading

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from builders.destination import ACCEPTED, ScriptedClient, lines_of, make_row, sale
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.delivery import dispatcher as module
from destination_wicked_reports.delivery import queue
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.errors import DeadLetterFileError, NotStoredError
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import Row, SaleState
from sqlalchemy.exc import DBAPIError

REFUSED = PostResult(Outcome.REJECTED, {}, "refused whole")


@pytest.fixture
def deliver(ledger, dead_letters):
    made = []

    def make(client, *, batch_rows=1000, in_flight=4):
        made.append(Dispatcher(client, ledger, Tally(dead_letters), batch_rows=batch_rows, in_flight=in_flight))
        return made[-1]

    yield make
    for dispatcher in made:
        dispatcher.abort()
        dispatcher.close()


def test_rows_are_sent_in_wickeds_order_whatever_the_order_of_arrival(deliver):
    client = ScriptedClient()
    dispatcher = deliver(client)
    names = ["marketing", "clicks", "order_payments", "order_items", "orders", "contacts", "products"]
    dispatcher.add(make_row(endpoint) for endpoint in names)
    dispatcher.flush()
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


def test_a_full_batch_is_preceded_by_what_its_rows_may_refer_to(deliver):
    client = ScriptedClient()
    dispatcher = deliver(client, batch_rows=2)
    dispatcher.add([make_row("contacts", 1), make_row("order_payments", 1)])
    dispatcher.add([make_row("orders", 1), make_row("orders", 2), make_row("orders", 3)])
    while dispatcher.busy:
        dispatcher.collect(block=True)
    assert client.posts == [("/contacts", ["1"]), ("/orders", ["1", "2"])]
    dispatcher.flush()
    assert client.posts[2:] == [("/orders", ["3"]), ("/orderpayments", ["1"])]


def test_batches_of_one_endpoint_are_posted_in_parallel_up_to_the_limit(deliver):
    together = threading.Barrier(3, timeout=10)

    def answer(path, rows):
        together.wait()
        return ACCEPTED

    client = ScriptedClient(answer)
    dispatcher = deliver(client, batch_rows=10, in_flight=3)
    dispatcher.add(make_row(number=n) for n in range(60))
    dispatcher.flush()
    assert client.most_at_once == 3
    assert [len(keys) for _, keys in client.posts] == [10] * 6


@pytest.mark.parametrize(("endpoint", "ready"), [("orders", True), ("order_payments", False)])
def test_the_next_batch_is_begun_ahead_of_its_turn_unless_it_would_be_in_doubt_after_a_kill(deliver, endpoint, ready):
    answered = threading.Event()

    def answer(path, rows):
        answered.wait(10)
        return ACCEPTED

    client = ScriptedClient(answer)
    dispatcher = deliver(client, batch_rows=1, in_flight=1)
    dispatcher.add([make_row(endpoint, 1)])
    following = Batch(endpoint, [make_row(endpoint, 2)])
    assert dispatcher._must_wait(following) is not ready
    if ready:
        dispatcher.add([make_row(endpoint, 2)])  # does not wait for the first
    answered.set()
    dispatcher.add([make_row(endpoint, 3)])
    dispatcher.flush()
    assert client.most_at_once == 1
    assert dispatcher.counts[endpoint] == {"sent": 2 + ready}


def test_a_batch_begun_ahead_is_neither_posted_nor_recorded_when_the_post_before_it_fails_for_good(deliver, ledger):
    failing = threading.Event()

    def answer(path, rows):
        failing.wait(10)
        raise NotStoredError(message="refused", failure_type=FailureType.config_error)

    client = ScriptedClient(answer)
    dispatcher = deliver(client, batch_rows=1, in_flight=1)
    dispatcher.add([make_row(number=1)])
    dispatcher.add([make_row(number=2)])
    failing.set()
    with pytest.raises(AirbyteTracedException, match="refused"):
        dispatcher.flush()
    dispatcher.abort()
    assert client.posts == [("/orders", ["1"])]
    assert ledger.unfinished() == []
    assert dispatcher.oldest() < float("inf")


def test_a_batch_stays_within_the_size_limit(deliver, monkeypatch):
    monkeypatch.setattr(queue, "BATCH_BYTES", 1000)
    client = ScriptedClient()
    dispatcher = deliver(client)
    rows = [make_row(number=n, text="x" * 300) for n in range(10)]
    dispatcher.add(rows)
    dispatcher.flush()
    assert max(sum(len(rows[int(key)].body) + 1 for key in keys) for _, keys in client.posts) <= 1000
    assert sum(len(keys) for _, keys in client.posts) == 10


def test_a_row_too_large_for_any_request_is_rejected_unsent(deliver, dead_letters, monkeypatch):
    monkeypatch.setattr(module, "ROW_BYTES", 100)
    client = ScriptedClient()
    dispatcher = deliver(client)
    dispatcher.add([make_row(number=1, text="x" * 200), make_row(number=2)])
    dispatcher.flush()
    assert client.posts == [("/orders", ["2"])]
    assert [line["reason"] for line in lines_of(dead_letters)] == [module.TOO_LARGE]


def test_a_repeated_row_is_sent_neither_in_this_run_nor_in_the_next(deliver):
    client = ScriptedClient()
    dispatcher = deliver(client)
    dispatcher.add([make_row(), make_row()])
    dispatcher.add([make_row()])
    dispatcher.flush()
    dispatcher.add([make_row()])
    again = deliver(client)
    again.add([make_row()])
    again.flush()
    assert client.posts == [("/orders", ["1"])]
    assert dispatcher.counts["orders"] == {"sent": 1, "unchanged": 3}
    assert again.counts["orders"] == {"unchanged": 1}


def test_a_changed_contact_is_sent_again_and_a_changed_order_is_not(deliver):
    client = ScriptedClient()
    dispatcher = deliver(client)
    for city in ("Oslo", "Rome"):
        dispatcher.add([make_row("contacts", City=city), make_row("orders", City=city)])
    dispatcher.flush()
    assert client.posts == [("/contacts", ["1"]), ("/contacts", ["1"]), ("/orders", ["1"])]
    assert dispatcher.counts["orders"] == {"sent": 1, "changed": 1}


def test_a_row_that_wicked_names_is_rejected_and_the_others_are_recorded(deliver, dead_letters, ledger):
    client = ScriptedClient(lambda path, rows: PostResult(Outcome.ACCEPTED, {1: "bad date"}))
    dispatcher = deliver(client)
    rows = [make_row(number=n) for n in (1, 2, 3)]
    dispatcher.add(rows)
    dispatcher.flush()
    assert [(line["outcome"], line["reason"], line["row"]["SourceID"]) for line in lines_of(dead_letters)] == [
        ("rejected", "bad date", "2")
    ]
    assert set(ledger.known("orders", [row.key for row in rows])) == {rows[0].key, rows[2].key}


@pytest.mark.parametrize("bad", [0, 1, 499, 998, 999])
def test_a_refused_batch_is_bisected_until_the_bad_row_is_alone(deliver, dead_letters, ledger, bad):
    client = ScriptedClient(lambda path, rows: REFUSED if any(r.key.endswith(f"\x1f{bad}") for r in rows) else ACCEPTED)
    dispatcher = deliver(client)
    dispatcher.add(make_row(number=n) for n in range(1000))
    dispatcher.flush()
    assert [line["row"]["SourceID"] for line in lines_of(dead_letters)] == [str(bad)]
    assert dispatcher.counts["orders"] == {"sent": 999, "rejected": 1}
    assert len(client.posts) <= 21
    assert ledger.unfinished() == []


def test_a_batch_of_bad_rows_is_rejected_row_by_row_and_the_next_endpoint_waits(deliver):
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orders" else ACCEPTED)
    dispatcher = deliver(client)
    dispatcher.add([*(make_row("orders", n) for n in range(64)), make_row("clicks", 1)])
    dispatcher.flush()
    assert dispatcher.counts["orders"] == {"rejected": 64}
    assert client.posts[-1] == ("/clicks", ["1"])
    assert len(client.posts) == 128


def test_an_unclear_result_bisects_rows_with_an_id_and_leaves_all_others_in_doubt(deliver, dead_letters):
    def answer(path, rows):
        return PostResult(Outcome.PARTIAL, {}, "some") if len(rows) > 1 else ACCEPTED

    client = ScriptedClient(answer)
    dispatcher = deliver(client)
    dispatcher.add([make_row("orders", 1), make_row("orders", 2)])
    dispatcher.add([make_row("order_payments", 1), make_row("order_payments", 2)])
    dispatcher.flush()
    assert dispatcher.counts["orders"] == {"sent": 2}
    assert dispatcher.counts["order_payments"] == {"in_doubt": 2}
    assert [line["outcome"] for line in lines_of(dead_letters)] == ["in_doubt", "in_doubt"]


def test_a_row_in_doubt_is_not_sent_again(deliver):
    client = ScriptedClient(lambda path, rows: PostResult(Outcome.UNKNOWN, {}, "no answer"))
    dispatcher = deliver(client)
    dispatcher.add([make_row("order_payments")])
    dispatcher.flush()
    again = deliver(client)
    again.add([make_row("order_payments")])
    again.flush()
    assert len(client.posts) == 1
    assert again.counts["order_payments"] == {"unchanged": 1}


def test_after_a_kill_orders_are_sent_again_and_rows_without_an_id_are_in_doubt(deliver, ledger, dead_letters):
    order = make_row("orders", sale_key="o", sale=state("10", 1))
    for row in (make_row("order_payments"), order):
        ledger.begin(Batch(row.endpoint, [row]))
    client = ScriptedClient()
    dispatcher = deliver(client)
    dispatcher.recover()
    dispatcher.flush()
    assert client.posts == [("/orders", ["1"])]
    assert ledger.sales(["o"]) == {"o": state("10", 1)}
    assert [line["reason"] for line in lines_of(dead_letters)] == [module.OUTCOME_UNKNOWN]
    assert ledger.unfinished() == []
    dispatcher.add([make_row("orders"), make_row("order_payments")])
    dispatcher.flush()
    assert len(client.posts) == 1


def test_after_a_kill_other_rows_with_an_id_are_sent_when_the_source_sends_them_again(deliver, ledger):
    client = ScriptedClient(fail)
    dispatcher = deliver(client)
    dispatcher.add([make_row("contacts")])
    with pytest.raises(AirbyteTracedException):
        dispatcher.flush()
    again = deliver(ScriptedClient())
    again.recover()
    again.add([make_row("contacts")])
    again.flush()
    assert again.counts["contacts"] == {"sent": 1}
    assert ledger.unfinished() == []


def state(total: str, version: int) -> SaleState:
    return sale(total, version)


def test_a_payment_computed_from_a_rejected_order_is_rejected_too(deliver, dead_letters, ledger):
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orders" else ACCEPTED)
    dispatcher = deliver(client)
    dispatcher.add([make_row("orders", sale_key="o", sale=state("10", 1))])
    dispatcher.add([make_row("order_payments", sale_key="o", sale=state("12", 2)), make_row("order_payments", 2)])
    dispatcher.flush()
    assert client.posts == [("/orders", ["1"]), ("/orderpayments", ["2"])]
    assert [line["reason"] for line in lines_of(dead_letters)] == ["refused whole", module.ORDER_REJECTED]
    assert ledger.sales(["o"]) == {}
    dispatcher.orders.load(["o"])
    assert dispatcher.orders.get("o") is None


def test_two_payments_of_one_order_never_share_a_request(deliver, ledger):
    client = ScriptedClient()
    dispatcher = deliver(client)
    dispatcher.add(make_row("order_payments", n, sale_key="o", sale=state(str(n), n)) for n in (1, 2))
    dispatcher.flush()
    assert client.posts == [("/orderpayments", ["1"]), ("/orderpayments", ["2"])]
    assert client.most_at_once == 1
    assert ledger.sales(["o"])["o"].version == 2


def fail(path, rows):
    """What the client raises after 503 on every try: only rows without an id are certainly not stored."""
    error = NotStoredError if path == "/orderpayments" else AirbyteTracedException
    raise error(message="503 on every try", failure_type=FailureType.transient_error)


def test_when_wicked_stays_unavailable_payments_are_neither_sent_nor_in_doubt(deliver, ledger):
    dispatcher = deliver(ScriptedClient(fail))
    dispatcher.add([make_row("order_payments")])
    with pytest.raises(AirbyteTracedException):
        dispatcher.flush()
    assert ledger.unfinished() == []
    assert ledger.known("order_payments", [make_row().key]) == {}


def test_when_wicked_stays_unavailable_affiliate_orders_stay_in_the_outbox(deliver, ledger):
    dispatcher = deliver(ScriptedClient(fail))
    dispatcher.add([make_row("orders", sale_key="o", sale=state("10", 1))])
    with pytest.raises(AirbyteTracedException):
        dispatcher.flush()
    assert [row.key for batch in ledger.unfinished() for row in batch.rows] == [make_row().key]


def test_oldest_covers_rows_queued_and_in_flight(deliver):
    gate = threading.Event()

    def answer(path, rows):
        gate.wait(10)
        return ACCEPTED

    dispatcher = deliver(ScriptedClient(answer), batch_rows=2)
    assert dispatcher.oldest() == float("inf")
    dispatcher.add(make_row(number=n, sequence=n) for n in (1, 2, 3))
    assert dispatcher.oldest() == 1
    gate.set()
    while dispatcher.busy:
        dispatcher.collect(block=True)
    assert dispatcher.oldest() == 3
    dispatcher.flush()
    assert dispatcher.oldest() == float("inf")


def orders_left(ledger):
    return sorted(row.sale_key for batch in ledger.unfinished() for row in batch.rows)


def order_row(number, total="10.00", endpoint="orders", payments=0):
    return make_row(endpoint, number, sale_key=f"o{number}", sale=sale(total, payments))


def test_orders_of_a_dead_run_stay_in_the_outbox_until_their_outcome_is_known(deliver, ledger):
    """Wicked may have them as they were, so no later run may send them with another amount."""
    for number in (1, 2):
        ledger.begin(Batch("orders", [order_row(number)]))

    def refuse(path, rows):
        raise NotStoredError(message="refused", failure_type=FailureType.config_error)

    dispatcher = deliver(ScriptedClient(refuse), in_flight=1)
    dispatcher.recover()
    with pytest.raises(AirbyteTracedException, match="refused"):
        dispatcher.flush()
    dispatcher.abort()
    assert orders_left(ledger) == ["o1", "o2"]


def test_orders_possibly_stored_before_the_run_failed_stay_in_the_outbox(deliver, ledger):
    def lose(path, rows):
        raise AirbyteTracedException(message="no answer, then 401", failure_type=FailureType.config_error)

    dispatcher = deliver(ScriptedClient(lose))
    dispatcher.add([order_row(1)])
    with pytest.raises(AirbyteTracedException):
        dispatcher.flush()
    dispatcher.abort()
    assert orders_left(ledger) == ["o1"]


def test_bisected_batches_with_stored_rows_stay_in_the_outbox_when_the_run_fails(deliver, ledger):
    def answer(path, rows):
        if len(rows) == 4:
            return PostResult(Outcome.PARTIAL, {}, "some stored")
        raise NotStoredError(message="refused", failure_type=FailureType.config_error)

    dispatcher = deliver(ScriptedClient(answer), in_flight=1)
    dispatcher.add([order_row(number) for number in range(4)])
    with pytest.raises(AirbyteTracedException):
        dispatcher.flush()
    dispatcher.abort()
    assert orders_left(ledger) == ["o0", "o1", "o2", "o3"]


def test_all_later_rows_of_a_refused_order_are_rejected_with_it(deliver, dead_letters, ledger):
    """A sale has three rows in one run: its order is refused, so neither payment may be sent alone."""
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orders" else ACCEPTED)
    dispatcher = deliver(client, batch_rows=1)
    order = order_row(1)
    first, second = (
        order_row(1, endpoint="order_payments", payments=1),
        order_row(1, "15.00", "order_payments", payments=2),
    )
    first.key, second.key = "o1#1", "o1#2"
    dispatcher.add([order, first, second])
    dispatcher.flush()
    assert [path for path, _ in client.posts] == ["/orders"]
    assert [line["endpoint"] for line in lines_of(dead_letters)] == ["orders", "order_payments", "order_payments"]
    assert ledger.sales(["o1"]) == {}


def test_a_row_that_changes_and_changes_back_is_sent_each_time(deliver):
    bodies = []

    def answer(path, rows):
        bodies.extend(row.body for row in rows)
        return ACCEPTED

    dispatcher = deliver(ScriptedClient(answer))
    dispatcher.add([make_row("contacts", City="Oslo")])
    dispatcher._send_up_to("contacts", one_batch=True)
    dispatcher.add([make_row("contacts", City="Rome")])
    while dispatcher.busy:
        dispatcher.collect(block=True)
    dispatcher.add([make_row("contacts", City="Oslo")])
    dispatcher.flush()
    assert [b"Oslo" in body for body in bodies] == [True, False, True]


def test_an_unexpected_error_of_one_post_does_not_keep_others_from_being_recorded(deliver, ledger):
    together = threading.Barrier(2, timeout=10)

    def answer(path, rows):
        together.wait()
        if rows[0].key.endswith("\x1f1"):
            raise ValueError("a bug")
        return ACCEPTED

    dispatcher = deliver(ScriptedClient(answer), batch_rows=1, in_flight=2)
    dispatcher.add([make_row("order_payments", 1), make_row("order_payments", 2)])
    with pytest.raises(ValueError, match="a bug"):
        dispatcher.flush()
    dispatcher.abort()
    assert not dispatcher.busy
    assert set(ledger.known("order_payments", ["shop\x1f1", "shop\x1f2"])) == {"shop\x1f2"}
    assert [row.key for batch in ledger.unfinished() for row in batch.rows] == ["shop\x1f1"]


def sale_row(endpoint: str, number: int, version: int, key: str = "s") -> Row:
    return make_row(endpoint, number, sale_key=key, sale=state("10", version))


@pytest.mark.parametrize("together", [True, False])
def test_a_further_order_waits_until_every_earlier_refund_of_its_sale_is_settled(deliver, ledger, together):
    client = ScriptedClient()
    dispatcher = deliver(client)
    rows = [
        sale_row("orders", 1, 1),
        sale_row("order_payments", 1, 2),
        sale_row("orders", 2, 3),
        make_row("orders", 9),
        sale_row("order_payments", 2, 4),
    ]
    if together:
        dispatcher.add(rows)
    else:
        for row in rows:
            dispatcher.add([row])
    dispatcher.flush()
    sent = [(path, id_) for path, ids in client.posts for id_ in ids if id_ != "9"]
    assert sent == [("/orders", "1"), ("/orderpayments", "1"), ("/orders", "2"), ("/orderpayments", "2")]
    assert ledger.sales(["s"])["s"].version == 4


def test_a_further_order_made_after_a_refund_that_is_rejected_is_rejected_too(deliver, dead_letters, ledger):
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orderpayments" else ACCEPTED)
    dispatcher = deliver(client)
    other = make_row("orders", 5, sale_key="t", sale=state("10", 1))
    dispatcher.add([sale_row("orders", 1, 1), sale_row("order_payments", 1, 2), sale_row("orders", 2, 3), other])
    dispatcher.flush()
    assert [post for post in client.posts if post[0] == "/orders"] == [("/orders", ["1"]), ("/orders", ["5"])]
    assert [line["reason"] for line in lines_of(dead_letters)] == ["refused whole", module.ORDER_REJECTED]
    assert ledger.sales(["s"])["s"].version == 1
    assert dispatcher.orders.get("s") is None or dispatcher.orders.get("s").version == 1


@pytest.mark.parametrize("batch_rows", [1, 1000])
def test_rows_of_an_order_that_is_too_large_are_rejected_with_it(
    deliver, dead_letters, ledger, monkeypatch, batch_rows
):
    monkeypatch.setattr(module, "ROW_BYTES", 1000)
    client = ScriptedClient()
    dispatcher = deliver(client, batch_rows=batch_rows)
    order = make_row("orders", 1, sale_key="s", sale=sale("5", 1), City="c" * 1000)
    other = make_row("orders", 5, sale_key="t", sale=state("10", 1))
    dispatcher.add([order, sale_row("order_payments", 1, 2), sale_row("orders", 2, 3), other])
    dispatcher.flush()
    assert client.posts == [("/orders", ["5"])]
    reasons = [line["reason"] for line in lines_of(dead_letters)]
    assert sorted(reasons) == sorted([module.TOO_LARGE, module.ORDER_REJECTED, module.ORDER_REJECTED])
    dispatcher.add([sale_row("orders", 1, 1)])
    dispatcher.flush()
    assert ledger.sales(["s"])["s"].version == 1


def test_that_holds_for_a_refund_that_is_rejected_before_all_rows_ahead_of_the_order_are_queued(deliver, dead_letters):
    client = ScriptedClient(lambda path, rows: REFUSED if path == "/orderpayments" else ACCEPTED)
    dispatcher = deliver(client, batch_rows=1, in_flight=1)
    others = [make_row("order_payments", n) for n in (6, 7, 8)]
    dispatcher.add([sale_row("orders", 1, 1), sale_row("order_payments", 1, 2), *others, sale_row("orders", 2, 3)])
    dispatcher.flush()
    assert [post for post in client.posts if post[0] == "/orders"] == [("/orders", ["1"])]
    assert [line["reason"] for line in lines_of(dead_letters)].count(module.ORDER_REJECTED) == 1


def test_a_run_that_dies_before_the_refund_is_settled_has_not_sent_the_further_order(deliver, ledger):
    client = ScriptedClient(lambda path, rows: fail(path, rows) if path == "/orderpayments" else ACCEPTED)
    dispatcher = deliver(client)
    with pytest.raises(AirbyteTracedException):
        dispatcher.add([sale_row("orders", 1, 1), sale_row("order_payments", 1, 2), sale_row("orders", 2, 3)])
    assert client.posts[0] == ("/orders", ["1"])
    assert ("/orders", ["2"]) not in client.posts
    assert ledger.sales(["s"])["s"].version == 1


def test_a_row_that_the_counts_contradict_is_in_doubt_and_the_others_are_sent(deliver, dead_letters, ledger):
    client = ScriptedClient(lambda path, rows: PostResult(Outcome.ACCEPTED, {}, in_doubt={1: "contradiction"}))
    dispatcher = deliver(client)
    dispatcher.add([make_row("order_payments", n) for n in range(3)])
    dispatcher.flush()
    assert len(client.posts) == 1
    assert dispatcher.counts["order_payments"] == {"sent": 2, "in_doubt": 1}
    assert [(line["outcome"], line["key"]) for line in lines_of(dead_letters)] == [("in_doubt", "shop\x1f1")]
    assert len(ledger.known("order_payments", [f"shop\x1f{n}" for n in range(3)])) == 3
    assert ledger.unfinished() == []


def test_a_row_with_an_id_that_the_counts_contradict_is_bisected_and_rejected(deliver, dead_letters):
    def answer(path, rows):
        position = next((n for n, row in enumerate(rows) if row.key.endswith("\x1f1")), None)
        return ACCEPTED if position is None else PostResult(Outcome.ACCEPTED, {}, in_doubt={position: "contradiction"})

    dispatcher = deliver(ScriptedClient(answer))
    dispatcher.add([make_row("orders", n) for n in range(3)])
    dispatcher.flush()
    assert dispatcher.counts["orders"] == {"sent": 2, "rejected": 1}
    assert [(line["outcome"], line["key"]) for line in lines_of(dead_letters)] == [("rejected", "shop\x1f1")]


def test_rows_that_are_named_in_a_partial_result_are_rejected_and_the_others_in_doubt(deliver, dead_letters, ledger):
    dispatcher = deliver(ScriptedClient(lambda path, rows: PostResult(Outcome.PARTIAL, {0: "bad"}, "no word")))
    dispatcher.add([make_row("order_payments", n) for n in range(3)])
    dispatcher.flush()
    assert dispatcher.counts["order_payments"] == {"rejected": 1, "in_doubt": 2}
    assert sorted(line["outcome"] for line in lines_of(dead_letters)) == ["in_doubt", "in_doubt", "rejected"]
    assert set(ledger.known("order_payments", [f"shop\x1f{n}" for n in range(3)])) == {"shop\x1f1", "shop\x1f2"}


def test_after_a_full_disk_neither_acknowledged_rows_nor_rows_never_sent_are_in_doubt(
    deliver, dead_letters, ledger, monkeypatch
):
    """`max_page_count` is how SQLite reports a full disk; giving up the reserve makes room again."""
    connection = ledger.connection.connection.driver_connection

    def room(pages):
        connection.execute(f"PRAGMA max_page_count = {pages}")

    class FakeReserve:
        error = None

        def release(self, error):
            released, self.error = self.error is None, error
            room(1_000_000)
            return released

        def close(self):
            """Do nothing."""

    monkeypatch.setattr(ledger, "_reserve", FakeReserve())
    full = threading.Event()

    def answer(path, rows):
        full.wait(10)
        return ACCEPTED

    client = ScriptedClient(answer)
    dispatcher = deliver(client, batch_rows=1000, in_flight=1)
    dispatcher.add([make_row("orders", n) for n in range(1000)])
    dispatcher.add([make_row("orders", n) for n in range(1000, 2000)])
    room(connection.execute("PRAGMA page_count").fetchone()[0])
    full.set()

    def go_on():
        dispatcher.add([make_row("orders", n, Note="x" * 1000) for n in range(2000, 4000)])
        dispatcher.flush()
        dispatcher.add([make_row("orders", n) for n in range(4000, 5000)])
        dispatcher.flush()

    with pytest.raises(DBAPIError, match="full"):
        go_on()
    dispatcher.abort()
    posted = {key for _, keys in client.posts for key in keys}
    known = ledger.known("orders", [f"shop\x1f{n}" for n in range(5000)])
    assert {key.rpartition("\x1f")[2] for key in known} == posted
    assert ledger.unfinished() == []
    assert dispatcher.oldest() < float("inf")


@pytest.mark.parametrize("endpoint", ["orders", "order_payments"])
def test_accepted_rows_are_recorded_even_if_the_dead_letters_of_others_cannot_be_written(
    deliver, dead_letters, ledger, monkeypatch, endpoint
):
    def full(*_):
        raise DeadLetterFileError(28, "No space left on device")

    monkeypatch.setattr(dead_letters, "reject_row", full)
    dispatcher = deliver(ScriptedClient(lambda path, rows: PostResult(Outcome.ACCEPTED, {0: "bad"})))
    dispatcher.add([make_row(endpoint, n, sequence=n + 1) for n in range(3)])
    with pytest.raises(DeadLetterFileError):
        dispatcher.flush()
    dispatcher.abort()
    assert set(ledger.known(endpoint, [f"shop\x1f{n}" for n in range(3)])) == {"shop\x1f1", "shop\x1f2"}
    assert ledger.unfinished() == []
    assert dispatcher.oldest() == 1, "the STATE of the rejected row is not released"


def test_one_outcome_that_cannot_be_recorded_does_not_keep_the_others_from_it(deliver, ledger, monkeypatch):
    together = threading.Barrier(2, timeout=10)

    def answer(path, rows):
        together.wait()
        return ACCEPTED

    commit = ledger.commit

    def failing(batch, rows, status="accepted"):
        if rows and rows[0].key.endswith("\x1f1"):
            raise DBAPIError("statement", {}, Exception("broken"))
        commit(batch, rows, status)

    monkeypatch.setattr(ledger, "commit", failing)
    dispatcher = deliver(ScriptedClient(answer), batch_rows=1, in_flight=2)
    dispatcher.add([make_row("order_payments", 1), make_row("order_payments", 2)])
    with pytest.raises(DBAPIError):
        dispatcher.flush()
    dispatcher.abort()
    assert [row.key for batch in ledger.unfinished() for row in batch.rows] == ["shop\x1f1"]
    assert set(ledger.known("order_payments", ["shop\x1f1", "shop\x1f2"])) == {"shop\x1f2"}


def test_abort_at_once_does_not_wait_for_a_request_that_cannot_be_ended(deliver, ledger, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)
    hanging = threading.Event()
    dispatcher = deliver(ScriptedClient(lambda path, rows: hanging.wait(10) and ACCEPTED))
    dispatcher.add([make_row("order_payments", sequence=1)])
    dispatcher._send_up_to("order_payments")
    dispatcher.abort(at_once=True)
    assert not dispatcher.busy
    assert dispatcher.oldest() == 1
    assert len(ledger.unfinished()) == 1
    dispatcher.close()
    hanging.set()
