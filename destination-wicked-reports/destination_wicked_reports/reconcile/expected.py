"""The sent side: orders from the ledger, and from the records where the ledger has no amounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS
from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.ledger.history import open_history
from destination_wicked_reports.reconcile.dry_run import DryRun, MappedOrder, MappedPayment, run_mapping
from destination_wicked_reports.reconcile.ledger_reader import (
    IN_DOUBT_NOTE,
    LedgerOrders,
    SentRow,
    order_id_of,
    read_ledger,
    refuse_other_account,
)
from destination_wicked_reports.reconcile.orders import OrderId, SentOrder, Step, display_id

NOT_SENT = "not sent: not in the ledger; see the dead-letter file"
#: How many ids a note names.
MAX_NAMED = 3
PAYMENTS_NOT_SENT = "some of its payments were not sent: see the dead-letter file"


@dataclass(slots=True)
class Expected:
    """The orders that Wicked should report, the source systems that were sent, and notes for the report."""

    orders: dict[OrderId, SentOrder]
    systems: set[str]
    notes: list[str] = field(default_factory=list)

    @property
    def first_sent_at(self) -> int | None:
        """When the first order was sent, in UNIX seconds, None if unknown."""
        return min((order.at for order in self.orders.values() if order.at), default=None)


def expect(config: Config, files: Sequence[Path] = (), catalog: Path | None = None) -> Expected:
    """Return what was sent; `files` and `catalog` as for `run_mapping`.

    Raises LedgerError or ConfigurationError if the ledger or the files cannot be read or belong to another account.
    """
    ledger: LedgerOrders | None = None
    if not (files and isinstance(config.ledger, NoLedger)):
        with open_history(config) as history:
            ledger = read_ledger(history.connection, history.store)
            if ledger.rows:
                refuse_other_account(config, ledger.key_fingerprints)
    expected = Expected(ledger.orders if ledger else {}, set())
    if files:
        _add_records(expected, ledger, run_mapping(config, files, catalog))
    system = getattr(config.mapping, "source_system", None)
    expected.systems = {order_id[0] for order_id in expected.orders} | ({system} if system else set())
    return expected


def _add_records(expected: Expected, ledger: LedgerOrders | None, mapped: DryRun) -> None:
    """Add the dates of all orders, amounts that the ledger lacks, and orders that were never sent.

    The runs decided how many orders a sale has: changes that the records show one by one may have been sent as one. So
    the records do not show that an order of a sale in the ledger was not sent, only that the sale has another net.
    """
    known_sales = ledger.sales if ledger else {}
    incomplete = sum(order_id not in mapped.orders for order_id in mapped.payments)
    for order_id, row in mapped.orders.items():
        order = expected.orders.get(order_id)
        if row.sale_key in known_sales:
            for each in known_sales[row.sale_key]:
                expected.orders[each].date = row.date
            continue
        if order is None:
            order = expected.orders[order_id] = SentOrder(None if ledger else 0)
            if ledger:
                order.notes.append(NOT_SENT)
        order.date = row.date
        if order.total is None:
            order.total, order.currency = row.total, row.currency
            _add_steps(order, row, mapped.payments.get(order_id, ()), ledger)
    if incomplete:
        expected.notes.append(
            f"The files have payments of {incomplete:,} orders but not the orders: give all files since the first "
            "sync, oldest first."
        )
    nets = ledger.nets if ledger else {}
    others = [key for key, sale in mapped.sales.items() if sale.net != nets.get(key, sale.net)]
    if others:
        named = ", ".join(display_id(order_id_of(key)) for key in others[:MAX_NAMED])
        expected.notes.append(
            f"Sales whose records have another net than was sent: {len(others):,}, such as {named}. Give all files "
            "since the first sync, oldest first; if these are all, see the dead-letter file."
        )
    if mapped.rejected:
        expected.notes.append(f"The mapping rejects {mapped.rejected:,} rows of the files; they were never sent.")


def _add_steps(
    order: SentOrder, row: MappedOrder, payments: Sequence[MappedPayment], ledger: LedgerOrders | None
) -> None:
    """Set the payment totals after each row, in the order of sending."""
    totals = row.payments
    order.steps = [Step(order.at or 0, totals)]
    sent: list[tuple[SentRow, MappedPayment]] = []
    for payment in payments:
        sent_row = ledger.rows.get((ORDER_PAYMENTS.name, payment.key)) if ledger else SentRow(0, in_doubt=False)
        if sent_row is None:
            order.notes += [PAYMENTS_NOT_SENT] * (not {NOT_SENT, PAYMENTS_NOT_SENT} & set(order.notes))
            continue
        order.notes += [IN_DOUBT_NOTE] * (sent_row.in_doubt and IN_DOUBT_NOTE not in order.notes)
        sent.append((sent_row, payment))
    for sent_row, payment in sorted(sent, key=lambda pair: pair[0].at):
        totals = totals.plus(payment.status, payment.amount)
        order.steps.append(Step(sent_row.at, totals))
