"""Which responses mean accepted, rejected, partly stored or unknown; a 2xx alone proves nothing."""

from __future__ import annotations

import orjson
import pytest
from builders.destination import make_row
from destination_wicked_reports.api.responses import Outcome, StatusClass, classify_status, parse_response

ROWS = [make_row(number=n, OrderTotal=n) for n in (1, 2, 3)]
PAYMENTS = [make_row("order_payments", n, Amount=n, Status="APPROVED") for n in (1, 1, 2)]


def parse(reply: object, rows=ROWS, status: int = 200):
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
    assert parse(reply).outcome is Outcome.ACCEPTED
    assert parse(reply).rejected == {}


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"{}", b'"ok"', b'{"succ', b"1"])
def test_a_2xx_without_a_receipt_is_unknown(body):
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
def test_a_receipt_key_without_the_word_success_is_unknown(reply):
    assert parse(reply).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), ("0", "3")])
def test_a_count_of_0_rejects_every_row_whatever_else_the_body_reports(counts):
    stored, total = counts
    reply = {"success": "Successfully", "records": stored, "totalRecords": total}
    assert parse(reply).outcome is Outcome.REJECTED


def test_a_count_below_the_rows_sent_is_partial_even_if_it_equals_the_total():
    assert parse({"success": "Successfully", "records": 2, "totalRecords": 2}).outcome is Outcome.PARTIAL


@pytest.mark.parametrize(
    "reply",
    [
        {"status": "error", "message": "no"},
        {"error": "no"},
        {"success": False, "message": "no"},
        {"status": "fail", "message": "no"},
    ],
)
def test_an_error_with_status_200_rejects_every_row(reply):
    result = parse(reply)
    assert result.outcome is Outcome.REJECTED
    assert result.reason == "no"


def test_errors_are_matched_to_rows_by_id():
    result = parse({"records": 2, "totalRecords": 3, "errors": [{"error": "bad date", "item": {"SourceID": "2"}}]})
    assert result.outcome is Outcome.ACCEPTED
    assert result.rejected == {1: "bad date"}


def test_an_id_returned_as_a_number_still_matches_its_row():
    assert parse({"errors": [{"error": "x", "item": {"SourceID": 3}}]}).rejected == {2: "x"}


def test_a_row_that_the_server_normalized_is_matched_by_its_id():
    item = {"SourceID": "2", "OrderTotal": "2.00", "SourceSystem": "SHOP"}
    assert parse({"errors": [{"error": "x", "item": item}]}).rejected == {1: "x"}


def test_rows_without_an_id_are_matched_by_content_one_row_for_each_error():
    item = orjson.loads(PAYMENTS[0].body)
    del item["SourceID"]
    reply = {"errors": [{"error": "x", "item": item}, {"error": "y", "item": item}]}
    assert parse(reply, PAYMENTS).rejected == {0: "x", 1: "y"}


@pytest.mark.parametrize("errors", [["bad"], [{"error": "bad"}], [{"error": "b", "item": {"SourceID": "9"}}], "bad", 1])
def test_errors_that_match_no_row_make_the_result_partial(errors):
    assert parse({"records": 2, "totalRecords": 3, "errors": errors}).outcome is Outcome.PARTIAL


def test_errors_that_match_no_row_reject_every_row_if_nothing_was_stored():
    assert parse({"records": 0, "totalRecords": 3, "errors": ["bad"]}).outcome is Outcome.REJECTED


def test_fewer_rows_stored_than_sent_is_partial():
    assert parse({"success": "Successfully", "records": 2, "totalRecords": 3}).outcome is Outcome.PARTIAL


def test_a_client_error_rejects_every_row_and_its_text_is_not_quoted():
    result = parse_response(400, b'{"message":"jane@example.com is wrong"}', ROWS)
    assert result.outcome is Outcome.REJECTED
    assert "jane" not in result.reason


def test_several_errors_of_one_row_are_one_rejection_with_all_reasons():
    item = orjson.loads(PAYMENTS[2].body)
    errors = [{"error": "bad date", "item": item}, {"error": "bad amount", "item": item}]
    result = parse({"success": "Successfully", "errors": errors}, PAYMENTS)
    assert (result.outcome, result.rejected) == (Outcome.ACCEPTED, {2: "bad date bad amount"})


