"""A changed source system: refused if its orders were sent under another name, or renamed in the ledger by name."""

from __future__ import annotations

import pytest

from integration_tests.test_destination import check, order, payment, record, state, write
from integration_tests.test_guards import (
    SHOP,
    TRANSACTIONS,
    click,
    commission,
    config,
    nets,
    refusal,
    sale,
    shop_order,
    sovrn,
    wecantrack,
)

__all__ = ["config"]

ALL_STATES = state(9, "transactions")


def bigcommerce(**settings):
    return {"type": "bigcommerce", **settings}


def native(**_):
    return {"type": "native"}


def named(system, messages):
    """Return records of `native` with this source system."""
    changed = [{**one["record"]["data"], "SourceSystem": system} for one in messages]
    return [record(one["record"]["stream"], data) for one, data in zip(messages, changed, strict=True)]


def customer(number):
    data = {"id": number, "email": f"c{number}@example.com", "date_created": "2026-01-02T03:04:05Z"}
    return record("customers", data)


SOURCES = {
    "wecantrack": (wecantrack, [sale(number) for number in range(1, 41)], TRANSACTIONS),
    "sovrn": (sovrn, [commission(number) for number in range(1, 41)], TRANSACTIONS),
    "bigcommerce": (
        bigcommerce,
        [customer(7), *(shop_order(number) for number in range(100, 140))],
        ("customers", "orders"),
    ),
    "native": (native, [order(number) for number in range(1, 41)], SHOP),
}


def messages_of(name, system):
    _, messages, streams = SOURCES[name]
    return [*(named(system, messages) if name == "native" else messages), state(9, streams[-1])]


@pytest.mark.parametrize("name", SOURCES)
def test_orders_sent_under_another_name_are_refused_before_anything_is_sent(workspace, simulator, config, name):
    mapping, _, streams = SOURCES[name]

    def run(system, **extra):
        chosen = config(mapping(source_system=system), **extra)
        return write(workspace, chosen, messages_of(name, system), streams=streams)

    assert run("first").code == 0
    sent, held = simulator.stats()["wicked"], simulator.held(orders=True)
    for batch_rows in (1000, 1):
        message = refusal(run("second", batch_rows=batch_rows))
        assert "40 of the first 40 orders of source system `second` are in the ledger" in message
        assert ('set "accept_change" to "source_system: first -> second"' in message) is (name != "native")
        assert simulator.stats()["wicked"] == sent
    accepted = "source_system: first -> second"
    if name == "native":
        assert "whose records name it" in refusal(run("second", accept_change=accepted))
        return
    assert run("second", accept_change=accepted).code == 0
    assert run("second", accept_change=accepted).code == 0, "an accepted change that was made already does no harm"
    assert run("second").code == 0
    assert simulator.stats()["wicked"] == sent, "renaming sends nothing"
    assert 'to "source_system: second -> first"' in refusal(run("first"))
    assert run("first", accept_change="source_system: second -> first").code == 0
    assert simulator.held(orders=True) == held


def test_after_renaming_changes_reach_the_orders_that_wicked_has(workspace, simulator, config):
    def run(system, *messages, accept=""):
        chosen = config(wecantrack(source_system=system), accept_change=accept)
        assert write(workspace, chosen, [*messages, ALL_STATES], streams=TRANSACTIONS).code == 0

    def later(day, **changes):
        return sale(last_wct_update=f"2026-03-{day:02} 10:00:00", **changes)

    run("first", sale(), sale(2))
    run("second", later(3, commission_amount="12.00"), accept="source_system: first -> second")
    assert nets(simulator) == {"USD": ("22.00", "22.00")}
    run("second", later(4, commission_amount="4.00"))
    assert nets(simulator) == {"USD": ("14.00", "14.00")}
    run("first", later(5, commission_amount="5.00"), accept="source_system: second -> first")
    run("first", later(6, status="declined"), sale(2, last_wct_update="2026-03-07 10:00:00", commission_amount="1.00"))
    assert nets(simulator) == {"USD": ("1.00", "1.00")}
    held = simulator.held()
    assert (held["orphan_payments"], held["duplicate_orders"]) == (0, [])


def test_a_return_finds_its_sale_after_renaming(workspace, simulator, config):
    def run(system, *messages, accept=""):
        chosen = config(sovrn(source_system=system), accept_change=accept)
        assert write(workspace, chosen, [*messages, ALL_STATES], streams=TRANSACTIONS).code == 0

    run("first", commission())
    returned = {"revenue_id": "R9", "commission_id": "C9", "publisher_net_revenue": "-4.00"}
    run("second", commission(1, **returned), accept="source_system: first -> second")
    assert nets(simulator) == {"USD": ("6.00", "6.00")}
    assert simulator.held()["orphan_payments"] == 0


def test_rolled_up_clicks_grow_after_renaming(workspace, simulator, config):
    def run(system, *messages, accept=""):
        chosen = config(sovrn(source_system=system, cpc="rollup"), accept_change=accept)
        assert write(workspace, chosen, [*messages, ALL_STATES], streams=TRANSACTIONS).code == 0

    run("first", click(1), click(2))
    run("second", click(3), accept="source_system: first -> second")
    assert nets(simulator) == {"USD": ("15.00", "15.00")}


