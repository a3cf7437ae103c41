"""The reported side: the orders in Wicked Reports, read by `source-wicked-reports`.

The source runs as a subprocess. Its output from an earlier run, RECORD lines of the stream `orders`, can be given as
files instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from destination_wicked_reports.base.json_files import unreadable
from destination_wicked_reports.base.terminal_log import printable
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError, ReadError
from destination_wicked_reports.reconcile.orders import (
    OrderId,
    ReportedOrder,
    ReportedPayment,
    parse_cents,
    status_name,
    to_cents,
    total_payments,
)

READER = "source-wicked-reports"
#: The one-time load of history covers 365 days (docs/vendors/wicked-reports.md 2.1), so no sent order should be older.
HISTORY = timedelta(days=366)
STREAM = "orders"
#: Values of `sourceSystem` for an unknown source system (docs/vendors/wicked-reports.md 2.10, 5.2).
_NO_SYSTEM = frozenset({"", "unknown"})
#: The last millisecond of the year 9999, in UNIX time.
_LAST_MILLISECOND = 253_402_300_799_999
_CATALOG = {
    "streams": [
        {
            "stream": {"name": STREAM, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
    ]
}


@dataclass(slots=True)
class ReportedOrders:
    """Orders by id, several if Wicked has an order more than once; `at` is when they were read, in UNIX seconds."""

    orders: dict[OrderId, list[ReportedOrder]] = field(default_factory=dict)
    at: float = 0.0


class OrderCollector:
    """Collects orders from output lines. An order that changes during the read is read twice; the last one counts.

    If source ids are `wanted`, only these orders are collected, with their payments one by one.
    """

    def __init__(self, wanted: Collection[str] | None = None) -> None:
        self._wanted = wanted
        self._by_wicked_id: dict[str, tuple[OrderId, ReportedOrder]] = {}
        self._incomplete = False
        #: UNIX seconds, infinite if no record has a time
        self.first_emitted_at = float("inf")
        self.error = ""

    def add(self, line: bytes) -> str:
        """Add one line; return the text of a LOG message, else an empty text. Raises ReadError for an invalid line."""
        try:
            message = json.loads(line, parse_float=Decimal)
            kind = message["type"]
            if kind == "RECORD" and message["record"]["stream"] == STREAM:
                self._add_order(message["record"]["data"])
                emitted_at = message["record"].get("emitted_at") or 0
                if not 0 <= emitted_at <= _LAST_MILLISECOND:
                    raise ValueError("not a time")
                self.first_emitted_at = min(self.first_emitted_at, int(emitted_at) / 1000)
            elif kind == "LOG":
                return str(message["log"]["message"])
            elif kind == "TRACE":
                self._trace(message["trace"])
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            raise ReadError(
                f"The files given with --read are not the output of {READER}: give all lines that its command `read` "
                "printed, unchanged."
            ) from None
        return ""

    def _add_order(self, data: dict[str, Any]) -> None:
        payments = data.get("payments") or ()
        order_id = str(data.get("sourceSystem") or ""), str(data["sourceId"])
        if self._wanted is not None and order_id[1] not in self._wanted:
            return
        order = ReportedOrder(
            to_cents(data.get("amount") or 0),
            str(data.get("currency") or ""),
            _utc(data.get("date")),
            total_payments((payment.get("status"), payment.get("amount") or 0) for payment in payments),
            () if self._wanted is None else tuple(map(_listed, payments)),
        )
        self._by_wicked_id[str(data["id"])] = order_id, order

    def _trace(self, trace: dict[str, Any]) -> None:
        if trace.get("type") == "ERROR":
            self.error = str(trace["error"]["message"])
        status = trace.get("stream_status")
        if status and status["stream_descriptor"]["name"] == STREAM:
            self._incomplete = status["status"] != "COMPLETE"

    def result(self, at: float) -> ReportedOrders:
        """Return all orders, with `at` as the time of the read; raises ReadError if the read is incomplete."""
        if self.error or self._incomplete:
            raise ReadError(
                "Wicked Reports could not be read, so nothing can be compared: "
                + (self.error or "the read is incomplete. Read again.")
            )
        found: dict[OrderId, list[ReportedOrder]] = {}
        for order_id, order in self._by_wicked_id.values():
            found.setdefault(order_id, []).append(order)
        return ReportedOrders(found, at)


def read_files(files: Sequence[Path]) -> ReportedOrders:
    """Return the orders in the output of earlier reads; raises ReadError if the files are unreadable or incomplete."""
    collector, oldest = OrderCollector(), float("inf")
    try:
        for path in files:
            oldest = min(oldest, path.stat().st_mtime)
            with path.open("rb") as lines:
                for line in lines:
                    if line.strip():
                        collector.add(line)
    except OSError as error:
        raise ReadError(unreadable(str(error.filename), error)) from None
    return collector.result(min(collector.first_emitted_at, oldest))


def read_account(settings: dict[str, Any], wanted: Collection[str] | None = None) -> ReportedOrders:
    """Read all orders by running `source-wicked-reports` with the configuration `settings`.

    If source ids are `wanted`, only these orders are returned, with their payments one by one. The source's logs go to
    standard error. Raises ReadError if the source is not installed, or with the source's own message if it fails.
    """
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    reader = shutil.which(READER, path=search_path)
    if reader is None:
        raise ReadError(
            f"{READER} is not installed next to this command. Install airbyte-source-wicked-reports into the same "
            "environment; wicked-reports-reconcile also takes the output of a run elsewhere with --read."
        )
    with temporary_folder() as folder:
        paths = {"config": Path(folder, "config.json"), "catalog": Path(folder, "catalog.json")}
        paths["config"].write_text(json.dumps(settings))
        paths["catalog"].write_text(json.dumps(_CATALOG))
        command = [reader, "read", *(part for name, path in paths.items() for part in (f"--{name}", str(path)))]
        started = datetime.now(timezone.utc).timestamp()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own console script
            assert process.stdout is not None
            collector = OrderCollector(wanted)
            try:
                _collect(collector, process.stdout)
            except BaseException:
                process.terminate()
                raise
        if process.returncode and not collector.error:
            collector.error = f"{READER} ended with exit code {process.returncode}."
    return collector.result(started)


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Return a folder with mode 0700, for a configuration or rows; ReadError if there is none."""
    try:
        folder = tempfile.TemporaryDirectory()
    except OSError as error:
        raise ReadError(
            f"No temporary folder can be used ({error.strerror}). Set TMPDIR to a folder that can be written."
        ) from None
    with folder as name:
        yield name


