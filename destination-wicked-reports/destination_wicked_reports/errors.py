"""Every exception that this package defines.

AirbyteTracedException (CDK)    ends the run as it is; its message goes to the user
  NotStoredError                a request failed for good, and none of its rows is stored
  InvalidInputError             a line of the input is not an Airbyte message
ConfigurationError              a setting is wrong; reported as config_error
LedgerError                     the ledger cannot be used; reported as config_error
  LedgerBusyError               another run holds it; reported as transient_error
  LedgerEmptyError              a command that only reads finds no tables in it
DeadLetterFileError (OSError)   the dead-letter file cannot be written; reported as transient_error
FieldError                      a value that an endpoint would refuse; the row becomes a dead letter
  BlankError                    a text of blanks only; treated as a missing value
MappingError                    a custom mapping is wrong; becomes a ConfigurationError
ExpressionError                 one of its expressions is; becomes part of a MappingError
SettingError                    an argument of one of its functions is; becomes an ExpressionError
ReplayError                     a line of a dead-letter file cannot be sent
ReadError                       `reconcile` could not read the orders that Wicked Reports has

No message quotes a value of a record: messages are logged, and a value may be personal data.
"""

from __future__ import annotations

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException


class NotStoredError(AirbyteTracedException):
    """A request failed for good, and Wicked certainly stored none of its rows. Ends the run."""


class InvalidInputError(AirbyteTracedException):
    """A line of the input is not a valid Airbyte message. Ends the run once everything before it is delivered."""

    def __init__(self, number: int, what: str, fix: str = "see whether the source failed in the middle of a line"):
        text = f"Line {number} of the input {what}. Everything before it was delivered; {fix}, then run the sync again."
        super().__init__(message=text, internal_message=text, failure_type=FailureType.system_error)


class ConfigurationError(ValueError):
    """The configuration cannot work. The message names the setting and the fix."""


class LedgerError(Exception):
    """The ledger cannot be used. The message says why and what to do."""


class LedgerBusyError(LedgerError):
    """Another run holds the ledger, or the part of it that this run needs."""


class LedgerEmptyError(LedgerError):
    """The ledger has no tables yet: nothing was sent with this configuration."""


class DeadLetterFileError(OSError):
    """The dead-letter file cannot be written."""


class FieldError(ValueError):
    """A value that an endpoint would refuse; `field` is Wicked's name for it, empty if unknown."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class BlankError(FieldError):
    """A text of blanks only. It counts as no value, as in Wicked's SDK (docs/vendors/wicked-reports.md 2.1)."""


class MappingError(ValueError):
    """A custom mapping cannot work. The message names every place that is wrong."""


class ExpressionError(ValueError):
    """An expression cannot work. The message says why and, where known, at which character."""


class SettingError(ValueError):
    """An argument of a function in an expression is invalid. The message lists what is allowed."""


class ReplayError(ValueError):
    """A line of a dead-letter file cannot be sent. The message says why."""


class ReadError(Exception):
    """The orders in Wicked Reports could not be read completely. The message says what to do."""