def test_items_and_refunds_of_a_shop_follow_after_renaming(workspace, simulator, config):
    def run(system, *messages, accept=""):
        chosen = config(bigcommerce(source_system=system), accept_change=accept)
        result = write(workspace, chosen, [*messages, state(9)], streams=("orders", "order_products"))
        assert result.code == 0

    run("first", shop_order())
    item = {"id": 5, "order_id": 100, "product_id": 55, "name": "Kettle", "quantity": 1, "base_price": "120.0000"}
    item |= {"price_inc_tax": "120.0000", "price_ex_tax": "100.0000"}
    refunded = shop_order(refunded_amount="20.0000", date_modified="2026-03-05T10:00:00+00:00")
    run("second", record("order_products", item), refunded, accept="source_system: first -> second")
    assert nets(simulator) == {"EUR": ("100.00", "100.00")}
    assert simulator.held()["orphan_payments"] == 0
    (stored,) = simulator.wicked_rows("orderitems")
    assert (stored["SourceSystem"], stored["OrderID"]) == ("first", "100")


@pytest.mark.parametrize("name", SOURCES)
def test_a_second_shop_or_account_passes_in_spite_of_a_few_equal_orders(workspace, simulator, config, name):
    mapping, _, streams = SOURCES[name]
    others = {
        "wecantrack": [sale(number, user_network_account_id=8) for number in range(1, 38)],
        "sovrn": [commission(number, account_id="99") for number in range(1, 38)],
        "bigcommerce": [
            shop_order(number, date_created="Mon, 02 Feb 2026 09:00:00 +0000") for number in range(103, 140)
        ],
        "native": named("second", [order(number, CreateDate="2026-02-02 10:00:00") for number in range(4, 41)]),
    }
    equal = [one for one in SOURCES[name][1] if one["record"]["stream"] != "customers"][:3]
    equal = named("second", equal) if name == "native" else equal
    assert (
        write(workspace, config(mapping(source_system="first")), messages_of(name, "first"), streams=streams).code == 0
    )
    before = len(simulator.held(orders=True))
    second = [*equal, *others[name], state(9, streams[-1])]
    result = write(workspace, config(mapping(source_system="second")), second, streams=streams)
    assert result.code == 0, result.errors
    assert len(result.states) == 1
    assert len(simulator.held(orders=True)) == before + 40


def test_orders_newer_than_the_last_one_sent_say_nothing(workspace, simulator, config):
    """After a pause, a renamed source delivers a few known orders of its lookback, and many new ones."""
    known = [sale(number) for number in range(1, 5)]
    new = [sale(number, order_date="2100-01-01 10:00:00") for number in range(5, 60)]
    assert write(workspace, config(wecantrack(source_system="first")), known, streams=TRANSACTIONS).code == 0
    result = write(workspace, config(wecantrack(source_system="second")), [*known, *new], streams=TRANSACTIONS)
    assert "4 of the first 4 orders" in refusal(result)
    assert len(simulator.wicked_rows("orders")) == 4


def test_contacts_that_come_before_the_orders_wait_for_them(workspace, simulator, config):
    def messages(system):
        contacts = [
            record("contacts", {"SourceID": f"c{n}", "CreateDate": "2026-03-01 10:00:00", "Email": f"c{n}@example.com"})
            for n in range(1, 4)
        ]
        rows = [*contacts, *(order(n) for n in range(1, 4)), *(payment(n) for n in range(1, 4))]
        return [*named(system, rows[:3]), state(1, "contacts"), *named(system, rows[3:]), state(2)]

    streams = ("contacts", "orders", "order_payments")
    assert write(workspace, config(native()), messages("first"), streams=streams).code == 0
    sent = simulator.stats()["wicked"]
    refusal(write(workspace, config(native()), messages("second"), streams=streams))
    assert simulator.stats()["wicked"] == sent


@pytest.mark.parametrize(
    ("accept", "words"),
    [
        ("source_system: first -> third", "but the mapping has source_system `second`"),
        (
            "source_system: frist -> second",
            "has no rows of source system `frist`: correct or remove it. The",
        ),
    ],
)
def test_a_rename_that_cannot_be_is_refused(workspace, simulator, config, accept, words):
    assert write(workspace, config(wecantrack(source_system="first")), [sale()], streams=TRANSACTIONS).code == 0
    chosen = config(wecantrack(source_system="second"), accept_change=accept)
    assert words in refusal(write(workspace, chosen, [sale()], streams=TRANSACTIONS))
    assert check(workspace, chosen)[0] == "FAILED"
    assert len(simulator.wicked_rows("orders")) == 1


def test_a_source_system_of_another_connection_is_refused_with_and_without_a_rename(workspace, simulator, config):
    def run(system, messages, accept=""):
        chosen = config(wecantrack(source_system=system), accept_change=accept)
        return write(workspace, chosen, [*messages, ALL_STATES], streams=TRANSACTIONS)

    first = [sale(number) for number in range(1, 6)]
    second = [sale(number, user_network_account_id=8) for number in range(1, 6)]
    assert run("first", first).code == 0
    assert run("second", second).code == 0
    assert "has orders of both source systems" in refusal(run("second", first, "source_system: first -> second"))
    assert "5 of the first 5 orders of source system `second` are in the ledger" in refusal(run("second", first))
    assert "The first order of source system `second` is in the ledger" in refusal(run("second", first[:1]))
    assert nets(simulator) == {"USD": ("100.00", "100.00")}
    assert run("third", first, "source_system: first -> third").code == 0
    assert run("second", second).code == 0
    assert run("third", first, "source_system: first -> third").code == 0, "a rename that was made does no harm"
    assert nets(simulator) == {"USD": ("100.00", "100.00")}


def test_a_rename_does_not_hide_another_change(workspace, simulator, config):
    assert write(workspace, config(wecantrack(source_system="first")), [sale()], streams=TRANSACTIONS).code == 0
    chosen = config(wecantrack(source_system="second", currency="euro"), accept_change="source_system: first -> second")
    assert "currency `transaction`" in refusal(write(workspace, chosen, [sale()], streams=TRANSACTIONS))
    assert nets(simulator) == {"USD": ("10.00", "10.00")}
