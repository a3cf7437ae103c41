"""One Airbyte command, as a command line gives it: output that leaves in order, exit codes, plain refusals.

Shared by the sources and the same, byte for byte, in each of them. The CDK's own `launch` prints message by message,
and its entrypoint quotes the values that it refuses.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, BinaryIO, TypeVar, cast

import orjson
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import AirbyteMessage, ConnectorSpecification
from airbyte_cdk.sources.types import Record
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from .errors import config_error
from .rate_limit import LOGGER
from .source import ManifestSource

T = TypeVar("T")


def launch(source_class: type[ManifestSource], args: list[str]) -> int:
    """Run one Airbyte command and return the exit code.

    Records, states and logs go through one buffer, in order; it is flushed with each log line, state and wait.
    A reader that went away ends the run with 1, SIGTERM with 143 after what was emitted has left; neither prints more.
    An output that is closed or full ends it with 1, too, and with a line on stderr.
    """
    if sys.stdout is None:  # closed by who started us; what is opened next takes its number
        sys.stdout = sys.__stdout__ = open(os.devnull, "w")  # type: ignore[misc]  # noqa: SIM115 - for the CDK
        _complain("it is closed")
        return 1
    buffer = open(sys.stdout.fileno(), "wb", buffering=1 << 18, closefd=False)  # noqa: SIM115 - lives to the end
    text = io.TextIOWrapper(buffer, encoding="utf-8", newline="\n", write_through=True)
    logging.raiseExceptions = False  # a log line for a reader that went away is no reason for a traceback
    signal.signal(signal.SIGTERM, _terminate)
    with contextlib.redirect_stdout(text):
        code = 1
        try:
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(text)  # lets out what was logged so far
                    handler.addFilter(lambda record: not record.getMessage().startswith(_CHATTER))
            try:
                code = _run(source_class, args, buffer)
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            except KeyboardInterrupt:
                code = 130
            except AirbyteTracedException as error:
                _write(buffer, error.as_sanitized_airbyte_message())
            except BrokenPipeError:
                raise
            except Exception as error:  # a bug of ours: its text may quote a row, so only its place is told
                message = f"The connector met an unexpected {type(error).__name__}: report it with the log."
                place = "".join(traceback.format_tb(error.__traceback__))
                _write(buffer, AirbyteTracedException(place, message).as_sanitized_airbyte_message())
            buffer.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
            if not isinstance(error, BrokenPipeError):
                _complain(str(error.strerror))
            code = code or 1
    return code


def _complain(reason: str) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"The standard output cannot be written: {reason}.\n")


def _terminate(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one does not wait for a reader that hangs
    raise SystemExit(143)


#: What the CDK says of its own workings at every start; a user would take it for something to see to.
_CHATTER = ("MemoryMonitor instantiated", "Overriding config keys")

#: What a value must be, by the rule of the JSON schema that it breaks.
_WANTED = {"minimum": "at least {}", "maximum": "at most {}", "minLength": "not empty", "enum": "one of {}"}


class _Entrypoint(AirbyteEntrypoint):
    """The CDK's entrypoint, but a refused config names the field and what it must be, and never quotes a value."""

    @staticmethod
    def validate_connection(source_spec: ConnectorSpecification, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for the worst breach of the spec, and for a key that is nearly one of it."""
        known = source_spec.connectionSpecification["properties"]
        for name in config:
            if name not in known and (meant := get_close_matches(name.lower(), known, 1, 0.85)):
                raise config_error(f"{name} is no setting of this connector: did you mean {meant[0]}?")
        error = best_match(Draft7Validator(source_spec.connectionSpecification).iter_errors(config))
        if error is not None:
            schema, field = cast("dict[str, Any]", error.schema), ".".join(map(str, error.absolute_path))
            said = _WANTED.get(str(error.validator), f"of {error.validator} {{}}").format(error.validator_value)
            wanted = schema.get("pattern_descriptor") or said
            told = error.message if error.validator == "required" else f"{field} must be {wanted}"
            raise config_error(f"The configuration is refused: {told}; correct it.")


def _file(read: Callable[[str], T], kind: str, given: Mapping[str, Any]) -> T | None:
    path = given.get(kind)
    try:
        return read(path) if path else None
    except OSError as error:
        raise config_error(f"The {kind} file {path} cannot be read ({error.strerror}).") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        hint = ": leave --state out to start over, or correct it." if kind == "state" else ": correct it."
        raise config_error(f"The {kind} file {path} is empty or no {kind} in JSON{hint}") from None


def _run(source_class: type[ManifestSource], args: list[str], out: BinaryIO) -> int:
    command = AirbyteEntrypoint.parse_args(args)
    if not command.command:
        raise config_error("No command was given: say spec, check, discover or read.")
    given = vars(command)
    config = _file(source_class.read_config, "config", given)
    catalog = _file(source_class.read_catalog, "catalog", given)
    state = _file(source_class.read_state, "state", given)
    source = source_class(catalog=catalog, config=config, state=state, config_path=given.get("config"))  # type: ignore[call-arg]
    entrypoint = _Entrypoint(source)
    if command.command != "read":
        for line in entrypoint.run(command):
            out.write(line.encode() + b"\n")
        return 0
    assert catalog is not None
    assert config is not None
    spec = source.spec(LOGGER)
    entrypoint.set_up_secret_filter(config, spec.connectionSpecification)
    entrypoint.validate_connection(spec, config)
    gc.collect()
    gc.freeze()  # rows are trees and die with their page; what lives on now is never garbage
    gc.set_threshold(100_000, 50, 50)
    heads: dict[str, bytes] = {}
    for item in source.items(catalog):
        if isinstance(item, Record):
            head = heads.get(item.stream_name)
            if head is None:
                name = orjson.dumps(item.stream_name)
                head = heads[item.stream_name] = b'{"type":"RECORD","record":{"stream":%b,"data":' % name
            out.write(head + orjson.dumps(item.data) + b',"emitted_at":%d}}\n' % (time.time() * 1000))
        else:
            _write(out, item)
    return 0


def _write(out: BinaryIO, message: AirbyteMessage) -> None:
    out.write(AirbyteEntrypoint.airbyte_message_to_string(message).encode() + b"\n")
    out.flush()
