"""Runs one Airbyte command: emits its messages, reports a failure as one TRACE message, sets the exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.base.errors import config_error
from destination_wicked_reports.base.terminal_log import TerminalLog, TerminalLogHandler
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.protocol.messages import Output, OutputHandler
from destination_wicked_reports.signals import POST_THREAD, SIGNALS

logger = logging.getLogger("airbyte")

STOPPED = "Stopped. Everything sent so far is in the ledger: run the same command again to continue."


def run_command(
    output: Output, command: Callable[[], Iterable[AirbyteMessage]], terminal: TerminalLog | None = None
) -> None:
    """Emit the messages of a command, each flushed at once; log records become LOG messages.

    `terminal` shows log records, errors and the result of `check` to people, too.

    Exits with 1 after a failure, 130 after SIGINT and 143 after SIGTERM.
    """
    try:
        output.open()
        try:
            _run(output, command, terminal)
        except SystemExit as ended:
            _leave(ended)
            raise
    except OSError as error:  # standard output is closed or full, so no message can report it
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write(f"Standard output cannot be written ({error.strerror}).\n")
        sys.exit(1)


def _leave(ended: SystemExit) -> None:
    """End the process at once if a post that the dispatcher gave up still waits for a connection."""
    if any(thread.name.startswith(POST_THREAD) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)


def _handlers(output: Output, terminal: TerminalLog | None) -> Iterator[logging.Handler]:
    yield OutputHandler(output)
    if terminal is not None:
        yield TerminalLogHandler(terminal)


def _run(output: Output, command: Callable[[], Iterable[AirbyteMessage]], terminal: TerminalLog | None = None) -> None:
    logging.getLogger().handlers[:] = _handlers(output, terminal)
    logger.setLevel(logging.INFO)
    SIGNALS.listen()
    try:
        for message in command():
            _emit(output, message, terminal)
    except AirbyteTracedException as error:
        _fail(output, error, terminal)
    except ConfigurationError as error:
        _fail(output, config_error(str(error)), terminal)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        logger.warning(STOPPED)
        sys.exit(130)
    except SystemExit as ended:
        if ended.code == 128 + signal.SIGTERM:
            logger.warning(STOPPED)
        raise
    except Exception as error:
        # The text of another package's exception may quote a row. Its type and our traceback are enough to fix it.
        traced = AirbyteTracedException(
            message=f"The connector failed ({type(error).__name__}). Acknowledged rows are not lost: run the sync "
            "again, and report this if it recurs.",
            internal_message=type(error).__name__,
            failure_type=FailureType.system_error,
        )
        traced.__traceback__ = error.__traceback__
        _fail(output, traced, terminal)


def _emit(output: Output, message: AirbyteMessage, terminal: TerminalLog | None) -> None:
    dumped = AirbyteMessageSerializer.dump(message)
    output.emit(dumped)
    if terminal is not None:
        terminal.show(dumped)


def _fail(output: Output, error: AirbyteTracedException, terminal: TerminalLog | None) -> None:
    _emit(output, error.as_airbyte_message(), terminal)
    sys.exit(1)
