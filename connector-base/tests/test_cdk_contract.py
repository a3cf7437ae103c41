"""What we use of airbyte-cdk beyond its public interface. If a new version fails here, start here."""

import inspect
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import source_sovrn.base.source
import source_wecantrack.base.source
import source_wicked_reports.base.source
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import AirbyteMessage
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor
from airbyte_cdk.sources.streams.http.error_handlers import ErrorResolution
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_sovrn import SourceSovrn
from source_wecantrack import SourceWecantrack
from source_wicked_reports import SourceWickedReports

DATES = {"start_date": "2026-01-01", "end_date": "2026-01-02"}


@dataclass
class Example:
    """A source, one of its dated streams, and what its manifest declares of it."""

    source: Any
    cursor_class: Any
    config: dict[str, Any]
    stream: str
    lookback: timedelta
    step: timedelta
    granularity: timedelta
    cursor_field: str
    date: str
    normalized: tuple[str, str]
    overridden: str
    window: dict[str, str]

    def build(self) -> Any:
        return self.source(config=self.config)

    def dated_stream(self) -> Any:
        return next(stream for stream in self.build().streams(self.config) if stream.name == self.stream)


EXAMPLES = [
    Example(
        SourceWecantrack,
        source_wecantrack.base.source.ClosedWindowCursor,
        {"api_key": "k", **DATES},
        "transactions",
        timedelta(hours=24),
        timedelta(days=1),
        timedelta(seconds=1),
        "last_wct_update",
        "2026-01-01T00:00:00",
        ("start_date", "2026-01-01T00:00:00"),
        "page_size",
        {"start_time": "2026-01-01T00:00:00", "end_time": "2026-01-01T23:59:59"},
    ),
    Example(
        SourceSovrn,
        source_sovrn.base.source.ClosedWindowCursor,
        {"secret_key": "k", **DATES},
        "transactions",
        timedelta(days=3),
        timedelta(days=1),
        timedelta(days=1),
        "update_date",
        "2026-01-01",
        ("read_until", "2026-01-02"),
        "max_tries",
        {"start_time": "2026-01-01", "end_time": "2026-01-01"},
    ),
    Example(
        SourceWickedReports,
        source_wicked_reports.base.source.ClosedWindowCursor,
        {"api_key": "k", **DATES},
        "orders",
        timedelta(days=30),
        timedelta(days=28),
        timedelta(days=1),
        "date",
        "2026-01-01",
        ("read_until", "2026-01-02"),
        "max_tries",
        {"start_time": "2025-12-31", "end_time": "2026-01-02"},
    ),
]


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.source.__name__)
def example(request):
    return request.param


def test_a_date_cursor_is_a_concurrent_cursor_that_may_become_ours(example):
    ours = example.cursor_class
    assert type(example.dated_stream().cursor) is ours
    assert ours.__bases__ == (ConcurrentCursor,)
    assert ours.__dictoffset__ == ConcurrentCursor.__dictoffset__


def test_the_cursor_keeps_its_bounds_where_we_read_them(example):
    cursor = example.dated_stream().cursor
    assert isinstance(cursor.start, datetime)
    assert isinstance(cursor._start, datetime)
    assert isinstance(cursor._end_provider(), datetime)
    assert (cursor._lookback_window, cursor._slice_range) == (example.lookback, example.step)
    assert cursor._cursor_granularity == example.granularity
    assert cursor._slice_boundary_fields_wrapper == ("start_time", "end_time")
    assert cursor._stream_name == example.stream
    assert cursor.cursor_field.cursor_field_key == example.cursor_field
    converter = cursor._connector_state_converter
    assert converter.output_format(converter.parse_value(example.date)) == example.date


def test_the_cursor_overrides_name_methods_that_the_cdk_still_has(example):
    for name in ("stream_slices", "observe", "close_partition", "state"):
        assert hasattr(ConcurrentCursor, name), name
        assert name in vars(example.cursor_class), name


def test_the_source_keeps_its_config_and_its_check_overrides_where_we_use_them(example):
    source, (name, value) = example.build(), example.normalized
    assert source._config[name] == value
    before = dict(source._config)
    assert before[example.overridden] != 1
    with source._config_overridden_for_check({example.overridden: 1}):
        assert source._config[example.overridden] == 1
    assert source._config == before
    assert list(inspect.signature(source._select_streams).parameters) == ["streams", "configured_catalog"]


def test_a_partition_reads_and_returns_its_slice(example):
    partition = next(iter(example.dated_stream().generate_partitions()))
    assert partition.to_slice() == example.window
    assert inspect.isgeneratorfunction(type(partition).read)


def test_the_requester_and_its_error_handler_return_what_we_use():
    for name in ("get_url", "get_request_params", "get_request_headers", "get_authenticator"):
        assert callable(getattr(HttpRequester, name)), name
    assert {"response_action", "failure_type", "error_message"} <= set(inspect.signature(ErrorResolution).parameters)


def test_the_entrypoint_offers_the_steps_that_launch_takes():
    for name in ("parse_args", "set_up_secret_filter", "validate_connection", "airbyte_message_to_string", "run"):
        assert callable(getattr(AirbyteEntrypoint, name)), name
    assert isinstance(AirbyteTracedException("x").as_sanitized_airbyte_message(), AirbyteMessage)
