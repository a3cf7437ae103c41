"""Base class of the sources: the CDK's declarative source with a safer read loop.

Differences from airbyte-cdk 7.39, all measured: state follows closed windows, not the largest record
(docs/airbyte-cdk.md 3.3); the first failed window ends the read (docs/airbyte-cdk.md 4.4); the last window is no wider
than the others (docs/airbyte-cdk.md 3.2); `check` returns a readable message (docs/airbyte-cdk.md 4.1). A single thread
reads: windows close in order, a STATE never precedes its records, and a slow destination blocks the read instead of
filling memory.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteEstimateTraceMessage,
    AirbyteMessage,
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateStats,
    AirbyteStateType,
    AirbyteStreamState,
    AirbyteStreamStatus,
    AirbyteTraceMessage,
    ConfiguredAirbyteCatalog,
    EstimateType,
    FailureType,
    Status,
    StreamDescriptor,
    SyncMode,
    TraceType,
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

from . import json_files, rate_limit
from .errors import KeyRejectedError, config_error, injected_key, system_error, unexpected_error
from .http import check_api_url
from .rate_limit import LOGGER, format_duration, utc_now
from .saved_states import read_states
from .spelling import did_you_mean
from .vendor_clock import VendorClock, shared_clock

T = TypeVar("T")

#: Minimum seconds between two lines of progress.
PROGRESS_SECONDS = 10.0
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class ClosedWindowCursor(ConcurrentCursor):
    """Date cursor with windows on a fixed grid; its state is the end of the last closed window.

    Windows are cut at whole multiples of the declared `step` since 1970 in UTC (`P1D`: 00:00:00 to 23:59:59). Both ends
    are inclusive, and no window is wider than a step. Empty windows advance the state; record values do not.
    """

    #: The vendor's clock, and how long before the current time a read ends; `ManifestSource` sets both.
    vendor_clock = VendorClock()
    end_lag = timedelta()
    #: When the windows were cut.
    _cut_at = _EPOCH
    #: Distinguishes "nothing closed yet" from a first window that ends where it starts, as a window of one day does.
    _any_closed = False

    def stream_slices(self) -> Iterable[StreamSlice]:
        """Yield the windows from the state minus the lookback, but not before the start, to the end."""
        start, end, reached = cast("tuple[datetime, ...]", (self._start, self._end_provider(), self.start))
        step, granularity = cast("tuple[timedelta, ...]", (self._slice_range, self._cursor_granularity))
        self._cut_at = utc_now()
        lookback, latest = cast("timedelta", self._lookback_window or timedelta()), max(self._cut_at, start)
        if reached > latest:
            LOGGER.warning(
                "The state of stream %s is in the future; using the current time. If this machine's clock was wrong in "
                "an earlier run, rows since then may be missing: reset the stream's state to read them again.",
                self._stream_name,
            )
            self.start = reached = latest  # type: ignore[assignment]
        lower = max(start, reached - min(lookback, reached - _EPOCH))
        format_date = self._connector_state_converter.output_format
        first, last = self._slice_boundary_fields_wrapper
        while lower <= end:
            following = min(_EPOCH + ((lower - _EPOCH) // step + 1) * step, end + granularity)
            window = {first: format_date(lower), last: format_date(following - granularity)}
            yield StreamSlice(partition={}, cursor_slice=window)
            lower = following

    def observe(self, record: Record) -> None:
        """Do nothing: the state depends on windows only."""

    def close_partition(self, partition: Partition) -> None:
        """Advance the state to the end of the window; a window of the lookback does not move it back.

        If this machine's clock is ahead, the state stays behind the vendor's.
        """
        end = self._boundary(partition, 1)
        self.start, self._any_closed = max(self.start, min(end, self._latest_end() or end)), True  # type: ignore[assignment]

    def is_in_future(self, partition: Partition) -> bool:
        """Tell whether a window begins after the vendor's current time, so that it can have no rows yet."""
        latest = self._latest_end()
        return latest is not None and self._boundary(partition, 0) > latest

    def _boundary(self, partition: Partition, index: int) -> datetime:
        window = partition.to_slice() or {}
        value = self._connector_state_converter.parse_value(window[self._slice_boundary_fields_wrapper[index]])
        return cast("datetime", value)

    def _latest_end(self) -> datetime | None:
        """Return the last end that the vendor's clock allows; None unless this machine's clock is ahead."""
        now = self.vendor_clock.bound(self._cut_at)
        granularity = cast("timedelta", self._cursor_granularity)
        return None if now is None else _EPOCH + (now - self.end_lag - _EPOCH) // granularity * granularity

    @property
    def state(self) -> dict[str, Any]:
        """Return `{cursor field: end of the last closed window}`, or `{}` before any window is closed."""
        if self.start == self._start and not self._any_closed:
            return {}
        return {self.cursor_field.cursor_field_key: self._connector_state_converter.output_format(self.start)}


