"""Routing of configured streams: names, namespaces, and the object that the catalog requests."""

from __future__ import annotations

from typing import Any

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from builders.affiliate import Book
from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.model import Record
from destination_wicked_reports.protocol.catalog import find_routes, find_schemas

CONTACT = {"SourceSystem": "'crm'", "SourceID": "id", "CreateDate": "at", "Email": "email"}
PRODUCT = {"SourceSystem": "'crm'", "SourceID": "id", "ProductName": "name", "ProductPrice": "`0`"}


def entry(stream: str, endpoint: str = "contacts", **more: Any) -> dict[str, Any]:
    return {"stream": stream, "endpoint": endpoint, "fields": CONTACT if endpoint == "contacts" else PRODUCT, **more}


def configured(name: str, namespace: str | None = None, object_name: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "stream": {"name": name, "namespace": namespace, "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
        | more,
        "sync_mode": "full_refresh",
        "destination_sync_mode": "append",
        "destination_object_name": object_name,
    }


def routed(mapping: dict[str, Any], *streams: dict[str, Any]) -> tuple[Any, Any]:
    config = Config.parse({"api_key": "k", "mapping": mapping})
    normalizer = make_normalizer(config)
    catalog = ConfiguredAirbyteCatalogSerializer.load({"streams": list(streams)})
    return find_routes(catalog, normalizer, config), normalizer


def refused(mapping: dict[str, Any], *streams: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        routed(mapping, *streams)
    return str(caught.value)


def custom(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"type": "custom", "streams": list(entries)}


def endpoints(normalizer: Any, route: str) -> list[str]:
    data = {"id": "1", "at": "2024-05-31 13:45:00", "email": "a@b.example", "name": "x"}
    return [row.endpoint for row in normalizer.normalize([Record(route, data, 1)], Book())]


NATIVE = {"type": "native"}


class TestNative:
    @pytest.mark.parametrize("name", ENDPOINTS)
    def test_a_stream_goes_to_the_endpoint_of_its_name(self, name):
        assert routed(NATIVE, configured(name))[0] == {("", name): name}

    @pytest.mark.parametrize("name", ["OrderItems", "orderitems", "Order_Items", "order-items"])
    def test_the_spelling_of_the_name_does_not_matter(self, name):
        assert routed(NATIVE, configured(name))[0] == {("", name): "order_items"}

    @pytest.mark.parametrize("wanted", ["orders", "Orders"])
    def test_the_object_that_the_catalog_asks_for_wins_over_the_name(self, wanted):
        assert routed(NATIVE, configured("contacts", object_name=wanted))[0] == {("", "contacts"): "orders"}

    def test_an_object_that_there_is_not_is_refused(self):
        assert "asks for the object leads" in refused(NATIVE, configured("contacts", object_name="leads"))

    def test_an_unsupported_stream_is_refused_and_the_supported_ones_are_named(self):
        assert "This mapping supports clicks, contacts," in refused(NATIVE, configured("people"))

    def test_streams_of_two_namespaces_go_to_one_endpoint(self):
        routes, _ = routed(NATIVE, configured("orders", "eu"), configured("orders", "us"))
        assert routes == {("eu", "orders"): "orders", ("us", "orders"): "orders"}

    def test_one_stream_for_two_objects_is_refused(self):
        message = refused(
            NATIVE, configured("people", object_name="contacts"), configured("people", object_name="orders")
        )
        assert "configured twice, for contacts and for orders" in message


class TestOtherMappings:
    @pytest.mark.parametrize("mapping", ["wecantrack", "sovrn", "bigcommerce"])
    def test_a_mapping_that_chooses_endpoints_itself_takes_no_object(self, mapping):
        assert routed({"type": mapping}, configured("transactions", "eu"))[0]["eu", "transactions"] == "transactions"
        assert "asks for the object orders" in refused(
            {"type": mapping}, configured("transactions", object_name="orders")
        )


class TestCustom:
    def test_every_entry_of_a_stream_is_taken(self):
        routes, normalizer = routed(custom(entry("people"), entry("people", "products")), configured("people"))
        assert endpoints(normalizer, routes["", "people"]) == ["contacts", "products"]

    def test_the_object_that_the_catalog_asks_for_chooses_among_the_entries(self):
        mapping = custom(entry("people"), entry("people", "products"))
        routes, normalizer = routed(mapping, configured("people", object_name="products"))
        assert endpoints(normalizer, routes["", "people"]) == ["products"]

    def test_an_object_that_no_entry_makes_is_refused(self):
        assert "asks for the object clicks" in refused(custom(entry("people")), configured("people", None, "clicks"))

    def test_a_namespace_chooses_among_streams_of_one_name(self):
        mapping = custom(entry("people", namespace="eu"), entry("people", "products", namespace="us"))
        routes, normalizer = routed(mapping, configured("people", "eu"), configured("people", "us"))
        assert endpoints(normalizer, routes["eu", "people"]) == ["contacts"]
        assert endpoints(normalizer, routes["us", "people"]) == ["products"]

    def test_an_entry_without_a_namespace_takes_the_stream_from_all(self):
        mapping = custom(entry("people"), entry("people", "products", namespace="us"))
        routes, normalizer = routed(mapping, configured("people", "eu"), configured("people", "us"))
        assert endpoints(normalizer, routes["eu", "people"]) == ["contacts"]
        assert endpoints(normalizer, routes["us", "people"]) == ["contacts", "products"]

    def test_a_stream_of_another_namespace_is_refused(self):
        assert "Stream people is not supported by the mapping" in refused(
            custom(entry("people", namespace="eu")), configured("people")
        )

    def test_a_replayed_record_needs_no_catalog(self):
        mapping = custom(entry("people"), entry("people", "products", namespace="us"))
        normalizer = make_normalizer(Config.parse({"api_key": "k", "mapping": mapping}))
        assert endpoints(normalizer, "people") == ["contacts"]
        assert endpoints(normalizer, "us.people") == ["contacts", "products"]


class TestRecordsWithoutTheirNamespace:
    def test_they_are_known_by_a_name_that_is_in_the_catalog_once(self):
        assert routed(NATIVE, configured("orders", "eu"))[0] == {("eu", "orders"): "orders", ("", "orders"): "orders"}

    def test_they_are_unknown_if_two_namespaces_have_that_name(self):
        routes, _ = routed(NATIVE, configured("orders", "eu"), configured("orders", "us"))
        assert ("", "orders") not in routes


def test_schemas_are_found_by_route():
    catalog = ConfiguredAirbyteCatalogSerializer.load(
        {
            "streams": [
                configured("orders", "eu", json_schema={"properties": {"a": {}}}),
                configured("Orders", "us", json_schema={"properties": {"b": {}}}),
            ]
        }
    )
    routes = {("eu", "orders"): "orders", ("us", "Orders"): "orders"}
    assert find_schemas(catalog, routes) == {"orders": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}


@pytest.mark.parametrize("name", ["WebLeads", "web-leads", "WEB_LEADS"])
def test_a_stream_is_found_in_any_spelling(name):
    mapping = {"type": "custom", "streams": [entry("web_leads")]}
    routes, normalizer = routed(mapping, configured(name))
    assert routes["", name] == "web_leads"
    record = Record("web_leads", {"id": "1", "at": "2026-03-01 10:00:00", "email": "a@b.example"}, 1)
    (row,) = normalizer.normalize([record], Book())
    assert row.endpoint == "contacts"