def test_two_equal_rows_with_an_error_each_are_both_rejected():
    item = orjson.loads(PAYMENTS[0].body)
    result = parse({"errors": [{"error": "bad", "item": item}, {"error": "bad", "item": item}]}, PAYMENTS)
    assert result.rejected == {0: "bad", 1: "bad"}


@pytest.mark.parametrize(("stored", "outcome"), [(0, Outcome.REJECTED), (1, Outcome.PARTIAL), (2, Outcome.ACCEPTED)])
def test_the_count_decides_when_the_list_of_errors_names_fewer_rows(stored, outcome):
    errors = [{"error": "bad", "item": {"SourceID": "1"}}]
    assert parse({"records": stored, "totalRecords": 3, "errors": errors}).outcome is outcome


def test_a_count_with_too_many_digits_is_ignored():
    assert parse({"records": "9" * 5000}).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([200, 201, 204, 300, 304, 400, 409, 413, 418, 422], StatusClass.BODY_DECIDES),
        ([429, 521, 523, 525, 526], StatusClass.RETRY),
        ([408, 425, 499, 500, 502, 503, 504, 506, 511, 520, 522, 524, 527, 530, 599], StatusClass.OUTCOME_UNKNOWN),
        ([401, 403], StatusClass.KEY_REFUSED),
        ([301, 302, 303, 307, 308, 404, 405, 501, 505], StatusClass.WRONG_ADDRESS),
        ([402, 406, 407, 410, 411, 415, 423, 451], StatusClass.ACCOUNT_REFUSED),
    ],
)
def test_every_status_has_one_class(statuses, expected):
    assert {classify_status(status) for status in statuses} == {expected}


@pytest.mark.parametrize(
    "reply",
    [
        {"message": "Unsuccessful: the account is suspended, nothing was stored"},
        {"success": "Unsuccessful"},
        {"success": "UNSUCCESSFUL"},
        {"status": "not successful"},
        {"status": "not_successful"},
        {"status": "NotSuccessful"},
        {"status": "un-successful"},
        {"message": "no success"},
        {"message": "Without success"},
        {"message": "success: false"},
        {"success": "Successfully parsed", "error": "quota exceeded, nothing stored"},
        {"success": "Successfully parsed", "Error": "quota exceeded"},
        {"success": "Successfully parsed", "errorMessage": "quota exceeded"},
        {"success": "Successfully parsed", "error": {"code": 1}},
        {"success": True, "error": "no"},
        {"success": True, "status": "error"},
        {"success": True, "status": 500},
        {"success": True, "code": "503"},
        {"success": True, "message": "Nothing was stored"},
        {"success": False, "message": "Successfully inserted 3 rows"},
        {"success": "Successfully parsed", "data": {"errors": ["row 2"]}},
        {"success": "Successfully parsed", "result": [{"success": False}]},
        {"success": "Successfully parsed", "failed": 2},
        {"success": "Successfully parsed", "rejected": [1]},
        {"success": "Successfully parsed", "warnings": ["row 2 was ignored"]},
        {"success": "Successfully parsed, but not stored"},
        {"success": "Successfully parsed; storing failed"},
        {"success": "Partially successful"},
        {"success": "0 records stored successfully"},
        {"success": "Successfully stored 0 records"},
        {"success": "Successfully added 2 orders."},
        {"success": "Successfully added 2 of 3"},
        {"success": "Successfully", "records": "two"},
        {"success": "Successfully", "records": 2.5},
        {"success": "Successfully", "records": -1},
        {"success": "Successfully", "records": [1, 2]},
        {"records": 3, "error": "quota exceeded"},
        {"records": 3, "status": "error"},
        {"records": 3, "success": False},
        {"records": 3, "message": "Nothing was stored"},
        {"records": 3, "totalRecords": 500, "success": "Successfully"},
        {"records": 4, "success": "Successfully"},
        {"records": 3, "totalRecords": 0},
        {"records": 0, "success": "Successfully added 3 orders."},
    ],
)
def test_anything_less_than_a_clear_yes_is_unknown(reply):
    assert parse(reply).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "reply",
    [
        {"success": "Successfully added 3 orders.", "error": None},
        {"success": "Successfully added 3 orders.", "error": "", "errors": None},
        {"success": "Successfully added 3 orders, 0 errors", "error": False},
        {"success": "3 rows stored successfully, without errors."},
        {"success": "Success!", "message": "Thank you", "code": 200},
        {"success": True, "status": "success", "failed": 0, "warnings": []},
        {"success": "Successfully added", "records": 3.0, "totalRecords": " 3 "},
    ],
)
def test_a_clear_yes_stays_one(reply):
    assert parse(reply) == parse({"success": True})
    assert parse(reply).outcome is Outcome.ACCEPTED


