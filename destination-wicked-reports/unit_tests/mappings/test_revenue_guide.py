"""The tables of docs/guides/affiliate-revenue.md A worked example and others, replayed by the rules of revenue."""

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.rows import FieldChecker
from destination_wicked_reports.mappings.revenue import (
    APPROVED,
    PARTIALLY_REFUNDED,
    REFUNDED,
    NewOrder,
    cents,
    order_name,
    plan,
)
from destination_wicked_reports.model import SaleState

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "affiliate-revenue.md").read_text(encoding="utf-8")
SALE_DATE = "2026-03-02 14:06:15"
CHANGE_DATE = "2026-06-01 12:00:00"
READINGS = ("Net by order", "Net by payments")

_SHOWN = re.compile(
    r"(?:another transaction, )?(?P<status>pending|approved|declined), "
    r"(?P<amount>-?[0-9.]+)(?P<currency>(?: [A-Z]{3})?)\Z"
)
_SENT = re.compile(r"`(?P<name>[^`]+)` (?P<kind>order|PARTIALLY REFUNDED|REFUNDED) (?P<amount>[0-9.]+)\Z")


def tables(*columns, text=GUIDE):
    """Return every table of a text that has these columns, each as a list of rows by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        if set(columns) <= set(header):
            found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def json_block(file):
    """Return the content of a file that the guide shows."""
    return json.loads(GUIDE.split(f"`{file}`:\n\n```json\n")[1].split("```")[0], parse_float=Decimal)


def sent(cell):
    """Return the rows that a cell of the column `Sent` lists; none for `nothing, waits`."""
    if cell == "nothing, waits":
        return []
    matches = [_SENT.match(part) for part in cell.split("<br/>")]
    assert all(matches), cell
    return [(match["name"], match["kind"], Decimal(match["amount"])) for match in matches]


@dataclass
class Order:
    """An order at Wicked. Payments are pairs of status and amount."""

    total: Decimal
    payments: list = field(default_factory=list)
    currency: str = ""

    def net(self, reading):
        refunds = [payment for payment in self.payments if payment[0] in (REFUNDED, PARTIALLY_REFUNDED)]
        if reading == "Net by payments":
            approved = sum(amount for status, amount in self.payments if status == APPROVED)
            return approved - sum(amount for _, amount in refunds)
        if REFUNDED in [status for status, _ in refunds]:
            return Decimal(0)
        return self.total - sum(amount for _, amount in refunds)


class Replay:
    """Sends the steps of one example by the rules of revenue."""

    def __init__(self, name):
        self.name = name
        self.sale = SaleState()
        self.orders = {}
        self.dates = []

    def change(self, value, currency, changed_at):
        """Return the rows that a change makes, in the form of the column `Sent`."""
        rows = []
        for step in plan(self.sale, value, currency, SALE_DATE, changed_at):
            self.sale = step.sale
            name = order_name(self.name, step.number)
            if isinstance(step, NewOrder):
                self.orders[name] = Order(step.total, [(APPROVED, step.total)], currency)
                rows.append((name, "order", step.total))
            else:
                self.orders[name].payments.append((step.status, step.amount))
                rows.append((name, step.status, step.amount))
            self.dates.append((name, step.paid_at, *self.orders[name].payments[-1]))
        return rows

    def net(self, reading, currency):
        return sum(order.net(reading) for order in self.orders.values() if order.currency == currency)


def replay(table):
    """Replay an example row by row, comparing what the guide says of rows, gross and both nets."""
    first = next(row for step in table for row in sent(step["Sent"]))
    example = Replay(first[0])
    for step in table:
        value, _, currency = step["Worth"].partition(" ")
        currency = currency or "USD"
        waits = step["Sent"] == "nothing, waits"
        made = [] if waits else example.change(Decimal(value), currency, step.get("When", CHANGE_DATE))
        assert made == sent(step["Sent"]), step
        for reading in READINGS:
            net = example.net(reading, currency)
            assert (net == Decimal(value)) is not waits, step
            assert net == Decimal(step.get(reading, net)), step
            others = {order.currency for order in example.orders.values()} - {currency}
            assert not any(example.net(reading, other) for other in others), step
        gross = sum(order.total for order in example.orders.values())
        assert gross == Decimal(step.get("Gross", gross)), step
    return example


EXAMPLES = tables("Worth", "Sent")


def test_the_guide_has_the_examples():
    assert len(EXAMPLES) == 7


def test_what_wecantrack_shows_is_what_the_sale_is_worth():
    for table in tables("wecantrack shows", "Worth"):
        worth = Decimal(0)
        for step in table:
            shown = _SHOWN.match(step["wecantrack shows"])
            amount = Decimal(shown["amount"]) if shown["status"] != "declined" else Decimal("0.00")
            worth = worth + amount if amount < 0 else amount
            assert step["Worth"] == f"{worth}{shown['currency']}", step


@pytest.mark.parametrize(
    ("heading", "threshold"),
    [("Small changes", "With `smallest_change` 0.50:"), ("CPC rollups", "`cpc_smallest_change` (default 1.00)")],
)
def test_what_waits_is_a_change_below_the_setting(heading, threshold):
    section = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    assert threshold in section
    (table,) = tables("Worth", "Sent", text=section)
    limit = Decimal(re.search(r"[0-9.]+[0-9]", threshold)[0])
    for before, step in pairwise(table):
        what, *_ = step.values()
        change = abs(Decimal(step["Worth"]) - Decimal(before["Net by order"]))
        goes_out = change >= limit or not Decimal(step["Worth"]) or what == "30 days later"
        assert goes_out is not (step["Sent"] == "nothing, waits"), step


@pytest.mark.parametrize("table", EXAMPLES, ids=lambda table: next(iter(table[0].values())))
def test_an_example_is_what_the_rules_send(table):
    replay(table)


def test_the_worked_example_ends_with_the_orders_that_the_guide_shows():
    example = replay(EXAMPLES[0])
    (shown,) = (table for table in tables("Order", "Payments", *READINGS) if "wct-7-A27" in table[0]["Order"])
    assert [row["Order"].strip("`") for row in shown] == list(example.orders)
    for row in shown:
        name = row["Order"].strip("`")
        order = example.orders[name]
        payments = [f"{date} {status} {amount}" for other, date, status, amount in example.dates if other == name]
        assert row["Payments"].split("<br/>") == payments
        assert Decimal(row["OrderTotal"]) == order.total
        assert [Decimal(row[reading]) for reading in READINGS] == [order.net(reading) for reading in READINGS]


def test_the_average_order_value_is_that_of_the_worked_example():
    orders = replay(EXAMPLES[0]).orders.values()
    gross = sum(order.total for order in orders)
    assert f"gross {gross} over {len(orders)} orders is {cents(gross / len(orders))}" in GUIDE


def test_the_four_test_orders_count_as_the_guide_says_under_each_reading():
    orders = {}
    for row in json_block("orders.json"):
        payments = [(payment["Status"], payment["Amount"]) for payment in row["OrderPayments"]]
        orders[row["SourceID"]] = Order(row["OrderTotal"], payments)
    for row in json_block("orderpayments.json"):
        orders[row["OrderID"]].payments.append((row["Status"], row["Amount"]))
    (shown,) = tables("What it tests")
    assert [row["Order"].strip("`") for row in shown] == list(orders)
    for row in shown:
        order = orders[row["Order"].strip("`")]
        assert row["Payments"].split("<br/>") == [f"{status} {amount}" for status, amount in order.payments]
        assert Decimal(row["OrderTotal"]) == order.total
        assert [Decimal(row[reading]) for reading in READINGS] == [order.net(reading) for reading in READINGS]
    _, first, last = (amount for _, amount in orders["nettest-3"].payments)
    _, partial, rest = (amount for _, amount in orders["nettest-4"].payments)
    assert [Decimal(row["Answer"]) for row in tables("Answer")[0]] == [
        *(100 - first - last, 100 - last, 100 - max(first, last)),
        *(100 - partial - rest, 100 - rest, 100 - partial, -partial),
    ]
    answers = {row["Wicked counts"]: (row["`nettest-1`"], row["`nettest-2`"]) for row in tables("Wicked counts")[0]}
    assert answers["by order"] == tuple(row["Net by order"] for row in shown[:2])
    assert answers["by payments"] == tuple(row["Net by payments"] for row in shown[:2])


@pytest.mark.parametrize(
    ("file", "endpoint"),
    [("contacts.json", CONTACTS), ("orders.json", ORDERS), ("orderpayments.json", ORDER_PAYMENTS)],
)
def test_the_four_test_orders_pass_the_checks_of_their_endpoint(file, endpoint):
    for row in json_block(file):
        checker = FieldChecker(endpoint.fields, ignored=endpoint.nested)
        assert checker.check(row).keys() == row.keys() - endpoint.nested.keys()
        assert not checker.unknown
        for name, fields in endpoint.nested.items():
            for nested in row.get(name, []):
                assert FieldChecker(fields).check(nested).keys() == nested.keys()
