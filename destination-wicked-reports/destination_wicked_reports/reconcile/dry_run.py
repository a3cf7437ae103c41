"""Runs the configured mapping over recorded RECORD lines and collects the order and payment rows; sends nothing.

It uses the destination's own writer with an in-memory ledger and a client that only collects, so the rows are exactly
those of a sync, for every mapping.
"""

from __future__ import annotations

import json
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
from destination_wicked_reports.base.json_files import unreadable
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.model import Row, SaleState
from destination_wicked_reports.protocol.catalog import Routes, find_routes, find_schemas, read_catalog
from destination_wicked_reports.protocol.pyairbyte_cache import CachedRecordDecoder
from destination_wicked_reports.reconcile.orders import OrderId, PaymentTotals, to_cents, total_payments
from destination_wicked_reports.reconcile.reported import temporary_folder

_LINES_PER_CHUNK = 1000
_ACCEPTED = PostResult(Outcome.ACCEPTED, {})


@dataclass(slots=True)
class MappedOrder:
    """An order row: its ledger key, the fields that are compared, and the totals of its nested payments.

    `sale_key` is the key of the affiliate or shop sale that it belongs to.
    """

    key: str
    sale_key: str | None
    total: Decimal
    currency: str
    date: str
    payments: PaymentTotals


@dataclass(slots=True)
class MappedPayment:
    """A payment row that was not nested in its order, with its ledger key."""

    key: str
    status: Any
    amount: Any


@dataclass(slots=True)
class DryRun:
    """The order and payment rows of the records, the last state of each sale, and how many rows were rejected."""

    orders: dict[OrderId, MappedOrder] = field(default_factory=dict)
    payments: dict[OrderId, list[MappedPayment]] = field(default_factory=dict)
    sales: dict[str, SaleState] = field(default_factory=dict)
    rejected: int = 0


class _CollectingClient(WickedClient):
    """Accepts every row without sending it, and collects orders and payments."""

    def __init__(self, result: DryRun) -> None:
        super().__init__("", "", test_mode=False, connections=1)
        self._result = result

    def post(self, path: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        """Collect the rows of orders and payments."""
        if path not in (ORDERS.path, ORDER_PAYMENTS.path):
            return _ACCEPTED
        for row in rows:
            fields = json.loads(row.body, parse_float=Decimal)
            if row.sale_key and row.sale:
                known = self._result.sales.setdefault(row.sale_key, row.sale)
                self._result.sales[row.sale_key] = max(known, row.sale, key=lambda sale: sale.version)
            if path == ORDERS.path:
                self._result.orders[fields["SourceSystem"], fields["SourceID"]] = MappedOrder(
                    row.key,
                    row.sale_key,
                    to_cents(fields["OrderTotal"]),
                    fields.get("OrderCurrency") or "",
                    fields["CreateDate"],
                    total_payments((p.get("Status"), p["Amount"]) for p in fields.get("OrderPayments") or ()),
                )
            else:
                payment = MappedPayment(row.key, fields.get("Status"), fields["Amount"])
                self._result.payments.setdefault((fields["SourceSystem"], fields["OrderID"]), []).append(payment)
        return _ACCEPTED


def run_mapping(config: Config, files: Sequence[Path], catalog: Path | None = None) -> DryRun:
    """Return the rows that the configured mapping makes of the RECORD lines of these files, in their order.

    `catalog` is the configured catalog of the syncs; without it, every stream keeps its own name. Raises
    ConfigurationError for an unreadable file and for streams that the mapping does not support.
    """
    normalizer = make_normalizer(config)
    restore = None
    if catalog is None:
        routes = _routes(files, normalizer)
    else:
        configured = read_catalog(catalog)
        routes = find_routes(configured, normalizer, config)
        restore = CachedRecordDecoder(find_schemas(configured, routes)).decode
    result = DryRun()
    with temporary_folder() as folder, closing(Ledger.in_memory("live")) as ledger:
        dead_letters = DeadLetterFile(Path(folder) / "rejected_records.jsonl")
        client = _CollectingClient(result)
        tally = Tally(dead_letters)
        dispatcher = Dispatcher(client, ledger, tally, batch_rows=config.batch_rows, in_flight=1)
        with closing(dead_letters), closing(client), closing(dispatcher):
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
            result.rejected = tally.failed
    return result


def _routes(files: Sequence[Path], normalizer: Normalizer) -> Routes:
    records = (orjson.loads(line)["record"] for line in _records(files))
    routes: Routes = {}
    for namespace, name in {(record.get("namespace") or "", record["stream"]) for record in records}:
        route = normalizer.route(name, namespace)
        if route is None:
            raise ConfigurationError(
                f"Stream {name} is not supported by the configured mapping. Give the files that were piped into the "
                "destination, and the catalog with --catalog if it renames streams."
            )
        routes[namespace, name] = route
    if not routes:
        raise ConfigurationError(
            "The files given with --sent contain no RECORD line of the Airbyte protocol: give the files that were "
            "piped into the destination."
        )
    return routes


def _chunks(files: Sequence[Path]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for line in _records(files):
        chunk.append(line)
        if len(chunk) >= _LINES_PER_CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _records(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield the RECORD lines; skip other messages and an incomplete last line."""
    try:
        for path in files:
            with path.open("rb") as lines:
                yield from (line.rstrip(b"\n") for line in lines if _is_record(line))
    except OSError as error:
        raise ConfigurationError(unreadable(str(error.filename), error)) from None


def _is_record(line: bytes) -> bool:
    try:
        message = orjson.loads(line)
        return bool(message["type"] == "RECORD" and message["record"]["stream"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False
