"""Campaigns: JSON and JSONP, the end of the paging, and the meaning of a 401."""

import json

import pytest

from .conftest import CAMPAIGNS, SUBJECT, serve

BODY = '{"campaigns":[{"campaignId":1,"name":"a"},{"campaignId":2}],"totalResults":2}'


def sites(read, config):
    outcome = read(config, "campaigns")
    assert outcome.error is None
    return [row["campaign_id"] for row in outcome.rows("campaigns")]


@pytest.mark.parametrize("total", ["exact", "missing", "too_low", "too_high"])
@pytest.mark.parametrize("jsonp", ["on", "off"])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 205])
def test_every_site_is_read_once_in_each_form(count, jsonp, total, sim, config, read):
    held = sim.sovrn.campaigns(*({"campaign_id": n, "name": f"site {n}"} for n in range(1, count + 1)))
    sim.switch("sovrn.jsonp", jsonp)
    sim.switch("sovrn.total_results", total)
    assert sites(read, config) == [str(row["campaignId"]) for row in held]
    assert SUBJECT.check(config).status.value == "SUCCEEDED"


def test_the_number_of_results_ends_the_paging(sim, config, read):
    sim.sovrn.campaigns(*({"campaign_id": n, "name": f"site {n}"} for n in range(1, 99)))
    sites(read, config)
    assert len(sim.requests(CAMPAIGNS)) == 1


def test_a_number_of_results_that_is_never_reached_is_reported(sim, config, read, caplog):
    sim.switch("sovrn.total_results", "too_high")
    count = len(sites(read, config))
    assert f"Sovrn reports {count + 1} campaigns, but its pages have {count}." in caplog.text


@pytest.mark.parametrize(
    "wrapper",
    ["{}", " {} \n", "NULL({})", "NULL({});", " NULL ( {} ) ; \n", "callback_1({})", "$.cb({})", "a.b.c({})\r\n"],
)
def test_one_wrapper_is_removed(wrapper, sim, config, read):
    serve(sim, wrapper.replace("{}", BODY), CAMPAIGNS)
    assert sites(read, config) == ["1", "2"]


@pytest.mark.parametrize(
    "wrapper",
    [
        "NULL(NULL({}))", "({})", "NULL({}", "NULL {}", "1a({})", "NULL({})({})", "NULL({});;", "alert(1);NULL({})",
        "/**/NULL({})", "<script>NULL({})</script>", "NULL()", "NULL([{}])", 'NULL("{}")', "NULL({}) and more",
    ],
)  # fmt: skip
def test_nothing_else_is_read(wrapper, sim, config, read):
    serve(sim, wrapper.replace("{}", BODY), CAMPAIGNS, times=0)
    error = read({**config, "max_tries": 1}, "campaigns").error
    assert error.failure_type.value == "transient_error"
    assert "no valid response" in error.message


def test_a_wrapper_inside_text_stays(sim, config, read):
    body = json.dumps({"campaigns": [{"campaignId": 1, "name": "NULL({});"}], "totalResults": 1})
    serve(sim, f"NULL({body})", CAMPAIGNS)
    assert read(config, "campaigns").rows("campaigns")[0]["name"] == "NULL({});"


def test_a_list_without_end_ends_with_an_error(sim, config, read, monkeypatch):
    monkeypatch.setattr("source_sovrn.components.MAX_CAMPAIGN_PAGES", 5)
    for number in ("", *range(1, 6)):
        body = f'{{"campaigns":[{{"campaignId":"n{number}"}}]}}'
        serve(sim, body, CAMPAIGNS, query=f"page={number}&" if number else "format=json&rowsPerPage", times=0)
    outcome = read(config, "campaigns")
    assert outcome.error.failure_type.value == "transient_error"
    assert "has no end: 5 pages were read" in outcome.error.message
    assert len(sim.requests(CAMPAIGNS)) == 5


def test_half_a_character_does_not_stop_the_stream(sim, config, read):
    serve(sim, BODY.replace('"a"', '"Shop \\ud83d"'), CAMPAIGNS)
    assert read(config, "campaigns").rows("campaigns")[0]["name"] == "Shop \ufffd"


def test_a_401_names_the_key_and_a_site_that_is_not_approved(sim, config):
    message = SUBJECT.check({**config, "secret_key": "wrong"}).message
    assert message.startswith("Sovrn does not accept the secret key.")
    assert "the site may not be approved yet" in message
