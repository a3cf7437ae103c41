"""The command `init`: writes a commented `sync.yaml`, with secrets as names of environment variables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync.yaml_file import read_yaml


@dataclass(frozen=True, slots=True)
class Kind:
    """What `init` knows of a source."""

    program: str
    secret: str
    variable: str
    field: str
    pattern: str
    days: int
    history: str


#: By the answer to "which source".
KINDS = {
    "wecantrack": Kind(
        "source-wecantrack",
        "api_key",
        "WECANTRACK_API_KEY",
        "sub_ids.*",
        "^(?P<contact_id>U[0-9]+)-",
        90,
        "wecantrack has about the three months before a network was connected.",
    ),
    "sovrn": Kind(
        "source-sovrn",
        "secret_key",
        "SOVRN_SECRET_KEY",
        "cuid",
        "^(?P<contact_id>U[0-9]+)_",
        30,
        "Sovrn takes a minute per day: 30 days are half an hour, a year six hours.",
    ),
}
DESTINATION_VARIABLE = "WICKED_REPORTS_API_KEY"


@dataclass(frozen=True, slots=True)
class Answers:
    """What goes into the file. An empty text takes the default, or is asked for on a terminal."""

    source: str = ""
    start_date: str = ""
    contact_field: str = ""
    contact_pattern: str = ""
    without_contact: str = ""
    live: bool = False
    api_url: str = ""


def write_file(path: Path, answers: Answers, *, force: bool, ask: Callable[[str, str], str] | None) -> list[str]:
    """Write `sync.yaml` and return what to do next. `ask` gets a question and the default answer; None asks nothing.

    Raises ConfigurationError if the file exists, unless `force`, or if an answer cannot be used.
    """
    if path.exists() and not force:
        raise ConfigurationError(f"{path} exists already: edit it, or replace it with --force.")
    kind, content = _content(answers, ask)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}).") from None
    read_yaml(path)
    return [
        f"Wrote {path}. It has no secrets: set them in the environment.",
        f"  export {kind.variable}=...",
        f"  export {DESTINATION_VARIABLE}=...",
        "Then run `wicked-reports-sync check`, `wicked-reports-sync preview --days 7` and `wicked-reports-sync run`.",
    ]


def terminal_questions() -> Callable[[str, str], str] | None:
    """Return a function that asks on the terminal; None without a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return None

    def ask(question: str, default: str) -> str:
        sys.stdout.write(f"{question} [{default}]: ")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            raise ConfigurationError("The answers ended too early: nothing was written.")
        return line.strip() or default

    return ask


def _content(answers: Answers, ask: Callable[[str, str], str] | None) -> tuple[Kind, str]:
    def answer(given: str, question: str, default: str) -> str:
        return given or (ask(question, default) if ask else default)

    name = answer(answers.source, f"Source ({', '.join(KINDS)})", "wecantrack")
    if name not in KINDS:
        raise ConfigurationError(f"--source must be one of {', '.join(KINDS)}. For another source, edit sync.yaml.")
    kind = KINDS[name]
    earliest = (datetime.now(timezone.utc).date() - timedelta(days=kind.days)).isoformat()
    start = answer(answers.start_date, f"First day to read. {kind.history}", earliest)
    try:
        date.fromisoformat(start)
    except ValueError:
        raise ConfigurationError("The first day is not a date; use the form 2026-01-31.") from None
    field = answer(answers.contact_field, "Field of the click that names the buyer", kind.field)
    pattern = answer(answers.contact_pattern, "Pattern with a group contact_id or email", kind.pattern)
    without = answer(answers.without_contact, "Commissions without a buyer (skip, synthetic)", "skip")
    if without not in ("skip", "synthetic"):
        raise ConfigurationError("Commissions without a buyer: must be skip or synthetic.")
    lines = _lines(name, kind, start, field, pattern, without, answers)
    return kind, "\n".join(lines) + "\n"


def _lines(
    name: str, kind: Kind, start: str, field: str, pattern: str, without: str, answers: Answers
) -> Iterator[str]:
    url = [f"    api_url: {json.dumps(answers.api_url)}"] if answers.api_url else []
    yield "# Written by `wicked-reports-sync init`. ${NAME} is an environment variable; paths start at this folder."
    yield ""
    yield "source:"
    yield f"  program: {kind.program}  # or, in place of it, an image, such as `image: airbyte/{kind.program}:dev`"
    yield "  streams: [transactions]"
    yield "  config:"
    yield f"    {kind.secret}: ${{{kind.variable}}}"
    yield f"    start_date: {json.dumps(start)}  # {kind.history}"
    yield from url
    yield ""
    yield "destination:"
    yield f"  api_key: ${{{DESTINATION_VARIABLE}}}"
    yield "  # true: rows go to Wicked's test store and never show in reports. What was sent live cannot be deleted."
    yield f"  test_mode: {json.dumps(not answers.live)}"
    yield "  mapping:"
    yield f"    type: {name}"
    if name == "wecantrack":
        yield "    # pending: an order when a commission is first seen, refunded if it is declined later."
        yield "    # approved: an order once the network has approved it, usually after 60 to 90 days."
        yield "    recognize: pending"
    yield "    # Who bought: the first rule that matches wins. The group is the contact's id, or `email`."
    yield "    contact_rules:"
    yield f"      - field: {json.dumps(field)}"
    yield f"        pattern: {json.dumps(pattern)}"
    yield "    # skip: leave out a commission that no rule matches; synthetic: create a contact per click."
    yield f"    without_contact: {without}"
    yield "  # What was sent. Keep this file, and back it up: it keeps commissions from being sent twice."
    yield "  ledger:"
    yield "    type: sqlite"
    yield "    path: ledger.sqlite"
    yield from (line[2:] for line in url)
    yield ""
    yield "state: state.json  # how far each stream was read"
    yield "logs: logs  # one file per run; the newest 30 are kept"
