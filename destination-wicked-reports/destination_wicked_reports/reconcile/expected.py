"""Our side: what Wicked was told, out of the ledger, and out of the records where the ledger keeps no amounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS
from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.history import open_history
from destination_wicked_reports.reconcile.dry_run import MadeOrder, MadePayment, Rehearsal, rehearse
from destination_wicked_reports.reconcile.ledger_reader import HELD_NOTE, Memory, Sending, remember
from destination_wicked_reports.reconcile.orders import Name, SentOrder, Step

NOT_SENT = "not sent: the ledger does not know it; see the dead-letter file"
PAYMENTS_NOT_SENT = "payments of it were not sent: see the dead-letter file"


@dataclass(slots=True)
class Expected:
    """What Wicked should show, by name, and what was noticed on the way.

    `first` is when the first order was sent, in UNIX seconds, None if none is known to have been.
    """

    orders: dict[Name, SentOrder]
    systems: set[str]
    first: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def unmeasured(self) -> int:
        """How many orders have amounts that nobody remembers."""
        return sum(order.total is None for order in self.orders.values())


def expect(config: Config, files: Sequence[Path] = (), catalog: Path | None = None) -> Expected:
    """Return what was sent. Raises LedgerError or ConfigurationError if that cannot be known."""
    memory: Memory | None = None
    if not (files and isinstance(config.ledger, NoLedger)):
        with open_history(config) as history:
            memory = remember(history.connection, history.store)
            if not (memory.filled_by(config.api_key) or config.new_api_key):
                raise ConfigurationError(
                    "The ledger was filled with another API key, so what it remembers may be another account's. Give "
                    "the configuration that it belongs to; if the key of the same account was renewed, set "
                    '"new_api_key": true.'
                )
    expected = Expected(memory.orders if memory else {}, set())
    if files:
        _add(expected, memory, rehearse(config, files, catalog))
    times = [order.at for order in expected.orders.values() if order.at]
    expected.first = min(times, default=None)
    system = getattr(config.mapping, "source_system", None)
    expected.systems = {name[0] for name in expected.orders} | ({system} if system else set())
    return expected


def _add(expected: Expected, memory: Memory | None, made: Rehearsal) -> None:
    """Add what the records say: every date, amounts where the ledger has none, and what never left."""
    strange = sum(name not in made.orders for name in made.payments)
    for name, row in made.orders.items():
        order = expected.orders.get(name)
        if order is None:
            order = expected.orders[name] = SentOrder(None if memory else 0)
            if memory:
                order.notes.append(NOT_SENT)
        order.date = row.date
        if order.total is None:
            order.total, order.currency = row.total, row.currency
            _tell(order, row, made.payments.get(name, ()), memory)
    if strange:
        expected.notes.append(
            f"{strange:,} orders have payments in the files and are not there themselves: give all files since the "
            "first sync, in their order."
        )
    if made.rejected:
        expected.notes.append(f"{made.rejected:,} rows of the files are refused by the mapping; they were never sent.")


def _tell(order: SentOrder, row: MadeOrder, payments: Sequence[MadePayment], memory: Memory | None) -> None:
    """Set what Wicked was told, step by step, in the order of sending."""
    paid = row.nested
    order.steps = [Step(order.at or 0, paid)]
    sent: list[tuple[Sending, MadePayment]] = []
    for payment in payments:
        sending = memory.sendings.get((ORDER_PAYMENTS.name, payment.key)) if memory else Sending(0, held=False)
        if sending is None:
            order.notes += [PAYMENTS_NOT_SENT] * (not {NOT_SENT, PAYMENTS_NOT_SENT} & set(order.notes))
            continue
        order.notes += [HELD_NOTE] * (sending.held and HELD_NOTE not in order.notes)
        sent.append((sending, payment))
    for sending, payment in sorted(sent, key=lambda pair: pair[0].at):
        paid = paid.plus(payment.status, payment.amount)
        order.steps.append(Step(sending.at, paid))
