"""The simulated outbound API as documented: keys, parameters, records, dates, days, processing."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests

from integration_tests.simulator import SimulatorClient
from integration_tests.support.outbound_reader import DAY, ONE_DAY, ask, click, contact, ids, order, page, payment, post

CLOCK = "2026-04-01T12:00:00"
BAD_REQUEST = {
    "status": "error",
    "message": "There was some problem with your request. You should review the parameters and try again.",
}


@pytest.fixture
def sim(sim: SimulatorClient) -> SimulatorClient:
    sim.switch("outbound.processing", "immediate")
    sim.switch("wicked.join", "email_or_id")
    return sim


def one(sim: SimulatorClient, kind: str) -> dict[str, Any]:
    (row,) = page(sim, kind, **ONE_DAY)["results"]
    return dict(row)


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["contacts", "contacts/ann", "contacts/ann/orders", "clicks"])
def test_an_account_without_the_outbound_api_gets_401_and_may_still_post(sim: SimulatorClient, path: str) -> None:
    sim.key("wicked", "posting-only", "outbound_off")
    reply = ask(sim, path, key="posting-only", **ONE_DAY)
    assert reply.status_code == 401
    assert reply.json() == {"status": "error", "message": "Outbound API not enabled for client."}
    headers = {"apikey": "posting-only"}
    assert requests.post(f"{sim.url}/contacts", json=[contact("ann")], headers=headers, timeout=10).status_code == 200


@pytest.mark.parametrize(("how", "status"), [("forbidden_403", 403), ("unauthorized_401", 401)])
def test_a_wrong_key_is_refused_before_anything_else(sim: SimulatorClient, how: str, status: int) -> None:
    sim.switch("wicked.key_refused", how)
    assert ask(sim, "orders", key="nobody's").status_code == status
    assert sim.outbound.pace()["served"] == 0


# --- parameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["contacts", "orders", "clicks"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"from": DAY},
        {"to": DAY},
        {},
        {"from": "10.03.2026", "to": DAY},
        {"from": "2026-02-30", "to": DAY},
        {"from": f"{DAY}T00:00:00Z", "to": DAY},
        {"from": "2026-03-11", "to": DAY},
        {**ONE_DAY, "limit": 0},
        {**ONE_DAY, "limit": 1001},
        {**ONE_DAY, "limit": "all"},
        {**ONE_DAY, "next": "9c783c753b7db667d9a5c96375514040"},
    ],
)
def test_what_the_vendor_cannot_read_is_a_400_with_its_one_sentence(
    sim: SimulatorClient, kind: str, wrong: dict[str, Any]
) -> None:
    reply = ask(sim, kind, **wrong)
    assert (reply.status_code, reply.json()) == (400, BAD_REQUEST)
    assert len(sim.outbound.pace()["complaints"]) == 1


@pytest.mark.parametrize(
    ("path", "switch", "most"),
    [
        ("clicks", "difference", 30),
        ("clicks", "days_counted", 29),
        ("contacts/ann/clicks", "difference", 180),
        ("contacts/ann/clicks", "days_counted", 179),
    ],
)
def test_clicks_are_given_of_so_many_days_and_no_more(sim: SimulatorClient, path: str, switch: str, most: int) -> None:
    post(sim, "contacts", contact("ann"))
    sim.switch("outbound.range", switch)
    first = date(2026, 3, 1)
    longest, longer = (str(first + timedelta(days=days)) for days in (most, most + 1))
    assert ask(sim, path, from_=first, to=longest).status_code == 200
    assert ask(sim, path, from_=first, to=longer).status_code == 400


def test_orders_and_contacts_have_no_longest_window(sim: SimulatorClient) -> None:
    for path in ("orders", "contacts"):
        assert page(sim, path, from_="2000-01-01", to="2030-01-01")["total"] == 0


def test_a_limit_above_the_greatest_may_be_cut_instead(sim: SimulatorClient) -> None:
    sim.outbound.seed(start=DAY, days=1, contacts=1001)
    sim.switch("outbound.over_limit", "clamp")
    assert len(page(sim, "contacts", **ONE_DAY, limit=5000)["results"]) == 1000
    assert len(page(sim, "contacts", **ONE_DAY)["results"]) == 100


# --- records -----------------------------------------------------------------------------------------------------


def test_an_order_has_its_contact_products_payments_and_attributions(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann", SourceSystem="crm"))
    post(sim, "products", {"SourceSystem": "shop", "SourceID": "p", "ProductName": "Plan", "ProductPrice": "79"})
    post(sim, "clicks", click("ann", f"{DAY} 11:00:00"), click("ann", f"{DAY} 11:30:00", "NEW_LEAD", Campaign="spring"))
    items = [{"OrderItemID": "l", "ProductID": "p", "Qty": 2, "PPU": "39.50"}]
    post(sim, "orders", order("o1", OrderItems=items, SubscriptionID="sub"))
    post(
        sim, "orderpayments", payment("o1", "79.00"), payment("o1", "0.10", "PARTIALLY REFUNDED", "2026-03-12 00:00:00")
    )
    post(sim, "orderpayments", payment("o1", "1", ""), payment("nobody's", "5"))
    shown = one(sim, "orders")
    person = shown.pop("contact")
    assert person == {**person, "sourceId": "ann", "sourceSystem": "crm", "email": "ann@example.com"}
    google = {"source": "google", "medium": "cpc", "campaign": "", "content": "", "term": ""}
    nothing = {"date": "null", **dict.fromkeys(google)}
    lead = {"date": f"{DAY}T07:30:00", **google, "campaign": "spring"}
    assert shown == {
        "id": shown["id"],
        "sourceId": "o1",
        "sourceSystem": "shop",
        "date": f"{DAY}T12:00:00.000Z",
        "attributions": {
            "firstClick": {"date": f"{DAY}T07:00:00", **google},
            "firstOptin": lead,
            "reOptin": nothing,
            "lastClick": lead,
        },
        "products": [{"id": "p", "name": "Plan", "qty": 2, "PPU": 39.5}],
        "payments": [
            {"date": f"{DAY}T08:00:00", "status": "APPROVED", "amount": 79},
            {"date": "2026-03-11T20:00:00", "status": "Partially Refunded", "amount": 0.1},
            {"date": f"{DAY}T08:00:00", "status": "APPROVED", "amount": 1},
        ],
        "amount": 79,
        "currency": "EUR",
        "subscriptionId": "sub",
        "links": {
            "contact": {"href": f"/contacts/{person['id']}"},
            "clicks": {"href": f"/contacts/{person['id']}/clicks"},
        },
    }  # March 10 is summer time already: these are 4 hours behind: the click at 11:00 UTC is at 7:00
    sim.switch("outbound.naive_dates", "utc")
    assert one(sim, "orders")["payments"][1]["date"] == "2026-03-12T00:00:00"


def test_money_is_written_to_the_cent_whatever_its_size(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"))
    post(sim, "orders", order("o1", total="123456789012345.67"))
    assert '"amount":123456789012345.67,' in ask(sim, "orders", **ONE_DAY).text


def test_a_click_has_its_contact_and_the_flags_that_change(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"))
    post(sim, "clicks", click("ann", kind="NEW_LEAD", WickedId="1", WickedSource="fb", Term="a b"))
    first = one(sim, "clicks")
    flags = ("isFirstClick", "isFirstOptin", "isLastClick", "isReOptin")
    assert [first.pop(flag) for flag in flags] == [True, True, True, False]
    assert first == {
        "contactId": first["contactId"],
        "contactSourceId": "ann",
        "date": f"{DAY}T12:00:00.000Z",
        "email": "ann@example.com",
        "source": "shop",
        "utms": {"source": "google", "medium": "cpc", "campaign": "", "content": "", "term": "a b"},
        "wickedid": "1",
        "wickedsource": "fb",
        "trackingUrl": "https://shop.example/?utm_source=google&utm_medium=cpc&utm_term=a+b",
        "links": {"contact": {"href": f"/contacts/{first['contactId']}"}},
    }
    post(sim, "clicks", click("ann", f"{DAY} 13:00:00", kind="NEW_LEAD"))
    older, newer = page(sim, "clicks", **ONE_DAY)["results"]
    assert [older[flag] for flag in flags] == [True, True, False, False]
    assert [newer[flag] for flag in flags] == [False, False, True, True]


def test_a_custom_click_is_at_its_local_time_less_its_offset(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"))
    post(sim, "clicks", click("ann", f"{DAY} 12:00:00", Timezone="UTC-5", TimeOffset=3))
    post(sim, "clicks", click("ann", f"{DAY} 12:00:00", Timezone="EST5EDT"))
    post(sim, "clicks", click("stranger"))
    dates = [row["date"] for row in page(sim, "clicks", **ONE_DAY)["results"]]
    assert dates == [f"{DAY}T16:00:00.000Z", f"{DAY}T16:57:00.000Z"]


@pytest.mark.parametrize(("net", "expected"), [("payments", 86.5), ("orders", 79)])
def test_a_contact_has_its_lifetime_value_and_its_clicks(sim: SimulatorClient, net: str, expected: float) -> None:
    sim.switch("wicked.net", net)
    post(sim, "contacts", contact("ann", FirstName="Ann"))
    bare = one(sim, "contacts")
    assert (bare["LTV"], bare["links"], bare["firstClick"]["date"]) == (0, {}, "null")
    post(sim, "orders", order("o1"), order("o2", at="2026-03-20 00:00:00", total="10"))
    post(sim, "orderpayments", payment("o1", "79"), payment("o2", "10"), payment("o2", "2.5", "REFUNDED"))
    post(sim, "orderpayments", payment("o2", "10", "FAILED"))
    post(sim, "clicks", click("ann"))
    shown = one(sim, "contacts")
    assert shown["LTV"] == expected
    assert shown["firstClick"] == {**shown["firstClick"], "date": f"{DAY}T12:00:00.000Z", "source": "google"}
    assert shown["links"]["orders"] == {"href": f"/contacts/{shown['id']}/orders"}
    assert (shown["firstName"], shown["lastName"], shown["id"]) == ("Ann", None, bare["id"])
    assert shown["urlWicked"].endswith(f"id={shown['id']}")


@pytest.mark.parametrize(("switch", "expected"), [("text", "null"), ("null", None), ("missing", ...)])
def test_a_date_that_is_not_there_is_the_text_null_or_nothing(sim: SimulatorClient, switch: str, expected: Any) -> None:
    post(sim, "contacts", contact("ann"))
    sim.switch("outbound.no_date", switch)
    assert one(sim, "contacts")["reOptin"].get("date", ...) == expected


@pytest.mark.parametrize(("switch", "expected"), [("object", [{}]), ("null", [None]), ("hidden", [])])
def test_an_order_without_a_known_contact_follows_the_switch(
    sim: SimulatorClient, switch: str, expected: list[Any]
) -> None:
    post(sim, "orders", order("o1", of="unknown"))
    sim.switch("outbound.nobody", switch)
    assert [row["contact"] for row in page(sim, "orders", **ONE_DAY)["results"]] == expected


def test_the_contacts_of_one_email_are_one_under_the_documented_rule(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"), contact("other", Email="ANN@example.com", LastName="New"))
    shown = one(sim, "contacts")
    assert (shown["sourceId"], shown["lastName"]) == ("ann", "New")
    assert page(sim, "contacts/other")["result"] == shown
    sim.reset("wicked")
    sim.switch("wicked.known_email", "off")
    post(sim, "contacts", contact("ann"), contact("other", Email="ANN@example.com"))
    assert page(sim, "contacts", **ONE_DAY)["total"] == 2


# --- one contact -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/n?n", "ann%40x", "ä b"])
def test_a_contact_is_found_by_either_id_and_by_email(sim: SimulatorClient, name: str) -> None:
    post(sim, "contacts", contact(name, Email="Ann@Example.com"), contact("ben"))
    post(sim, "orders", order("o1", of=name), order("o2", of="ben"))
    shown = next(row for row in page(sim, "contacts", **ONE_DAY)["results"] if row["sourceId"] == name)
    for called in (shown["id"], name, "ann@example.com"):
        path = f"contacts/{quote(called, safe='')}"
        assert page(sim, path)["result"] == shown
        (own,) = page(sim, f"{path}/orders", **ONE_DAY)["results"]
        assert own["sourceId"] == "o1"
        assert "contact" not in own


def test_a_contact_that_is_not_there_is_a_404_by_its_name(sim: SimulatorClient) -> None:
    reply = ask(sim, "contacts/AB-1234567")
    assert reply.status_code == 404
    assert reply.json() == {"status": "error", "message": "Contact with id AB-1234567 not found."}


@pytest.mark.parametrize(("switch", "status"), [("404", 404), ("400", 400), ("empty", 200)])
@pytest.mark.parametrize("kind", ["clicks", "orders"])
def test_lists_of_an_unknown_contact_follow_the_switch(
    sim: SimulatorClient, kind: str, switch: str, status: int
) -> None:
    sim.switch("outbound.unknown_contact", switch)
    assert ask(sim, f"contacts/nobody/{kind}", **ONE_DAY).status_code == status


def test_only_a_contacts_clicks_may_be_requested_without_dates(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"))
    post(sim, "clicks", click("ann", "2020-01-01 00:00:00"), click("ann"))
    assert page(sim, "contacts/ann/clicks")["total"] == 2
    assert page(sim, "contacts/ann/clicks", **ONE_DAY)["total"] == 1
    assert ask(sim, "contacts/ann/clicks", from_=DAY).status_code == 400
    assert ask(sim, "contacts/ann/orders").status_code == 400


# --- days --------------------------------------------------------------------------------------------------------

EDGES = {
    "before": "2026-03-09 23:59:59",
    "midnight": f"{DAY} 00:00:00",
    "morning": f"{DAY} 03:59:59",
    "after_four": f"{DAY} 04:00:00",
    "last": "2026-03-11 23:59:59",
    "next_midnight": "2026-03-12 00:00:00",
    "next_four": "2026-03-12 04:00:00",
}


@pytest.mark.parametrize(
    ("turned", "expected"),
    [
        ({}, "midnight morning after_four last"),
        ({"outbound.to": "exclusive"}, "midnight morning after_four"),
        (
            {"outbound.to": "at_midnight", "from": DAY, "to": "2026-03-12"},
            "midnight morning after_four last next_midnight",
        ),
        ({"outbound.from": "after_midnight"}, "morning after_four last"),
        ({"outbound.from": "exclusive"}, "last"),
        ({"outbound.day_zone": "eastern"}, "after_four last next_midnight"),
    ],
)
@pytest.mark.parametrize("kind", ["contacts", "orders", "clicks"])
def test_a_window_holds_the_seconds_that_the_switches_say(
    sim: SimulatorClient, kind: str, turned: dict[str, str], expected: str
) -> None:
    for name, value in turned.items():
        if name.startswith("outbound."):
            sim.switch(name, value)
    window = {"from": turned.get("from", DAY), "to": turned.get("to", "2026-03-11")}
    if kind == "contacts":
        post(sim, "contacts", *(contact(name, at) for name, at in EDGES.items()))
    else:
        post(sim, "contacts", contact("ann"))
    if kind == "orders":
        post(sim, "orders", *(order(name, at=at) for name, at in EDGES.items()))
    if kind == "clicks":
        post(sim, "clicks", *(click("ann", at, Term=name) for name, at in EDGES.items()))
    shown = page(sim, kind, **window)["results"]
    assert [row.get("sourceId") or row["utms"]["term"] for row in shown] == expected.split()


# --- what is visible when ----------------------------------------------------------------------------------------


def test_posted_rows_are_visible_after_the_tick_of_the_next_morning(sim: SimulatorClient) -> None:
    sim.switch("outbound.processing", "daily")
    post(sim, "contacts", contact("ann"))
    assert page(sim, "contacts", **ONE_DAY)["total"] == 0
    sim.set_clock("2026-04-02T05:59:59")
    assert page(sim, "contacts", **ONE_DAY)["total"] == 0
    sim.set_clock("2026-04-02T06:00:00")
    assert page(sim, "contacts", **ONE_DAY)["total"] == 1
    post(sim, "contacts", contact("ben"))
    post(sim, "orders", order("o1"))
    post(sim, "orderpayments", payment("o1", "79"))
    assert page(sim, "contacts", **ONE_DAY)["total"] == 1
    assert page(sim, "contacts/ann")["result"]["LTV"] == 0
    assert sim.outbound.process() == {"contacts": 2, "orders": 1, "clicks": 0}
    assert page(sim, "contacts/ann")["result"]["LTV"] == 79


def test_ids_stay_the_same_from_one_tick_to_the_next(sim: SimulatorClient) -> None:
    sim.outbound.seed(start=DAY, days=1, contacts=3, orders=5)
    before = {kind: ids([page(sim, kind, **ONE_DAY)]) for kind in ("contacts", "orders")}
    sim.outbound.seed(start="2026-03-09", days=1, contacts=3, orders=5, system="another", seed=8)
    assert {kind: ids([page(sim, kind, **ONE_DAY)]) for kind in ("contacts", "orders")} == before


def test_an_order_sent_twice_is_one_or_two_by_the_inbound_switch(sim: SimulatorClient) -> None:
    sim.switch("wicked.duplicates", "both_kept")
    post(sim, "contacts", contact("ann"))
    post(sim, "orders", order("o1"), order("o1", total="80"))
    first, second = page(sim, "orders", **ONE_DAY)["results"]
    assert first["id"] != second["id"]
    assert [row["amount"] for row in (first, second)] == [79, 80]
    assert [row["gross"] for row in sim.outbound.truth()] == ["159.00"]


def test_rows_of_the_test_store_never_show(sim: SimulatorClient) -> None:
    headers = {"apikey": sim.wicked_key, "test": "1"}
    assert requests.post(f"{sim.url}/contacts", json=[contact("ann")], headers=headers, timeout=10).status_code == 200
    assert page(sim, "contacts", **ONE_DAY)["total"] == 0
    assert len(sim.wicked_rows("contacts", test=True)) == 1


def test_faults_apply_to_the_outbound_lists_too(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"))
    sim.fault("status_503", "/contacts/*")
    sim.fault("html_200", "/contacts", nth=2)
    assert [ask(sim, "contacts/ann").status_code for _ in range(2)] == [503, 200]
    assert [ask(sim, "contacts", **ONE_DAY).text[:1] for _ in range(2)] == ["{", "<"]
    assert [entry["status"] for entry in sim.requests("/contacts/ann")] == [503, 200]