class ManifestSource(YamlDeclarativeSource):
    """A source declared in the `manifest.yaml` next to the subclass's module.

    Options that the configuration omits get the `default` of the manifest's spec, so each default is written once.
    Without a configuration, each command builds a new source from the configuration that it receives.
    """

    #: How long before the current time a read without an end date ends, as in the manifest's `end_datetime`.
    end_lag: ClassVar[timedelta] = timedelta()

    check_error: AirbyteTracedException | None = None

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
    ) -> None:
        _refuse_injected(config)
        self._given_states = list(state or ())
        manifest = Path(inspect.getfile(type(self))).with_name("manifest.yaml")
        super().__init__(str(manifest), catalog=catalog, config=config, state=state, config_path=config_path)
        if self._config:
            properties = self.resolved_manifest["spec"]["connection_specification"]["properties"]
            defaults = {name: option["default"] for name, option in properties.items() if "default" in option}
            self._config = {**defaults, **self._config}

    @staticmethod
    def read_config(config_path: str) -> dict[str, Any]:
        """Return the configuration without keys that are null: some orchestrators write every option."""
        config = _from_file(lambda: json_files.read_object(config_path, "config"))
        return {key: value for key, value in config.items() if value is not None}

    @classmethod
    def read_catalog(cls, catalog_path: str) -> ConfiguredAirbyteCatalog:
        """Return the configured catalog in a file."""
        return _from_file(lambda: json_files.read_catalog(catalog_path))

    @classmethod
    def read_state(cls, state_path: str | None) -> list[AirbyteStateMessage]:
        """Return the last state of each stream in a file of states or messages; none without a file."""
        return _from_file(lambda: read_states(state_path)) if state_path else []

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for errors that the JSON schema of the spec cannot find."""
        check_api_url(config.get("api_url"))

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the declared streams; every date cursor becomes a `ClosedWindowCursor`."""
        self.validate_config(self._config)
        vendor_clock = VendorClock()
        try:
            with shared_clock(vendor_clock):
                streams = super().streams(config)
        except ValueError:
            raise config_error(
                "A date in the saved state or in the configuration is invalid. Reset the state, or correct the date."
            ) from None
        for stream in streams:
            if isinstance(stream.cursor, ConcurrentCursor):
                stream.cursor.__class__ = ClosedWindowCursor
                cast("ClosedWindowCursor", stream.cursor).vendor_clock = vendor_clock
                cast("ClosedWindowCursor", stream.cursor).end_lag = self.end_lag
        return streams

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Read the first record of each stream that the manifest's `check` names.

        `check_error` is then the failure, if it is no fault of the configuration.
        """
        source = self._bound(config)
        source._warn_of_future_start()
        declared = source.resolved_manifest["check"]
        try:
            with source._config_overridden_for_check(declared.get("config_overrides")):
                streams = {stream.name: stream for stream in source.streams(source._config)}
                for name in declared["stream_names"]:
                    partition = next(iter(streams[name].generate_partitions()), None)
                    if partition is not None:
                        next(iter(partition.read()), None)
        except AirbyteTracedException as error:
            return self._failed_check(error)
        except OSError as error:
            return self._failed_check(system_error(error))
        names = " and ".join(declared["stream_names"])
        return AirbyteConnectionStatus(
            status=Status.SUCCEEDED, message=f"Connected: the API accepts the key, and {names} can be read."
        )

    def _failed_check(self, error: AirbyteTracedException) -> AirbyteConnectionStatus:
        if error.failure_type != FailureType.config_error:
            self.check_error = error
        return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)

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
        """Yield stream statuses, records, and a STATE after each closed window."""
        for item in self._bound(config, catalog, state).items(catalog):
            if isinstance(item, Record):
                yield stream_data_to_airbyte_message(item.stream_name, item.data)
            else:
                yield item

    def items(self, catalog: ConfiguredAirbyteCatalog) -> Iterator[Record | AirbyteMessage]:
        """Read the catalog's streams one after the other; records are not wrapped in messages, which is faster.

        A stream that fails does not keep the others from being read, except if the vendor does not accept the key. Its
        error is reported at once, and the run still ends with an error that names every failed stream.
        """
        streams = self.streams(self._config)
        unknown = {configured.stream.name for configured in catalog.streams} - {stream.name for stream in streams}
        if unknown:
            known = sorted(stream.name for stream in streams)
            meant = "".join(did_you_mean(name, known, 0.6) for name in sorted(unknown)[:1])
            raise config_error(
                f"The catalog selects {', '.join(sorted(unknown))}, which this source does not have.{meant} Refresh "
                f"the source's schema, or select from {', '.join(known)}."
            )
        names = Counter(configured.stream.name for configured in catalog.streams)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise config_error(f"The catalog selects {', '.join(twice)} more than once. Select each stream once.")
        selected = self._select_streams(streams, catalog)
        if not selected:
            LOGGER.warning("The catalog selects no stream, so nothing is read. Select streams in it.")
        self._warn_of_future_start()
        self._warn_of_states(selected, catalog)
        failures: dict[str, AirbyteTracedException] = {}
        for number, stream in enumerate(selected, 1):
            airbyte_stream = stream.as_airbyte_stream()
            LOGGER.info("Reading stream %s", stream.name)
            yield status_message(airbyte_stream, AirbyteStreamStatus.STARTED)
            try:
                yield from self._stream_items(stream)
            except Exception as error:
                yield status_message(airbyte_stream, AirbyteStreamStatus.INCOMPLETE)
                failure = failures[stream.name] = _failure(error, stream.name)
                only_failure_is_last = number == len(selected) and len(failures) == 1
                if only_failure_is_last or isinstance(error, KeyRejectedError):
                    raise failure from None
                yield failure.as_sanitized_airbyte_message()
            else:
                yield status_message(airbyte_stream, AirbyteStreamStatus.COMPLETE)
        if failures:
            raise _summary(failures, len(selected))

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Report progress; called with `window` 0 before the first window, then after the STATE of each.

        `rows` counts the records of the window, `total` those of the stream so far. At most every `PROGRESS_SECONDS`,
        logs the time left and estimates the stream's rows, both from the mean of the windows so far.
        """
        now = rate_limit.CLOCK.now()
        if not window:
            self._started = self._last_line = now
        elif window < windows and now - self._last_line >= PROGRESS_SECONDS:
            self._last_line = now
            left = format_duration(self.seconds_left(window, windows, now - self._started))
            done = f"{self.window_unit(stream)} {window:,} of {windows:,}, {total:,} rows so far"
            LOGGER.info("%s: %s, about %s left", stream, done, left)
            yield estimate(stream, round(total / window * windows))

    def seconds_left(self, window: int, windows: int, elapsed: float) -> float:
        """Return how long the windows after `window` will take."""
        return elapsed / window * (windows - window)

    def done(self, stream: str, window: int, windows: int, rows: int) -> str:
        """Return the progress after a window with this number of rows, for the log."""
        unit = self.window_unit(stream)
        if not window:
            return f"{stream}: {windows:,} {unit}{'s' * (windows > 1)} to read"
        return f"{unit} {window} of {windows}, {rows:,} rows"

    def window_unit(self, stream: str) -> str:
        """Return what a window of a stream is called."""
        return "day" if self.declared(stream).get("incremental_sync", {}).get("step") == "P1D" else "window"

    def declared(self, stream: str) -> Mapping[str, Any]:
        """Return what the manifest says of a stream."""
        return next(each for each in self.resolved_manifest["streams"] if each["name"] == stream)

    def _warn_of_future_start(self) -> None:
        start = str(self._config.get("start_date") or "")
        with suppress(ValueError):
            moment = datetime.fromisoformat(start.replace("Z", "+00:00"))
            if moment.replace(tzinfo=moment.tzinfo or timezone.utc) > utc_now():
                LOGGER.warning("start_date is in the future: there is nothing to read yet. Correct it if it is wrong.")

    def _warn_of_states(self, selected: list[AbstractStream], catalog: ConfiguredAirbyteCatalog) -> None:
        """Warn of states that are not used, and of those that make a full refresh incomplete."""
        given: dict[str, dict[str, Any]] = {}
        for state in self._given_states:
            for each in [state.stream] if state.stream else state.global_.stream_states if state.global_ else []:
                name, namespace = each.stream_descriptor.name, each.stream_descriptor.namespace
                given[f"{namespace}.{name}" if namespace else name] = (
                    vars(each.stream_state) if each.stream_state else {}
                )
        known = [declared["name"] for declared in self.resolved_manifest["streams"]]
        for name in given.keys() - set(known):
            LOGGER.warning(
                "The state of stream %s is not used: this source has no stream of this name.%s",
                name,
                did_you_mean(name, known, 0.6),
            )
        modes = {configured.stream.name: configured.sync_mode for configured in catalog.streams}
        for stream in selected if given else ():
            if not isinstance(stream.cursor, ClosedWindowCursor):
                continue
            key = stream.cursor.cursor_field.cursor_field_key
            if key not in given.get(stream.name, {}):
                LOGGER.warning(
                    "The state has no %s for stream %s, so the stream is read from start_date. If an earlier run read "
                    "it, pass the last state of every stream, and keep the settings of that run.",
                    key,
                    stream.name,
                )
            elif modes[stream.name] == SyncMode.full_refresh:
                LOGGER.warning(
                    "Stream %s is configured as full_refresh, but a state is given: only what is newer than the state "
                    "and its lookback is read. To read everything from start_date, omit the state.",
                    stream.name,
                )

    def _stream_items(self, stream: AbstractStream) -> Iterator[Record | AirbyteMessage]:
        cursor, total, state_sent = stream.cursor, 0, False
        partitions = list(stream.generate_partitions())
        yield from self.progress(stream.name, 0, len(partitions), 0, 0)
        for number, partition in enumerate(partitions, 1):
            if number > 1 and isinstance(cursor, ClosedWindowCursor) and cursor.is_in_future(partition):
                break
            before = total
            for record in partition.read():
                if not total:
                    yield status_message(stream.as_airbyte_stream(), AirbyteStreamStatus.RUNNING)
                total += 1
                yield record
            cursor.close_partition(partition)
            if isinstance(cursor, ClosedWindowCursor):
                state_sent = True
                yield _state_message(stream.name, cursor.state, total - before)
            yield from self.progress(stream.name, number, len(partitions), total - before, total)
        if not state_sent:
            yield _state_message(stream.name, cursor.state, total)
        LOGGER.info("Read %s records of stream %s", total, stream.name)

    def _bound(
        self,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog | None = None,
        state: list[AirbyteStateMessage] | None = None,
    ) -> ManifestSource:
        """Return this source, or one built from `config` if this one has no configuration."""
        return self if self._config else type(self)(catalog=catalog, config=config, state=state)


