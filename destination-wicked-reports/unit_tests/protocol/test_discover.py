"""`discover`: seven objects, their schemas and keys, as one protocol message."""

from __future__ import annotations

import io
import json

import jsonschema
import orjson
import pytest
from airbyte_protocol_dataclasses.models import DestinationCatalog
from builders.affiliate import Book
from builders.destination import COMPLETE
from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.api.fields import Kind
from destination_wicked_reports.destination import DestinationWickedReports
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Record, Row
from destination_wicked_reports.protocol.discover import destination_catalog, json_schema
from destination_wicked_reports.protocol.messages import Output
from hypothesis import given
from hypothesis import strategies as st
from serpyco_rs import Serializer

OPERATIONS = destination_catalog()["destination_catalog"]["operations"]
ORDER = {
    "SourceSystem": "shop",
    "SourceID": "o1",
    "CreateDate": "2024-05-31T13:45:00Z",
    "ContactEmail": "a@b.example",
    "OrderTotal": 59.9,
    "OrderPayments": [{"PaymentDate": "2024-05-31T13:45:00Z", "Amount": 59.9}],
}


def schema(name):
    return json_schema(ENDPOINTS[name])


class TestLine:
    @pytest.fixture
    def discover(self, tmp_path):
        def run(config):
            path = tmp_path / "config.json"
            path.write_text(json.dumps(config))
            out = io.BytesIO()
            code = 0
            try:
                DestinationWickedReports(Output(out)).run(["discover", "--config", str(path)])
            except SystemExit as end:
                code = end.code
            return code, [orjson.loads(line) for line in out.getvalue().splitlines()]

        return run

    def test_one_message_is_printed_and_nothing_else(self, discover):
        code, (message,) = discover({"api_key": "k"})
        assert code == 0
        assert message == destination_catalog()

    def test_the_payload_is_a_destination_catalog_of_the_protocol(self):
        loaded = Serializer(DestinationCatalog).load(destination_catalog()["destination_catalog"])
        assert len(loaded.operations) == len(OPERATIONS)

    @pytest.mark.parametrize("mapping", [{"type": "wecantrack"}, {"type": "sovrn"}, {"type": "bigcommerce"}])
    def test_a_mapping_that_chooses_the_objects_offers_none_and_logs_why(self, discover, mapping):
        code, messages = discover({"api_key": "k", "mapping": mapping})
        assert code == 0
        assert [m["destination_catalog"] for m in messages if m["type"] == "DESTINATION_CATALOG"] == [
            {"operations": []}
        ]
        assert any("mapping" in m["log"]["message"] for m in messages if m["type"] == "LOG")

    def test_a_configuration_that_cannot_be_used_is_an_error(self, discover):
        code, messages = discover({"mapping": {"type": "native"}})
        assert code == 1
        assert [m["trace"]["error"]["failure_type"] for m in messages if m["type"] == "TRACE"] == ["config_error"]

    def test_it_needs_a_configuration(self, capsys):
        with pytest.raises(SystemExit):
            DestinationWickedReports(Output(io.BytesIO())).run(["discover"])
        assert "--config" in capsys.readouterr().err


class TestObjects:
    def test_all_seven_can_be_appended_to_in_load_order(self):
        appended = [operation["object_name"] for operation in OPERATIONS if operation["sync_mode"] == "append"]
        assert appended == list(ENDPOINTS)

    def test_those_with_a_key_can_be_deduplicated_by_it(self):
        keys = {o["object_name"]: o["matching_keys"] for o in OPERATIONS if o["sync_mode"] == "append_dedup"}
        assert keys == {
            "products": [["SourceSystem", "SourceID"]],
            "contacts": [["SourceSystem", "SourceID"]],
            "orders": [["SourceSystem", "SourceID"]],
            "order_items": [["SourceSystem", "OrderID", "SourceID"]],
        }

    @pytest.mark.parametrize("name", ENDPOINTS)
    def test_the_schema_is_valid_and_keys_are_required(self, name):
        jsonschema.Draft7Validator.check_schema(schema(name))
        assert set(ENDPOINTS[name].key) <= set(schema(name)["required"]) <= set(schema(name)["properties"])

    def test_the_writer_accepts_what_the_schema_accepts(self):
        jsonschema.validate(ORDER, schema("orders"))
        made = list(NativeNormalizer().normalize([Record("orders", ORDER, 1)], Book()))
        assert [type(row) for row in made] == [Row, Row]

    @pytest.mark.parametrize(
        "change",
        [{"ContactEmail": None, "drop": "ContactEmail"}, {"OrderTotal": "x"}, {"Colour": "red"}, {"City": "x" * 256}],
    )
    def test_the_schema_refuses_what_the_writer_refuses_or_drops(self, change):
        row = {**ORDER, **change}
        row.pop(row.pop("drop", ""), None)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(row, schema("orders"))

    def test_nested_items_have_another_name_for_their_id(self):
        assert schema("orders")["properties"]["OrderItems"]["items"]["required"] == ["OrderItemID", "Qty", "PPU"]


