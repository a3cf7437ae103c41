"""What a reply says about each row: a 2xx is not yet a yes."""

from __future__ import annotations

import orjson
import pytest
from builders.destination import make_row
from destination_wicked_reports.api.responses import Outcome, parse_response

ROWS = [make_row(number=n, OrderTotal=n) for n in (1, 2, 3)]
PAYMENTS = [make_row("order_payments", n, Amount=n, Status="APPROVED") for n in (1, 1, 2)]


def judge(reply: object, rows=ROWS, status: int = 200):
    return parse_response(status, orjson.dumps(reply), rows)


@pytest.mark.parametrize(
    "reply",
    [
        {"success": "Successfully inserted 3 rows"},
        {"success": "Successfully", "records": 3, "totalRecords": 3, "errors": []},
        {"status": "success"},
        {"success": True},
        {"message": "Successfully inserted"},
        {"records": 3},
        {"records": "3", "totalRecords": "3"},
    ],
)
def test_a_receipt_without_errors_accepts_every_row(reply):
    assert judge(reply).outcome is Outcome.ACCEPTED
    assert judge(reply).rejected == {}


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"{}", b'"ok"', b'{"succ', b"1"])
def test_a_2xx_without_a_receipt_proves_nothing(body):
    assert parse_response(200, body, ROWS).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "reply",
    [
        {"message": "Forbidden"},
        {"message": "Endpoint request timed out"},
        {"success": None},
        {"success": ""},
        {"success": "Failed: nothing stored"},
        {"status": 500, "message": "x"},
        {"success": 0},
    ],
)
def test_a_key_of_a_receipt_without_its_word_proves_nothing(reply):
    assert judge(reply).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), ("0", "3")])
def test_a_count_of_nothing_is_a_refusal_whatever_else_is_said(counts):
    stored, total = counts
    reply = {"success": "Successfully", "records": stored, "totalRecords": total}
    assert judge(reply).outcome is Outcome.REFUSED


def test_a_count_below_the_rows_sent_is_unclear_even_if_the_server_says_it_is_all():
    assert judge({"success": "Successfully", "records": 2, "totalRecords": 2}).outcome is Outcome.UNCLEAR


@pytest.mark.parametrize(
    "reply",
    [
        {"status": "error", "message": "no"},
        {"error": "no"},
        {"success": False, "message": "no"},
        {"status": "fail", "message": "no"},
    ],
)
def test_an_error_with_status_200_is_a_refusal(reply):
    verdict = judge(reply)
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.reason == "no"


def test_errors_name_their_rows_by_id():
    verdict = judge({"records": 2, "totalRecords": 3, "errors": [{"error": "bad date", "item": {"SourceID": "2"}}]})
    assert verdict.outcome is Outcome.ACCEPTED
    assert verdict.rejected == {1: "bad date"}


def test_an_id_that_comes_back_as_a_number_still_names_its_row():
    assert judge({"errors": [{"error": "x", "item": {"SourceID": 3}}]}).rejected == {2: "x"}


def test_a_row_that_the_server_tidied_is_known_by_its_id():
    item = {"SourceID": "2", "OrderTotal": "2.00", "SourceSystem": "SHOP"}
    assert judge({"errors": [{"error": "x", "item": item}]}).rejected == {1: "x"}


def test_rows_without_an_id_are_known_by_their_content_and_each_error_takes_one():
    item = orjson.loads(PAYMENTS[0].body)
    del item["SourceID"]
    reply = {"errors": [{"error": "x", "item": item}, {"error": "y", "item": item}]}
    assert judge(reply, PAYMENTS).rejected == {0: "x", 1: "y"}


@pytest.mark.parametrize("errors", [["bad"], [{"error": "bad"}], [{"error": "b", "item": {"SourceID": "9"}}], "bad", 1])
def test_errors_that_name_no_row_leave_the_batch_unclear(errors):
    assert judge({"records": 2, "totalRecords": 3, "errors": errors}).outcome is Outcome.UNCLEAR


def test_errors_that_name_no_row_are_a_refusal_when_nothing_was_stored():
    assert judge({"records": 0, "totalRecords": 3, "errors": ["bad"]}).outcome is Outcome.REFUSED


def test_fewer_rows_stored_than_sent_is_unclear():
    assert judge({"success": "Successfully", "records": 2, "totalRecords": 3}).outcome is Outcome.UNCLEAR


def test_a_client_error_is_a_refusal_and_its_text_is_not_quoted():
    verdict = parse_response(400, b'{"message":"jane@example.com is wrong"}', ROWS)
    assert verdict.outcome is Outcome.REFUSED
    assert "jane" not in verdict.reason


def test_several_errors_of_one_row_are_one_refusal_with_all_reasons():
    item = orjson.loads(PAYMENTS[2].body)
    verdict = judge({"errors": [{"error": "bad date", "item": item}, {"error": "bad amount", "item": item}]}, PAYMENTS)
    assert (verdict.outcome, verdict.rejected) == (Outcome.ACCEPTED, {2: "bad date bad amount"})


def test_two_equal_rows_with_an_error_each_are_both_refused():
    item = orjson.loads(PAYMENTS[0].body)
    verdict = judge({"errors": [{"error": "bad", "item": item}, {"error": "bad", "item": item}]}, PAYMENTS)
    assert verdict.rejected == {0: "bad", 1: "bad"}


@pytest.mark.parametrize(("stored", "outcome"), [(0, Outcome.REFUSED), (1, Outcome.UNCLEAR), (2, Outcome.ACCEPTED)])
def test_a_count_that_leaves_rows_unnamed_is_believed_before_the_list_of_errors(stored, outcome):
    errors = [{"error": "bad", "item": {"SourceID": "1"}}]
    assert judge({"records": stored, "totalRecords": 3, "errors": errors}).outcome is outcome


def test_a_count_of_absurd_length_is_no_count():
    assert judge({"records": "9" * 5000}).outcome is Outcome.UNKNOWN
