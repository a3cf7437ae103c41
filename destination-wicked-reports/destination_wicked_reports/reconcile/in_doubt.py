"""Finds out which payments in doubt Wicked reports: `ledger in-doubt --ask`.

The outbound API reports an order with its payments, which have no id (docs/vendors/wicked-reports.md 5.2). A payment in
doubt is compared by order, amount, status and date, and equal payments are counted: it is shown if Wicked reports as
many of them as it may have accepted, those in doubt included. Clicks and marketing rows cannot be looked up.

A row that is sent twice counts twice, and a lost row does not count. So a row is `unknown` wherever the reported
payments can be explained both ways.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, select

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile, payments_of
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.in_doubt import RowInDoubt, rows_in_doubt
from destination_wicked_reports.ledger.ledger import ACCEPTED
from destination_wicked_reports.ledger.outbox import decode_payments
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.schema import outbox, sale_events, sent, sent_before
from destination_wicked_reports.ledger.sql import among, key_parameters
from destination_wicked_reports.mappings.revenue import APPROVED, PARTIALLY_REFUNDED, REFUNDED
from destination_wicked_reports.reconcile.ledger_reader import key_fingerprints, refuse_other_account
from destination_wicked_reports.reconcile.orders import OrderId, ReportedOrder, parse_cents, status_name
from destination_wicked_reports.reconcile.reported import (
    HISTORY,
    ReportedOrders,
    match_unknown_systems,
    read_account,
    reader_settings,
    refuse_test_mode,
)

SHOWN, MISSING, UNKNOWN = "shown", "missing", "unknown"

NOT_REPORTED = "the outbound API reports no such rows"
NO_DEAD_LETTER = "its content is not known: its dead letter is closed or not in this file"
ORDER_MISSING = "Wicked Reports does not report its order"
ORDER_TWICE = "Wicked Reports reports its order more than once"
UNREADABLE = "a payment of its order has no readable amount"
TOO_RECENT = "it or an equal payment was sent too recently to be processed"
TOO_FEW = "Wicked Reports does not report all payments of its order that it accepted"
AMBIGUOUS = "equal payments of its order may have been stored as well"
STATUS = "the outbound API documents no such status"
OTHER_TIME = "its order has such a payment at another time of day; check account_time_zone of --source-config"

#: Statuses that the outbound API documents; how it reports others is unknown (docs/vendors/wicked-reports.md 2.5).
_REPORTED_STATUSES = frozenset({APPROVED, "FAILED", REFUNDED, PARTIALLY_REFUNDED, "MANUAL"})
_DAY = timedelta(days=1)
#: The source refuses earlier days.
_EARLIEST = date(1970, 1, 1)
#: By how much a date can be off if its time zone is not the one that was assumed: UTC-12 to UTC+14.
_ZONES = timedelta(hours=26)
#: Days that one request of the source covers, so that a gap of this length costs no request.
_REQUEST_DAYS = 28


class Payment(NamedTuple):
    """What a payment is compared by; `date` is `YYYY-MM-DD HH:MM:SS` in UTC."""

    order_id: OrderId
    status: str
    amount: Decimal
    date: str


@dataclass(slots=True)
class Doubt:
    """A row in doubt and its dead letters; `payment` is None if it cannot be looked up, and `why` says why.

    `ordered_at` is the date of its order, "" if it is not known.
    """

    row: RowInDoubt
    letters: list[dict[str, Any]]
    payment: Payment | None = None
    ordered_at: str = ""
    verdict: str = UNKNOWN
    why: str = ""


PaymentInDoubt = tuple[Doubt, Payment]


@dataclass(slots=True)
class Evidence:
    """What the ledger has about equal payments, besides those in doubt that are looked up.

    `accepted` counts those that Wicked accepted, `possible` those that it may have stored. `order_payments` is how many
    payments of their order it accepted at least. `latest` is when the last of them was sent, in UNIX seconds.
    """

    accepted: int = 0
    possible: int = 0
    order_payments: int = 0
    latest: int = 0


def look_up(
    config: Config, dead_letters: DeadLetterFile, source_config: Mapping[str, Any] | None, grace_seconds: float
) -> list[Doubt]:
    """Return every row in doubt with its verdict; reads Wicked only if one of them is a payment of a known order.

    `source_config` is a configuration of source-wicked-reports. Rows sent less than `grace_seconds` before the read may
    not be processed yet. Raises ConfigurationError, LedgerError or ReadError.
    """
    refuse_test_mode(config)
    if source_config and source_config.get("api_key") != config.api_key:
        raise ConfigurationError(
            "The source uses another API key than the destination, so it may read another account. Use the same key in "
            "both configurations."
        )
    with open_snapshot(config) as snapshot:
        doubts = find_doubts(rows_in_doubt(snapshot.connection, snapshot.store), dead_letters)
        if not doubts:
            return []
        refuse_other_account(config, key_fingerprints(snapshot.connection, snapshot.store))
    payments = list(payments_of_doubts(doubts))
    if payments:
        reported = _read(config, source_config, payments)
        # The ledger is read again: a run may have sent or recorded equal payments while Wicked was read.
        with open_snapshot(config) as snapshot:
            doubts = find_doubts(rows_in_doubt(snapshot.connection, snapshot.store), dead_letters)
            payments = list(payments_of_doubts(doubts))
            evidence = read_evidence(snapshot.connection, snapshot.store, payments)
        judge(payments, reported, evidence, reported.at - grace_seconds)
    return doubts


# -- what is in doubt -------------------------------------------------------------------------------------------------


def find_doubts(rows: Iterable[RowInDoubt], dead_letters: DeadLetterFile) -> list[Doubt]:
    """Return rows in doubt with what their open dead letters say."""
    letters: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for letter in dead_letters.open_rows_in_doubt():
        identity = tuple(letter.get(name) for name in ("endpoint", "key", "digest"))
        letters.setdefault(identity, []).append(letter)
    return [_doubt(row, letters.get((row.endpoint, row.key, row.digest.hex()), [])) for row in rows]


def _doubt(row: RowInDoubt, letters: list[dict[str, Any]]) -> Doubt:
    doubt = Doubt(row, letters)
    if row.endpoint != ORDER_PAYMENTS.name:
        doubt.why = NOT_REPORTED
    elif letters:
        doubt.payment = _payment(letters[-1].get("row") or {})
        doubt.ordered_at = str((letters[-1].get("sale") or {}).get("ordered_at") or "")
    if not (doubt.payment or doubt.why):
        doubt.why = NO_DEAD_LETTER
    return doubt


def _payment(fields: Mapping[str, Any]) -> Payment | None:
    """Return the payment in a row as it was sent; None for one that somebody edited beyond recognition."""
    amount, paid_at = parse_cents(fields.get("Amount")), str(fields.get("PaymentDate"))
    with contextlib.suppress(ValueError):
        datetime.fromisoformat(paid_at)
        order_id = str(fields.get("SourceSystem")), str(fields.get("OrderID"))
        return None if amount is None else Payment(order_id, status_name(fields.get("Status")), amount, paid_at)
    return None


def payments_of_doubts(doubts: Iterable[Doubt]) -> Iterator[PaymentInDoubt]:
    """Yield the rows in doubt that can be looked up."""
    return ((doubt, doubt.payment) for doubt in doubts if doubt.payment is not None)


# -- what Wicked reports ----------------------------------------------------------------------------------------------


def _read(
    config: Config, source_config: Mapping[str, Any] | None, payments: Sequence[PaymentInDoubt]
) -> ReportedOrders:
    """Read the orders of these payments, on as few days as possible.

    The ledger has the day of affiliate and shop orders. Another order is looked for on the day of its payment, and if
    it is not there, in the year before.
    """
    found = ReportedOrders(at=datetime.now(timezone.utc).timestamp())
    days = (_day(doubt.ordered_at or payment.date) for doubt, payment in payments)
    _read_days(config, source_config, found, ((day, day) for day in days), payments)
    known = match_unknown_systems(found, {payment.order_id for _, payment in payments})
    rest = [(doubt, payment) for doubt, payment in payments if not doubt.ordered_at and payment.order_id not in known]
    if rest:
        paid = [_day(payment.date) for _, payment in rest]
        sent_on = [datetime.fromtimestamp(doubt.row.sent_at, timezone.utc).date() for doubt, _ in rest]
        _read_days(config, source_config, found, [(min(paid + sent_on) - HISTORY, max(paid))], rest)
    return found


def _read_days(
    config: Config,
    source_config: Mapping[str, Any] | None,
    found: ReportedOrders,
    spans: Iterable[tuple[date, date]],
    payments: Iterable[PaymentInDoubt],
) -> None:
    """Add the orders of these payments with a date in one of these spans of days, and a day more at either end."""
    wanted = {payment.order_id[1] for _, payment in payments}
    for first, last in join_spans(spans):
        own = dict(source_config) if source_config else None
        settings = reader_settings(config, own, max(first - _DAY, _EARLIEST), last + _DAY, exactly=True)
        for order_id, orders in read_account(settings, wanted).orders.items():
            found.orders.setdefault(order_id, []).extend(orders)


def join_spans(spans: Iterable[tuple[date, date]]) -> Iterator[tuple[date, date]]:
    """Yield spans of days in order, joined where the gap costs no request of its own, and none in the future."""
    today = datetime.now(timezone.utc).date()
    current: tuple[date, date] | None = None
    for first, last in sorted((min(first, today), last) for first, last in spans):
        if current is not None and (first - current[1]).days <= _REQUEST_DAYS:
            current = current[0], max(current[1], last)
            continue
        if current is not None:
            yield current
        current = first, last
    if current is not None:
        yield current


def _day(moment: str) -> date:
    return datetime.fromisoformat(moment).date()


# -- what the ledger has ----------------------------------------------------------------------------------------------


def read_evidence(connection: Connection, store: str, payments: Sequence[PaymentInDoubt]) -> dict[Payment, Evidence]:
    """Return what a store has about the payments in doubt.

    Payments have no id, so equal ones have the same content and digest. Those nested in an order, or in a request in
    flight, are found by their amount and status.
    """
    by_digest = {doubt.row.digest: payment for doubt, payment in payments}
    by_key = {doubt.row.key: payment for doubt, payment in payments}
    found = {payment: Evidence() for payment in by_digest.values()}
    in_store = sent.c.store == store, sent.c.endpoint == ORDER_PAYMENTS.name
    rows = select(sent.c.key, sent.c.digest, sent.c.status, sent.c.sent_at).where(*in_store)
    for row in connection.execute(rows.execution_options(yield_per=5000)):
        if payment := by_digest.get(bytes(row.digest)):
            evidence = found[payment]
            evidence.latest = max(evidence.latest, row.sent_at)
            evidence.accepted += row.status == ACCEPTED
            evidence.possible += row.status != ACCEPTED and row.key not in by_key  # in doubt or dismissed
    earlier = select(sent_before.c.key, sent_before.c.digest).where(
        sent_before.c.store == store,
        sent_before.c.endpoint == ORDER_PAYMENTS.name,
        sent_before.c.status != ACCEPTED,
    )
    for row in connection.execute(earlier):  # sent again since, although it may have been stored the first time
        if (payment := by_digest.get(bytes(row.digest))) and row.key not in by_key:
            found[payment].possible += 1
    in_flight = select(outbox.c.endpoint, outbox.c.body).where(outbox.c.store == store, outbox.c.body != b"")
    for row in connection.execute(in_flight):
        _add_in_flight(found, row.endpoint, orjson.loads(row.body))
    _add_sales(connection, store, by_key, found)
    return found


def _add_in_flight(found: Mapping[Payment, Evidence], endpoint: str, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        for fields in payments_of(endpoint, row):
            payment = _payment({"SourceSystem": row.get("SourceSystem"), "OrderID": row.get("SourceID"), **fields})
            if payment is not None and payment in found:
                found[payment].possible += 1


def _add_sales(
    connection: Connection, store: str, by_key: Mapping[str, Payment], found: Mapping[Payment, Evidence]
) -> None:
    """Add the payments of affiliate and shop orders: how many each order has, and those nested in it."""
    in_store = sale_events.c.store == store
    own = select(sale_events).where(in_store, sale_events.c.endpoint == ORDER_PAYMENTS.name, among(sale_events.c.key))
    #: the payments in doubt of each sale, by the number of their order
    by_sale: dict[str, dict[int, set[Payment]]] = {}
    for event in connection.execute(own, key_parameters(by_key)):
        number = decode_payments(orjson.loads(event.payments))[0].number
        by_sale.setdefault(event.sale_key, {}).setdefault(number, set()).add(by_key[event.key])
    same_row = [sent.c[name] == sale_events.c[name] for name in ("store", "endpoint", "key")]
    of_sales = select(sale_events, sent.c.status).join(sent, and_(*same_row))
    of_sales = of_sales.where(in_store, among(sale_events.c.sale_key))
    for event in connection.execute(of_sales, key_parameters(by_sale)):
        nested = event.endpoint == ORDERS.name
        for number, status, amount in decode_payments(orjson.loads(event.payments)):
            for payment in by_sale[event.sale_key].get(number, ()):
                evidence = found[payment]
                evidence.order_payments += event.status == ACCEPTED
                same = (status_name(status), parse_cents(amount)) == (payment.status, payment.amount)
                evidence.possible += nested and same  # its date is not in the ledger


# -- the decision -----------------------------------------------------------------------------------------------------


def judge(
    payments: Iterable[PaymentInDoubt],
    reported: ReportedOrders,
    evidence: Mapping[Payment, Evidence],
    processed_until: float,
) -> None:
    """Set the verdict of every payment in doubt. `processed_until` is in UNIX seconds."""
    groups: dict[Payment, list[Doubt]] = {}
    for doubt, payment in payments:
        groups.setdefault(payment, []).append(doubt)
    orders = match_unknown_systems(reported, {payment.order_id for payment in groups})
    for payment, group in groups.items():
        _judge_equal(payment, group, orders.get(payment.order_id, []), evidence[payment], processed_until)


def _judge_equal(
    payment: Payment,
    group: Sequence[Doubt],
    orders: Sequence[ReportedOrder],
    evidence: Evidence,
    processed_until: float,
) -> None:
    """Judge equal payments together: which of them Wicked stored makes no difference, only how many."""
    if len(orders) != 1:
        _set(group, UNKNOWN, ORDER_TWICE if orders else ORDER_MISSING)
        return
    listed = orders[0].listed
    dates = [each.date for each in listed if (each.status, each.amount) == (payment.status, payment.amount)]
    surplus = dates.count(payment.date) - evidence.accepted
    shown = max(0, min(len(group), surplus - evidence.possible))
    if 0 < shown < len(group) and len({doubt.row.digest for doubt in group}) > 1:
        shown = 0  # they differ in what Wicked does not report, such as Currency
    _set(group[:shown], SHOWN, "")
    rest = group[shown:]
    if any(each.amount is None for each in listed):
        _set(rest, UNKNOWN, UNREADABLE)
    elif evidence.latest > processed_until:
        _set(rest, UNKNOWN, TOO_RECENT)
    elif surplus < 0 or len(listed) < evidence.order_payments:
        _set(rest, UNKNOWN, TOO_FEW)
    elif surplus > shown:
        _set(rest, UNKNOWN, AMBIGUOUS)
    elif payment.status not in _REPORTED_STATUSES:
        _set(rest, UNKNOWN, STATUS)
    elif any(_is_near(each, payment.date) for each in dates):
        _set(rest, UNKNOWN, OTHER_TIME)
    else:
        _set(rest, MISSING, "")


def _set(doubts: Iterable[Doubt], verdict: str, why: str) -> None:
    for doubt in doubts:
        doubt.verdict, doubt.why = verdict, why


def _is_near(reported: str, wanted: str) -> bool:
    """Return whether a date is another than the wanted one, but may be the same in another time zone."""
    if not reported:
        return True
    return reported != wanted and abs(datetime.fromisoformat(reported) - datetime.fromisoformat(wanted)) <= _ZONES