def test_a_byte_order_mark_before_the_receipt_is_ignored():
    assert parse_response(200, b'\xef\xbb\xbf{"success":"Successfully"}', ROWS).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("item", [{"SourceSystem": "shop"}, {"Status": "APPROVED"}, {"SourceID": "1"}, {"Amount": 10}])
def test_an_item_that_fits_rows_of_different_content_names_none(item):
    rows = [make_row("order_payments", 1, Amount=10, Status="APPROVED", OrderID=n) for n in ("a", "b", "c")]
    reply = {"success": "Successfully", "records": 2, "totalRecords": 3, "errors": [{"error": "refused", "item": item}]}
    assert (parse(reply, rows).outcome, parse(reply, rows).rejected) == (Outcome.PARTIAL, {})


def test_an_item_that_fits_one_row_only_names_it_even_in_part():
    rows = [make_row("order_payments", 1, Amount=n) for n in (10, 20, 10)]
    reply = {"records": 2, "totalRecords": 3, "errors": [{"error": "refused", "item": {"Amount": "20.0"}}]}
    assert parse(reply, rows).rejected == {1: "refused"}


def test_an_error_for_a_row_that_the_counts_call_stored_leaves_that_row_in_doubt():
    errors = [{"error": "bad date", "item": orjson.loads(PAYMENTS[2].body)}]
    result = parse({"records": 3, "totalRecords": 3, "errors": errors}, PAYMENTS)
    assert (result.outcome, result.rejected, list(result.in_doubt)) == (Outcome.ACCEPTED, {}, [2])
    assert "counts all rows as stored" in result.in_doubt[2]
    assert "bad date" in result.in_doubt[2]


@pytest.mark.parametrize(
    ("more", "outcome", "rejected"),
    [
        ({}, Outcome.PARTIAL, {0: "bad"}),
        ({"success": "Successfully added 2 orders."}, Outcome.ACCEPTED, {0: "bad"}),
        ({"success": "Successfully added 1 orders."}, Outcome.PARTIAL, {}),
        ({"success": "Unsuccessful"}, Outcome.PARTIAL, {}),
        ({"success": "Successfully", "error": "quota exceeded"}, Outcome.PARTIAL, {}),
        ({"success": "Successfully", "status": "error"}, Outcome.PARTIAL, {}),
        ({"success": False}, Outcome.REJECTED, {}),
        ({"records": 2, "message": "1 row failed", "error": "see errors"}, Outcome.ACCEPTED, {0: "bad"}),
        ({"records": 2, "success": False}, Outcome.PARTIAL, {}),
    ],
)
def test_the_rows_that_no_error_names_are_accepted_only_after_a_clear_yes(more, outcome, rejected):
    result = parse({"errors": [{"error": "bad", "item": {"SourceID": "1"}}], **more})
    assert (result.outcome, result.rejected) == (outcome, rejected)


def test_many_errors_that_echo_no_row_are_refused_soon():
    errors = [{"error": "bad", "item": {"SourceSystem": "shop", "x": n}} for n in range(10_000)]
    assert parse({"errors": errors}).outcome is Outcome.PARTIAL


@pytest.mark.parametrize("text", ["success ", "successfully 1 x", "not", "1 "])
def test_a_text_of_great_length_is_read_in_bounded_time_and_is_no_yes(text):
    assert parse({"success": text * 100_000}).outcome is Outcome.UNKNOWN
