"""What a run would send: the real writer and mapping over a private copy of the ledger, and nothing leaves the machine.

The client accepts every request without sending it, so every row takes the path that it takes in a run. The copy and
the dead letters are in a temporary folder that is removed at the end; the ledger and the dead-letter file stay as they
are.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.endpoints import LOAD_ORDER, ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.api.samples import MOST_SAMPLES, Sampled, name_of_record
from destination_wicked_reports.base.terminal_log import format_line
from destination_wicked_reports.commands.tables import print_json, print_lines, print_rows, shortened
from destination_wicked_reports.config.mappings import AffiliateMapping
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.closing import rejected_lines, skipped_lines
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile, payments_of
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.report import RunReport
from destination_wicked_reports.delivery.session import Session
from destination_wicked_reports.delivery.tally import OUTCOMES, SENT, Tally
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.errors import ConfigurationError, FieldError
from destination_wicked_reports.ledger.copying import open_scratch
from destination_wicked_reports.ledger.guards import find_changes
from destination_wicked_reports.ledger.opening import claim_ledger
from destination_wicked_reports.ledger.runs import recorded_run
from destination_wicked_reports.mappings.affiliate.contacts import ContactFinder
from destination_wicked_reports.mappings.custom.normalizer import CustomNormalizer
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.mappings.field_rules import texts_at
from destination_wicked_reports.mappings.revenue import PARTIALLY_REFUNDED, REFUNDED, cents
from destination_wicked_reports.model import IN_DOUBT, Record, Row
from destination_wicked_reports.protocol.catalog import find_routes, find_schemas, read_catalog
from destination_wicked_reports.protocol.messages import Line, read_lines
from destination_wicked_reports.protocol.pyairbyte_cache import CachedRecordDecoder

#: Rows of each endpoint, and records of each stream, that the text shows.
SHOWN_ROWS, SHOWN_RECORDS = 3, 3
_ACCEPTED = PostResult(Outcome.ACCEPTED, {})
_TAKEN_BACK = frozenset({REFUNDED, PARTIALLY_REFUNDED})
_MOST_COLUMNS = 8


@dataclass(slots=True)
class Money:
    """What new orders add, and what is left of it after refunds."""

    gross: Decimal = Decimal(0)
    net: Decimal = Decimal(0)


@dataclass
class Preview:
    """What a run would do. Only counts and first samples are kept, whatever the size of the input."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    money: dict[tuple[str, str], Money] = field(default_factory=lambda: defaultdict(Money))
    rules: list[dict[str, Any]] = field(default_factory=list)
    unmatched: Sampled = field(default_factory=Sampled)
    expressions: list[dict[str, Any]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: RunReport = field(default_factory=RunReport)

    def add(self, row: Row) -> None:
        """Count a row, and keep the first ones."""
        fields: dict[str, Any] = json.loads(row.body, parse_float=Decimal)
        if len(self.rows[row.endpoint]) < SHOWN_ROWS:
            self.rows[row.endpoint].append(fields)
        sale_date = row.sale.ordered_at if row.sale else ""
        currency = fields.get("OrderCurrency") or (row.sale.currency if row.sale else "")
        month = (sale_date or fields.get("CreateDate") or fields.get("PaymentDate") or "")[:7]
        money = Money()
        if row.endpoint == ORDERS.name:
            money.gross = money.net = _amount(fields.get("OrderTotal"))
        if row.endpoint in (ORDERS.name, ORDER_PAYMENTS.name):
            for payment in payments_of(row.endpoint, fields):
                if str(payment.get("Status") or "").upper() in _TAKEN_BACK:
                    money.net -= _amount(payment.get("Amount"))
        if money.gross or money.net:
            self.money[currency, month].gross += money.gross
            self.money[currency, month].net += money.net

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows."""
        report = self.report.to_json()
        return {
            **{
                name: report[name]
                for name in ("mode", "account", "ledger", "records", "skipped", "rejected", "attribution")
            },
            "rows": {
                endpoint: {"new" if outcome == SENT else outcome: count for outcome, count in counts.items()}
                for endpoint, counts in report["rows"].items()
            },
            "money": [
                {"currency": currency, "month": month, "gross": str(cents(each.gross)), "net": str(cents(each.net))}
                for (currency, month), each in sorted(self.money.items())
            ],
            "contact_rules": self.rules,
            "without_rule": {"count": self.unmatched.count, "samples": self.unmatched.samples},
            "expressions": self.expressions,
            "accepted_changes": self.changes,
            "notes": self.notes,
        }


class PreviewClient(WickedClient):
    """Accepts every request without sending it."""

    def __init__(self, preview: Preview, *, as_json: bool) -> None:
        super().__init__("", "", test_mode=False, connections=1)
        self._preview = preview
        self._as_json = as_json

    def prove_key(self) -> int:
        """Ask nobody."""
        return 200

    def post(self, path: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        """Count the rows, and print them as JSON if asked to."""
        for row in rows:
            self._preview.add(row)
            if self._as_json:
                print_json({"endpoint": row.endpoint, "stream": row.stream, "row": orjson.Fragment(row.body)})
        return _ACCEPTED


class Observer:
    """Looks at the records before the mapping does: contact rules and expressions."""

    def __init__(self, config: Config, normalizer: Any, preview: Preview) -> None:
        self._preview = preview
        self._rules = config.mapping.contact_rules if isinstance(config.mapping, AffiliateMapping) else []
        self._finders = [ContactFinder([rule]) for rule in self._rules]
        self._fields = [rule.field.split(".") for rule in self._rules]
        preview.rules.extend(
            {"rule": number, "field": rule.field, "pattern": rule.pattern, "matched": 0, "records": 0}
            for number, rule in enumerate(self._rules)
        )
        self._custom = normalizer if isinstance(normalizer, CustomNormalizer) else None
        self._explained: Counter[str] = Counter()

    def look(self, records: Iterable[Record]) -> None:
        """Count which contact rule a record meets, and evaluate the expressions of the first records of a stream."""
        for record in records:
            if self._finders:
                self._match(record)
            if self._custom is not None and self._explained[record.stream] < SHOWN_RECORDS:
                self._explained[record.stream] += 1
                self._preview.expressions += [
                    {"record": record.sequence, "entry": entry, "field": name, "expression": text, "value": value}
                    for entry, name, text, value in self._custom.explain(record)
                ]

    def _match(self, record: Record) -> None:
        """Credit the first rule that finds a contact, as the mapping does."""
        for rule in self._preview.rules:
            rule["records"] += 1
        for number, finder in enumerate(self._finders):
            try:
                found = finder.find(record.data)
            except FieldError:
                continue
            if found is not None:
                self._preview.rules[number]["matched"] += 1
                return
        values = []
        if len(self._preview.unmatched.samples) < MOST_SAMPLES:
            for path in self._fields:
                texts = texts_at(record.data, tuple(path))
                values.append(f"{'.'.join(path)} = {', '.join(texts) if texts else '(nothing)'}")
        name = name_of_record(record.data, record.sequence)
        self._preview.unmatched.add(f"{name}: {'; '.join(dict.fromkeys(values))}")


def preview(
    config: Config, catalog: Path, lines: Iterable[Sequence[Line]], *, limit: int | None = None, as_json: bool = False
) -> Preview:
    """Return what a run with these lines would do; with `as_json`, print each row meanwhile.

    `limit` is how many records to read. Raises what a run raises: ConfigurationError, LedgerError, InvalidInputError.
    """
    normalizer = make_normalizer(config)
    configured = read_catalog(catalog)
    routes = find_routes(configured, normalizer, config)
    decode = CachedRecordDecoder(find_schemas(configured, routes)).decode
    result = Preview()
    result.report.configure(config)
    observer = Observer(config, normalizer, result)

    def restore(records: list[Record]) -> None:
        decode(records)
        observer.look(records)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wicked-reports-preview-")))
        ledger = stack.enter_context(closing(open_scratch(config, folder)))
        dead_letters = stack.enter_context(closing(DeadLetterFile(folder / "rejected_records.jsonl")))
        client = stack.enter_context(closing(PreviewClient(result, as_json=as_json)))
        tally = Tally(dead_letters)
        # One request at a time, so that rows are shown in the order in which they would leave.
        dispatcher = Dispatcher(client, ledger, tally, batch_rows=config.batch_rows, in_flight=1)
        stack.enter_context(closing(dispatcher))
        result.changes = [str(change) for change in find_changes(config.mapping, ledger)]
        claim_ledger(config, ledger, client)
        rows_before = ledger.size()
        writer = Writer(normalizer, dispatcher, tally, _show_log, routes, batch_rows=config.batch_rows, restore=restore)
        writer.write(_first_records(lines, limit))
        run = stack.enter_context(recorded_run(ledger, "preview"))  # in the copy
        result.report.collect(Session(ledger, dead_letters, client, tally, dispatcher, run))
        result.report.ledger["rows"] = rows_before
        shown = {*tally.lines(), *(text for _, text in (*rejected_lines(tally), *skipped_lines(tally)))}
        result.notes = [text for _, text in writer.closing_lines() if text not in shown]
    return result


def _first_records(lines: Iterable[Sequence[Line]], limit: int | None) -> Iterator[Sequence[Line]]:
    """Yield the lines up to the last of the first `limit` records."""
    if limit is None:
        yield from lines
        return
    left = limit
    for chunk in lines:
        for position, line in enumerate(chunk):
            left -= _is_record(line)
            if not left:
                yield chunk[: position + 1]
                return
        yield chunk


def _is_record(line: Line) -> bool:
    if not isinstance(line, bytes):
        return True
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(message, dict) and message.get("type") == "RECORD"


def _show_log(message: Any) -> None:
    """Show the source's log lines on standard error, as text; drop STATEs."""
    if isinstance(message, bytes):
        log = orjson.loads(message).get("log")
        if not isinstance(log, dict):
            return
        sys.stderr.write(format_line(str(log.get("level")), str(log.get("message"))) + "\n")


def run_preview(config: Config, catalog: Path, *, limit: int | None, as_json: bool) -> int:
    """Preview standard input and print the result. Return 1 if rows would be rejected or in doubt, else 0."""
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError(
            "Nothing to preview on standard input: pipe the messages of a source into this command."
        )
    result = preview(config, catalog, read_lines(sys.stdin.fileno()), limit=limit, as_json=as_json)
    if as_json:
        print_json({"summary": result.to_json()})
    else:
        print_preview(result)
    failed = sum(counts["rejected"] + counts[IN_DOUBT] for counts in result.report.rows.values())
    return 1 if failed else 0


def print_preview(result: Preview) -> None:
    """Print the preview as text."""
    summary = result.to_json()
    ledger, records = summary["ledger"], summary["records"]
    print_lines(
        f"Preview of a {'LIVE' if summary['mode'] == 'live' else 'TEST MODE'} run, account {summary['account']}: "
        "nothing was sent, and nothing was written.",
        f"Compared with the ledger {ledger['location']} ({ledger['rows']:,} rows sent before). {records['received']:,} "
        f"records read, {records['rejected']:,} of them with a row that would be rejected.",
    )
    for change in result.changes:
        print_lines(f"Accepted change {change}: what it sends is among the rows below.")
    _section(f"Rows that a run would send{'' if summary['rows'] else ': none'}")
    if summary["rows"]:
        columns = ["new", *OUTCOMES[1:]]
        rows = [
            {"endpoint": name, **{c: f"{counts.get(c, 0):,}" for c in columns}}
            for name, counts in summary["rows"].items()
        ]
        print_rows(rows, ["endpoint", *columns])
    for endpoint in LOAD_ORDER:
        if result.rows.get(endpoint):
            total = summary["rows"].get(endpoint, {}).get("new", 0)
            _section(f"{endpoint}: the first {len(result.rows[endpoint])} of {total:,} new rows")
            _print_sample(result.rows[endpoint])
    if summary["money"]:
        _section("Revenue that new rows would add, by currency and month of the order")
        print_rows(summary["money"], ("currency", "month", "gross", "net"))
    if result.rules:
        _section("Contact rules: the first that matches a record is used")
        print_rows(
            [
                {**rule, "matched": f"{rule['matched']:,} of {rule['records']:,} ({_percent(rule)})"}
                for rule in result.rules
            ],
            ("rule", "field", "matched"),
        )
        if result.unmatched.count:
            print_lines(f"No rule matched {result.unmatched.count:,} records, such as:")
            print_lines(*(f"  {sample}" for sample in result.unmatched.samples))
    for title, found in (("Skipped", summary["skipped"]), ("Would be rejected", summary["rejected"])):
        if found:
            _section(title)
            print_rows(
                [
                    {
                        "count": f"{each['count']:,}",
                        "reason": ": ".join(filter(None, (each.get("endpoint"), each.get("field"), each["reason"]))),
                        "such as": ", ".join(each["samples"]),
                    }
                    for each in found
                ],
                ("count", "reason", "such as"),
            )
    if result.expressions:
        _section("Expressions of the custom mapping on the first records")
        print_rows(
            [{**each, "value": shortened(each["value"])} for each in result.expressions],
            ("record", "entry", "field", "expression", "value"),
        )
    if result.notes:
        _section("Notes")
        print_lines(*result.notes)


def _section(title: str) -> None:
    print_lines("", title)


def _print_sample(rows: list[dict[str, Any]]) -> None:
    """Print the first columns of some rows; lists are shortened to their length."""
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if value not in ("", None)))
    names = names[:_MOST_COLUMNS]
    print_rows(
        [{name: shortened(_cell(row.get(name, ""))) for name in names} for row in rows],
        names,
    )


def _cell(value: Any) -> Any:
    return f"{len(value)} rows" if isinstance(value, list) else value


def _percent(rule: Mapping[str, Any]) -> str:
    return f"{100 * rule['matched'] / rule['records']:.0f} %" if rule["records"] else "no record"


def _amount(value: Any) -> Decimal:
    return Decimal(str(value)) if value not in (None, "") else Decimal(0)
