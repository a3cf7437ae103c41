"""Records that are marked as deleted are left out, for every usual mark."""

from __future__ import annotations

import pytest
from builders.affiliate import Book
from builders.destination import COMPLETE
from destination_wicked_reports.api.deletion_marks import find_marks, is_deleted
from destination_wicked_reports.config.mappings import CustomStream
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.mappings.custom.normalizer import CustomNormalizer
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Deleted, Record, Reject, Row
from destination_wicked_reports.protocol.singer import Translator

NOW = "2026-06-01T00:00:00Z"
DELETED = [
    ("_ab_cdc_deleted_at", NOW),
    ("_AB_CDC_DELETED_AT", NOW),
    ("abCdcDeletedAt", NOW),
    ("_sdc_deleted_at", NOW),
    ("_SDC_DELETED_AT", 1717163100),
    ("deleted_at", NOW),
    ("deletedAt", NOW),
    ("_fivetran_deleted", True),
    ("_FIVETRAN_DELETED", "TRUE"),
    ("_fivetran_deleted", 1),
    ("__deleted", "true"),
    ("_deleted", True),
    ("deleted", True),
    ("is_deleted", True),
    ("IsDeleted", "true"),
    ("__hevo__marked_deleted", True),
    ("_PEERDB_IS_DELETED", True),
    ("__op", "d"),
    ("_change_type", "delete"),
    ("METADATA$ACTION", "DELETE"),
]
ALIVE = [
    ("_ab_cdc_deleted_at", None),
    ("_ab_cdc_deleted_at", ""),
    ("_ab_cdc_deleted_at", "null"),
    ("deleted_at", "0000-00-00 00:00:00"),
    ("deleted_at", False),
    ("_fivetran_deleted", False),
    ("_fivetran_deleted", "false"),
    ("_fivetran_deleted", 0),
    ("__deleted", "false"),
    ("is_deleted", None),
    ("deleted", "maybe"),
    ("__op", "u"),
    ("_change_type", "update_postimage"),
    ("undeleted_at", NOW),
    ("deleted_by", "x"),
    ("op", "d"),
]


def custom(**more: str) -> CustomNormalizer:
    fields = {name: f"'{value}'" for name, value in COMPLETE["orders"].items()}
    return CustomNormalizer([CustomStream(stream="orders", endpoint="orders", fields=fields, **more)])


@pytest.mark.parametrize(("name", "value"), DELETED)
@pytest.mark.parametrize("make", [NativeNormalizer, custom])
def test_a_deleted_record_is_left_out(make, name, value):
    records = [Record("orders", data, number) for number, data in enumerate([COMPLETE["orders"], COMPLETE["orders"]])]
    records[0].data = {**COMPLETE["orders"], name: value}
    made = list(make().normalize(records, Book()))
    assert [type(each) for each in made] == [Deleted, Row]
    assert (made[0].stream, made[0].sequence) == ("orders", 0)


@pytest.mark.parametrize(("name", "value"), ALIVE)
@pytest.mark.parametrize("make", [NativeNormalizer, custom])
def test_an_empty_mark_says_nothing(make, name, value):
    (made,) = make().normalize([Record("orders", {**COMPLETE["orders"], name: value})], Book())
    assert isinstance(made, Row)


def test_a_delete_with_its_key_alone_is_not_rejected():
    (made,) = NativeNormalizer().normalize([Record("orders", {"id": 1, "_ab_cdc_deleted_at": NOW})], Book())
    assert isinstance(made, Deleted)
    (made,) = NativeNormalizer().normalize([Record("orders", {"id": 1, "_ab_cdc_deleted_at": None})], Book())
    assert isinstance(made, Reject)


def test_streams_that_alternate_keep_their_marks():
    streams = ["orders", "contacts"] * 3
    records = [Record(name, {**COMPLETE[name], "_fivetran_deleted": name == "orders"}) for name in streams]
    made = NativeNormalizer().normalize(records, Book())
    assert [type(each) for each in made] == [Deleted, Row] * 3


def test_the_items_of_a_deleted_order_are_left_out_too():
    data = {**COMPLETE["orders"], "OrderPayments": [{"Amount": 1}], "_ab_cdc_deleted_at": NOW}
    (made,) = NativeNormalizer().normalize([Record("orders", data)], Book())
    assert isinstance(made, Deleted)


def test_a_custom_mapping_that_reads_a_column_of_the_source_decides_itself():
    (made,) = custom(filter="!deleted").normalize([Record("orders", {"deleted": True})], Book())
    assert not isinstance(made, Deleted | Reject)
    (made,) = custom(filter="!deleted_at || `true`").normalize([Record("orders", {"deleted_at": NOW})], Book())
    assert isinstance(made, Row)
    (made,) = custom(filter="!_ab_cdc_deleted_at || `true`").normalize(
        [Record("orders", {"_ab_cdc_deleted_at": NOW})], Book()
    )
    assert isinstance(made, Deleted)


def test_they_are_counted_by_stream(dead_letters):
    tally = Tally(dead_letters)
    tally.rows_of([Deleted("marked as deleted", 1, "orders"), Deleted("marked as deleted", 2, "orders")])
    assert tally.deleted == {"orders": 2}
    assert tally.failed == 0


@pytest.mark.parametrize("name", ["_sdc_deleted_at", "_SDC_DELETED_AT", "_Sdc_Deleted_At"])
def test_the_singer_target_knows_the_mark_in_any_spelling(name, caplog):
    schema = b'{"type":"SCHEMA","stream":"transactions","schema":{},"key_properties":[]}'
    record = b'{"type":"RECORD","stream":"transactions","record":{"a":1,"%s":"2026-01-01"}}' % name.encode()
    (out,) = Translator({"transactions"}, {}).translate([[schema, record]])
    assert out == [b"", b""]
    assert "marked as deleted" in caplog.text


def test_marks_are_found_among_columns():
    names = ("id", "_ab_cdc_lsn", "_ab_cdc_deleted_at", "Is_Deleted")
    assert find_marks(names) == ("_ab_cdc_deleted_at", "Is_Deleted")
    assert not is_deleted({"id": 1}, ())
