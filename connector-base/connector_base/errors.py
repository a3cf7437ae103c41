"""Exceptions with messages for users.

`config_error` and `transient_error` build the CDK's exception with Airbyte's failure type. `BadResponseError` is
internal: `http.ApiClient` catches it and retries.
"""

from __future__ import annotations

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException


class BadResponseError(Exception):
    """A response with status 200 that is incomplete or not what was requested.

    The message is logged, so it must never quote the body.
    """


def config_error(message: str) -> AirbyteTracedException:
    """Return an error that the user can fix in the configuration or in the vendor account."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.config_error)


def transient_error(message: str) -> AirbyteTracedException:
    """Return an error that may not occur in the next run."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.transient_error)
