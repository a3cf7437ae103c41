"""The command line of `wicked-reports-sync`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.base.command_line import day, positive
from destination_wicked_reports.base.terminal_log import printable
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync import inspecting
from destination_wicked_reports.sync.display import Display
from destination_wicked_reports.sync.exit_codes import DONE, EXPECTED, MISCONFIGURED, STOPPED, code_of, machine_error
from destination_wicked_reports.sync.init import KINDS, Answers, terminal_questions, write_file
from destination_wicked_reports.sync.runner import Runner
from destination_wicked_reports.sync.settings import Settings, Sync, read_settings

PROGRAM = "wicked-reports-sync"
FILE = Path("sync.yaml")
_EPILOG = (
    "Exit codes: 0 all well, 1 rows were refused or are in doubt, 2 it did not run to its end, 3 wrong configuration."
)


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    own, passed_on = _split(list(arguments))
    try:
        options = _parser().parse_args(own)
    except SystemExit as ended:  # argparse exits with 2, which here means that a run did not reach its end
        return MISCONFIGURED if ended.code else DONE
    options.passed_on = passed_on
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except EXPECTED as error:
        return _fail(str(error), code_of(error))
    except AirbyteTracedException as error:
        return _fail(error.message or "The command failed.", STOPPED)
    except BrokenPipeError:
        sys.stderr.close()
        return STOPPED
    except OSError as error:
        return _fail(str(machine_error(error)), STOPPED)
    except KeyboardInterrupt:
        return _fail("Stopped.", STOPPED)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before and after `--`."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Reads sources and sends their records to Wicked Reports, each once, as sync.yaml says.",
        epilog=_EPILOG,
    )
    installed = version("airbyte-destination-wicked-reports")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {installed}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        description = f"{text[0].upper()}{text[1:]}."
        command = commands.add_parser(name, help=text, description=description, epilog=_EPILOG)
        command.set_defaults(run=run)
        return command

    def add_file(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = add(name, run, text)
        command.add_argument("file", nargs="?", type=Path, default=FILE, metavar="FILE", help="default: sync.yaml")
        command.add_argument("--source", metavar="NAME", help="only this one of several sources")
        return command

    init = add("init", _init, "ask, or take options, and write sync.yaml")
    init.add_argument("file", nargs="?", type=Path, default=FILE, metavar="FILE", help="default: sync.yaml")
    init.add_argument("--source", default="", choices=KINDS, help="the kind of source")
    init.add_argument("--start-date", default="", metavar="DATE", help="the first day to read, such as 2026-01-31")
    init.add_argument("--contact-field", default="", metavar="PATH", help="the field that names the buyer: sub_ids.*")
    init.add_argument(
        "--contact-pattern", default="", metavar="REGEX", help="what it looks like, with a group contact_id or email"
    )
    init.add_argument(
        "--without-contact",
        default="",
        choices=["skip", "synthetic"],
        help="what to do with a commission that no rule matches",
    )
    init.add_argument("--live", action="store_true", help="write to the live store from the start, not in test mode")
    init.add_argument("--force", action="store_true", help="replace the file")
    init.add_argument("--api-url", default="", help=argparse.SUPPRESS)

    add_file("check", _check, "check both sides, and what they must agree on; nothing is sent")
    add_file("plan", _plan, "show how long each stream takes at the vendors' rates, and in which order to load")
    preview = add_file("preview", _preview, "show what a run would send; nothing is sent, and no state is kept")
    preview.add_argument("--days", type=positive, metavar="N", help="only the last N days, whatever was read before")
    preview.add_argument("--records", type=positive, metavar="N", help="stop after N records")
    preview.add_argument("--json", action="store_true", help="print every row as JSON")
    run = add_file("run", _run, "read what is new, and send it")
    run.add_argument(
        "--from",
        dest="first",
        type=day,
        metavar="DATE",
        help="read again from this day on; the ledger keeps rows from being sent twice",
    )
    add_file("status", _status, "show the last run, the ledger, what is in doubt, and where the next run starts")
    reset = add("reset", _reset, "read streams again from the start date; the ledger is untouched")
    reset.add_argument("streams", nargs="*", metavar="STREAM")
    reset.add_argument("--all", action="store_true", dest="everything", help="all streams")
    reset.add_argument("--source", metavar="NAME", help="only this one of several sources")
    reset.add_argument("--file", type=Path, default=FILE, metavar="FILE", help="default: sync.yaml")
    add_file(
        "reconcile",
        _reconcile,
        "compare with what Wicked Reports shows; options of wicked-reports-reconcile, and its exit codes, after `--`",
    )
    add_file(
        "destination", _destination, "run another command of the destination with this file, as in `-- ledger status`"
    )
    return parser


def _init(options: argparse.Namespace) -> int:
    answers = Answers(
        source=options.source,
        start_date=options.start_date,
        contact_field=options.contact_field,
        contact_pattern=options.contact_pattern,
        without_contact=options.without_contact,
        live=options.live,
        api_url=options.api_url,
    )
    for line in write_file(options.file, answers, force=options.force, ask=terminal_questions()):
        sys.stdout.write(line + "\n")
    return DONE


def _check(options: argparse.Namespace) -> int:
    _, syncs = _chosen(options)
    return inspecting.check(syncs, Display())


def _plan(options: argparse.Namespace) -> int:
    settings, syncs = _chosen(options)
    return inspecting.plan(settings, syncs, Display())


def _preview(options: argparse.Namespace) -> int:
    settings, syncs = _chosen(options)
    more = ["--json"] * options.json
    if options.records is not None:
        more += ["--records", str(options.records)]
    several = len(syncs) > 1 and not options.json
    return max(inspecting.preview(settings, sync, options.days, more, heading=several) for sync in syncs)


def _run(options: argparse.Namespace) -> int:
    settings, syncs = _chosen(options)
    return Runner(settings, Display(), first=options.first).run(syncs)


def _status(options: argparse.Namespace) -> int:
    settings, syncs = _chosen(options)
    return inspecting.status(settings, syncs, Display())


def _reset(options: argparse.Namespace) -> int:
    settings, syncs = _chosen(options)
    return inspecting.reset(settings, syncs, options.streams, Display(), everything=options.everything)


def _reconcile(options: argparse.Namespace) -> int:
    _, syncs = _chosen(options)
    return inspecting.reconcile(_only(syncs), options.passed_on)


def _destination(options: argparse.Namespace) -> int:
    if not options.passed_on:
        raise ConfigurationError(f"Add the command after --, such as `{PROGRAM} destination -- ledger status`.")
    _, syncs = _chosen(options)
    return inspecting.run_destination(_only(syncs), options.passed_on)


def _chosen(options: argparse.Namespace) -> tuple[Settings, list[Sync]]:
    settings = read_settings(options.file)
    return settings, settings.choose(options.source)


def _only(syncs: list[Sync]) -> Sync:
    if len(syncs) > 1:
        raise ConfigurationError(f"Choose one of the sources with --source: {', '.join(sync.name for sync in syncs)}.")
    return syncs[0]


def _fail(message: str, code: int) -> int:
    sys.stderr.write("\n".join(printable(line) for line in message.splitlines()) + "\n")
    return code
