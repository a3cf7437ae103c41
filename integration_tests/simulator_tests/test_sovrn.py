"""The simulated Sovrn API as documented: key, throttle, parameters, shapes, days, aggregates, campaigns."""

from __future__ import annotations

import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import orjson
import pytest
import requests

from integration_tests.simulator import SimulatorClient

CLOCK = "2026-04-01T12:00:00"
PATH = "/v1/reports/transactions"
BY_DATE = "/v1/reports/merchantsbydate"
PRIMARY = "/api/account/campaigns/PRIMARY"
TODAY = {"updateDate": "2026-04-01"}
APRIL = {"clickDateStart": "2026-04-01", "clickDateEnd": "2026-05-01"}
#: the vendor's example response (docs/vendors/sovrn.md B5), with an invented merchant and site
EXAMPLE: dict[str, Any] = {
    "account": {"accountId": 1234, "campaignId": 1, "campaignName": "Awesome Stuff"},
    "commission": {
        "revenueId": "123456", "commissionId": "abcd1234", "commissionDate": "2023-01-01", "updateDate": "2023-01-13",
        "orderValue": 0, "publisherNetRevenue": 0.0075, "programType": "cpc",
    },
    "click": {
        "clickId": "defg1234", "clickDate": "2023-01-01", "cuid": "",
        "linkUtmInfo": {"utmSource": "", "utmMedium": "", "utmCampaign": "", "utmTerm": "", "utmContent": ""},
        "pageUtmInfo": {"utmSource": "", "utmMedium": "", "utmCampaign": "", "utmTerm": "", "utmContent": ""},
        "pageUrl": "www.awesome.example/", "linkUrl": "click.example/abc123?campaignid=1",
        "sovrnProduct": "Link", "country": "us", "device": "Mobile",
    },
    "merchant": {"merchantGroupId": 56789, "merchantGroupName": "AwesomeSauce", "network": "Sovrn"},
    "product": [],
}  # fmt: skip


@pytest.fixture
def paced(running: SimulatorClient) -> SimulatorClient:
    running.reset()
    return running


@pytest.fixture
def sim(paced: SimulatorClient) -> SimulatorClient:
    """A simulator without the rate limit."""
    paced.sovrn.pace(0)
    return paced


def get(sim: SimulatorClient, path: str = PATH, params: Any = None, *, timeout: float = 20, **headers: str) -> Any:
    sent = {"Authorization": f"secret {sim.sovrn_key}", "Accept-Encoding": "identity"} | headers
    return requests.get(sim.url + path, params=params, headers=sent, timeout=timeout, allow_redirects=False)


def status(sim: SimulatorClient, path: str = PATH, params: Any = None, **headers: str) -> int:
    return int(get(sim, path, TODAY if params is None else params, **headers).status_code)


def ids(sim: SimulatorClient, **params: str) -> list[str]:
    reply = get(sim, params=params)
    assert reply.status_code == 200
    return [row["commission"]["revenueId"] for row in reply.json()["transactions"]]


# --- key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["", "sim-sovrn-key", "Bearer sim-sovrn-key", "Secret sim-sovrn-key", "secret wrong"])
def test_only_the_literal_word_secret_and_the_key_are_accepted(sim: SimulatorClient, sent: str) -> None:
    assert status(sim, Authorization=sent) == 401
    reply = get(sim, PRIMARY, Authorization=sent)
    assert (reply.status_code, reply.json()["code"]) == (401, 401)
    assert reply.json()["error"]["errors"][0]["reason"] == "invalidCredentials"
    assert status(sim) == status(sim, PRIMARY) == 200


def test_a_regenerated_key_kills_the_old_one_and_an_unapproved_site_has_no_reports(sim: SimulatorClient) -> None:
    sim.key("sovrn", sim.sovrn_key, "plan_off")
    assert (status(sim), status(sim, PRIMARY)) == (403, 200)
    sim.key("sovrn", sim.sovrn_key, "unknown")
    assert (status(sim), status(sim, PRIMARY)) == (401, 401)


def test_the_key_is_not_in_the_log(sim: SimulatorClient) -> None:
    get(sim, params=TODAY)
    assert sim.requests()[0]["path"] == PATH
    assert sim.sovrn_key not in str(sim.requests())


