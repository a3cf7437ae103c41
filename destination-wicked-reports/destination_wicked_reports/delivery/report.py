"""What a run did, as data: the closing log says it in words, and `write --report FILE` as JSON.

It holds no value of a record: samples are ids of orders and products, or the position of a record in the input.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.base.errors import config_error
from destination_wicked_reports.config.files import write_atomically
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.session import Session
from destination_wicked_reports.delivery.tally import BUYERS, OUTCOMES
from destination_wicked_reports.errors import ConfigurationError, LedgerError
from destination_wicked_reports.ledger.engines import location_of
from destination_wicked_reports.ledger.ledger import fingerprint
from destination_wicked_reports.ledger.reading import store_of


@dataclass
class RunReport:
    """The facts of one `write`. It is complete however the run ends; what was not reached is empty."""

    mode: str = ""
    account: str = ""
    ledger: dict[str, Any] = field(default_factory=lambda: {"id": "", "location": "", "rows": 0})
    started: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    seconds: float = 0.0
    ended: bool = False
    error: str = ""
    records: dict[str, int] = field(default_factory=lambda: {"received": 0, "rejected": 0})
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    attribution: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BUYERS, 0))
    health: list[dict[str, Any]] = field(default_factory=list)
    in_doubt_open: int = 0
    _begun: float = field(default_factory=time.monotonic, repr=False)

    def configure(self, config: Config) -> None:
        """Take the account and the mode from the configuration."""
        self.mode = store_of(config)
        self.account = fingerprint(config.api_key)

    def collect(self, session: Session) -> None:
        """Take the counts of a session, before it is closed."""
        tally = session.tally
        self.ledger["location"] = location_of(session.ledger.description)
        with contextlib.suppress(DBAPIError, LedgerError):  # the ledger may be what ended the run
            self.ledger |= {"id": session.ledger.id, "rows": session.ledger.size()}
            self.in_doubt_open = session.rows_in_doubt()
            self.health = [asdict(check) for check in tally.health.checks(tally.changed, session.ledger.known)]
        self.records = {"received": tally.records.received, "rejected": tally.records.rejected}
        self.rows = {
            endpoint: {outcome: counts[outcome] for outcome in OUTCOMES}
            for endpoint, counts in tally.counts.items()
            if counts
        }
        self.skipped = [
            {"reason": reason, "count": sampled.count, "samples": sampled.samples}
            for reason, sampled in tally.skipped.items()
        ]
        self.rejected = [
            {"endpoint": endpoint, "field": name, "reason": reason, "count": each.count, "samples": each.samples}
            for (endpoint, name, reason), each in tally.rejected.items()
        ]
        self.attribution = {buyer: tally.attribution[buyer] for buyer in BUYERS}

    def to_json(self) -> dict[str, Any]:
        """Return the report in the form of `write --report`."""
        fields = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {**fields, "seconds": round(time.monotonic() - self._begun, 3)}

    def save(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all; raises OSError."""
        write_atomically(path, orjson.dumps(self.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


@contextlib.contextmanager
def reported(path: Path | None) -> Iterator[RunReport]:
    """Yield the report of a run, and write it to this file, if any, however the run ends.

    A report of an earlier run is removed first. Raises config_error if the file cannot be written.
    """
    report = RunReport()
    if path is None:
        yield report
        return
    with _writable(path):
        path.unlink(missing_ok=True)
    try:
        yield report
    except BaseException as error:
        report.error = message_of(error)
        with contextlib.suppress(OSError):  # the run's own error goes first
            report.save(path)
        raise
    with _writable(path):
        report.save(path)


def message_of(error: BaseException) -> str:
    """Return what a run's error says to the user."""
    if isinstance(error, AirbyteTracedException):
        return error.message or "The run failed."
    if isinstance(error, ConfigurationError | LedgerError):
        return str(error)
    return f"The run was stopped ({type(error).__name__})."


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise config_error(f"The report {path} cannot be written ({error.strerror}).") from None