def estimate(stream: str, rows: int) -> AirbyteMessage:
    """Return the message that estimates how many rows a stream has in this read."""
    return AirbyteMessage(
        type=Type.TRACE,
        trace=AirbyteTraceMessage(
            type=TraceType.ESTIMATE,
            emitted_at=time.time() * 1000,
            estimate=AirbyteEstimateTraceMessage(name=stream, type=EstimateType.STREAM, row_estimate=rows),
        ),
    )


def _from_file(read: Callable[[], T]) -> T:
    try:
        return read()
    except json_files.UnusableFileError as error:
        raise config_error(str(error)) from None


def _refuse_injected(config: Mapping[str, Any] | None) -> None:
    """Raise `config_error` for a key that would replace parts of this connector."""
    if refusal := injected_key(config or {}):
        raise config_error(refusal)


def _failure(error: Exception, stream: str) -> AirbyteTracedException:
    """Return the error of a stream, with its name."""
    if isinstance(error, OSError):
        error = system_error(error)
    elif not isinstance(error, AirbyteTracedException):
        error = unexpected_error(error)
    descriptor = StreamDescriptor(name=stream)
    return AirbyteTracedException(
        error.internal_message, error.message, error.failure_type, stream_descriptor=descriptor
    )


def _summary(failures: Mapping[str, AirbyteTracedException], selected: int) -> AirbyteTracedException:
    """Return the error that ends a run; its type is the one that needs the most attention."""
    types = {failure.failure_type for failure in failures.values()}
    order = (FailureType.system_error, FailureType.config_error, FailureType.transient_error)
    reasons = " ".join(f"{name}: {failure.message}" for name, failure in failures.items())
    rest = " The others were read completely." if len(failures) < selected else ""
    message = f"{len(failures)} of {selected} streams failed: {', '.join(failures)}.{rest} {reasons}"
    return AirbyteTracedException(message, message, next(kind for kind in order if kind in types))


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
