"""What we use of airbyte-cdk beyond its public face; when a new version fails here, nothing else need be debugged."""

import inspect
from datetime import datetime, timedelta

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import AirbyteMessage
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor
from airbyte_cdk.sources.streams.http.error_handlers import ErrorResolution
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_wicked_reports import SourceWickedReports
from source_wicked_reports.strict_source import ClosedWindows

CONFIG = {"api_key": "k", "start_date": "2026-01-01", "end_date": "2026-01-02"}


def orders():
    source = SourceWickedReports(config=CONFIG)
    return next(stream for stream in source.streams(CONFIG) if stream.name == "orders")


def test_a_date_cursor_is_a_concurrent_cursor_that_may_become_ours():
    cursor = orders().cursor
    assert type(cursor) is ClosedWindows
    assert ClosedWindows.__bases__ == (ConcurrentCursor,)
    assert ClosedWindows.__dictoffset__ == ConcurrentCursor.__dictoffset__


def test_the_cursor_keeps_its_bounds_where_we_read_them():
    cursor = orders().cursor
    assert isinstance(cursor.start, datetime)
    assert isinstance(cursor._start, datetime)
    assert isinstance(cursor._end_provider(), datetime)
    assert (cursor._lookback_window, cursor._slice_range) == (timedelta(days=30), timedelta(days=28))
    assert cursor._cursor_granularity == timedelta(days=1)
    assert cursor._slice_boundary_fields_wrapper == ("start_time", "end_time")
    assert cursor._stream_name == "orders"
    assert cursor.cursor_field.cursor_field_key == "date"
    converter = cursor._connector_state_converter
    assert converter.output_format(converter.parse_value("2026-01-01")) == "2026-01-01"


def test_the_cursor_overrides_name_methods_that_the_cdk_still_has():
    for name in ("stream_slices", "observe", "close_partition", "state"):
        assert hasattr(ConcurrentCursor, name), name
        assert name in vars(ClosedWindows), name


def test_the_source_keeps_its_config_and_its_check_overrides_where_we_use_them():
    source = SourceWickedReports(config=CONFIG)
    assert source._config["read_until"] == "2026-01-02"
    with source._config_overridden_for_check({"max_tries": 1}):
        assert source._config["max_tries"] == 1
    assert "max_tries" not in source._config
    assert list(inspect.signature(source._select_streams).parameters) == ["streams", "configured_catalog"]


def test_a_partition_reads_and_tells_its_slice():
    partition = next(iter(orders().generate_partitions()))
    assert partition.to_slice() == {"start_time": "2025-12-31", "end_time": "2026-01-02"}
    assert inspect.isgeneratorfunction(type(partition).read)


def test_the_requester_and_its_error_handler_answer_what_we_ask():
    for name in ("get_url", "get_request_params", "get_request_headers", "get_authenticator"):
        assert callable(getattr(HttpRequester, name)), name
    assert {"response_action", "failure_type", "error_message"} <= set(inspect.signature(ErrorResolution).parameters)


def test_the_entrypoint_offers_the_steps_that_launch_takes():
    for name in ("parse_args", "set_up_secret_filter", "validate_connection", "airbyte_message_to_string", "run"):
        assert callable(getattr(AirbyteEntrypoint, name)), name
    assert isinstance(AirbyteTracedException("x").as_sanitized_airbyte_message(), AirbyteMessage)
