"""What the records of a file make of orders: the destination's own mapping, run again, with nobody at the other end.

It works for every mapping, and gives the rows exactly, because it is the same code; the ledger it keeps meanwhile
is thrown away, and nothing leaves this machine.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.model import Row
from destination_wicked_reports.protocol.catalog import Routes, find_routes, find_schemas, read_catalog
from destination_wicked_reports.protocol.pyairbyte_cache import Restorer
from destination_wicked_reports.reconcile.orders import Name, Paid, money, paid_by

_LINES_AT_ONCE = 1000
_TAKEN = PostResult(Outcome.ACCEPTED, {})


@dataclass(slots=True)
class MadeOrder:
    """An order row: what it is called in a ledger, its fields that count, and the payments nested in it."""

    key: str
    total: Decimal
    currency: str
    date: str
    nested: Paid


@dataclass(slots=True)
class MadePayment:
    """A payment row of its own, and what it is called in a ledger."""

    key: str
    status: Any
    amount: Any


@dataclass(slots=True)
class Rehearsal:
    """The order and payment rows that records made, and how many records made none because they are bad."""

    orders: dict[Name, MadeOrder] = field(default_factory=dict)
    payments: dict[Name, list[MadePayment]] = field(default_factory=dict)
    rejected: int = 0


class _Taker(WickedClient):
    """Takes every row and sends none."""

    def __init__(self, made: Rehearsal) -> None:
        super().__init__("", "", test_mode=False, connections=1)
        self._made = made

    def post(self, path: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        """Remember the rows of orders and payments."""
        if path not in (ORDERS.path, ORDER_PAYMENTS.path):
            return _TAKEN
        for row in rows:
            fields = json.loads(row.body, parse_float=Decimal)
            if path == ORDERS.path:
                self._made.orders[fields["SourceSystem"], fields["SourceID"]] = MadeOrder(
                    row.key,
                    money(fields["OrderTotal"]),
                    fields.get("OrderCurrency") or "",
                    fields["CreateDate"],
                    paid_by((paid.get("Status"), paid["Amount"]) for paid in fields.get("OrderPayments") or ()),
                )
            else:
                payment = MadePayment(row.key, fields.get("Status"), fields["Amount"])
                self._made.payments.setdefault((fields["SourceSystem"], fields["OrderID"]), []).append(payment)
        return _TAKEN


def rehearse(config: Config, files: Sequence[Path], catalog: Path | None = None) -> Rehearsal:
    """Return what the RECORD lines of these files, in their order, become under the configured mapping.

    `catalog` is the configured catalog of the syncs; without one every stream is looked for by its own name. Raises
    ConfigurationError for a file that cannot be read and for streams that the mapping has no place for.
    """
    normalizer = make_normalizer(config)
    restore = None
    if catalog is None:
        routes = _routes(files, normalizer)
    else:
        configured = read_catalog(catalog)
        routes = find_routes(configured, normalizer, config)
        restore = Restorer(find_schemas(configured, routes)).restore
    made = Rehearsal()
    with tempfile.TemporaryDirectory() as folder, closing(Ledger.in_memory("live")) as ledger:
        dead_letters = DeadLetterFile(Path(folder) / "rejected_records.jsonl")
        taker = _Taker(made)
        tally = Tally(dead_letters)
        dispatcher = Dispatcher(taker, ledger, tally, batch_rows=config.batch_rows, in_flight=1)
        with closing(dead_letters), closing(taker), closing(dispatcher):
            writer = Writer(
                normalizer,
                dispatcher,
                tally,
                lambda _: None,
                routes,
                batch_rows=config.batch_rows,
                restore=restore,
            )
            writer.write(_chunks(files))
            made.rejected = tally.failed
    return made


def _routes(files: Sequence[Path], normalizer: Normalizer) -> Routes:
    records = (orjson.loads(line)["record"] for line in _records(files))
    routes: Routes = {}
    for namespace, name in {(record.get("namespace") or "", record["stream"]) for record in records}:
        place = normalizer.route(name, namespace)
        if place is None:
            raise ConfigurationError(
                f"The records of stream {name} have no place under the configured mapping. Give the files that were "
                "piped into the destination, and the catalog with --catalog if it renames streams."
            )
        routes[namespace, name] = place
    if not routes:
        raise ConfigurationError(
            "The files given with --sent hold no RECORD line of the Airbyte protocol: give what was piped into the "
            "destination."
        )
    return routes


def _chunks(files: Sequence[Path]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for line in _records(files):
        chunk.append(line)
        if len(chunk) >= _LINES_AT_ONCE:
            yield chunk
            chunk = []
    yield chunk


def _records(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield the RECORD lines; logs and states, and the last line of a run that broke off, say nothing of orders."""
    try:
        for path in files:
            with path.open("rb") as lines:
                yield from (line.rstrip(b"\n") for line in lines if _is_record(line))
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read ({error.strerror}).") from None


def _is_record(line: bytes) -> bool:
    try:
        message = orjson.loads(line)
        return bool(message["type"] == "RECORD" and message["record"]["stream"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False
