"""Orders of an unknown source system are held until they were compared with what was sent under other names."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import pytest
from builders.destination import make_row
from destination_wicked_reports.config.changes import SettingChange, parse_change
from destination_wicked_reports.delivery.source_systems import SourceSystemGuard
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.outbox import Batch

FIELDS = {"CreateDate": "2026-01-01 10:00:00", "OrderTotal": 10}


def named(row, system):
    """Return a row under another source system."""
    body = row.body.replace(b'"shop"', f'"{system}"'.encode(), 1)
    key, digest = row.key.replace("shop", system, 1), blake2b(body, digest_size=16).digest()
    return replace(row, key=key, body=body, digest=digest)


@pytest.fixture
def guard(ledger):
    """A guard of a ledger that has 40 orders of `shop`."""
    rows = [make_row(number=number, **FIELDS) for number in range(40)]
    batch = Batch("orders", rows)
    ledger.begin(batch)
    ledger.commit(batch, rows)
    ledger.is_new = False
    return SourceSystemGuard(ledger)


def orders(system, numbers, **fields):
    return [named(make_row(number=n, sequence=n + 1, **(FIELDS | fields)), system) for n in numbers]


def test_a_known_source_system_is_not_held(guard):
    rows = orders("shop", range(3))
    assert guard.admit(rows, ()) == rows
    assert guard.oldest() == float("inf")


def test_orders_that_were_sent_under_another_name_are_refused_at_the_end(guard):
    assert guard.admit(orders("new", range(20)), ()) == []
    assert guard.oldest() == 1, "no STATE leaves"
    with pytest.raises(ConfigurationError, match="20 of the first 20 orders of source system `new`"):
        guard.release()


@pytest.mark.parametrize(("same", "others", "refused"), [(2, 8, False), (3, 17, False), (3, 12, True), (1, 1, True)])
def test_a_few_equal_orders_pass_and_a_clear_share_does_not(guard, same, others, refused):
    rows = orders("new", range(same)) + orders("new", range(40, 40 + others))
    guard.admit(rows, ())
    if refused:
        with pytest.raises(ConfigurationError):
            guard.release()
    else:
        assert guard.release() == rows


def test_equal_ids_with_another_date_or_total_pass(guard):
    rows = [*orders("new", range(10), OrderTotal=11), *orders("new", range(10, 20), CreateDate="2026-01-02 10:00:00")]
    guard.admit(rows, ())
    assert guard.release() == rows


def test_a_hundred_orders_end_the_comparison_and_later_rows_are_not_held(guard):
    rows = orders("new", range(40, 141))
    assert guard.admit(rows, ()) == rows
    assert guard.admit(rows[:1], ()) == rows[:1]


def accept(ledger, rows):
    batch = Batch("orders", rows)
    ledger.begin(batch)
    ledger.commit(batch, rows)


def test_new_orders_of_a_known_source_system_are_compared_as_they_come(guard, ledger):
    accept(ledger, orders("known", range(50, 53)))
    sent_before, other = orders("known", range(50, 53)), orders("known", range(60, 70))
    assert guard.admit(sent_before + other, ()) == sent_before + other, "nothing is held"
    with pytest.raises(ConfigurationError) as raised:
        guard.admit(orders("known", range(1)), ())
    assert "The first order of source system `known` is in the ledger as sent under source system `shop`" in str(
        raised.value
    )
    assert "accept_change" not in str(raised.value), "both names have orders, so neither can be renamed"


def test_a_hundred_new_orders_of_a_known_source_system_end_the_comparison(guard, ledger):
    accept(ledger, orders("known", range(50, 51)))
    guard.admit(orders("known", range(60, 160)), ())
    rows = orders("known", range(1))
    assert guard.admit(rows, ()) == rows


@pytest.mark.parametrize("text", ["a: b -> c", " a :b->c ", "a: b\t->  c"])
def test_a_change_is_read_in_any_spacing(text):
    assert parse_change(text) == SettingChange("a", "b", "c")
