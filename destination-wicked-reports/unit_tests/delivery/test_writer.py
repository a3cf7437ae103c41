"""The writer: when a STATE is released, and what ends a run."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from builders.destination import ACCEPTED, ScriptedClient, lines_of, make_row
from builders.messages import record, state, states, status
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.delivery import writer as module
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.errors import InvalidInputError
from destination_wicked_reports.mappings.affiliate.returns import UNMATCHED
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.model import Reject, Skip, Unattributed, Unchanged
from destination_wicked_reports.protocol.messages import Output


class PlainNormalizer(Normalizer):
    """One row per record; `bad` records are rejected, `dull` ones skipped, `known` ones are unchanged.

    Of `lost` ones no buyer is found.
    """

    streams = frozenset({"orders", "contacts"})

    def normalize(self, records, orders) -> Iterator:
        for each in records:
            if each.data.get("bad"):
                yield Reject("is bad", "Field", each.stream, each.stream, each.data, each.sequence)
            elif each.data.get("dull"):
                yield Skip("dull", each.sequence)
            elif each.data.get("lost"):
                yield Unattributed("no rule", each.sequence, sample=f"id{each.data['n']}")
            elif each.data.get("known"):
                yield Unchanged("known", each.sequence, each.stream)
            else:
                yield make_row(each.stream, each.data["n"], sequence=each.sequence)


@pytest.fixture
def run(ledger, dead_letters):
    """Write these lines. `run.out` has what was emitted; `run.client`, `run.tally` and `run.writer` the parts."""

    def write(
        lines,
        client=None,
        routes=None,
        *,
        batch_rows=1000,
        in_flight=2,
        fail_fast=False,
        clock=lambda: 0.0,
        first_run=False,
    ):
        write.client = client or ScriptedClient()
        write.out = []
        write.tally = Tally(dead_letters, fail_fast=fail_fast)
        dispatcher = Dispatcher(
            write.client, ledger, write.tally, batch_rows=batch_rows, in_flight=in_flight, clock=clock
        )
        write.writer = Writer(
            PlainNormalizer(),
            dispatcher,
            write.tally,
            write.out.append,
            routes or {("", "orders"): "orders", ("", "contacts"): "contacts"},
            batch_rows=batch_rows,
            first_run=first_run,
            clock=clock,
        )
        try:
            write.writer.write(chunk if isinstance(chunk, list) else [chunk] for chunk in lines)
        finally:
            dispatcher.close()
        return write.out

    return write


def closing(run) -> list[str]:
    """Return the closing lines of the last run."""
    return [text for _, text in run.writer.closing_lines()]


def test_a_state_is_released_only_after_every_row_before_it_is_in_the_ledger(run, ledger):
    seen = []

    def answer(path, rows):
        seen.append((len(run.out), [row.key for row in rows]))
        return ACCEPTED

    run([record(1), state(1), record(2), record(3), state(3)], ScriptedClient(answer))
    assert states(run.out) == [1, 3]
    assert [emitted for emitted, _ in seen] == [0], "nothing was emitted before the only post was answered"
    assert len(ledger.known("orders", [make_row(number=n).key for n in (1, 2, 3)])) == 3


def test_states_are_released_in_order_of_arrival_across_streams(run):
    run([record(1, "orders"), state(1, "orders"), state(2, "contacts"), record(3, "contacts"), state(3, "contacts")])
    assert states(run.out) == [1, 2, 3]


def test_a_state_before_any_record_is_released_immediately(run):
    out = []

    def lines():
        yield [state(1)]
        yield []
        out.extend(run.out)

    run(lines())
    assert states(out) == [1]


def test_a_state_keeps_its_id_and_gets_the_count_of_its_records(run):
    message = {
        "type": "STATE",
        "extra": 1,
        "state": {
            "type": "STREAM",
            "id": 77,
            "partition_id": "p",
            "stream": {"stream_descriptor": {"name": "orders"}, "stream_state": {"a": None}},
            "sourceStats": {"recordCount": 2.0},
        },
    }
    run([record(1), record(2), record(9, "contacts"), orjson.dumps(message)])
    message["state"]["destinationStats"] = {"recordCount": 2.0, "rejectedRecordCount": 0.0}
    assert run.out == [message]


def test_counts_are_since_the_last_state_of_the_same_stream_and_namespace(run):
    routes = {("", "orders"): "orders", ("a", "orders"): "orders"}
    lines = [record(1), record(2, namespace="a"), state(1), record(3), state(2), state(3, namespace="a"), state(4)]
    run(lines, routes=routes)
    counts = [message["state"]["destinationStats"]["recordCount"] for message in run.out]
    assert counts == [1.0, 1.0, 1.0, 0.0]


def test_records_follow_the_route_of_their_namespace_and_name(run):
    routes = {("eu", "people"): "contacts", ("us", "people"): "orders"}
    run([record(1, "people", "eu"), record(2, "people", "us")], routes=routes)
    assert run.client.posts == [("/contacts", ["1"]), ("/orders", ["2"])]


@pytest.mark.parametrize("namespace", ["us", None])
def test_a_record_of_a_namespace_outside_the_catalog_ends_the_run(run, namespace):
    where = "orders in namespace us" if namespace else "orders"
    with pytest.raises(
        InvalidInputError,
        match=f"stream {where}, which is not in the catalog. The catalog has eu.orders. Everything before it was "
        "delivered; select this stream in the catalog, or deselect it in the source, then run the sync again.",
    ):
        run([record(1, namespace="eu"), record(2, namespace=namespace)], routes={("eu", "orders"): "orders"})
    assert run.client.posts == [("/orders", ["1"])]


def test_a_stream_complete_in_one_namespace_can_be_open_in_another(run):
    run([status("STARTED", "eu"), status("STARTED", "us"), status("COMPLETE", "us")])
    assert [line for line in closing(run) if "eu.orders" in line and "us.orders" not in line]


@pytest.mark.parametrize("kind", ["GLOBAL", "LEGACY"])
def test_a_global_state_counts_the_records_of_all_streams(run, kind):
    run([record(1), record(2, "contacts"), orjson.dumps({"type": "STATE", "state": {"type": kind, "data": {}}})])
    assert run.out[0]["state"]["destinationStats"] == {"recordCount": 2.0, "rejectedRecordCount": 0.0}


def test_rejected_and_skipped_records_do_not_block_their_state_and_are_counted(run, dead_letters):
    run([record(1, bad=True), record(2, dull=True), state(2)])
    assert states(run.out) == [2]
    assert run.out[0]["state"]["destinationStats"] == {"recordCount": 1.0, "rejectedRecordCount": 1.0}
    assert [(x["reason"], x["field"], x["endpoint"], x["stream"]) for x in lines_of(dead_letters)] == [
        ("is bad", "Field", "orders", "orders")
    ]
    assert closing(run) == [
        "orders: 0 sent, 0 unchanged, 0 changed, 1 rejected, 0 in doubt",
        "Nothing was sent: skipped 1 of 2 records, see below.",
        "orders: 1 rejected: Field: is bad (record 1)",
        "skipped 1 record: dull",
    ]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"RECORD","record":{"stream":"orders","da',
        b"jane@example.com",
        b"[]",
        b"null",
        b'{"type":"RECORD"}',
        b'{"type":"RECORD","record":{"stream":"orders","data":[]}}',
        b'{"type":"STATE","state":{"type":"STREAM"}}',
        b'{"type":"jane@example.com"}',
        b'{"record":{}}',
        b'{"type":"TRACE","trace":{"type":"ERROR","error":5}}',
        b'{"type":"RECORD","record":{"stream":"orders","namespace":{},"data":{"n":1}}}',
        b'{"type":"STATE","state":{"type":"LEGACY","data":{},"destinationStats":5}}',
        b'{"type":"RECORD","record":{"stream":"unknown","data":{"email":"jane@example.com"}}}',
    ],
)
def test_an_invalid_line_ends_the_run_after_everything_before_it_and_is_not_quoted(run, line):
    with pytest.raises(InvalidInputError) as caught:
        run([[record(1), state(1), line, record(2), state(2)]])
    assert states(run.out) == [1]
    assert run.client.posts == [("/orders", ["1"])]
    assert "Line 3" in caught.value.message
    assert "jane" not in caught.value.message


def test_empty_lines_and_other_messages_are_ignored(run):
    others = [b"", b"  ", b'{"type":"CONTROL","control":{}}', b'{"type":"TRACE","trace":{"type":"STREAM_STATUS"}}']
    run([*others, record(1), state(1)])
    assert states(run.out) == [1]


def test_the_sources_log_is_passed_on(run):
    line = b'{"type":"LOG","log":{"level":"INFO","message":"waiting 60 s"}}'
    run([line])
    assert run.out == [line]


def test_rows_are_flushed_after_ten_minutes_even_without_input(run):
    now = [0.0]
    seen = []

    def lines():
        yield [record(1), state(1)]
        now[0] = 599
        yield []
        seen.append(states(run.out))
        now[0] = 600
        yield []
        seen.append(states(run.out))

    run(lines(), clock=lambda: now[0])
    assert seen == [[], [1]]


def test_a_few_rows_of_a_later_endpoint_do_not_delay_a_state_for_long(run, monkeypatch):
    monkeypatch.setattr(module, "LAG_BATCHES", 3)
    seen = []

    def lines():
        yield [record(1, "orders"), state(1)]
        for n in range(40):
            yield [record(n, "contacts")]
            seen.append(states(run.out))

    run(lines(), batch_rows=10)
    assert seen[-1] == [1]


def test_when_the_key_is_refused_mid_run_only_states_of_settled_records_are_released(run):
    def answer(path, rows):
        if any(row.key.endswith("\x1f3") for row in rows):
            raise AirbyteTracedException(message="key", failure_type=FailureType.config_error)
        return ACCEPTED

    with pytest.raises(AirbyteTracedException, match="key"):
        run([[record(1), record(2), state(2)], [record(3), record(4), state(4)]], ScriptedClient(answer), batch_rows=2)
    assert states(run.out) == [2]


def test_a_completed_run_without_records_says_so(run):
    run([state(1)])
    assert closing(run) == ["Nothing was sent: the source delivered no records."]


def test_a_completed_run_of_known_rows_reports_that_nothing_was_new(run):
    run([record(1, known=True), state(1)])
    assert closing(run) == [
        "orders: 0 sent, 1 unchanged, 0 changed, 0 rejected, 0 in doubt",
        "Nothing new to send: everything received is already in Wicked Reports.",
    ]


def test_a_completed_run_that_skipped_records_does_not_say_that_wicked_has_them(run):
    run([record(1, dull=True), state(1)])
    assert closing(run) == [
        "Nothing was sent: skipped 1 of 1 record, see below.",
        "skipped 1 record: dull",
    ]


def test_a_source_that_failed_before_it_delivered_anything_is_reported_as_failed(run):
    failure = {"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": "wrong key"}}}
    run([status("STARTED"), orjson.dumps(failure)])
    assert closing(run) == [
        "Nothing was sent: the source failed before it delivered anything new.",
        "The input ended before orders was complete: the source stopped early, so fix the error it reported and run "
        "the sync again.",
    ]


def test_the_failure_says_what_to_do_about_rejected_rows_and_rows_in_doubt(run, dead_letters):
    verdicts = {
        "orders": PostResult(Outcome.ACCEPTED, {0: "no"}),
        "orderpayments": PostResult(Outcome.UNKNOWN, {}, "lost"),
    }
    run(
        [record(1), record(2, "order_payments"), record(3, "order_payments"), state(3)],
        ScriptedClient(lambda path, rows: verdicts[path.strip("/")]),
        routes={("", stream): stream for stream in ("orders", "order_payments")},
    )
    assert run.tally.failure().message == (
        "1 row was rejected: fix the data at the source or the mapping. The outcome of 2 rows is unknown (the response "
        "was lost). Check whether Wicked has them; if not, resend them with `replay --in-doubt`. "
        f"See {dead_letters.path} for each row and its reason."
    )


def test_the_failure_does_not_ask_to_fix_returns(dead_letters):
    tally = Tally(dead_letters)
    returned = Reject(UNMATCHED, "OrderID", "order_payments", "transactions", {"transaction_id": "T1"})
    tally.rows_of([returned])
    assert tally.failure().message == (
        "1 return was not applied in full: there is nothing to fix, and the reason says what follows. "
        f"See {dead_letters.path} for each row and its reason."
    )
    tally.rows_of([returned, replace(returned, reason="not a number")])
    assert tally.failure().message.startswith(
        "1 row was rejected: fix the data at the source or the mapping. 2 returns were not applied in full: "
    )


def test_a_run_that_fails_before_anything_was_accepted_reports_that(run):
    def answer(path, rows):
        raise AirbyteTracedException(message="no network", failure_type=FailureType.transient_error)

    with pytest.raises(AirbyteTracedException, match="no network"):
        run([status("STARTED"), record(1), state(1), record(2)], ScriptedClient(answer), batch_rows=1)
    assert closing(run) == ["The run ended before Wicked Reports accepted anything."]
    assert states(run.out) == []


def test_a_run_that_fails_later_reports_what_was_accepted_until_then(run):
    def answer(path, rows):
        if rows[0].key.endswith("\x1f2"):
            raise AirbyteTracedException(message="no network", failure_type=FailureType.transient_error)
        return ACCEPTED

    with pytest.raises(AirbyteTracedException, match="no network"):
        run([[record(1), state(1)], [], [record(2), state(2)]], ScriptedClient(answer), batch_rows=1, in_flight=1)
    assert closing(run) == [
        "orders: 1 sent, 0 unchanged, 0 changed, 0 rejected, 0 in doubt",
        "Who bought, of 1 sale: 1 with a contact id alone (100 %).",
    ]


def test_records_that_change_nothing_count_as_unchanged_rows(run):
    run([record(1), record(2, known=True), record(1), state(3)])
    assert closing(run) == [
        "orders: 1 sent, 2 unchanged, 0 changed, 0 rejected, 0 in doubt",
        "Who bought, of 1 sale: 1 with a contact id alone (100 %).",
    ]
    assert states(run.out) == [3]


def test_fail_fast_stops_at_the_first_rejected_row(run):
    client = ScriptedClient(lambda path, rows: PostResult(Outcome.ACCEPTED, {0: "no"}))
    with pytest.raises(AirbyteTracedException, match="1 row was rejected: fix") as caught:
        run([[record(n) for n in range(4)], [], [record(n) for n in range(4, 8)]], client, batch_rows=4, fail_fast=True)
    assert caught.value.failure_type is FailureType.config_error
    assert len(client.posts) == 1


def test_fail_fast_sends_nothing_more_once_wicked_has_rejected_a_row(run):
    client = ScriptedClient(lambda path, rows: PostResult(Outcome.ACCEPTED, {0: "no"}))
    with pytest.raises(AirbyteTracedException):
        run([[record(1, "contacts"), record(2, "orders"), state(2)]], client, fail_fast=True)
    assert [path for path, _ in client.posts] == ["/contacts"]
    assert states(run.out) == []


def test_the_final_error_says_how_many_rows_failed_and_where_they_are(run, dead_letters):
    run([record(1, bad=True), record(2, bad=True)])
    assert str(dead_letters.path) in run.tally.failure().message
    assert run.tally.failed == 2


def test_a_state_with_large_numbers_and_deep_nesting_comes_back_unchanged(run):
    nested = json.loads("[" * 400 + "]" * 400)
    body = {"stream_descriptor": {"name": "orders"}, "stream_state": {"n": 2**70, "text": "\u00fc", "nested": nested}}
    (out,) = run([json.dumps({"type": "STATE", "id": 7, "state": {"type": "STREAM", "stream": body}}).encode()])
    printed = io.BytesIO()
    Output(printed).emit(out)
    released = json.loads(printed.getvalue())
    assert released["id"] == 7
    assert released["state"]["stream"] == body
    assert released["state"]["destinationStats"] == {"recordCount": 0.0, "rejectedRecordCount": 0.0}


@pytest.mark.parametrize("descriptor", ["x", 5, None, []])
def test_an_invalid_descriptor_in_a_stream_status_is_ignored(run, descriptor):
    trace = {"type": "STREAM_STATUS", "stream_status": {"stream_descriptor": descriptor, "status": "COMPLETE"}}
    assert states(run([orjson.dumps({"type": "TRACE", "trace": trace}), record(1), state(1)])) == [1]


# -- bad records and long waits --------------------------------------------------------------------------------------


def test_a_bad_record_becomes_one_dead_letter_and_the_rest_goes_on(run, dead_letters):
    bad = b'{"type":"RECORD","record":{"stream":"orders","data":{"n":2,"city":"%s","total":NaN}}}'
    run([record(1), bad % b"\xff", bad % b"x", record(3), state(3)])
    assert states(run.out) == [3]
    assert run.out[-1]["state"]["destinationStats"] == {"recordCount": 2.0, "rejectedRecordCount": 2.0}
    assert [keys for _, keys in run.client.posts] == [["1", "3"]]
    reasons = [(line["endpoint"], line["form"], line["reason"]) for line in lines_of(dead_letters)]
    assert reasons == [
        ("orders", "record", "the record contains bytes that are not UTF-8"),
        ("orders", "record", "the record contains NaN or Infinity, which JSON does not have"),
    ]
    assert lines_of(dead_letters)[1]["row"] == {"n": 2, "city": "x", "total": "NaN"}


@pytest.mark.parametrize("size", [1, 2_000_000])
def test_states_do_not_pile_up_behind_one_record(run, size):
    chunks = [[state(number, note="x" * size) for number in range(first, first + 6)] for first in range(0, 60, 6)]
    sent = []
    run([record(1), *(chunk for chunk in chunks)], batch_rows=2, clock=lambda: sent.append(len(run.out)) or 0.0)
    assert states(run.out) == list(range(60))
    assert max(sent) >= 18  # released while the input was still being read


def test_the_closing_log_names_ten_streams_at_most(run):
    traces = [status("STARTED").replace(b'"orders"', b'"s%06d"' % number) for number in range(3000)]
    run([traces])
    (line,) = [line for line in closing(run) if "was complete" in line]
    assert "s000000, s000001" in line
    assert "s000009 and 2,990 more streams was complete" in line
    assert len(line) < 300


# -- the first run of an affiliate mapping -----------------------------------------------------------------------------


def test_a_first_run_in_which_no_rule_matched_ends_as_a_configuration_error_and_releases_no_state(run):
    with pytest.raises(AirbyteTracedException, match="matched any of the 2 sales of this first run") as failed:
        run([record(1, lost=True), state(1), record(2, dull=True), state(2), record(3, lost=True)], first_run=True)

    assert failed.value.failure_type == FailureType.config_error
    assert "id1; id3" in failed.value.message
    assert states(run.out) == []
    assert closing(run)[0] == "Nothing was sent: skipped 3 of 3 records, see below."


def test_a_later_run_in_which_no_rule_matched_releases_its_state_and_warns(run):
    run([record(1, lost=True), state(1)])

    assert states(run.out) == [1]
    (warning,) = [text for level, text in run.writer.closing_lines() if level == logging.WARNING]
    assert warning.startswith("skipped 1 record: no rule (id1). Fix contact_rules")
    assert "read the source again from its start date (clear its state): nothing is sent twice" in warning


@pytest.mark.parametrize("found", [{}, {"known": True}])
def test_states_of_a_first_run_wait_until_a_buyer_was_found(run, found):
    out = run([[record(1, lost=True), state(1)], [record(2, **found), state(2)], [state(3)]], first_run=True)

    assert states(out) == [1, 2, 3]


def test_a_first_run_without_any_sale_releases_its_states_at_the_end(run):
    run([record(1, dull=True), state(1)], first_run=True)

    assert states(run.out) == [1]


def test_a_first_run_that_is_interrupted_before_a_buyer_was_found_releases_no_state(run):
    def lines():
        yield [record(1, lost=True), state(1)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(lines(), first_run=True)
    assert states(run.out) == []


def test_orders_are_counted_by_what_identifies_the_buyer(run):
    from destination_wicked_reports.delivery.tally import identified_by

    assert [
        identified_by(orjson.dumps(order))
        for order in (
            {"ContactEmail": "a@b.example"},
            {"ContactEmail": "x@sovrn.invalid", "City": "y"},
            {"ContactEmail": "", "ContactID": "1"},
            {"ContactID": '"ContactEmail":"a@b.example"'},
        )
    ] == ["address", "synthetic", "id", "id"]