def _collect(collector: OrderCollector, lines: Iterable[bytes]) -> None:
    for line in lines:
        log = collector.add(line)
        if log:
            sys.stderr.write(printable(log) + "\n")


def reader_settings(
    config: Config, own: dict[str, Any] | None, since: date, until: date | None = None, *, exactly: bool = False
) -> dict[str, Any]:
    """Return the source's configuration: `own` if given, else one with the key and address of the destination.

    It reads from `since`, or from the `start_date` of `own` if that is earlier and not `exactly`, up to `until` or now.
    """
    settings = dict(own) if own else {"api_key": config.api_key, "api_url": config.api_url}
    start = since.isoformat() if exactly else str(settings.get("start_date") or since)
    settings["start_date"] = min(start[:10], since.isoformat())
    settings.pop("end_date", None)
    if until is not None and until < datetime.now(timezone.utc).date():
        settings["end_date"] = until.isoformat()
    return settings


def refuse_test_mode(config: Config) -> None:
    """Raise ConfigurationError if the configuration uses the test store, which Wicked never reports."""
    if config.test_mode:
        raise ConfigurationError(
            "test_mode is on, and the outbound API never reports rows of the test store: there is nothing to compare. "
            "Use the API verification tool in Wicked Reports, or the configuration of the live connection."
        )


def match_unknown_systems(reported: ReportedOrders, sent: Iterable[OrderId]) -> dict[OrderId, list[ReportedOrder]]:
    """Return the orders by id; one without a source system gets the sent id that has its source id, if unambiguous."""
    by_source_id: dict[str, set[OrderId]] = {}
    for order_id in sent:
        by_source_id.setdefault(order_id[1], set()).add(order_id)
    found: dict[OrderId, list[ReportedOrder]] = {}
    for order_id, orders in reported.orders.items():
        matches = by_source_id.get(order_id[1], set()) if order_id[0].lower() in _NO_SYSTEM else set()
        found.setdefault(next(iter(matches)) if len(matches) == 1 else order_id, []).extend(orders)
    return found


def _listed(payment: dict[str, Any]) -> ReportedPayment:
    """Return one payment; the source has converted its date, which Wicked sends without a zone, to UTC."""
    amount = parse_cents(payment.get("amount"))
    return ReportedPayment(status_name(payment.get("status")), amount, _utc(payment.get("dateUtc")))


def _utc(text: Any) -> str:
    """Return an ISO 8601 time as `YYYY-MM-DD HH:MM:SS` in UTC, empty if it is invalid or has no UTC time."""
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return ""
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
