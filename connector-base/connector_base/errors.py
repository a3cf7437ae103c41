"""Failures that end a run, each with the words that a user needs."""

from __future__ import annotations

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException


class BadReplyError(Exception):
    """A reply that says 200 but is not what was asked for. Its text goes into logs: never quote the body."""


def config_error(message: str) -> AirbyteTracedException:
    """Build the failure that the user can end by changing the configuration or the vendor account."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.config_error)


def transient_error(message: str) -> AirbyteTracedException:
    """Build the failure that may be gone at the next run."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.transient_error)
