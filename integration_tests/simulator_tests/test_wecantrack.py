"""The simulated wecantrack API as documented: keys, parameters, paginator, filters, throttle."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from integration_tests.simulator import SimulatorClient

PATH = "/api/v3/transactions"
WINDOW = {"date_type": "last_wct_update", "start_date": "2026-01-01T00:00:00", "end_date": "2026-03-31T23:59:59"}


def get(sim: SimulatorClient, path: str = PATH, params: Any = None, **headers: str) -> requests.Response:
    sent = {"X-API-Key": sim.wecantrack_key, "Accept": "application/json", **headers}
    sent = {name: value for name, value in sent.items() if value}
    return requests.get(sim.url + path, params=params, headers=sent, timeout=10, allow_redirects=False)


def row(number: int, at: str, **fields: Any) -> dict[str, Any]:
    return {"user_network_account_id": 101, "transaction_id": f"T{number}", "last_wct_update": at, **fields}


def fill(sim: SimulatorClient, count: int, at: str = "2026-02-01 10:00:00") -> None:
    sim.upsert([row(number, at, commission_amount="1.10") for number in range(count)])


def test_a_key_is_taken_from_the_header_or_the_query(sim: SimulatorClient) -> None:
    assert get(sim, params=WINDOW).status_code == 200
    assert get(sim, params={**WINDOW, "api_key": sim.wecantrack_key}, **{"X-API-Key": ""}).status_code == 200
    sim.switch("wecantrack.key_in", "header_only")
    assert get(sim, params={**WINDOW, "api_key": sim.wecantrack_key}, **{"X-API-Key": ""}).status_code == 401


@pytest.mark.parametrize(
    ("body", "expected"), [("error", {"error": "Unauthorised"}), ("laravel", {"message": "Unauthenticated."})]
)
def test_a_bad_key_is_refused_with_either_body(sim: SimulatorClient, body: str, expected: dict[str, str]) -> None:
    sim.switch("wecantrack.unauthorised_body", body)
    for key in ("wrong", ""):
        reply = get(sim, params=WINDOW, **{"X-API-Key": key})
        assert (reply.status_code, reply.json()) == (401, expected)


def test_a_key_without_the_plan_is_forbidden_and_a_forgotten_one_unknown(sim: SimulatorClient) -> None:
    sim.key("wecantrack", "second-key", "plan_off")
    assert get(sim, params=WINDOW, **{"X-API-Key": "second-key"}).status_code == 403
    sim.key("wecantrack", "second-key")
    assert get(sim, params=WINDOW, **{"X-API-Key": "second-key"}).status_code == 200
    sim.key("wecantrack", "second-key", "unknown")
    assert get(sim, params=WINDOW, **{"X-API-Key": "second-key"}).status_code == 401


def test_the_key_is_echoed_in_page_urls_only_when_it_came_by_query(sim: SimulatorClient) -> None:
    assert sim.wecantrack_key not in get(sim, params=WINDOW).text
    assert sim.wecantrack_key in get(sim, params={**WINDOW, "api_key": sim.wecantrack_key}).json()["first_page_url"]


def test_missing_parameters_are_counted_as_by_laravel(sim: SimulatorClient) -> None:
    reply = get(sim)
    assert reply.status_code == 422
    assert reply.json()["message"] == "The date type field is required. (and 2 more errors)"
    assert set(reply.json()["errors"]) == {"date_type", "start_date", "end_date"}


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("date_type", "created", "date_type"),
        ("start_date", "2026-01-01", "start_date"),
        ("start_date", "2026-01-01 00:00:00", "start_date"),
        ("start_date", "2026-01-01T00:00:00Z", "start_date"),
        ("start_date", "2026-02-30T00:00:00", "start_date"),
        ("end_date", "2025-12-31T00:00:00", "end_date"),
        ("status[]", "paid", "status.0"),
        ("status", "pending", "status"),
        ("network_account_id", "abc", "network_account_id"),
        ("network_account_tags", "main", "network_account_tags"),
        ("website_id", "1.5", "website_id"),
        ("limit", "0", "limit"),
    ],
)
def test_a_wrong_parameter_is_named(sim: SimulatorClient, name: str, value: str, where: str) -> None:
    reply = get(sim, params={**WINDOW, name: value})
    assert reply.status_code == 422
    assert list(reply.json()["errors"]) == [where]


def test_a_wrong_parameter_without_json_accept_is_a_redirect_to_html(sim: SimulatorClient) -> None:
    reply = get(sim, params={"date_type": "x"}, Accept="*/*")
    assert reply.status_code == 302
    page = requests.get(reply.headers["Location"], timeout=10)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")


def test_the_envelope_is_laravels(sim: SimulatorClient) -> None:
    fill(sim, 25)
    body = get(sim, params={**WINDOW, "limit": 10, "page": 2}).json()
    assert list(body) == [
        "current_page", "data", "first_page_url", "from", "last_page", "last_page_url", "links", "next_page_url",
        "path", "per_page", "prev_page_url", "to", "total",
    ]  # fmt: skip
    assert (body["current_page"], body["from"], body["to"], body["last_page"]) == (2, 11, 20, 3)
    assert (body["per_page"], body["total"]) == (10, 25)
    assert body["path"] == sim.url + PATH
    assert body["next_page_url"].endswith("&limit=10&page=3")
    assert body["prev_page_url"].endswith("&limit=10&page=1")
    last = get(sim, params={**WINDOW, "limit": 10, "page": 3}).json()
    assert (len(last["data"]), last["next_page_url"]) == (5, None)
    assert [link["label"] for link in body["links"]] == ["&laquo; Previous", "1", "2", "3", "Next &raquo;"]
    assert [link["active"] for link in body["links"]] == [False, False, True, False, False]


def test_array_parameters_are_in_page_urls_as_php_writes_them(sim: SimulatorClient) -> None:
    body = get(sim, params={**WINDOW, "status[]": ["approved", "pending"]}).json()
    query = "date_type=last_wct_update&start_date=2026-01-01T00%3A00%3A00&end_date=2026-03-31T23%3A59%3A59"
    assert body["first_page_url"] == f"{sim.url}{PATH}?{query}&status%5B0%5D=approved&status%5B1%5D=pending&page=1"


def test_an_empty_answer_has_one_last_page_and_null_bounds(sim: SimulatorClient) -> None:
    body = get(sim, params=WINDOW).json()
    assert body["data"] == []
    assert (body["from"], body["to"], body["last_page"], body["total"]) == (None, None, 1, 0)
    assert (body["next_page_url"], body["prev_page_url"], body["per_page"]) == (None, None, 1000)


def test_a_page_past_the_end_is_empty_and_keeps_its_number(sim: SimulatorClient) -> None:
    fill(sim, 3)
    body = get(sim, params={**WINDOW, "limit": 2, "page": 7}).json()
    assert (body["current_page"], body["data"], body["from"], body["to"]) == (7, [], None, None)
    assert (body["next_page_url"], body["total"], body["last_page"]) == (None, 3, 2)
    assert body["prev_page_url"].endswith("page=6")


@pytest.mark.parametrize("page", ["0", "-1", "abc", "1.5", ""])
def test_a_page_that_is_no_number_is_the_first(sim: SimulatorClient, page: str) -> None:
    assert get(sim, params={**WINDOW, "page": page}).json()["current_page"] == 1


def test_the_links_depend_on_the_laravel_version(sim: SimulatorClient) -> None:
    sim.switch("wecantrack.links", "off")
    assert "links" not in get(sim, params=WINDOW).json()
    sim.switch("wecantrack.links", "with_page")
    fill(sim, 30)
    links = get(sim, params={**WINDOW, "limit": 1, "page": 15}).json()["links"]
    assert [link["page"] for link in links[1:-1]] == [1, 2, None, *range(12, 19), None, 29, 30]


def test_a_limit_above_1000_is_clamped_or_refused(sim: SimulatorClient) -> None:
    fill(sim, 1001)
    body = get(sim, params={**WINDOW, "limit": 5000}).json()
    assert (body["per_page"], len(body["data"]), body["last_page"]) == (1000, 1000, 2)
    sim.switch("wecantrack.over_limit", "422")
    assert get(sim, params={**WINDOW, "limit": 5000}).status_code == 422


def test_both_bounds_are_inclusive_to_the_second_unless_switched(sim: SimulatorClient) -> None:
    stamps = ["2026-01-31 23:59:59", "2026-02-01 00:00:00", "2026-02-01 23:59:59", "2026-02-02 00:00:00"]
    sim.upsert([row(number, at) for number, at in enumerate(stamps)])
    window = {**WINDOW, "start_date": "2026-02-01T00:00:00", "end_date": "2026-02-01T23:59:59"}
    assert [r["transaction_id"] for r in get(sim, params=window).json()["data"]] == ["T1", "T2"]
    sim.switch("wecantrack.bounds", "end_exclusive")
    assert [r["transaction_id"] for r in get(sim, params=window).json()["data"]] == ["T1"]


def test_a_row_without_the_requested_date_is_in_no_window(sim: SimulatorClient) -> None:
    fill(sim, 2)
    sim.upsert([row(0, "2026-02-01 10:00:00", click_date="2026-02-01 09:00:00")])
    assert get(sim, params={**WINDOW, "date_type": "click_date"}).json()["total"] == 1
    assert get(sim, params={**WINDOW, "date_type": "validation_date"}).json()["total"] == 0


@pytest.mark.parametrize("name", ["status[]", "status[0]", "status%5B%5D"])
def test_statuses_are_filtered_in_every_array_form(sim: SimulatorClient, name: str) -> None:
    at = "2026-02-01 10:00:00"
    sim.upsert([row(1, at, status="approved"), row(2, at, status="pending"), row(3, at, status="declined")])
    url = PATH + f"?{name}=approved&status[1]=declined&" + "&".join(f"{key}={value}" for key, value in WINDOW.items())
    assert [r["transaction_id"] for r in get(sim, url).json()["data"]] == ["T1", "T3"]


def test_accounts_networks_tags_and_websites_are_filters(sim: SimulatorClient) -> None:
    sim.generate(transactions=400, start="2026-01-01T00:00:00")
    everything = get(sim, params=WINDOW).json()["data"]
    accounts = {account["id"]: account for account in get(sim, "/api/v2/network_accounts").json()}

    def ids(**filters: Any) -> list[Any]:
        return [
            (r["user_network_account_id"], r["transaction_id"])
            for r in get(sim, params={**WINDOW, **filters}).json()["data"]
        ]

    def expected(keep: Any) -> list[Any]:
        return [
            (r["user_network_account_id"], r["transaction_id"])
            for r in everything
            if keep(accounts[r["user_network_account_id"]])
        ]

    assert ids(network_id="awin") == expected(lambda account: account["network_id"] == "awin")
    assert ids(network_account_id=201) == expected(lambda account: account["id"] == 201)
    assert ids(**{"network_account_tags[]": ["uk", "test"]}) == expected(lambda a: {"uk", "test"} & set(a["tags"]))
    sites = [ids(website_id=site["id"]) for site in get(sim, "/api/v1/websites").json()]
    assert sorted(key for site in sites for key in site) == sorted(ids())
    assert all(sites)
    assert ids(network_id="no-such-network") == []


def test_rows_carry_money_as_text_and_every_shape_of_sub_ids(sim: SimulatorClient) -> None:
    sim.generate(transactions=2000, start="2026-01-01T00:00:00")
    rows = [r for page in (1, 2) for r in get(sim, params={**WINDOW, "page": page}).json()["data"]]
    assert len(rows) == 2000
    for name in ("sale_amount", "commission_amount", "sale_amount_euro", "commission_amount_euro"):
        assert all(isinstance(r[name], str) for r in rows)
    for name in ("sub_ids", "click_metadata"):
        shapes = {type(r[name]) for r in rows}
        assert shapes == {dict, list, type(None)}
        assert all(not r[name] for r in rows if isinstance(r[name], list))
    for name in ("click_date", "validation_date", "reference", "order_ref"):
        assert {r[name] is None for r in rows} == {True, False}
    for name in ("network_id", "gcid", "paid_to_publisher"):
        assert {name in r for r in rows} == {True, False}
    assert {r["currency_id"] for r in rows} == {"EUR", "USD", "GBP"}
    assert {r["status"] for r in rows} == {"pending", "approved", "declined"}


def test_every_request_is_counted_and_only_the_429_has_retry_after(sim: SimulatorClient) -> None:
    sim.throttle(2, PATH)
    first, second, third = (get(sim, params=WINDOW) for _ in range(3))
    assert [reply.headers["X-RateLimit-Remaining"] for reply in (first, second, third)] == ["1", "0", "0"]
    assert all("Retry-After" not in reply.headers for reply in (first, second))
    assert all("X-RateLimit-Reset" not in reply.headers for reply in (first, second))
    assert (third.status_code, third.json()) == (429, {"message": "Too Many Attempts."})
    assert (third.headers["Retry-After"], third.headers["X-RateLimit-Limit"]) == ("60", "2")
    assert int(third.headers["X-RateLimit-Reset"]) == 1775001600 + 60
    assert get(sim, "/api/v2/networks").status_code == 200  # each endpoint has its own limit
    sim.move_clock(seconds=59)
    assert get(sim, params=WINDOW).headers["Retry-After"] == "1"
    sim.move_clock(seconds=1)
    assert get(sim, params=WINDOW).status_code == 200


def test_the_429_can_be_poorer(sim: SimulatorClient) -> None:
    sim.throttle(0)
    sim.switch("wecantrack.throttle_headers", "no_retry_after")
    reply = get(sim, params=WINDOW)
    assert "Retry-After" not in reply.headers
    assert "X-RateLimit-Reset" in reply.headers
    sim.switch("wecantrack.throttle_headers", "none")
    assert not any(name.lower().startswith("x-ratelimit") for name in get(sim, params=WINDOW).headers)
    sim.switch("wecantrack.throttle_body", "html")
    assert get(sim, params=WINDOW).text.startswith("<!DOCTYPE html>")


def test_the_small_lists_are_plain_arrays_with_filters(sim: SimulatorClient) -> None:
    sim.generate(transactions=10)
    accounts = get(sim, "/api/v2/network_accounts", params={"ids[]": [101, 201]}).json()
    assert [account["id"] for account in accounts] == [101, 201]
    assert {"id", "name", "network_id", "tags", "is_enabled", "frontend_network_id"} <= accounts[0].keys()
    assert {"id": "awin", "name": "Awin"} in get(sim, "/api/v2/networks").json()
    assert get(sim, "/api/v1/websites", params={"id": 12}).json() == [
        {"id": 12, "url": "https://blog-2.example", "active": True}
    ]
    assert get(sim, "/api/v1/websites", params={"url": "https://blog-3.example"}).json()[0]["id"] == 13


def test_click_aggregation_sums_the_latest_clicks_by_group(sim: SimulatorClient) -> None:
    sim.generate(transactions=300, start="2026-01-01T00:00:00")
    path = "/api/v2/clicks/aggregation"
    assert get(sim, path).status_code == 422
    assert get(sim, path, params={"last_clicks": 75001}).status_code == 422
    assert get(sim, path, params={"last_clicks": 10, "group_by": "shops"}).status_code == 422
    rows = get(sim, path, params={"last_clicks": 75000}).json()
    assert sum(r["sales"] for r in rows) == 300
    assert [r["total_commission_EUR"] for r in rows] == sorted((r["total_commission_EUR"] for r in rows), reverse=True)
    few = get(sim, path, params={"last_clicks": 300, "group_by": "network_accounts,custom_index_1"}).json()
    assert sum(r["clicks"] for r in few) == 300
    assert {r["custom_index_1"] for r in few} == {None}
    assert len(get(sim, path, params={"last_clicks": 75000, "limit": 2, "page": 2}).json()) == 2


@pytest.mark.parametrize("order", ["id", "date", "unordered"])
def test_pages_hold_every_row_once_in_any_order(sim: SimulatorClient, order: str) -> None:
    sim.generate(transactions=250, start="2026-01-01T00:00:00")
    sim.switch("wecantrack.order", order)
    pages = [get(sim, params={**WINDOW, "limit": 100, "page": page}).json()["data"] for page in (1, 2, 3)]
    keys = [(r["user_network_account_id"], r["transaction_id"]) for page in pages for r in page]
    assert len(keys) == len(set(keys)) == 250
    dates = [r["last_wct_update"] for page in pages for r in page]
    assert (dates == sorted(dates)) == (order == "date")
