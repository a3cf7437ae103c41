"""A comparison as people read it: a plain table for a terminal, and one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from destination_wicked_reports.reconcile import chart
from destination_wicked_reports.reconcile.comparison import UNDATED, Comparison, Day, Difference, Sums

TITLE = "Does my revenue match?"
_HEAD = ("day", "", "orders", "(Wicked)", "gross", "(Wicked)", "refunds", "(Wicked)", "net", "(Wicked)", "")
_UNKNOWN = "?"


def totals(comparison: Comparison) -> list[Day]:
    """Return one sum per currency over all days."""
    found: dict[str, Day] = {}
    for day in comparison.days:
        total = found.setdefault(day.currency, Day("total", day.currency))
        for mine, one in ((total.ours, day.ours), (total.theirs, day.theirs)):
            mine.orders += one.orders
            mine.gross += one.gross
            mine.approved += one.approved
            mine.refunded += one.refunded
            mine.known = mine.known and one.known
        total.differing += day.differing or day.verdict == "differs"
        total.waiting += day.waiting
    return [found[currency] for currency in sorted(found)]


def remarks(comparison: Comparison) -> Iterator[str]:
    """Yield what a reader must know besides the numbers."""
    span = " to ".join(filter(None, (comparison.first, comparison.last))) or "all days"
    yield (
        f"Orders of {', '.join(comparison.systems) or 'no source system'}, {span}, by the day of the order in "
        f"{comparison.zone}; read from Wicked Reports at {comparison.at}."
    )
    yield (
        "Gross: all orders, approved or not. Net: approved less refunded. So gross less refunds is more than net where "
        "orders wait or were declined. A refund counts on the day of its order."
    )
    if any(day.day == UNDATED for day in comparison.days):
        yield (
            "Undated: the ledger keeps no dates, and Wicked Reports does not show these orders. Their records, given "
            "with --sent, have the dates."
        )
    if comparison.strangers:
        counted = ", ".join(f"{system} {count:,}" for system, count in comparison.strangers.items())
        yield f"Left out, because they are of source systems that were not sent from here: {counted}."
    yield from comparison.notes


# -- plain text -------------------------------------------------------------------------------------------------------


def text(comparison: Comparison, most_rows: int = 0) -> Iterator[str]:
    """Yield the lines of the report; of the differences at most `most_rows`, all if 0."""
    yield from remarks(comparison)
    if comparison.days:
        yield ""
        table = [_HEAD, *map(_cells, [*comparison.days, *totals(comparison)])]
        yield from _columns(table, left={0, 1, len(_HEAD) - 1})
    if comparison.differences:
        yield ""
        listed: Sequence[Difference] = comparison.differences[: most_rows or None]
        rows = [("day", "order", "field", "sent", "Wicked shows", "note")]
        yield from _columns(
            [*rows, *((d.day, d.order, d.field, d.ours, d.theirs, d.note) for d in listed)], left=set(range(6))
        )
        left = len(comparison.differences) - len(listed)
        if left:
            yield f"... and {left:,} more: --rows 0 lists all, and so does --html."
    yield ""
    yield comparison.verdict


def _cells(day: Day) -> tuple[str, ...]:
    ours, theirs = day.ours, day.theirs
    cells = [day.day, day.currency, f"{ours.orders:,}", f"{theirs.orders:,}"]
    for mine, other in zip(amounts(ours), amounts(theirs), strict=True):
        cells += [mine, other]
    return (*cells, "" if day.verdict == "equal" else day.verdict)


def amounts(sums: Sums) -> list[str]:
    """Return gross, refunds and net as text; a question mark where they are not known."""
    return [f"{amount:,}" if sums.known else _UNKNOWN for amount in (sums.gross, sums.refunded, sums.net)]


def _columns(table: Sequence[Sequence[str]], left: set[int]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    for row in table:
        cells = (
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


# -- HTML -------------------------------------------------------------------------------------------------------------


def html(comparison: Comparison) -> str:
    """Return the report as one HTML document without any outside resource; every value is escaped."""
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
        totals=totals(comparison),
        charts=chart.charts(comparison),
        remarks=list(remarks(comparison)),
        amounts=amounts,
        gap=_gap,
        size=chart,
        tone={0: "equal", 1: "differs", 2: "unknown"}[comparison.code],
    )


def _gap(day: Day) -> tuple[str, Any]:
    """Return by how much Wicked's net is off, with its sign, and whether it is."""
    if not day.ours.known:
        return _UNKNOWN, False
    gap: Decimal = day.theirs.net - day.ours.net
    return (f"{gap:+,}" if gap else "0.00"), bool(gap)
