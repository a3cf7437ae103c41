"""Exit codes of every command, and the error that ends one."""

from __future__ import annotations

from destination_wicked_reports.errors import ConfigurationError, LedgerBusyError, LedgerError

#: 0 all well; 1 rows were refused or are in doubt; 2 the command did not run to its end; 3 the configuration is wrong
DONE, UNSETTLED, STOPPED, MISCONFIGURED = 0, 1, 2, 3


class CommandError(Exception):
    """A command cannot go on. The message says what to do; `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


#: Errors whose message is for the user; `code_of` is their exit code.
EXPECTED = (CommandError, ConfigurationError, LedgerError)


def code_of(error: CommandError | ConfigurationError | LedgerError) -> int:
    """Return the exit code of an expected error."""
    if isinstance(error, CommandError):
        return error.code
    return STOPPED if isinstance(error, LedgerBusyError) else MISCONFIGURED
