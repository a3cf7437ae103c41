"""Exceptions with messages for users.

`config_error` and `transient_error` build the CDK's exception with Airbyte's failure type. `BadResponseError` is
internal: `http.ApiClient` catches it and retries.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException


class BadResponseError(Exception):
    """A response with status 200 that is incomplete or not what was requested.

    The message is logged, so it must never quote the body.
    """


class KeyRejectedError(AirbyteTracedException):
    """The vendor does not accept the key; no other stream can be read either."""


def injected_key(config: Mapping[str, Any]) -> str:
    """Return what to say of a key with which the CDK would replace the manifest or run the configuration as code.

    Return "" if there is none.
    """
    injected = next((key for key in config if key.startswith("__injected_")), None)
    if injected is None:
        return ""
    return f"The configuration has the key {injected}, which would replace parts of this connector. Remove it."


def config_error(message: str) -> AirbyteTracedException:
    """Return an error that the user can fix in the configuration or in the vendor account."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.config_error)


def transient_error(message: str) -> AirbyteTracedException:
    """Return an error that may not occur in the next run."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.transient_error)


def unexpected_error(error: Exception) -> AirbyteTracedException:
    """Return the error to report for a fault of the connector.

    The message of `error` may quote a row, so only its type and the traceback's locations are reported.
    """
    return AirbyteTracedException(
        message=f"The connector failed with an unexpected {type(error).__name__}. Report it with the log.",
        internal_message="".join(traceback.format_tb(error.__traceback__)),
    )


def system_error(error: OSError) -> AirbyteTracedException:
    """Return the error to report if the operating system refuses something, such as a file that is missing."""
    name = f" ({error.filename})" if isinstance(error.filename, str) else ""
    return config_error(f"The operating system refused: {error.strerror or type(error).__name__}{name}. Correct it.")
