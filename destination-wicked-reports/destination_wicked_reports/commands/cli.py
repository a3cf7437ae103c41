"""The commands for people, beside Airbyte's: `replay` and `ledger`. They speak plain text, not messages."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.commands.dead_letter_reader import DeadLetter, DeadLetterReader
from destination_wicked_reports.commands.replay import Replay, letters_of, refuse_broken
from destination_wicked_reports.config.mappings import NativeMapping
from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.session import running
from destination_wicked_reports.errors import ConfigurationError, LedgerError
from destination_wicked_reports.ledger.history import reading
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.signals import SIGNALS


def main(arguments: Sequence[str]) -> int:
    """Run `replay` or `ledger`; return the exit code: 0, 1 for a failure, 2 if rows were rejected or held again."""
    logging.getLogger().handlers[:] = [logging.StreamHandler(sys.stderr)]
    logging.getLogger("airbyte").setLevel(logging.INFO)
    SIGNALS.listen()
    asked = _parser().parse_args(arguments)
    try:
        config = Config.parse(read_config_file(asked.config))
        return _replay(config, asked) if asked.command == "replay" else _ledger(config, asked)
    except AirbyteTracedException as error:
        return _fail(error.message or "The command failed.")
    except (ConfigurationError, LedgerError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:  # its text may hold a row
        return _fail(
            f"The command failed ({type(error).__name__}). Nothing that was acknowledged is lost; report this."
        )
    except KeyboardInterrupt:
        return _fail("Stopped. What was sent is in the ledger: run the same command again to go on.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="destination-wicked-reports")
    commands = parser.add_subparsers(dest="command", required=True)
    replay = commands.add_parser("replay", help="send the mended rows of a dead-letter file again, each once")
    replay.add_argument("--config", type=Path, required=True, help="the configuration of the connector")
    replay.add_argument("--rejects", type=Path, required=True, help="the dead-letter file, its rows mended")
    replay.add_argument(
        "--held",
        action="store_true",
        help="send held rows, too: Wicked's answer to them was lost, so look there first, for they may be doubled",
    )
    ledger = commands.add_parser("ledger", help="show what was sent; changes nothing")
    ledger.add_argument("--config", type=Path, required=True, help="the configuration of the connector")
    ledger.add_argument("--key", help="show all that became of one row or order: its id, or SOURCE SYSTEM/ID")
    ledger.add_argument("--json", action="store_true", help="print JSON, one object a line")
    return parser


# -- replay -----------------------------------------------------------------------------------------------------------


def _replay(config: Config, asked: argparse.Namespace) -> int:
    normalizer = make_normalizer(config)
    mender = DeadLetterReader(normalizer.streams, native=isinstance(config.mapping, NativeMapping))
    size = refuse_broken(asked.rejects, mender)
    with running(config) as run:
        replay = Replay(run, normalizer, held=asked.held)
        found = (letter for _, letter in letters_of(asked.rejects, mender, size))
        try:
            replay.send(letter for letter in found if isinstance(letter, DeadLetter))
        finally:
            _say(*replay.summary())
        if replay.refused:
            _say(f"{replay.refused:,} rows were rejected or held again; each is in {run.letters.path} with its reason")
            return 2
    return 0


# -- ledger -----------------------------------------------------------------------------------------------------------


def _ledger(config: Config, asked: argparse.Namespace) -> int:
    with reading(config) as history:
        if asked.key is None:
            _show(history.totals(), ("day", "stream", "endpoint", "status", "rows"), as_json=asked.json)
            return 0
        sendings = history.of(asked.key)
        standing = history.orders(asked.key)
    if asked.json:
        _show(sendings, (), as_json=True)
        return 0
    for sending in sendings:
        sending["digest"] = sending["digest"][:8]
        order = sending.pop("order", None)
        if order:
            sending |= {name: order[name] for name in ("approved", "refunded")} | {"says": order["status"] or "ordered"}
    columns = ["at", "endpoint", "key", "stream", "status", "digest"]
    if standing:
        columns += ["says", "approved", "refunded"]
    _show(sendings, columns, as_json=False)
    for order in standing:
        _say(
            f"Order {order['key']}: total {order['total']} {order['currency']}, approved {order['approved']}, "
            f"refunded {order['refunded']}, {order['payments']} payments, revision {order['revision']}."
        )
    if not sendings:
        _say("No row of this name was sent.")
    return 0


def _show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as JSON lines, or as a table as wide as its widest words."""
    if as_json:
        _say(*(json.dumps(dict(row), ensure_ascii=False) for row in rows))
        return
    table = [list(columns), *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(columns))]
    _say(*("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table))


def _say(*lines: str) -> None:
    sys.stdout.writelines(line + "\n" for line in lines)


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1
