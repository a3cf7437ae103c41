"""Log lines for people on standard error, in addition to the JSON on standard output.

They are written if standard error is a terminal; `--log-format` turns them on or off. They never get into the JSON: if
both outputs are the same pipe or file, as with `2>&1`, they are left out. If both are the same terminal, both are
shown.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import stat
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

#: Control characters, line separators, marks that change the direction of text, and halves of surrogate pairs.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: Python's names of levels -> Airbyte's.
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
FORMATS = ("text", "json")


def printable(text: str) -> str:
    """Return text that is safe on a terminal: one line, with an escape such as `\\x1b` for each control character."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    """Return JSON of the same value that is safe on a terminal."""
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add `--log-format` to a command line."""
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        help="text: also write log lines for people to standard error, as on a terminal; json: write JSON only",
    )


def open_terminal_log(program: str, log_format: str | None = None) -> TerminalLog | None:
    """Return the log for people; None if it is not wanted.

    `log_format` is the value of `--log-format`. Call it before standard output or standard error is replaced.
    """
    if log_format == "json" or sys.stderr is None or (log_format is None and not sys.stderr.isatty()):
        return None
    if not sys.stderr.isatty() and _is_same_file(1, 2):
        return None
    return TerminalLog(sys.stderr, program)


def _is_same_file(first: int, second: int) -> bool:
    try:
        one, other = os.fstat(first), os.fstat(second)
    except OSError:
        return False
    return os.path.samestat(one, other) and not stat.S_ISCHR(one.st_mode)  # /dev/null may be both


class TerminalLog:
    """Writes one line per message: time, program, level and text. A terminal that is gone does not fail the run."""

    def __init__(self, stream: TextIO, program: str) -> None:
        self._stream, self._program = stream, program

    def write(self, level: str, text: str) -> None:
        """Write one line."""
        line = f"{time.strftime('%H:%M:%S')} {self._program} {format_line(level, text)}\n"
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()

    def show(self, message: Mapping[str, Any]) -> None:
        """Write what an Airbyte message says to people: a log line, an error, the result of `check`."""
        kind = message.get("type")
        if kind == "LOG":
            self.write(message["log"]["level"], message["log"]["message"])
        elif kind == "TRACE" and message["trace"].get("error"):
            self.write("ERROR", message["trace"]["error"]["message"])
        elif kind == "CONNECTION_STATUS":
            status = message["connectionStatus"]
            failed = status["status"] != "SUCCEEDED"
            text = status.get("message") or ("The connection failed." if failed else "The connection works.")
            self.write("ERROR" if failed else "INFO", text)


def format_line(level: str, text: str) -> str:
    """Return a log line without a line break: level and printable text."""
    return f"{level} {printable(text)}"


class TerminalLogHandler(logging.Handler):
    """Writes the text of log records, without secrets, to a `TerminalLog`."""

    def __init__(self, log: TerminalLog) -> None:
        from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets  # here, so that `--help` needs no CDK

        super().__init__()
        self._log = log
        self._filter_secrets = filter_secrets

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        level = _LEVELS.get(record.levelname, record.levelname)
        self._log.write(level, self._filter_secrets(record.getMessage()))