# --- rate limit -------------------------------------------------------------------------------------------------------


def test_a_second_call_within_60_seconds_is_refused_without_any_hint(paced: SimulatorClient) -> None:
    assert status(paced) == 200
    paced.move_clock(seconds=59.5)
    reply = get(paced, params=TODAY)
    assert reply.status_code == 429
    assert not {name for name in reply.headers if "retry" in name.lower() or "rate" in name.lower()}
    paced.move_clock(seconds=0.5)
    assert status(paced) == 200
    assert paced.stats()["sovrn"]["refused"] == 1


@pytest.mark.parametrize(("scope", "expected"), [("shared", 429), ("per_endpoint", 404)])
def test_the_pace_is_over_all_reports_or_over_each(paced: SimulatorClient, scope: str, expected: int) -> None:
    paced.switch("sovrn.pace_scope", scope)
    assert status(paced) == 200
    assert status(paced, BY_DATE, APRIL) == expected
    assert status(paced, BY_DATE, APRIL) == 429


def test_the_campaigns_call_has_no_limit_and_another_key_its_own(paced: SimulatorClient) -> None:
    paced.key("sovrn", "second")
    assert status(paced) == 200
    assert [status(paced, PRIMARY) for _ in range(3)] == [200] * 3
    assert status(paced, Authorization="secret second") == 200


def test_a_refused_call_does_not_count_or_restarts_the_interval(paced: SimulatorClient) -> None:
    for switch, expected in (("free", 200), ("restarts", 429)):
        paced.switch("sovrn.refused_call", switch)
        paced.sovrn.pace(60)
        assert status(paced) == 200
        paced.move_clock(seconds=30)
        assert status(paced) == 429
        paced.move_clock(seconds=30)
        assert status(paced) == expected


def test_a_key_is_blocked_for_as_long_as_was_set(paced: SimulatorClient) -> None:
    paced.switch("sovrn.over_limit", "block_403")
    paced.sovrn.pace(block_minutes=5)
    assert (status(paced), status(paced)) == (200, 403)
    paced.move_clock(seconds=299)
    assert status(paced) == 403
    paced.move_clock(seconds=1)
    assert status(paced) == 200


def test_an_early_call_stalls_until_its_time_has_come(paced: SimulatorClient) -> None:
    paced.switch("sovrn.over_limit", "stall")
    assert status(paced) == 200
    with pytest.raises(requests.exceptions.ReadTimeout):
        get(paced, params=TODAY, timeout=0.05)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ids, paced, **TODAY)
        while paced.stats()["requests"]["total"] < 3:
            time.sleep(0.001)
        paced.sovrn.upsert([{"revenueId": "1"}], at="2026-04-01T12:00:59")
        paced.move_clock(seconds=59)
        assert not waiting.done()
        paced.move_clock(seconds=1)
        assert waiting.result(timeout=20) == ["1"]
    assert paced.stats()["sovrn"]["refused"] == 2


def test_bad_parameters_use_up_the_call_but_bad_keys_and_faults_do_not(paced: SimulatorClient) -> None:
    paced.fault("html_200", PATH)
    assert get(paced, params=TODAY).text.startswith("<!DOCTYPE")
    assert status(paced, Authorization="secret wrong") == 401
    assert status(paced, params={"updateDate": "soon"}) == 400
    assert status(paced) == 429


def test_the_interval_can_be_set_and_lifted(paced: SimulatorClient) -> None:
    assert paced.sovrn.pace(1)["interval_seconds"] == 1
    assert (status(paced), status(paced)) == (200, 429)
    paced.move_clock(seconds=1)
    assert status(paced) == 200
    paced.sovrn.pace(0)
    assert [status(paced) for _ in range(3)] == [200] * 3
    paced.reset("sovrn")
    assert (status(paced), status(paced)) == (200, 429)


def test_the_log_times_requests_on_both_clocks(paced: SimulatorClient) -> None:
    status(paced)
    paced.move_clock(seconds=61.25)
    status(paced)
    first, second = paced.requests(PATH)
    assert second["clock"] - first["clock"] == pytest.approx(61.25, abs=0.002)
    assert 0 < second["monotonic"] - first["monotonic"] < 30


