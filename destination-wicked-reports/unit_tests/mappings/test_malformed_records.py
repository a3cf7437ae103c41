"""Records from PyAirbyte's cache: every mapping makes the same rows of them as of what the source sent."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from builders import bigcommerce as shop
from builders import sovrn
from builders.affiliate import Book, feed, make_normalizer
from builders.affiliate import transaction as wecantrack_transaction
from builders.pyairbyte_cache import CACHED, SCHEMA, SENT, cache, schema_of
from destination_wicked_reports.config.mappings import CustomStream
from destination_wicked_reports.destination import DestinationWickedReports
from destination_wicked_reports.mappings.custom.normalizer import CustomNormalizer
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Record, Row
from destination_wicked_reports.protocol.messages import Output
from destination_wicked_reports.protocol.pyairbyte_cache import CachedRecordDecoder

Data = dict[str, Any]


def through_cache(stream: str, records: list[Data]) -> list[Data]:
    """Return what the writer hands to the mapping when these records come by way of the cache."""
    schema = schema_of(records)
    altered = [Record(stream, cache(record, schema)) for record in records]
    CachedRecordDecoder({stream: [schema]}).decode(altered)
    return [record.data for record in altered]


def rows(made: Iterable[Any]) -> list[tuple[str, str, bytes, bytes]]:
    return [(row.endpoint, row.key, row.body, row.digest) for row in made if isinstance(row, Row)]


class TestCache:
    def test_the_builder_matches_the_recorded_cache(self):
        assert cache(SENT, SCHEMA) == CACHED

    def test_a_record_is_decoded_as_it_was_sent_except_for_the_zone(self):
        record = Record("toy", CACHED)
        CachedRecordDecoder({"toy": [SCHEMA]}).decode([record])
        assert record.data == {**SENT, "at": "2024-05-31T13:45:00.123456", "several": "5", "missing": None}
        assert type(record.data["rate"]) is int

    def test_a_record_that_was_not_cached_is_unchanged(self):
        record = Record("toy", SENT)
        CachedRecordDecoder({"toy": [SCHEMA]}).decode([record])
        assert record.data is SENT

    def test_without_a_schema_only_the_added_columns_are_removed(self):
        record = Record("toy", dict(CACHED))
        CachedRecordDecoder({}).decode([record])
        assert record.data == {name: value for name, value in CACHED.items() if not name.startswith("_airbyte_")}

    @pytest.mark.parametrize(
        ("cached", "decoded"),
        [
            ("12.000000000", 12),
            ("-0.100000000", -0.1),
            ("0E-9", 0),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
            ("1e999999", "1e999999"),
            ("nan", "nan"),
            (None, None),
            (12.5, 12.5),
            (12.0, 12),
        ],
    )
    def test_numbers_keep_every_digit(self, cached, decoded):
        record = Record("toy", {"n": cached, "_airbyte_raw_id": "x"})
        CachedRecordDecoder({"toy": [{"properties": {"n": {"type": "number"}}}]}).decode([record])
        assert record.data == {"n": decoded}
        assert type(record.data["n"]) is type(decoded)

    def test_new_sets_of_columns_do_not_grow_the_memory(self):
        decoder = CachedRecordDecoder({})
        for number in range(300):
            decoder.decode([Record("toy", {f"c{number}": 1, "_airbyte_raw_id": "x"})])
        assert len(decoder._plans) <= 64

    def test_text_that_looks_like_json_stays_text_if_the_schema_declares_text(self):
        record = Record("toy", {"t": "[1]", "_airbyte_raw_id": "x"})
        CachedRecordDecoder({"toy": [{"properties": {"t": {"type": ["null", "string"]}}}]}).decode([record])
        assert record.data == {"t": "[1]"}


NATIVE: dict[str, Data] = {
    "products": {"SourceSystem": "s", "SourceID": "p1", "ProductName": "Shoe", "ProductPrice": 59.9},
    "contacts": {"SourceSystem": "s", "SourceID": "c1", "CreateDate": "2024-05-31T13:45:00Z", "Email": "a@b.example"},
    "orders": {
        "SourceSystem": "s",
        "SourceID": "o1",
        "CreateDate": "2024-05-31T13:45:00.250Z",
        "ContactEmail": "a@b.example",
        "OrderTotal": "59.90",
        "IP_Address": "192.0.2.1",
        "OrderItems": [{"OrderItemID": "1", "ProductID": "p1", "Qty": 1, "PPU": "59.90"}],
        "OrderPayments": [{"PaymentDate": "2024-05-31T13:45:00Z", "Amount": 59.9, "Status": "APPROVED"}] * 2,
    },
    "order_items": {"SourceSystem": "s", "OrderID": "o1", "SourceID": "2", "ProductID": "p1", "Qty": 2.0, "PPU": 1.5},
    "order_payments": {"SourceSystem": "s", "OrderID": "o1", "PaymentDate": "2024-05-31T13:45:00Z", "Amount": 1e2},
    "clicks": {
        "Email": "a@b.example",
        "Date_Time": "2024-05-31 13:45:00",
        "Timezone": "UTC-5",
        "ConversionType": "NEW_LEAD",
        "TimeOffset": -2,
    },
    "marketing": {"Date_Time": "2024-05-31T00:00:00Z", "Clicks": 3, "Cost": 1.2, "AdId": "1", "AccountId": "2"},
}


class TestRows:
    @pytest.mark.parametrize("stream", NATIVE)
    def test_native_streams(self, stream):
        def made(records: list[Data]) -> Any:
            return rows(NativeNormalizer().normalize([Record(stream, record) for record in records], Book()))

        sent = [NATIVE[stream]]
        assert made(sent)
        assert made(through_cache(stream, sent)) == made(sent)

    @pytest.mark.parametrize("stream", NATIVE)
    def test_native_streams_also_without_a_schema(self, stream):
        sent = NATIVE[stream]
        made = [
            rows(NativeNormalizer().normalize([Record(stream, data)], Book()))
            for data in (sent, cache(sent, schema_of([sent])))
        ]
        assert made[0] == made[1]

    def test_wecantrack(self):
        sent = [
            wecantrack_transaction(),
            wecantrack_transaction(status="approved", validation_date="2024-06-01 00:00:00"),
            wecantrack_transaction(status="approved", commission_amount="7.50", click_metadata={"utm_source": "fb"}),
            wecantrack_transaction(transaction_id="T2", sub_ids=[], commission_amount=1.1),
        ]
        self._same(
            "transactions", sent, lambda records: feed(make_normalizer(without_contact="synthetic"), Book(), *records)
        )

    @pytest.mark.parametrize("cpc", ["skip", "rollup"])
    def test_sovrn(self, cpc):
        sent = [
            sovrn.transaction(),
            sovrn.transaction("12.345", revenue_id="R2", commission_id="C2", click_id="k2"),
            sovrn.taken_back("-4.00"),
            *(sovrn.click(number) for number in range(3)),
        ]
        self._same("transactions", sent, lambda records: sovrn.Desk(cpc=cpc, without_contact="synthetic")(*records))

    def test_bigcommerce(self):
        sent = [
            shop.customer(),
            shop.product(),
            shop.order(),
            shop.guest_order(101, "20.5000"),
            shop.line(),
            shop.line(2, 101, quantity=1),
            shop.transaction(1),
            shop.transaction(2, "refund", 30.0),
        ]
        by_stream: dict[str, list[Data]] = {}
        for stream, data in sent:
            by_stream.setdefault(stream, []).append(data)
        came = [(name, data) for name, several in by_stream.items() for data in through_cache(name, several)]
        assert rows(shop.Shop()(*came)) == rows(shop.Shop()(*sent))
        assert {row[0] for row in rows(shop.Shop()(*came))} >= {"contacts", "products", "orders"}

    def test_custom(self):
        rule = CustomStream(
            stream="Invoices",
            endpoint="order_payments",
            for_each="Lines",
            filter='item.price > `1` && record."Is-Paid" && record.Total > `10`',
            fields={
                "SourceSystem": "'shop'",
                "OrderID": "concat(record.Info.Prefix, record.Number)",
                "PaymentDate": "utc(record.CreatedAt)",
                "Amount": "money(record.Total)",
                "Status": "item.state",
            },
        )
        sent = [
            {
                "Number": number,
                "Is-Paid": True,
                "CreatedAt": "2024-05-31T13:45:00Z",
                "Total": total,
                "Info": {"Prefix": "A-"},
                "Lines": [{"price": 2.5, "state": "APPROVED"}, {"price": 1}],
            }
            for number, total in ((1, 100.5), (2, 12), (3, 9.99))
        ]

        def normalize(records: list[Data]) -> Any:
            return CustomNormalizer([rule]).normalize([Record("Invoices", data) for data in records], Book())

        assert len(rows(normalize(sent))) == 2
        self._same("Invoices", sent, normalize)

    @staticmethod
    def _same(stream: str, sent: list[Data], made: Callable[[list[Data]], Iterable[Any]]) -> None:
        expected = rows(made(sent))
        assert expected
        assert rows(made(through_cache(stream, sent))) == expected


class TestConnector:
    """The whole write command: the same records by the two ways, to one ledger."""

    @pytest.fixture
    def write(self, wicked, tmp_path):
        def run(lines: list[Data], schema: Data, mapping: Data) -> list[Data]:
            config = {
                "api_key": "k",
                "api_url": wicked.url,
                "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
                "mapping": mapping,
            }
            stream = {"name": "Web Orders", "namespace": "eu", "json_schema": schema}
            configured = {
                "stream": {**stream, "supported_sync_modes": ["full_refresh"]},
                "sync_mode": "incremental",
                "destination_sync_mode": "append_dedup",
                "destination_object_name": "orders",
                "generation_id": 1,
                "minimum_generation_id": 1,
                "sync_id": 1,
            }
            catalog = ConfiguredAirbyteCatalogSerializer.load({"streams": [configured]})
            before = len(wicked.requests)
            destination = DestinationWickedReports(Output(io.BytesIO()))
            destination.deliver(config, catalog, [[orjson.dumps(line) for line in lines]])
            return [orjson.loads(body) for _, _, _, body in wicked.requests[before:] if body]

        return run

    @pytest.mark.parametrize("mapping", ["native", "custom"])
    def test_what_went_straight_is_known_when_it_comes_from_the_cache(self, write, mapping):
        orders = [{**NATIVE["orders"], "SourceID": str(number), "Store-Name": "north"} for number in range(1, 4)]
        schema = schema_of(orders)
        fields = {name: name for name in NATIVE["orders"] if not name.startswith("Order")} | {
            "OrderTotal": "money(OrderTotal)",
            "City": '"Store-Name"',
        }
        entry = {"stream": "Web Orders", "namespace": "eu", "endpoint": "orders", "fields": fields}
        chosen = {"native": {"type": "native"}, "custom": {"type": "custom", "streams": [entry]}}[mapping]
        straight = [
            {
                "type": "RECORD",
                "record": {"stream": "Web Orders", "namespace": "eu", "data": order, "emitted_at": 1717162000123},
            }
            for order in orders
        ]
        cached = [
            {
                "type": "RECORD",
                "state": None,
                "destination_catalog": None,
                "record": {
                    "stream": "Web Orders",
                    "namespace": None,
                    "data": cache(order, schema),
                    "emitted_at": 1717162000,
                    "meta": None,
                },
            }
            for order in orders
        ]
        first = write(straight, schema, chosen)
        assert len(first[0]) == 3
        assert first[0][0]["OrderTotal"] == 59.9
        assert write(cached, schema, chosen) == []
