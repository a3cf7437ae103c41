"""Runs one Airbyte command of a source: ordered output, exit codes, user-readable errors.

The CDK's own `launch` prints one message at a time, and its entrypoint quotes the values that it rejects.
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
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, BinaryIO, TypeVar, cast

import orjson
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import AirbyteMessage, ConnectorSpecification, Type
from airbyte_cdk.sources.types import Record
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from .errors import config_error, unexpected_error
from .rate_limit import LOGGER
from .source import ManifestSource

T = TypeVar("T")


def launch(source_class: type[ManifestSource], args: list[str]) -> int:
    """Run one Airbyte command and return the exit code.

    Records, states and logs share one buffer, which keeps their order; each log line, state and wait flushes it.
    Exit codes: 1 after a failure or if the reader closed the pipe, 130 after SIGINT, 143 after SIGTERM (the buffer is
    still written). A closed or full standard output ends the run with 1 and a line on standard error.
    """
    if sys.stdout is None:  # closed by the caller; the next file opened would get its descriptor
        sys.stdout = sys.__stdout__ = open(os.devnull, "w")  # type: ignore[misc]  # noqa: SIM115 - for the CDK
        _report_output_error("it is closed")
        return 1
    buffer = open(sys.stdout.fileno(), "wb", buffering=1 << 18, closefd=False)  # noqa: SIM115 - open until exit
    text = io.TextIOWrapper(buffer, encoding="utf-8", newline="\n", write_through=True)
    logging.raiseExceptions = False  # no traceback for a log line that cannot be written
    signal.signal(signal.SIGTERM, _terminate)
    with contextlib.redirect_stdout(text):
        code = 1
        try:
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(text)  # flushes what was logged before
                    handler.addFilter(lambda record: not record.getMessage().startswith(_CDK_NOISE))
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
            except Exception as error:
                _write(buffer, unexpected_error(error).as_sanitized_airbyte_message())
            buffer.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
            if not isinstance(error, BrokenPipeError):
                _report_output_error(str(error.strerror))
            code = code or 1
    return code


def _report_output_error(reason: str) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"Cannot write to standard output: {reason}.\n")


def _terminate(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second SIGTERM ends a run that blocks on its output
    raise SystemExit(143)


#: Log lines of the CDK at every start that look like warnings to a user.
_CDK_NOISE = ("MemoryMonitor instantiated", "Overriding config keys")

#: Rule of the JSON schema -> what a value must be.
_REQUIREMENTS = {"minimum": "at least {}", "maximum": "at most {}", "minLength": "not empty", "enum": "one of {}"}


class _Entrypoint(AirbyteEntrypoint):
    """The CDK's entrypoint, with config errors that name the option and the rule but never quote the value."""

    @staticmethod
    def validate_connection(source_spec: ConnectorSpecification, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for the worst violation of the spec, and for a misspelled option.

        Other unknown options are ignored: some orchestrators add their own.
        """
        known = source_spec.connectionSpecification["properties"]
        for name in config:
            if name not in known and (meant := get_close_matches(name.lower(), known, 1, 0.85)):
                raise config_error(f"Unknown setting {name}. Did you mean {meant[0]}?")
        error = best_match(Draft7Validator(source_spec.connectionSpecification).iter_errors(config))
        if error is not None:
            schema, field = cast("dict[str, Any]", error.schema), ".".join(map(str, error.absolute_path))
            rule = _REQUIREMENTS.get(str(error.validator), f"of {error.validator} {{}}").format(error.validator_value)
            requirement = schema.get("pattern_descriptor") or rule
            problem = error.message if error.validator == "required" else f"{field} must be {requirement}"
            raise config_error(f"Invalid configuration: {problem}.")


def _load(read: Callable[[str], T], kind: str, arguments: Mapping[str, Any]) -> T | None:
    path = arguments.get(kind)
    try:
        return read(path) if path else None
    except OSError as error:
        raise config_error(f"Cannot read the {kind} file {path} ({error.strerror}).") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        hint = "Correct it, or omit --state to start over." if kind == "state" else "Correct it."
        raise config_error(f"The {kind} file {path} is empty or not a {kind} in JSON. {hint}") from None


def _run(source_class: type[ManifestSource], args: list[str], out: BinaryIO) -> int:
    command = AirbyteEntrypoint.parse_args(args)
    if not command.command:
        raise config_error("No command given. Use spec, check, discover or read.")
    arguments = vars(command)
    config = _load(source_class.read_config, "config", arguments)
    catalog = _load(source_class.read_catalog, "catalog", arguments)
    state = _load(source_class.read_state, "state", arguments)
    source = source_class(catalog=catalog, config=config, state=state, config_path=arguments.get("config"))
    entrypoint = _Entrypoint(source)
    spec = source.spec(LOGGER)
    if command.command == "spec":
        _write(out, AirbyteMessage(type=Type.SPEC, spec=spec))
        return 0
    assert config is not None
    if command.command != "read":  # without AirbyteEntrypoint.run, which needs a temporary folder
        for message in (entrypoint.check if command.command == "check" else entrypoint.discover)(spec, config):
            _write(out, message)
        return 0
    assert catalog is not None
    entrypoint.set_up_secret_filter(config, spec.connectionSpecification)
    entrypoint.validate_connection(spec, config)
    gc.collect()
    gc.freeze()  # objects created so far live as long as the process, and rows contain no reference cycles
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
