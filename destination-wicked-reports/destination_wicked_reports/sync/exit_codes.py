"""Exit codes of every command, and the error that ends one."""

from __future__ import annotations

import errno

from destination_wicked_reports.errors import ConfigurationError, LedgerBusyError, LedgerError

#: 0 all well; 1 rows were refused or are in doubt; 2 the command did not run to its end; 3 the configuration is wrong
DONE, UNSETTLED, STOPPED, MISCONFIGURED = 0, 1, 2, 3


class CommandError(Exception):
    """A command cannot go on. The message says what to do; `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


#: What passes without a change of the configuration.
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


def refusal(what: str, error: OSError) -> CommandError:
    """Return the error of a file that this machine refuses to write: a full disk is no wrong configuration."""
    passing = error.errno in _PASSING
    cure = "Make room" if passing else "Correct the path or its permissions"
    return CommandError(
        f"{what} cannot be written ({error.strerror or type(error).__name__}). {cure}, then run again.",
        STOPPED if passing else MISCONFIGURED,
    )


def machine_error(error: OSError) -> CommandError:
    """Return the error of a file or a program that this machine refuses, where nothing is known of its use."""
    refused = error.filename or "a file or a process"
    return CommandError(f"This machine refused {refused} ({error.strerror or type(error).__name__}).", STOPPED)


#: Errors whose message is for the user; `code_of` is their exit code.
EXPECTED = (CommandError, ConfigurationError, LedgerError)


def code_of(error: CommandError | ConfigurationError | LedgerError) -> int:
    """Return the exit code of an expected error."""
    if isinstance(error, CommandError):
        return error.code
    return STOPPED if isinstance(error, LedgerBusyError) else MISCONFIGURED
