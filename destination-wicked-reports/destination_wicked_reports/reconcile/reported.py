"""Wicked's side: its orders, as `source-wicked-reports` reads them; that reader is the only one, and none is here.

The reader runs as a process of its own, or ran before: its output, RECORD lines of the stream `orders`, may be given as
files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ReadError
from destination_wicked_reports.reconcile.orders import Name, ShownOrder, money, paid_by

READER = "source-wicked-reports"
STREAM = "orders"
#: What Wicked writes where it does not know the source system (outbound reference, "sourceSystem").
_NO_SYSTEM = frozenset({"", "unknown"})
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
class Shown:
    """What Wicked shows: orders by name, more than one if it holds an order twice; `at` is when, in UNIX seconds."""

    orders: dict[Name, list[ShownOrder]] = field(default_factory=dict)
    at: float = 0.0


class _Orders:
    """Gathers RECORD lines. An order that changes while it is read comes twice: what came last counts."""

    def __init__(self) -> None:
        self._by_id: dict[str, tuple[Name, ShownOrder]] = {}
        self._open: set[str] = set()
        self.at = float("inf")
        self.error = ""

    def take(self, line: bytes) -> str:
        """Take one line; return what a log says, or an empty text."""
        try:
            message = json.loads(line, parse_float=Decimal)
            kind = message["type"]
            if kind == "RECORD" and message["record"]["stream"] == STREAM:
                self._keep(message["record"]["data"])
                self.at = min(self.at, int(message["record"].get("emitted_at") or 0) / 1000)
            elif kind == "LOG":
                return str(message["log"]["message"])
            elif kind == "TRACE":
                self._trace(message["trace"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ReadError(
                f"What was read is not the output of {READER}: give --read the lines that its command `read` printed, "
                "all of them and unchanged."
            ) from None
        return ""

    def _keep(self, data: dict[str, Any]) -> None:
        payments = data.get("payments") or ()
        name = str(data.get("sourceSystem") or ""), str(data["sourceId"])
        order = ShownOrder(
            money(data.get("amount") or 0),
            str(data.get("currency") or ""),
            _utc(data.get("date")),
            paid_by((payment.get("status"), payment.get("amount") or 0) for payment in payments),
        )
        self._by_id[str(data["id"])] = name, order

    def _trace(self, trace: dict[str, Any]) -> None:
        if trace.get("type") == "ERROR":
            self.error = str(trace["error"]["message"])
        status = trace.get("stream_status")
        if status and status["stream_descriptor"]["name"] == STREAM:
            (self._open.discard if status["status"] == "COMPLETE" else self._open.add)(STREAM)

    def shown(self) -> Shown:
        """Return all orders; raises ReadError if the read did not come to its end."""
        if self.error or self._open:
            raise ReadError(
                "Wicked Reports could not be read, so nothing can be compared: "
                + (self.error or "the read broke off. Read again.")
            )
        found: dict[Name, list[ShownOrder]] = {}
        for name, order in self._by_id.values():
            found.setdefault(name, []).append(order)
        return Shown(found, self.at)


def read_files(files: Sequence[Path]) -> Shown:
    """Return what earlier reads printed into these files; raises ReadError if they are not whole."""
    orders, oldest = _Orders(), float("inf")
    try:
        for path in files:
            oldest = min(oldest, path.stat().st_mtime)
            with path.open("rb") as lines:
                for line in lines:
                    if line.strip():
                        orders.take(line)
    except OSError as error:
        raise ReadError(f"{error.filename} cannot be read ({error.strerror}).") from None
    shown = orders.shown()
    shown.at = min(shown.at, oldest)
    return shown


def read_account(settings: dict[str, Any]) -> Shown:
    """Read all orders with `source-wicked-reports`, whose configuration `settings` is; its logs go to standard error.

    Raises ReadError if it is not installed, or fails; its message then is the source's own.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    reader = shutil.which(READER, path=places)
    if reader is None:
        raise ReadError(
            f"{READER} is not installed beside this command. Install airbyte-source-wicked-reports into the same "
            "environment, or run it elsewhere and give its output with --read."
        )
    with tempfile.TemporaryDirectory() as folder:  # its owner's only: the configuration holds the key
        paths = {"config": Path(folder, "config.json"), "catalog": Path(folder, "catalog.json")}
        paths["config"].write_text(json.dumps(settings))
        paths["catalog"].write_text(json.dumps(_CATALOG))
        command = [reader, "read", *(part for name, path in paths.items() for part in (f"--{name}", str(path)))]
        begun = datetime.now(timezone.utc).timestamp()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own console script
            assert process.stdout is not None
            orders = _Orders()
            try:
                _follow(orders, process.stdout)
            except BaseException:
                process.terminate()
                raise
        if process.returncode and not orders.error:
            orders.error = f"{READER} ended with exit code {process.returncode}."
    shown = orders.shown()
    shown.at = begun
    return shown


def _follow(orders: _Orders, lines: Iterable[bytes]) -> None:
    for line in lines:
        said = orders.take(line)
        if said:
            sys.stderr.write(said + "\n")


def reader_settings(config: Config, own: dict[str, Any] | None, since: date) -> dict[str, Any]:
    """Return the source's configuration: the user's own or, as one key serves both ways, one made of the destination's.

    It reads from `since`, or earlier if the user's own says so, up to now.
    """
    settings = dict(own) if own else {"api_key": config.api_key, "api_url": config.api_url}
    start = str(settings.get("start_date") or since)
    settings["start_date"] = min(start[:10], since.isoformat())
    settings.pop("end_date", None)
    return settings


def named(shown: Shown, names: Iterable[Name]) -> dict[Name, list[ShownOrder]]:
    """Return the orders, those without a source system under the one name of ours that has their id, if one has."""
    by_id: dict[str, set[Name]] = {}
    for name in names:
        by_id.setdefault(name[1], set()).add(name)
    found: dict[Name, list[ShownOrder]] = {}
    for name, orders in shown.orders.items():
        ours = by_id.get(name[1], set()) if name[0].lower() in _NO_SYSTEM else set()
        found.setdefault(next(iter(ours)) if len(ours) == 1 else name, []).extend(orders)
    return found


def _utc(text: Any) -> str:
    """Return a date with its zone as `YYYY-MM-DD HH:MM:SS` in UTC, empty if it is no date."""
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return ""
    return f"{moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"