def schema_accepts(schema, row):
    return jsonschema.Draft7Validator(schema).is_valid(row)


def writer_accepts(name, row):
    made = NativeNormalizer().normalize([Record(name, row, 1)], Book())
    return all(isinstance(each, Row) and not each.left_out for each in made)


ANY_TEXT = st.text(max_size=12) | st.text(alphabet=" \t\n\r\0\x0b\x0c\x1c\u00a0\u2003.", max_size=3)
WHOLE = st.integers(min_value=-(10**19), max_value=10**19)
SIGN, END = st.sampled_from(["", " ", "-", "+", "\n-"]), st.sampled_from(["", ".", ".0", ".000 ", "\n", "x"])
WHOLE_TEXT = st.builds("{}{}{}".format, SIGN, st.integers(min_value=1, max_value=10**19), END)
MONEY_TEXT = WHOLE_TEXT | st.builds("{}00{}.{}{}".format, SIGN, *[st.integers(min_value=1, max_value=10**7)] * 2, END)
VALUES = [
    *(None, "", " ", "\t\n", "x", [], {}, True, 0, 1, -1, 2.5, 1e18, 1e19),
    *("0", "1", " 1 ", "59.90", "-59.90", "+3", "2.000000000", ".5", "5.", "0001", "1.2.3", "-", ".", "12x"),
    *(10**17 - 1, 10**18 - 1, 10**18, 1 - 10**17, -(10**17), 10**19),
    *(str(10**18 - 1), str(10**18), str(1 - 10**17), str(-(10**17)), "9" * 20, "9" * 501),
]


class TestSchemaAndWriterAcceptTheSame:
    @pytest.mark.parametrize(
        ("name", "field"),
        [
            pytest.param(name, field, id=f"{name}.{field.name}")
            for name, endpoint in ENDPOINTS.items()
            for field in endpoint.fields
        ],
    )
    def test_of_every_field(self, name, field):
        values, dated = VALUES, field.kind in (Kind.UTC, Kind.LOCAL)
        if dated:  # a schema cannot express which dates exist
            values = [value for value in VALUES if not isinstance(value, str) or not value.strip()]
        elif field.kind is Kind.TEXT:  # to a schema, 1e18 is an integer
            values = [value for value in VALUES if not isinstance(value, float) or value == 2.5]
        rows = [{**COMPLETE[name], field.name: value} for value in values]
        judged = {repr(row[field.name]): (schema_accepts(schema(name), row), writer_accepts(name, row)) for row in rows}
        assert {value: pair for value, pair in judged.items() if pair[0] != pair[1]} == {}
        assert len(set(judged.values())) == 2 or dated

    @given(ANY_TEXT | WHOLE)
    def test_of_required_text(self, value):
        agree("products", "ProductName", value)

    @given(ANY_TEXT | WHOLE)
    def test_of_optional_text(self, value):
        agree("contacts", "City", value)

    @given(ANY_TEXT | st.integers(min_value=-200, max_value=2000))
    def test_of_text_of_three_characters(self, value):
        agree("orders", "OrderCurrency", value)

    @pytest.mark.parametrize(("name", "field"), [("products", "ProductPrice"), ("order_payments", "Amount")])
    @given(value=WHOLE | MONEY_TEXT)
    def test_of_money(self, name, field, value):
        agree(name, field, value)

    @pytest.mark.parametrize(("name", "field"), [("order_items", "Qty"), ("marketing", "ConversionCount")])
    @given(value=WHOLE | WHOLE_TEXT)
    def test_of_whole_numbers(self, name, field, value):
        agree(name, field, value)

    @given(
        st.fixed_dictionaries({}, optional=dict.fromkeys(["ContactID", "ContactEmail"], st.none() | ANY_TEXT | WHOLE))
    )
    def test_of_the_contact_of_an_order(self, contacts):
        row = {name: value for name, value in COMPLETE["orders"].items() if name != "ContactEmail"} | contacts
        assert schema_accepts(schema("orders"), row) == writer_accepts("orders", row)

    @pytest.mark.parametrize("when", ["2024-05-31 13:45:00", "2024-05-31T13:45:00Z", "2024-05-31T15:45:00.25+02:00"])
    def test_of_dates_in_the_usual_notations(self, when):
        row = {**COMPLETE["orders"], "CreateDate": when}
        assert (schema_accepts(schema("orders"), row), writer_accepts("orders", row)) == (True, True)


def agree(name, field, value):
    row = {**COMPLETE[name], field: value}
    assert schema_accepts(schema(name), row) == writer_accepts(name, row)