# --- parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"campaignIds": "1"},
        {"updateDate": ""},
        {"updateDate": "2026/04/01"},
        {"updateDate": "2026-4-1"},
        {"updateDate": "20260401"},
        {"clickDate": "2026-02-30"},
        {**TODAY, "commissionDate": "2026-04-01T00:00:00"},
        {**TODAY, "campaignIds": "a"},
        {**TODAY, "campaignIds": "1, 2"},
        {**TODAY, "campaignIds": ""},
        {**TODAY, "campaignIds": "0"},
        {**TODAY, "merchantGroupIds": "-5"},
        {**TODAY, "programType": "cpa"},
        {**TODAY, "programType": "CPM"},
    ],
)
def test_a_missing_or_wrong_parameter_is_refused(sim: SimulatorClient, params: dict[str, str]) -> None:
    assert status(sim, params=params) == 400


def test_several_dates_must_all_hold(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([
        {"revenueId": "1", "clickDate": "2026-03-01", "commissionDate": "2026-03-02"},
        {"revenueId": "2", "clickDate": "2026-03-01", "commissionDate": "2026-03-03"},
    ])  # fmt: skip
    assert ids(sim, clickDate="2026-03-01") == ["1", "2"]
    assert ids(sim, clickDate="2026-03-01", commissionDate="2026-03-03") == ["2"]
    assert ids(sim, clickDate="2026-03-01", commissionDate="2026-03-03", updateDate="2026-03-31") == []


def test_filters_narrow_and_unknown_parameters_are_ignored(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([
        {"revenueId": "1", "campaignId": 5, "merchantGroupId": 70},
        {"revenueId": "2", "campaignId": 6, "merchantGroupId": 70, "programType": "cpc"},
    ])  # fmt: skip
    assert ids(sim, **TODAY, campaignIds="5") == ["1"]
    assert ids(sim, **TODAY, campaignIds="5,6,7") == ids(sim, **TODAY, merchantGroupIds="70") == ["1", "2"]
    assert ids(sim, **TODAY, merchantGroupIds="71") == []
    assert (ids(sim, **TODAY, programType="CPC"), ids(sim, **TODAY, programType="CPA")) == (["2"], ["1"])
    assert ids(sim, **TODAY, status="approved") == ["1", "2"]


# --- shapes -----------------------------------------------------------------------------------------------------


def test_the_vendors_example_is_served_unchanged(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([EXAMPLE])
    assert get(sim, params={"updateDate": "2023-01-13"}).json() == {"transactions": [EXAMPLE]}


def test_the_flat_shape_has_the_schemas_names_and_codes(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([EXAMPLE])
    sim.switch("sovrn.shape", "flat")
    (row,) = get(sim, params={"updateDate": "2023-01-13"}).json()["transactions"]
    assert set(row) == {
        "revenueId", "clickSid", "accountId", "commissionId", "merchantGroupId", "merchantGroupName", "campaignId",
        "campaignName", "clickDate", "commissionDate", "updateDate", "publisherRevenue", "orderValue", "cuid",
        "linkUtmInfo", "pageUtmInfo", "destinationUrl", "pageUrl", "affProduct", "programType", "networkName",
        "country", "deviceType", "merchandise",
    }  # fmt: skip
    assert (row["publisherRevenue"], row["clickSid"]) == (0.0075, "defg1234")
    assert (row["affProduct"], row["deviceType"]) == ("WRA", "MBL")


def test_both_shapes_occur_within_one_day_and_a_row_keeps_its_own(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([{"revenueId": str(number)} for number in range(20)])
    sim.switch("sovrn.shape", "mixed")
    first, second = (get(sim, params=TODAY).json()["transactions"] for _ in range(2))
    assert {"commission" in row for row in first} == {True, False}
    assert first == second


@pytest.mark.parametrize(
    ("switch", "value", "text"),
    [
        ("sovrn.numbers", "plain", b'"publisherNetRevenue":0.00075,'),
        ("sovrn.numbers", "exponent", b'"publisherNetRevenue":7.5E-4,'),
        ("sovrn.ids", "string", b'"revenueId":"9007199254740993"'),
        ("sovrn.ids", "number", b'"revenueId":9007199254740993'),
    ],
)
def test_numbers_are_written_digit_by_digit(sim: SimulatorClient, switch: str, value: str, text: bytes) -> None:
    sim.sovrn.upsert([{"revenueId": "9007199254740993", "publisherNetRevenue": "0.00075"}])
    sim.switch(switch, value)
    assert text in get(sim, params=TODAY).content


def test_details_of_the_click_may_be_missing(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([{"revenueId": "1", "device": None, "pageUrl": None, "linkUrl": ""}])
    click = get(sim, params=TODAY).json()["transactions"][0]["click"]
    assert not {"device", "pageUrl"} & set(click)
    assert (click["linkUrl"], click["cuid"]) == ("", "")


@pytest.mark.parametrize("row", [{"revenueId": "1", "status": "approved"}, {"revenueId": "1", "orderValue": "NaN"}, {}])
def test_a_row_that_sovrn_could_not_have_is_refused(sim: SimulatorClient, row: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="400"):
        sim.sovrn.upsert([row])


def test_gzip_is_used_if_requested(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([{"revenueId": "1"}])
    plain, packed = get(sim, params=TODAY), get(sim, params=TODAY, **{"Accept-Encoding": "deflate, gzip;q=0.5"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(plain.content)
    assert packed.content == plain.content


# --- days -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "expected"), [("200", (200, {"transactions": []})), ("404", (404, None))])
def test_a_day_without_transactions_is_an_empty_list_or_not_found(
    sim: SimulatorClient, value: str, expected: tuple[int, Any]
) -> None:
    sim.switch("sovrn.empty_day", value)
    reply = get(sim, params=TODAY)
    assert (reply.status_code, reply.json() if reply.ok else None) == expected


def test_a_row_is_found_only_under_its_latest_update(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([{"revenueId": "1", "publisherNetRevenue": "9.1234", "commissionDate": "2026-03-29"}])
    sim.sovrn.upsert([{"revenueId": "1", "publisherNetRevenue": "4.5"}], at="2026-04-20T08:00:00")
    assert ids(sim, **TODAY) == ["1"]
    sim.move_clock(days=30)
    assert (ids(sim, **TODAY), ids(sim, updateDate="2026-04-20")) == ([], ["1"])
    assert ids(sim, commissionDate="2026-03-29") == ["1"]
    sim.move_clock(days=-30)
    assert ids(sim, **TODAY) == ["1"]


def test_today_grows_while_the_clock_runs(sim: SimulatorClient) -> None:
    for hour in (13, 17, 23):
        sim.sovrn.upsert([{"revenueId": str(hour)}], at=f"2026-04-01T{hour}:59:59")
    seen = []
    for _ in range(4):
        seen.append(len(ids(sim, **TODAY)))
        sim.move_clock(seconds=4 * 3600)
    assert seen == [0, 1, 2, 3]


def test_the_zone_decides_the_day(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([{"revenueId": "1"}], at="2026-04-01T06:59:59")
    sim.sovrn.upsert([{"revenueId": "2"}], at="2026-04-01T07:00:00")
    assert ids(sim, **TODAY) == ["1", "2"]
    sim.switch("sovrn.day_zone", "us_pacific")
    assert (ids(sim, **TODAY), ids(sim, updateDate="2026-03-31")) == (["2"], ["1"])
    assert get(sim, params=TODAY).json()["transactions"][0]["commission"]["updateDate"] == "2026-04-01"


def test_a_pacific_day_has_23_hours_when_the_clocks_change(sim: SimulatorClient) -> None:
    sim.switch("sovrn.day_zone", "us_pacific")
    for number, instant in enumerate(("2026-03-08T07:59:59", "2026-03-08T08:00:00", "2026-03-09T06:59:59")):
        sim.sovrn.upsert([{"revenueId": str(number)}], at=instant)
    sim.sovrn.upsert([{"revenueId": "3"}], at="2026-03-09T07:00:00")
    assert ids(sim, updateDate="2026-03-08") == ["1", "2"]


# --- big days ---------------------------------------------------------------------------------------------------


def test_a_big_day_is_the_same_packed_plain_and_again(sim: SimulatorClient) -> None:
    assert sim.sovrn.big_day("2026-03-01", 6000)["now_visible"] == 6000
    params = {"updateDate": "2026-03-01"}
    plain, packed, again = (get(sim, params=params, **{"Accept-Encoding": kind}) for kind in ("", "gzip", ""))
    assert len(plain.content) == int(plain.headers["Content-Length"])
    assert plain.content == packed.content == again.content
    assert packed.headers["Content-Encoding"] == "gzip"
    rows = plain.json()["transactions"]
    assert len({(row["commission"]["revenueId"], row["commission"]["commissionId"]) for row in rows}) == 6000
    assert {row["commission"]["updateDate"] for row in rows} == {"2026-03-01"}


def test_a_big_day_that_was_kept_is_not_served_stale(sim: SimulatorClient) -> None:
    sim.sovrn.big_day("2026-03-01", 6000)
    first = ids(sim, updateDate="2026-03-01")
    sim.sovrn.upsert([{"revenueId": first[0], "commissionId": "b00000000"}])
    assert ids(sim, updateDate="2026-03-01") == first[1:]
    sim.switch("sovrn.shape", "flat")
    assert b"publisherNetRevenue" not in get(sim, params={"updateDate": "2026-03-01"}).content


@pytest.mark.parametrize("rows", [3, 6000])
@pytest.mark.parametrize("kind", ["identity", "gzip"])
def test_faults_apply_to_small_and_big_days(sim: SimulatorClient, rows: int, kind: str) -> None:
    sim.sovrn.big_day("2026-03-01", rows)
    params, headers = {"updateDate": "2026-03-01"}, {"Accept-Encoding": kind}
    whole = len(get(sim, params=params, **headers).content)
    sim.fault("nan_in_json", PATH)
    sim.fault("half_body", PATH, nth=2)
    sim.fault("half_body_longer_length", PATH, nth=3)
    assert get(sim, params=params, **headers).content.count(b'"publisherNetRevenue":NaN,') == 1
    half = get(sim, params=params, **headers).content
    assert len(half) < whole
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(half)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(sim, params=params, **headers)
    assert len(get(sim, params=params, **headers).content) == whole


# --- aggregates -------------------------------------------------------------------------------------------------


def decimals(reply: requests.Response) -> Any:
    body = gzip.decompress(reply.content) if reply.content[:2] == b"\x1f\x8b" else reply.content
    return json.loads(body, parse_float=Decimal)


def test_merchants_by_date_sum_up_the_transactions(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([
        {"revenueId": "1", "clickDate": "2026-04-01", "publisherNetRevenue": "1.2345"},
        {"revenueId": "2", "clickDate": "2026-04-01", "publisherNetRevenue": "-0.2", "merchantGroupId": 56789},
        {"revenueId": "3", "clickDate": "2026-04-01", "publisherNetRevenue": "5", "merchantGroupId": 7},
        {"revenueId": "4", "clickDate": "2026-04-02", "publisherNetRevenue": "0.0075", "programType": "cpc"},
    ])  # fmt: skip
    body = decimals(get(sim, BY_DATE, APRIL))
    sums = {(row["date"], row["merchantGroupId"]): row["revenue"] for row in body["data"]}
    assert sums == {
        ("2026-04-01", 56789): Decimal("1.0345"),
        ("2026-04-01", 7): 5,
        ("2026-04-02", 56789): Decimal("0.0075"),
    }
    assert body["totals"]["revenueTotal"] == Decimal("6.0420")
    assert {"clicks", "sales", "actions", "conversionRate", "epc", "merchantGroupName"} <= set(body["data"][0])
    assert decimals(get(sim, BY_DATE, {**APRIL, "programType": "CPC"}))["totals"]["revenueTotal"] == Decimal("0.0075")


@pytest.mark.parametrize("name", ["merchants", "links", "pages", "networks", "cuids"])
def test_every_aggregate_adds_up_to_the_same_revenue(sim: SimulatorClient, name: str) -> None:
    sim.sovrn.generate(transactions=200, days=20, later_days=0)
    window = {"clickDateStart": "2026-03-12", "clickDateEnd": "2026-04-02"}
    by_date, other = (decimals(get(sim, f"/v1/reports/{kind}", window)) for kind in ("merchantsbydate", name))
    assert by_date["totals"]["revenueTotal"] == other["totals"]["revenueTotal"] > 0
    assert sum(row["revenue"] for row in other["data"]) == other["totals"]["revenueTotal"]
    assert all("date" not in row for row in other["data"])


def test_the_end_of_a_window_is_exclusive_and_31_days_are_the_most(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([{"revenueId": "1", "clickDate": "2026-03-31"}])
    for start, end, expected in (
        ("2026-03-31", "2026-04-01", 200),
        ("2026-03-30", "2026-03-31", 404),
        ("2026-03-01", "2026-04-01", 200),
        ("2026-03-01", "2026-04-02", 400),
        ("2026-03-31", "2026-03-31", 400),
        ("2026-03-31", "", 400),
    ):
        assert status(sim, BY_DATE, {"clickDateStart": start, "clickDateEnd": end}) == expected, (start, end)
    assert status(sim, BY_DATE, {"clickDateStart": "2026-03-31"}) == 400


def test_an_aggregate_of_nothing_is_not_found_or_empty(sim: SimulatorClient) -> None:
    assert status(sim, BY_DATE, APRIL) == 404
    sim.switch("sovrn.empty_aggregate", "200")
    body = get(sim, BY_DATE, APRIL).json()
    assert (body["data"], body["totals"]["revenueTotal"]) == ([], 0)


def test_a_mismatch_is_in_one_sum_and_always_the_same(sim: SimulatorClient) -> None:
    sim.sovrn.generate(transactions=100, days=10, later_days=0)
    window = {"clickDateStart": "2026-03-20", "clickDateEnd": "2026-04-02"}
    true = decimals(get(sim, BY_DATE, window))
    sim.switch("sovrn.aggregates", "mismatch")
    wrong, again = (decimals(get(sim, BY_DATE, window)) for _ in range(2))
    differences = [b["revenue"] - a["revenue"] for a, b in zip(true["data"], wrong["data"], strict=True)]
    assert sorted(differences)[-2:] == [0, Decimal("1.25")]
    assert wrong["totals"]["revenueTotal"] - true["totals"]["revenueTotal"] == Decimal("1.25")
    assert wrong == again


# --- campaigns --------------------------------------------------------------------------------------------------


def campaigns(sim: SimulatorClient, search: str = "PRIMARY", **params: Any) -> list[int]:
    reply = get(sim, f"/api/account/campaigns/{search}", {"format": "json", **params})
    assert reply.status_code == 200
    return [row["campaignId"] for row in reply.json()["campaigns"]]


def test_campaigns_are_listed_searched_and_paged(sim: SimulatorClient) -> None:
    sim.sovrn.campaigns(*({"campaign_id": number, "name": f"site-{number}.example"} for number in range(1, 121)))
    assert len(campaigns(sim)) == 100
    assert len(campaigns(sim, page=2)) == 21
    assert campaigns(sim, page=3) == []
    assert len(campaigns(sim, rowsPerPage=7)) == 7
    assert (campaigns(sim, "site-42.EXAMPLE"), campaigns(sim, "42"), campaigns(sim, "none")) == ([42], [42], [])
    sim.switch("sovrn.primary", "by_name")
    assert campaigns(sim) == [9000001]


@pytest.mark.parametrize("params", [{"page": "0"}, {"page": "x"}, {"rowsPerPage": "-1"}, {"format": "xml"}])
def test_campaigns_refuse_what_they_cannot_serve(sim: SimulatorClient, params: dict[str, str]) -> None:
    assert status(sim, PRIMARY, params) == 400


def test_a_campaign_has_the_fields_of_the_vendors_example(sim: SimulatorClient) -> None:
    sim.sovrn.upsert([EXAMPLE])
    rows = get(sim, PRIMARY).json()["campaigns"]
    assert rows[-1]["name"] == "Awesome Stuff"
    fields = ["apiKey", "applicationType", "approvalStatus", "campaignId", "category", "name", "platform"]
    assert [sorted(row) for row in rows] == [fields, fields]
