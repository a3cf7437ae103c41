"""GET /contacts/{id}: which responses are a contact, none, a retry or a configuration error."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import orjson
import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from builders.destination import ScriptedServer
from destination_wicked_reports.api.contacts import MAX_TRIES, Contact, ContactApi
from destination_wicked_reports.base import rate_limit


class MovedClock(rate_limit.Clock):
    """A clock that a sleep moves."""

    def __init__(self) -> None:
        self.at = 1_720_000_000.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> MovedClock:
    moved = MovedClock()
    monkeypatch.setattr(rate_limit, "CLOCK", moved)
    return moved


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer()
    yield running
    running.close()


def body(**result: object) -> bytes:
    return orjson.dumps({"status": "success", "result": result})


NOT_FOUND = (404, {}, b'{"status": "error", "message": "Contact with id U1 not found."}')
FOUND = (200, {}, body(sourceId="U1", sourceSystem="crm", email="ann@example.com", id="SM-1"))


def test_a_contact(server):
    server.answers = [FOUND]
    assert ContactApi(server.url, "k", 120).get("U1") == Contact("U1", "crm", "ann@example.com")
    ((_, path, headers, _),) = server.requests
    assert (path, headers["apikey"]) == ("/contacts/U1", "k")


def test_values_of_other_types_are_no_text(server):
    server.answers = [(200, {}, body(sourceId=42, sourceSystem=None, email={"a": 1}))]
    assert ContactApi(server.url, "k", 120).get("42") == Contact("42", "", "")


@pytest.mark.parametrize("status", [400, 422])
def test_an_id_that_is_not_found_or_not_possible(server, status):
    server.answers = [NOT_FOUND, (status, {}, b"{}")]
    api = ContactApi(server.url, "k", 120)
    assert [api.get("U1"), api.get("U2")] == [None, None]


@pytest.mark.parametrize(
    ("contact_id", "path"),
    [("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("é %", "%C3%A9%20%25"), ("x@y.z", "x@y.z"), ("..a", "..a")],
)
def test_an_id_is_one_segment_of_the_path(server, contact_id, path):
    server.answers = [NOT_FOUND]
    assert ContactApi(server.url, "k", 120).get(contact_id) is None
    assert server.requests[0][1] == f"/contacts/{path}"


@pytest.mark.parametrize("contact_id", ["", ".", "..", "x" * 501])
def test_an_id_that_no_path_can_name_is_not_asked_for(server, contact_id):
    assert ContactApi(server.url, "k", 120).get(contact_id) is None
    assert server.requests == []


@pytest.mark.parametrize(
    "bad",
    [
        (200, {}, b"<html>"),
        (200, {}, b""),
        (200, {}, b"[]"),
        (200, {}, b'{"status": "error"}'),
        (200, {}, b'{"status": "success", "result": []}'),
        (503, {}, b""),
        (429, {"Retry-After": "20"}, b"{}"),
        (429, {"x-ratelimit-reset": "30"}, b"{}"),
        None,
    ],
)
def test_what_is_no_answer_is_asked_again(server, bad, clock):
    server.answers = [bad, bad, FOUND]
    contact = ContactApi(server.url, "k", 120).get("U1")
    assert contact is not None
    assert contact.email == "ann@example.com"
    assert len(server.requests) == 3


def test_it_gives_up_after_some_attempts(server, caplog):
    caplog.set_level(logging.INFO)
    server.answers = [(500, {}, b"ann@example.com U1x")] * MAX_TRIES
    with pytest.raises(AirbyteTracedException) as error:
        ContactApi(server.url, "k", 120).get("U1x")
    assert error.value.failure_type is FailureType.transient_error
    assert "U1x" not in f"{error.value.message}{caplog.text}"
    assert "@" not in f"{error.value.message}{caplog.text}"


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, b'{"status": "error", "message": "Outbound API not enabled for client."}', "not enabled"),
        (401, b'{"message": "Unauthorized"}', "refused the API key (401)"),
        (403, b'{"message": "Forbidden"}', "refused the API key (403)"),
        (403, b"<!DOCTYPE html><html></html>", "A firewall or proxy answered"),
        (404, b'{"message": "Not Found"}', "There is no GET /contacts"),
        (302, b"", "There is no GET /contacts"),
    ],
)
def test_what_the_user_has_to_fix(server, status, content, message):
    server.answers = [(status, {}, content)]
    with pytest.raises(AirbyteTracedException) as error:
        ContactApi(server.url, "k", 120).check()
    assert error.value.failure_type is FailureType.config_error
    assert message in str(error.value.message)
    assert len(server.requests) == 1


def test_no_minute_has_more_requests_than_the_limit(server, clock, caplog):
    caplog.set_level(logging.INFO)
    api, times = ContactApi(server.url, "k", 10), []
    for _ in range(35):
        server.answers = [NOT_FOUND]
        api.get("U1", "12 of 35; at most 3 min left")
        times.append(clock.at)
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[10:], strict=False))
    assert "12 of 35; at most 3 min left" in caplog.text
