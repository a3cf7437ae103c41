"""The simulated inbound API as documented: fields, limits, responses, duplicates, the test store."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from integration_tests.simulator import SimulatorClient

AT = "2026-02-01 10:00:00"
GOOD: dict[str, dict[str, Any]] = {
    "contacts": {"SourceSystem": "shop", "SourceID": "c1", "CreateDate": AT, "Email": "one@example.com"},
    "orders": {
        "SourceSystem": "shop", "SourceID": "o1", "CreateDate": AT, "ContactID": "", "ContactEmail": "one@example.com",
        "OrderTotal": 12.5, "OrderCurrency": "EUR",
        "OrderItems": [{"OrderItemID": "l1", "ProductID": "", "Qty": 1, "PPU": "12.50"}],
        "OrderPayments": [{"PaymentDate": AT, "Amount": "12.50", "Status": "APPROVED"}],
    },
    "orderitems": {"SourceSystem": "shop", "OrderID": "o1", "SourceID": "l2", "ProductID": "p", "Qty": 0, "PPU": 0},
    "orderpayments": {"SourceSystem": "shop", "OrderID": "o1", "PaymentDate": AT, "Amount": 1.25, "Status": "REFUNDED"},
    "products": {"SourceSystem": "shop", "SourceID": "p", "ProductName": "Thing", "ProductPrice": 0},
    "marketing": {"Date_Time": AT, "Clicks": 3, "Cost": "0.55", "AdId": "a", "AccountId": "b"},
    "clicks": {"Email": "one@example.com", "Date_Time": AT, "Timezone": "UTC", "ConversionType": "NEW_LEAD"},
}  # fmt: skip


def post(sim: SimulatorClient, endpoint: str, rows: Any, **headers: str) -> requests.Response:
    body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    sent = {"apikey": sim.wicked_key, "Content-Type": "application/json", **headers}
    return requests.post(f"{sim.url}/{endpoint}", data=body, headers=sent, timeout=30)


def good(endpoint: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD[endpoint], **changes}.items() if value is not ...}


def refusal(sim: SimulatorClient, endpoint: str, **changes: Any) -> str | None:
    reply = post(sim, endpoint, [good(endpoint, **changes)])
    assert reply.status_code == 200
    errors = reply.json()["errors"]
    return errors[0]["error"] if errors else None


@pytest.mark.parametrize("endpoint", GOOD)
def test_a_good_row_is_stored_and_the_reply_counts_it(sim: SimulatorClient, endpoint: str) -> None:
    reply = post(sim, endpoint, [GOOD[endpoint]])
    assert reply.status_code == 200
    assert "Successfully" in reply.json()["success"]
    assert (reply.json()["records"], reply.json()["totalRecords"], reply.json()["errors"]) == (1, 1, [])
    stored = sim.wicked_rows(endpoint)[0]
    for name, value in GOOD[endpoint].items():
        assert isinstance(value, list) or str(stored[name]) == str(value)


@pytest.mark.parametrize("endpoint", GOOD)
def test_every_required_field_is_required(sim: SimulatorClient, endpoint: str) -> None:
    optional = {"OrderCurrency", "OrderItems", "OrderPayments", "ContactID", "ContactEmail"}
    for name in GOOD[endpoint].keys() - optional:
        assert refusal(sim, endpoint, **{name: ...}) == f"{name} is missing"
        if name not in ("Status", "ProductID"):
            assert refusal(sim, endpoint, **{name: ""}) == f"{name} is empty"
            assert refusal(sim, endpoint, **{name: None}) == f"{name} is empty"
    assert refusal(sim, endpoint) is None


@pytest.mark.parametrize(
    ("endpoint", "name", "value"),
    [
        ("contacts", "SourceSystem", "s" * 256),
        ("contacts", "SourceID", "s" * 501),
        ("contacts", "SourceID", 7),
        ("contacts", "SourceID", "0"),
        ("contacts", "SourceID", "  "),
        ("contacts", "CreateDate", "2026-02-01"),
        ("contacts", "CreateDate", "2026-02-01T10:00:00"),
        ("contacts", "CreateDate", "2026-02-01 10:00:00.5"),
        ("contacts", "CreateDate", "2026-02-30 10:00:00"),
        ("contacts", "Email", "nobody"),
        ("contacts", "FirstName", "n" * 501),
        ("contacts", "City", 5),
        ("orders", "OrderTotal", "12,50"),
        ("orders", "OrderTotal", True),
        ("orders", "OrderTotal", "1234567890123456.78"),
        ("orders", "OrderCurrency", "euro"),
        ("orders", "OrderItems", {}),
        ("orders", "OrderItems", ["line"]),
        ("orders", "OrderItems", [{"SourceID": "l1", "ProductID": "", "Qty": 1, "PPU": 1}]),
        ("orders", "OrderPayments", [{"PaymentDate": AT, "Amount": -1, "Status": "REFUNDED"}]),
        ("orders", "OrderPayments", [{"PaymentDate": AT, "Amount": 1}]),
        ("orderitems", "Qty", 1.0),
        ("orderitems", "Qty", True),
        ("orderitems", "PPU", "free"),
        ("orderpayments", "Amount", -0.01),
        ("orderpayments", "Status", "S" * 501),
        ("products", "ProductName", "   "),
        ("products", "ProductPrice", "x"),
        ("marketing", "Cost", -1),
        ("marketing", "Clicks", "1.5"),
        ("marketing", "Campaign", ""),
        ("clicks", "Timezone", "Europe/Berlin"),
        ("clicks", "ConversionType", "C" * 51),
        ("clicks", "Email", "e" * 250 + "@example.com"),
        ("clicks", "WickedId", "w" * 101),
        ("clicks", "IP_Address", ""),
    ],
)
def test_a_wrong_value_is_a_row_error_that_names_its_field(
    sim: SimulatorClient, endpoint: str, name: str, value: Any
) -> None:
    error = refusal(sim, endpoint, **{name: value})
    assert error is not None
    assert error.startswith(name)
    assert sim.wicked_rows(endpoint) == []


@pytest.mark.parametrize(
    ("endpoint", "name", "value"),
    [
        ("orders", "OrderTotal", 0),
        ("orders", "OrderTotal", "-3.5"),
        ("orders", "OrderItems", None),
        ("orders", "City", None),
        ("orders", "Unknown", {"what": "ever"}),
        ("orderitems", "Qty", "2"),
        ("orderitems", "ProductID", None),
        ("orderpayments", "Status", ""),
        ("orderpayments", "Status", "SOMETHING NEW"),
        ("clicks", "TimeOffset", -2),
        ("marketing", "Term", ...),
    ],
)
def test_what_the_documents_allow_is_taken(sim: SimulatorClient, endpoint: str, name: str, value: Any) -> None:
    assert refusal(sim, endpoint, **{name: value}) is None


def test_an_order_needs_one_of_the_two_contact_keys(sim: SimulatorClient) -> None:
    assert refusal(sim, "orders", ContactEmail="") == "ContactID or ContactEmail must have a value"
    assert refusal(sim, "orders", ContactEmail=..., ContactID="c9") is None
    sim.switch("wicked.contact_keys", "both_present")
    assert refusal(sim, "orders", ContactEmail=..., ContactID="c9") == "ContactID and ContactEmail must both be present"


def test_lenient_readings_can_be_switched_on(sim: SimulatorClient) -> None:
    sim.switch("wicked.ids", "lenient")
    assert refusal(sim, "contacts", SourceID=7) is None
    assert refusal(sim, "contacts", SourceID="0") is None
    sim.switch("wicked.email", "unchecked")
    assert refusal(sim, "contacts", Email="nobody") is None


def test_one_invalid_row_is_refused_alone_or_with_its_request(sim: SimulatorClient) -> None:
    rows = [good("contacts", SourceID="a"), good("contacts", CreateDate="soon"), good("contacts", SourceID="b")]
    reply = post(sim, "contacts", rows).json()
    assert (reply["records"], reply["totalRecords"]) == (2, 3)
    assert reply["errors"] == [{"error": "CreateDate must be a date as YYYY-MM-DD HH:MM:SS", "item": rows[1]}]
    assert [row["SourceID"] for row in sim.wicked_rows("contacts")] == ["a", "b"]
    sim.reset("wicked")
    sim.switch("wicked.bad_row", "whole_request")
    refused = post(sim, "contacts", rows)
    assert refused.status_code == 400
    assert len(refused.json()["errors"]) == 1
    assert sim.wicked_rows("contacts") == []


def test_the_short_reply_still_names_refused_rows(sim: SimulatorClient) -> None:
    sim.switch("wicked.success_reply", "success_only")
    assert list(post(sim, "contacts", [GOOD["contacts"]]).json()) == ["success"]
    assert len(post(sim, "contacts", [{}]).json()["errors"]) == 1


@pytest.mark.parametrize(
    ("how", "status", "body"),
    [
        ("forbidden_403", 403, {"message": "Forbidden"}),
        ("unauthorized_401", 401, {"status": "error", "message": "Unauthorized"}),
        ("plan_403", 403, {"status": "error", "message": "Inbound API not enabled for client."}),
    ],
)
def test_a_bad_key_is_refused_in_three_ways(sim: SimulatorClient, how: str, status: int, body: Any) -> None:
    sim.switch("wicked.key_refused", how)
    for key in ("", "wrong"):
        reply = post(sim, "contacts", [GOOD["contacts"]], apikey=key)
        assert (reply.status_code, reply.json()) == (status, body)
    assert requests.get(f"{sim.url}/latest", timeout=10).status_code == status
    assert sim.wicked_rows("contacts") == []


@pytest.mark.parametrize(
    ("policy", "names", "orders"),
    [("first_kept", ["1.00"], 1), ("last_wins", ["2.00"], 1), ("both_kept", ["1.00", "2.00"], 2)],
)
def test_a_repeated_key_is_counted_whatever_becomes_of_it(
    sim: SimulatorClient, policy: str, names: list[str], orders: int
) -> None:
    sim.switch("wicked.duplicates", policy)
    payments = [[{"PaymentDate": AT, "Amount": total, "Status": "APPROVED"}] for total in ("1.00", "2.00")]
    for total, payment in zip(("1.00", "2.00"), payments, strict=True):
        assert post(sim, "orders", [good("orders", OrderTotal=total, OrderPayments=payment)]).status_code == 200
    assert [row["OrderTotal"] for row in sim.wicked_rows("orders")] == names
    assert [row["Amount"] for row in sim.wicked_rows("orderpayments")] == names
    stats = sim.stats()["wicked"]
    assert (stats["orders.received"], stats["orders.duplicates"], stats["orders.stored"]) == (2, 1, orders)
    assert sim.held()["duplicate_orders"] == ["shop/o1"]
    assert sim.stats()["wicked_repeated"] == {"orders": {"shop/o1": 1}}


@pytest.mark.parametrize("endpoint", ["orderpayments", "clicks", "marketing"])
def test_rows_without_an_id_are_stored_again_or_collapse(sim: SimulatorClient, endpoint: str) -> None:
    post(sim, endpoint, [GOOD[endpoint]])
    post(sim, endpoint, [GOOD[endpoint]])
    assert len(sim.wicked_rows(endpoint)) == 2
    assert sim.stats()["wicked"][f"{endpoint}.duplicates"] == 1
    sim.reset("wicked")
    sim.switch("wicked.payments_repeated", "collapse")
    post(sim, endpoint, [GOOD[endpoint]])
    post(sim, endpoint, [GOOD[endpoint]])
    assert len(sim.wicked_rows(endpoint)) == 1


def test_an_order_brings_its_contact_along_or_is_refused(sim: SimulatorClient) -> None:
    post(sim, "orders", [GOOD["orders"]])
    assert sim.wicked_rows("contacts")[0]["Email"] == "one@example.com"
    assert sim.stats()["wicked"]["orders.unknown_contact"] == 1
    sim.reset("wicked")
    sim.switch("wicked.unknown_contact", "reject")
    assert refusal(sim, "orders") == "ContactID does not exist"
    post(sim, "contacts", [GOOD["contacts"]])
    assert refusal(sim, "orders") is None
    assert refusal(sim, "orders", SourceID="o2", ContactEmail="", ContactID="c1") is None


@pytest.mark.parametrize("endpoint", ["orderitems", "orderpayments"])
def test_a_payment_or_item_without_its_order_is_an_orphan_or_an_error(sim: SimulatorClient, endpoint: str) -> None:
    assert refusal(sim, endpoint) is None
    assert sim.stats()["wicked"][f"{endpoint}.orphans"] == 1
    sim.switch("wicked.unknown_order", "row_error")
    assert refusal(sim, endpoint) == "OrderID does not exist"
    post(sim, "orders", [GOOD["orders"]])
    assert refusal(sim, endpoint) is None
    assert refusal(sim, endpoint, SourceSystem="other") == "OrderID does not exist"


def test_a_contact_with_a_known_email_updates_the_names(sim: SimulatorClient) -> None:
    post(sim, "contacts", [good("contacts", FirstName="Old")])
    post(sim, "contacts", [good("contacts", SourceID="c2", FirstName="New", Email="ONE@example.com")])
    assert sim.wicked_rows("contacts")[0]["FirstName"] == "New"
    sim.switch("wicked.known_email", "off")
    post(sim, "contacts", [good("contacts", SourceID="c3", FirstName="Newer")])
    assert sim.wicked_rows("contacts")[1]["FirstName"] == "New"


def test_the_number_of_rows_is_limited(sim: SimulatorClient) -> None:
    rows = [good("contacts", SourceID=f"c{number}") for number in range(1001)]
    assert post(sim, "contacts", rows[:1000]).json()["records"] == 1000
    assert post(sim, "contacts", rows).status_code == 400
    assert post(sim, "contacts", []).status_code == 400
    sim.switch("wicked.row_count", "413")
    assert post(sim, "contacts", rows).status_code == 413


def test_the_bytes_of_a_body_are_limited(sim: SimulatorClient) -> None:
    body = json.dumps([GOOD["contacts"]]).encode()
    assert post(sim, "contacts", body + b" " * (10_000_000 - len(body))).status_code == 200
    assert post(sim, "contacts", body + b" " * (10_000_001 - len(body))).status_code == 413
    sim.switch("wicked.body_size", "400")
    assert post(sim, "contacts", body + b" " * (10_000_001 - len(body))).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[NaN]", b'"text"', b"\xff"])
def test_a_body_that_is_no_array_is_refused(sim: SimulatorClient, body: bytes) -> None:
    assert post(sim, "contacts", body).status_code == 400


def test_a_bare_object_and_another_content_type_are_refused(sim: SimulatorClient) -> None:
    assert post(sim, "contacts", GOOD["contacts"]).status_code == 400
    assert post(sim, "contacts", [GOOD["contacts"]], **{"Content-Type": "text/plain"}).status_code == 415
    sim.switch("wicked.bare_object", "accept")
    assert post(sim, "contacts", GOOD["contacts"]).status_code == 200


def test_test_rows_go_to_a_store_of_their_own(sim: SimulatorClient) -> None:
    post(sim, "orders", [GOOD["orders"]], test="1")
    assert sim.wicked_rows("orders") == []
    assert len(sim.wicked_rows("orders", test=True)) == 1
    assert sim.held()["table"] == []
    assert sim.held(test=True)["table"][0]["gross"] == "12.50"
    assert post(sim, "orders", [GOOD["orders"]], test="yes").status_code == 400


def test_latest_returns_the_newest_row_a_maximum_or_a_count(sim: SimulatorClient) -> None:
    def latest(**query: Any) -> Any:
        return requests.get(f"{sim.url}/latest", params=query, headers={"apikey": sim.wicked_key}, timeout=10).json()

    assert latest(sourcesystem="shop", datatype="contacts") == []
    for number, at in ((9, "2026-02-02 00:00:00"), (10, AT)):
        post(sim, "contacts", [good("contacts", SourceID=str(number), CreateDate=at, Email=f"{number}@example.com")])
    assert latest(sourcesystem="shop", datatype="contacts")["SourceID"] == "9"
    assert latest(sourcesystem="shop", datatype="contacts", sortby="CreateDate", order="asc")["SourceID"] == "10"
    assert latest(sourcesystem="shop", datatype="contacts", Email="10@example.com")["SourceID"] == "10"
    assert latest(sourcesystem="shop", datatype="contacts", max="SourceID") == {"SourceID": "9"}
    sim.switch("wicked.latest_max", "numeric")
    assert latest(sourcesystem="shop", datatype="contacts", max="SourceID") == {"SourceID": "10"}
    assert latest(sourcesystem="sh", datatype="contacts") == []
    assert latest(sourcesystem="sh", datatype="contacts", like="1")["SourceID"] == "9"
    assert latest(sourcesystem="shop", datatype="contacts", offset="1") == {
        "offset": 2, "sourceSystem": "shop", "dataType": "contacts"
    }  # fmt: skip
    post(sim, "orders", [GOOD["orders"]])
    assert latest(sourcesystem="shop", datatype="payments", offset="1")["offset"] == 1
    assert latest(sourcesystem="shop", datatype="orderpayments")["status"] == "error"


def test_every_request_is_in_the_log_with_its_rows_and_without_its_key(sim: SimulatorClient) -> None:
    post(sim, "contacts", [GOOD["contacts"]])
    post(sim, "orders", [{}], test="1")
    first, second = sim.requests(rows=True)
    assert (first["method"], first["path"], first["status"]) == ("POST", "/contacts", 200)
    assert first["rows"] == [GOOD["contacts"]]
    assert first["at"] == "2026-04-01T00:00:00Z"
    assert second["headers"]["test"] == "1"
    assert sim.wicked_key not in json.dumps([first, second])
    assert [entry["number"] for entry in sim.requests("/orders", since=1)] == [2]
    assert sim.stats()["requests"]["by_path"] == {"POST /contacts": 1, "POST /orders": 1}
    assert sim.stats()["wicked_test"]["orders.rejected"] == 1


def test_misspelt_fields_are_tolerated_but_counted(sim: SimulatorClient) -> None:
    assert refusal(sim, "clicks", TimeOffSet=3) is None
    assert sim.stats()["wicked"]["clicks.unknown_fields"] == 1
