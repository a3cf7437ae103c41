"""One recorded exchange for each endpoint, replayed with the network blocked.

The recordings were made against the simulator, not the vendor. A request matches its recording only if method, path,
query and every byte of the body are the same. To record again, delete `cassettes/` and run
`pytest --record-mode=once destination-wicked-reports/unit_tests/api/test_recorded_contract.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.models import Status
from builders.affiliate import Book
from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.api.responses import Outcome
from destination_wicked_reports.destination import DestinationWickedReports, logger
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Record
from vcr.errors import CannotOverwriteExistingCassetteException

from integration_tests.support.recordings import recorded_url, recording_options

KEY = "sim-wicked-key"
WHEN = "2024-05-31T15:45:00+02:00"
#: Two rows for each endpoint: one with the required fields only, one with optional fields.
ROWS: dict[str, list[dict[str, Any]]] = {
    "products": [
        {"SourceSystem": "shop", "SourceID": 7, "ProductName": "Shoe", "ProductPrice": "59.90"},
        {"SourceSystem": "shop", "SourceID": "p2", "ProductName": "Schuh, groß", "ProductPrice": 0},
    ],
    "contacts": [
        {"SourceSystem": "shop", "SourceID": "c1", "CreateDate": WHEN, "Email": "ann@shop.example"},
        {
            "SourceSystem": "shop",
            "SourceID": "c2",
            "CreateDate": WHEN,
            "Email": "bob@shop.example",
            "FirstName": "Bob",
            "Country": "DE",
        },
    ],
    "orders": [
        {"SourceSystem": "shop", "SourceID": "o1", "CreateDate": WHEN, "ContactID": "c1", "OrderTotal": "59.90"},
        {
            "SourceSystem": "shop",
            "SourceID": "o2",
            "CreateDate": WHEN,
            "ContactEmail": "bob@shop.example",
            "OrderTotal": 0.1,
            "OrderCurrency": "EUR",
        },
    ],
    "order_items": [
        {"SourceSystem": "shop", "OrderID": "o1", "SourceID": "1", "Qty": 1, "PPU": "59.90"},
        {"SourceSystem": "shop", "OrderID": "o2", "SourceID": "1", "ProductID": "p2", "Qty": 2, "PPU": 0.05},
    ],
    "order_payments": [
        {"SourceSystem": "shop", "OrderID": "o1", "PaymentDate": WHEN, "Amount": "59.90"},
        {"SourceSystem": "shop", "OrderID": "o2", "PaymentDate": WHEN, "Amount": 0.1, "Status": "REFUNDED"},
    ],
    "clicks": [
        {
            "Email": "ann@shop.example",
            "Date_Time": "2024-05-31 13:45:00",
            "Timezone": "UTC-5",
            "ConversionType": "NEW_LEAD",
        },
        {
            "Email": "bob@shop.example",
            "Date_Time": WHEN,
            "Timezone": "UTC",
            "ConversionType": "NEW_LEAD",
            "TimeOffset": -300,
            "Source": "news",
        },
    ],
    "marketing": [
        {"Date_Time": WHEN, "Clicks": 3, "Cost": "1.20", "AdId": "a", "AccountId": "b"},
        {"Date_Time": WHEN, "Clicks": 0, "Cost": 0, "AdId": "a2", "AccountId": "b", "Campaign": "spring"},
    ],
}


@pytest.fixture
def recording(record_mode: str) -> Iterator[str]:
    """Yield the address to write to: a simulator while recording, else a host without a server."""
    with recorded_url(record_mode, "2026-02-01T00:00:00Z") as url:
        yield url


@pytest.fixture
def client(recording) -> Iterator[WickedClient]:
    opened = WickedClient(recording, KEY, test_mode=False, connections=1, pause=lambda _: None)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    return recording_options("apikey", "user-agent", match_on=("query", "raw_body"))


def batch_of(name: str, rows: list[dict[str, Any]]) -> Batch:
    return Batch(name, list(NativeNormalizer().normalize([Record(name, row, 1) for row in rows], Book())))


def send(client: WickedClient, name: str, rows: list[dict[str, Any]], path: str = "") -> Outcome:
    batch, endpoint = batch_of(name, rows), ENDPOINTS[name]
    result = client.post(path or endpoint.path, batch.body, batch.rows, repeatable=bool(endpoint.key))
    assert result.rejected == {}
    return result.outcome


def test_every_endpoint_has_a_recording():
    assert list(ROWS) == list(ENDPOINTS)


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.parametrize("name", ROWS)
def test_the_recorded_exchange_still_writes(name, client, vcr):
    assert send(client, name, ROWS[name]) is Outcome.ACCEPTED
    (request,) = vcr.requests
    assert (request.method, request.path) == ("POST", ENDPOINTS[name].path)
    assert request.headers["Content-Type"] == "application/json"
    assert "apikey" not in request.headers, "the recordings must not contain the key"


@pytest.mark.vcr
@pytest.mark.block_network
def test_the_recorded_read_still_checks_the_key(recording, tmp_path, vcr):
    config = {
        "api_key": KEY,
        "api_url": recording,
        "ledger": {"type": "none"},
        "rejected_records_path": str(tmp_path / "rejected.jsonl"),
    }
    found = DestinationWickedReports().check(logger, config)
    assert (found.status, "accepted the API key" in found.message) == (Status.SUCCEEDED, True)
    assert [request.path for request in vcr.requests] == ["/latest"]


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.default_cassette("test_the_recorded_exchange_still_writes[order_payments].yaml")
@pytest.mark.parametrize(
    ("path", "change"),
    [("/orderpayment", {}), ("", {"Amount": "59.91"}), ("", {"Currency": "EUR"}), ("", {"SourceSystem": "Shop"})],
)
def test_a_request_other_than_the_recorded_one_gets_no_response(path, change, client):
    first, *others = ROWS["order_payments"]
    with pytest.raises(CannotOverwriteExistingCassetteException, match="order_payments"):
        send(client, "order_payments", [{**first, **change}, *others], path)


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.default_cassette("test_the_recorded_exchange_still_writes[products].yaml")
def test_a_request_with_another_method_gets_no_response(client, vcr):
    batch = batch_of("products", ROWS["products"])
    with pytest.raises(CannotOverwriteExistingCassetteException, match="products"):
        client._session.put(vcr.requests[0].uri, data=batch.body)
