"""Which contact an order belongs to, by the switch `wicked.join`, and which contact a request for an id finds."""

from __future__ import annotations

import pytest
import requests

IDENTITY = r"sub_ids.*:^(?P<contact_id>U[0-9]+)-"


def post(simulator, path, *rows):
    response = requests.post(f"{simulator.url}{path}", json=list(rows), headers={"apikey": simulator.wicked_key})
    assert response.status_code == 200, response.text


def contact(system, source_id, email):
    created = "2026-03-01 10:00:00"
    return {"SourceSystem": system, "SourceID": source_id, "CreateDate": created, "Email": email}


def order(name, **buyer):
    return {
        "SourceSystem": "wecantrack",
        "SourceID": name,
        "CreateDate": "2026-03-02 10:00:00",
        "OrderTotal": 5,
        "ContactID": "",
        "ContactEmail": "",
        **buyer,
    }


@pytest.mark.parametrize(("join", "alone"), [("email", ""), ("email_or_id", "ann@example.com")])
def test_an_order_with_an_id_alone_finds_its_contact_only_if_ids_join(simulator, join, alone):
    simulator.switch("wicked.join", join)
    simulator.upsert([{"transaction_id": "T1", "user_network_account_id": 101, "sub_ids": {"a": "U1-x"}}])
    post(simulator, "/contacts", contact("crm", "U1", "ann@example.com"), contact("shop", "U1", "bob@example.com"))
    post(
        simulator,
        "/orders",
        order("wct-101-T1", ContactID="U1"),
        order("wct-101-T1~2", ContactID="U1", ContactEmail="ANN@example.com"),
        order("wct-101-T1~3", ContactID="U1", ContactEmail="bob@example.com"),
    )
    assert simulator.persons("crm", IDENTITY) == {
        "wct-101-T1": {"has": alone, "should": "ann@example.com"},
        "wct-101-T1~2": {"has": "ann@example.com", "should": "ann@example.com"},
        "wct-101-T1~3": {"has": "bob@example.com", "should": "ann@example.com"},
    }
    simulator.outbound.process()
    joined = {row["sourceId"]: row["contact"].get("email", "") for row in simulator.outbound.rows("orders")}
    assert joined["wct-101-T1"] == alone


def test_an_id_that_is_a_wicked_id_finds_that_contact(simulator):
    post(simulator, "/contacts", contact("crm", "1", "ann@example.com"))
    simulator.outbound.process()
    (ann,) = simulator.outbound.rows("contacts")
    post(simulator, "/contacts", contact("crm", ann["id"], "bob@example.com"))
    simulator.outbound.process()
    response = requests.get(f"{simulator.url}/contacts/{ann['id']}", headers={"apikey": simulator.wicked_key})
    assert (response.json()["result"]["sourceId"], response.json()["result"]["email"]) == ("1", "ann@example.com")
