"""The health report: each check passes on good rows and fails on the slip that it is for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from builders.destination import make_row
from destination_wicked_reports.delivery.closing import health_lines
from destination_wicked_reports.delivery.health import FEWEST_ORDERS, MOST_PRODUCTS, Health
from destination_wicked_reports.model import Row


def order(number: int, **fields: Any) -> Row:
    good = {
        "ContactEmail": f"p{number}@shop.com",
        "CreateDate": f"2026-05-01 10:00:{number % 60:02}",
        "IP_Address": f"10.0.0.{number}",
        "SubscriptionID": f"s{number}",
        "OrderItems": [{"ProductID": "p1"}],
        **fields,
    }
    return make_row("orders", number, **{name: value for name, value in good.items() if value is not None})


def report(
    *rows: Row, products: tuple[str, ...] = ("shop\x1fp1",), changed: int = 0, test_mode: bool = False
) -> dict[str, bool]:
    health = Health(test_mode=test_mode)
    for row in rows:
        health.add(row.endpoint, [row])
    return {
        check.name: check.passed
        for check in health.checks(changed, lambda endpoint, keys: {key: b"" for key in keys if key in products})
    }


GOOD = [order(number) for number in range(FEWEST_ORDERS)]


def test_good_rows_pass_every_check() -> None:
    assert report(*GOOD) == {
        "e-mail addresses": True,
        "people": True,
        "dates": True,
        "ids": True,
        "IP addresses": True,
        "subscriptions": True,
        "products": True,
        "test addresses": True,
    }


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("e-mail addresses", {"ContactEmail": None, "ContactID": "U1"}),
        ("people", {"ContactEmail": "same@shop.com"}),
        ("dates", {"CreateDate": "2026-05-01 00:00:00"}),
        ("dates", {"CreateDate": "9999-05-01 10:00:00"}),
        ("IP addresses", {"IP_Address": "10.0.0.1"}),
        ("subscriptions", {"SubscriptionID": "s"}),
        ("products", {"OrderItems": [{"ProductID": "p2"}]}),
        ("test addresses", {"ContactEmail": "ann@example.com"}),
        ("test addresses", {"ContactEmail": "Test1@shop.com"}),
    ],
)
def test_each_slip_fails_its_check(name: str, fields: dict[str, Any]) -> None:
    found = report(*[order(number, **fields) for number in range(FEWEST_ORDERS)])
    assert found[name] is False


def test_an_order_that_came_again_with_other_content_fails_the_check_of_ids() -> None:
    assert report(changed=1) == {"ids": False}


def test_one_person_with_several_orders_may_share_everything() -> None:
    fields = {"ContactEmail": "ann@shop.com", "IP_Address": "10.0.0.1", "SubscriptionID": "s"}
    found = report(*[order(number, **fields) for number in range(FEWEST_ORDERS - 1)])
    assert [found[name] for name in ("IP addresses", "subscriptions", "people")] == [True] * 3


def test_synthetic_addresses_are_no_test_addresses_and_test_mode_allows_them() -> None:
    assert report(order(1, ContactEmail="c@sovrn.invalid"))["test addresses"] is True
    assert "test addresses" not in report(order(1, ContactEmail="ann@example.com"), test_mode=True)


def test_contacts_and_items_that_arrive_alone_are_looked_at() -> None:
    contact = make_row("contacts", 1, Email="ann@example.com")
    item = make_row("order_items", 1, ProductID="p9")
    assert report(contact, item) == {"products": False, "test addresses": False}


def test_a_run_that_sent_nothing_has_no_report() -> None:
    assert report() == {}


def test_memory_is_bounded() -> None:
    health = Health()
    for number in range(3 * MOST_PRODUCTS):
        health.add("orders", [order(number, OrderItems=[{"ProductID": str(number)}], IP_Address="10.0.0.1")])
    kept = [len(health._products), len(health._buyers), len(health._ip._people), len(health._subscription._people)]
    assert max(kept) == MOST_PRODUCTS
    assert kept[1:] == [3, 3, 1]


def test_the_log_has_one_line_for_what_passed_and_one_for_each_failure() -> None:
    health = Health()
    for number in range(3):
        health.add("orders", [order(number, IP_Address="10.0.0.1")])
    checks = [
        {"name": check.name, "passed": check.passed, "detail": check.detail}
        for check in health.checks(0, lambda endpoint, keys: dict.fromkeys(keys))
    ]
    lines = [text for _, text in health_lines(checks)]
    assert lines[0].startswith("Health: 7 of 8 checks passed: e-mail addresses, people, ")
    assert lines[1:] == [
        "Health: IP addresses: all people have the same IP address, probably that of a server: send the buyer's, or "
        "leave it out."
    ]
    assert "10.0.0.1" not in orjson.dumps(checks).decode()
    assert list(health_lines([])) == []
