"""Renders a comparison as text for a terminal, and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from destination_wicked_reports.reconcile import chart
from destination_wicked_reports.reconcile.comparison import UNDATED, AmbiguousOrder, Comparison, Day, Difference, Sums
from destination_wicked_reports.reconcile.orders import ZERO

TITLE = "Does my revenue match?"
#: The columns of amounts; each is shown as sent and as reported.
AMOUNTS = ("gross", "refunds", "net by orders", "net by payments")
_HEAD = ("day", "", "orders", "(Wicked)", *(head for name in AMOUNTS for head in (name, "(Wicked)")), "")
_UNKNOWN = "?"


def remarks(comparison: Comparison) -> Iterator[str]:
    """Yield the notes that explain the numbers."""
    span = " to ".join(filter(None, (comparison.first, comparison.last))) or "all days"
    yield (
        f"Orders of {', '.join(comparison.systems) or 'no source system'}, {span}, by the day of the order in "
        f"{comparison.zone}; read from Wicked Reports at {comparison.at}."
    )
    yield (
        "Gross: all orders, approved or not. Net by orders: the total of each order less what is partially refunded; "
        "an order with a payment that is refunded, voided, declined or failed counts nothing. Net by payments: "
        "approved less refunded. Which one the API uses isn't documented. A refund counts on the day of its order."
    )
    yield from reading_remarks(comparison)
    if any(day.day == UNDATED for day in comparison.days):
        yield (
            "Undated: the ledger stores no dates, and Wicked Reports does not report these orders. Give their records "
            "with --sent to add the dates."
        )
    if comparison.foreign_orders:
        counted = ", ".join(f"{system} {count:,}" for system, count in comparison.foreign_orders.items())
        yield f"Left out: orders of source systems that were not sent from here: {counted}."
    yield from comparison.notes


def reading_remarks(comparison: Comparison) -> Iterator[str]:
    """Yield what the two readings of net mean for this account, one sentence for each currency in which they differ."""
    found: dict[str, list[AmbiguousOrder]] = {}
    for order in comparison.ambiguous_orders:
        found.setdefault(order.currency, []).append(order)
    if not found and any(day.reported.orders for day in comparison.days):
        yield "Both nets of what Wicked Reports reports are equal, order by order."
    for currency, orders in sorted(found.items()):
        number = "1 order counts" if len(orders) == 1 else f"{len(orders):,} orders count"
        difference = sum((order.difference for order in orders), ZERO)
        more = f"{'more' if difference > 0 else 'less'} by orders than by payments"
        how_much = " ".join(filter(None, (f"{abs(difference):,}", currency, more))) if difference else "the same in sum"
        yield (
            f"Net of what Wicked Reports reports is {how_much}: {number} differently; see the list below. Affiliate "
            "and shop orders of this connector count the same both ways, so other rows are involved."
        )


# -- plain text -------------------------------------------------------------------------------------------------------


def text(comparison: Comparison, max_rows: int = 0, *, all_days: bool = False) -> Iterator[str]:
    """Yield the lines of the report, with at most `max_rows` differences, all if 0.

    Days that are equal are left out unless `all_days`.
    """
    yield from remarks(comparison)
    if comparison.days:
        yield ""
        days = comparison.days if all_days else differing_days(comparison)
        table = [_HEAD, *map(_cells, [*days, *comparison.totals])]
        yield from _columns(table, left={0, 1, len(_HEAD) - 1})
        equal = len(comparison.days) - len(days)
        if equal:
            yield f"{equal:,} {'day is' if equal == 1 else 'days are'} equal: --all-days lists all."
    if comparison.differences:
        yield ""
        listed: Sequence[Difference] = comparison.differences[: max_rows or None]
        rows = [("day", "order", "field", "sent", "Wicked reports", "note")]
        yield from _columns(
            [*rows, *((d.day, d.order, d.field, d.sent, d.reported, d.note) for d in listed)], left=set(range(6))
        )
        left = len(comparison.differences) - len(listed)
        if left:
            yield f"... and {left:,} more: --rows 0 lists all, as does --html."
    if comparison.ambiguous_orders:
        yield ""
        shown = comparison.ambiguous_orders[: max_rows or None]
        heads = ("day", "order", "", "net by orders", "net by payments", "difference", "payments at Wicked")
        yield from _columns([heads, *map(reading_cells, shown)], left={0, 1, 2, 6})
        left = len(comparison.ambiguous_orders) - len(shown)
        if left:
            yield f"... and {left:,} more: --rows 0 lists all, as does --html."
    yield ""
    yield comparison.verdict


def differing_days(comparison: Comparison) -> list[Day]:
    """Return the days that are not equal."""
    return [day for day in comparison.days if day.verdict != "equal"]


def _cells(day: Day) -> tuple[str, ...]:
    cells = [day.day, day.currency, f"{day.sent.orders:,}", f"{day.reported.orders:,}"]
    for pair in zip(amounts(day.sent), amounts(day.reported), strict=True):
        cells += pair
    return (*cells, "" if day.verdict == "equal" else day.verdict)


def amounts(sums: Sums) -> list[str]:
    """Return the amounts of `AMOUNTS` as text, or question marks if they are unknown."""
    found = sums.gross, sums.refunded, sums.net_by_orders, sums.net_by_payments
    return [f"{amount:,}" if sums.known else _UNKNOWN for amount in found]


def reading_cells(order: AmbiguousOrder) -> tuple[str, ...]:
    """Return the cells of an order whose two nets differ."""
    nets = f"{order.by_orders:,}", f"{order.by_payments:,}", f"{order.difference:+,}"
    return order.day, order.order, order.currency, *nets, order.payments


def _columns(table: Sequence[Sequence[str]], left: set[int]) -> Iterator[str]:
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    for row in table:
        cells = (
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


# -- JSON -------------------------------------------------------------------------------------------------------------


def as_json(comparison: Comparison, *, all_days: bool = False) -> dict[str, Any]:
    """Return the report for programs: amounts are decimal text, `net` is by orders and by payments."""
    days = comparison.days if all_days else differing_days(comparison)
    return {
        "code": comparison.code,
        "verdict": comparison.verdict,
        "first": comparison.first,
        "last": comparison.last,
        "zone": comparison.zone,
        "read_at": comparison.at,
        "source_systems": comparison.systems,
        "tolerance": str(comparison.tolerance),
        "totals": [_day_json(day) for day in comparison.totals],
        "days": [_day_json(day) for day in days],
        "equal_days": len(comparison.days) - len(differing_days(comparison)),
        "differences": [asdict(difference) for difference in comparison.differences],
        "foreign_orders": comparison.foreign_orders,
        "notes": comparison.notes,
    }


def _day_json(day: Day) -> dict[str, Any]:
    return {
        "day": day.day,
        "currency": day.currency,
        "result": day.verdict,
        "sent": _sums_json(day.sent),
        "reported": _sums_json(day.reported),
    }


def _sums_json(sums: Sums) -> dict[str, Any]:
    amounts_ = {
        "gross": sums.gross,
        "refunds": sums.refunded,
        "net_by_orders": sums.net_by_orders,
        "net_by_payments": sums.net_by_payments,
    }
    return {"orders": sums.orders, **{name: str(one) if sums.known else None for name, one in amounts_.items()}}


# -- HTML -------------------------------------------------------------------------------------------------------------


def html(comparison: Comparison) -> str:
    """Return the report as one HTML document without external resources; every value is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("destination_wicked_reports.reconcile", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        title=TITLE,
        comparison=comparison,
        totals=comparison.totals,
        differing_days=differing_days(comparison),
        charts=chart.charts(comparison),
        remarks=list(remarks(comparison)),
        amounts=amounts,
        pairs=zip,
        amount_names=AMOUNTS,
        reading_cells=reading_cells,
        net_difference=_net_difference,
        size=chart,
        tone={0: "equal", 1: "differs", 2: "unknown"}[comparison.code],
    )


def _net_difference(day: Day) -> tuple[str, Any]:
    """Return the difference of net by orders, reported less sent, with its sign, and whether there is one."""
    if not day.sent.known:
        return _UNKNOWN, False
    difference: Decimal = day.reported.net_by_orders - day.sent.net_by_orders
    return (f"{difference:+,}" if difference else "0.00"), bool(difference)
