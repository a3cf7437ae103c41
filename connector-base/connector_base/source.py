"""The declarative source of airbyte-cdk 7.39, hardened: windows that close, a read that stops.

Shared by the sources and the same, byte for byte, in each of them. What the CDK does otherwise was measured in
`airbyte/cdk.md`: state follows the largest record (3.3), a failed slice does not end the read (4.4), the last window
is wider than the others (3.2), `check` quotes its message (4.1). One thread reads, so that windows close in order,
state never runs ahead of records, and a slow reader of our output slows us instead of filling our memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, cast

from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateStats,
    AirbyteStateType,
    AirbyteStreamState,
    AirbyteStreamStatus,
    ConfiguredAirbyteCatalog,
    Status,
    StreamDescriptor,
    Type,
)
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition
from airbyte_cdk.sources.types import Record, StreamSlice
from airbyte_cdk.sources.utils.record_helper import stream_data_to_airbyte_message
from airbyte_cdk.utils.stream_status_utils import as_airbyte_message as status_message
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .errors import config_error
from .http import check_api_url
from .rate_limit import LOGGER, utc_now

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class ClosedWindowCursor(ConcurrentCursor):
    """A date cursor whose windows lie on a fixed grid and whose state is the end of the last closed window.

    Windows are cut at whole multiples of the declared `step` since 1970, UTC (`P1D`: days, 00:00:00 to 23:59:59), both
    ends inclusive, none wider than a step. Empty windows advance the state as full ones do. Records are not looked at.
    """

    _any_closed = False  # the end of the first window may be the start itself: a grain of a day, a window of one

    def stream_slices(self) -> Iterable[StreamSlice]:
        """Yield the windows from the state less the lookback, never before the start, to the end."""
        start, end, reached = cast("tuple[datetime, ...]", (self._start, self._end_provider(), self.start))
        step, grain = cast("tuple[timedelta, ...]", (self._slice_range, self._cursor_granularity))
        lookback, latest = cast("timedelta", self._lookback_window or timedelta()), max(utc_now(), start)
        if reached > latest:
            LOGGER.warning("The state of stream %s lies in the future; it is taken as now.", self._stream_name)
            self.start = reached = latest  # type: ignore[assignment]
        if start > utc_now():
            LOGGER.warning("start_date lies in the future: stream %s has nothing to read yet.", self._stream_name)
        lower = max(start, reached - lookback)
        show, (first, last) = self._connector_state_converter.output_format, self._slice_boundary_fields_wrapper
        while lower <= end:
            following = min(_EPOCH + ((lower - _EPOCH) // step + 1) * step, end + grain)
            yield StreamSlice(partition={}, cursor_slice={first: show(lower), last: show(following - grain)})
            lower = following

    def observe(self, record: Record) -> None:
        """Ignore the record: the window it came from is what counts."""

    def close_partition(self, partition: Partition) -> None:
        """Move the state to the end of the window, never back (a lookback reads windows below the state)."""
        window = partition.to_slice() or {}
        end = self._connector_state_converter.parse_value(window[self._slice_boundary_fields_wrapper[1]])
        self.start, self._any_closed = max(self.start, end), True

    @property
    def state(self) -> dict[str, Any]:
        """Return `{cursor field: end of the last closed window}`, or nothing when there never was one."""
        if self.start == self._start and not self._any_closed:
            return {}
        return {self.cursor_field.cursor_field_key: self._connector_state_converter.output_format(self.start)}


class ManifestSource(YamlDeclarativeSource):
    """A manifest read in one thread; the first failure ends the run.

    A subclass hands its manifest's path to `super().__init__` and can be made of `catalog`, `config`, `state` and
    `config_path`, or of nothing: then each command makes one of the config that it is given.
    """

    @staticmethod
    def read_config(config_path: str) -> dict[str, Any]:
        """Return the configuration in a file; a key that is null counts as left out, for some hosts write all keys."""
        return {
            key: value for key, value in YamlDeclarativeSource.read_config(config_path).items() if value is not None
        }

    @classmethod
    def read_state(cls, state_path: str) -> list[AirbyteStateMessage]:
        """Return the states in a file; one that all streams share is none of ours, and the CDK stumbles over it."""
        states = YamlDeclarativeSource.read_state(state_path)
        if any(state.global_ is not None and state.global_.shared_state is not None for state in states):
            raise config_error(
                f"The state file {state_path} holds a GLOBAL state with a shared_state, which this source never "
                "writes: give it the states that this source wrote, or leave --state out to start over."
            )
        return states

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for what a JSON schema cannot see."""
        check_api_url(config.get("api_url"))

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the declared streams; every date cursor becomes one of closed windows."""
        self.validate_config(self._config)
        try:
            streams = super().streams(config)
        except ValueError:
            raise config_error(
                "The saved state, or a date of the configuration, is no date: reset the state, or correct the date."
            ) from None
        for stream in streams:
            if isinstance(stream.cursor, ConcurrentCursor):
                stream.cursor.__class__ = ClosedWindowCursor
        return streams

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Ask each stream that the manifest's `check` names for its first record; failures are plain sentences."""
        source = self._bound(config)
        declared = source.resolved_manifest["check"]
        try:
            with source._config_overridden_for_check(declared.get("config_overrides")):
                streams = {stream.name: stream for stream in source.streams(source._config)}
                for name in declared["stream_names"]:
                    partition = next(iter(streams[name].generate_partitions()), None)
                    if partition is not None:
                        next(iter(partition.read()), None)
        except AirbyteTracedException as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """Return the catalog."""
        source = self._bound(config)
        return AirbyteCatalog(streams=[stream.as_airbyte_stream() for stream in source.streams(source._config)])

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[AirbyteMessage]:
        """Read as the protocol asks: statuses, records, one state a closed window."""
        for item in self._bound(config, catalog, state).items(catalog):
            if isinstance(item, Record):
                yield stream_data_to_airbyte_message(item.stream_name, item.data)
            else:
                yield item

    def items(self, catalog: ConfiguredAirbyteCatalog) -> Iterator[Record | AirbyteMessage]:
        """Read the catalog's streams one after the other; records come bare, for a writer that is in a hurry."""
        streams = self.streams(self._config)
        unknown = {configured.stream.name for configured in catalog.streams} - {stream.name for stream in streams}
        if unknown:
            raise config_error(
                f"The catalog asks for {', '.join(sorted(unknown))}, which this source does not have: refresh the "
                f"source's schema, or choose among {', '.join(sorted(stream.name for stream in streams))}."
            )
        for stream in self._select_streams(streams, catalog):
            described = stream.as_airbyte_stream()
            LOGGER.info("Reading stream %s", stream.name)
            yield status_message(described, AirbyteStreamStatus.STARTED)
            try:
                yield from self._stream_items(stream)
            except Exception as error:
                yield status_message(described, AirbyteStreamStatus.INCOMPLETE)
                if not isinstance(error, AirbyteTracedException):
                    raise
                told = (error.internal_message, error.message, error.failure_type)
                raise AirbyteTracedException(*told, stream_descriptor=StreamDescriptor(name=stream.name)) from None
            yield status_message(described, AirbyteStreamStatus.COMPLETE)

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Tell of the progress: called with 0 before the first window, then after the state of each.

        `rows` is what the window gave, `total` what the stream gave so far.
        """
        return ()

    def _stream_items(self, stream: AbstractStream) -> Iterator[Record | AirbyteMessage]:
        cursor, total, told = stream.cursor, 0, False
        partitions = list(stream.generate_partitions())
        yield from self.progress(stream.name, 0, len(partitions), 0, 0)
        for number, partition in enumerate(partitions, 1):
            before = total
            for record in partition.read():
                if not total:
                    yield status_message(stream.as_airbyte_stream(), AirbyteStreamStatus.RUNNING)
                total += 1
                yield record
            cursor.close_partition(partition)
            if isinstance(cursor, ClosedWindowCursor):
                told = True
                yield _state_message(stream.name, cursor.state, total - before)
            yield from self.progress(stream.name, number, len(partitions), total - before, total)
        if not told:
            yield _state_message(stream.name, cursor.state, total)
        LOGGER.info("Read %s records of stream %s", total, stream.name)

    def _bound(
        self,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog | None = None,
        state: list[AirbyteStateMessage] | None = None,
    ) -> ManifestSource:
        """Return this source, or, when it was made without a config, one made with it: the CDK builds from it."""
        return self if self._config else type(self)(catalog=catalog, config=config, state=state)  # type: ignore[call-arg]


def _state_message(stream: str, state: Mapping[str, Any], records: int) -> AirbyteMessage:
    return AirbyteMessage(
        type=Type.STATE,
        state=AirbyteStateMessage(
            type=AirbyteStateType.STREAM,
            stream=AirbyteStreamState(
                stream_descriptor=StreamDescriptor(name=stream), stream_state=AirbyteStateBlob(dict(state))
            ),
            sourceStats=AirbyteStateStats(recordCount=float(records)),
        ),
    )
