"""Runs one Airbyte command of a source: ordered output, exit codes, user-readable errors.

The CDK's own `launch` prints one message at a time, and its entrypoint quotes the values that it rejects.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import orjson
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConnectorSpecification,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.sources.types import Record
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from jsonschema import Draft7Validator, ValidationError
from jsonschema.exceptions import best_match

from .errors import config_error, unexpected_error
from .rate_limit import LOGGER
from .source import ManifestSource
from .spelling import closest, did_you_mean
from .terminal_log import TerminalLog, TerminalLogHandler, open_terminal_log


def launch(source_class: type[ManifestSource], command: argparse.Namespace) -> int:
    """Run one Airbyte command and return the exit code.

    Records, states and logs share one buffer, which keeps their order; each log line, state and wait flushes it. On a
    terminal, standard error gets log lines for people, too.
    Exit codes: 1 after a failure or if the reader closed the pipe, 130 after SIGINT, 143 after SIGTERM (the buffer is
    still written). A closed or full standard output ends the run with 1 and a line on standard error.
    """
    if sys.stdout is None:  # closed by the caller; the next file opened would get its descriptor
        sys.stdout = sys.__stdout__ = open(os.devnull, "w")  # type: ignore[misc]  # noqa: SIM115 - for the CDK
        _report_output_error("it is closed")
        return 1
    buffer = open(sys.stdout.fileno(), "wb", buffering=1 << 18, closefd=False)  # noqa: SIM115 - open until exit
    text = io.TextIOWrapper(buffer, encoding="utf-8", newline="\n", write_through=True)
    output = _Output(buffer, open_terminal_log(command.program, command.log_format))
    logging.raiseExceptions = False  # no traceback for a log line that cannot be written
    signal.signal(signal.SIGTERM, _terminate)
    with contextlib.redirect_stdout(text):
        code = 1
        try:
            _set_up_logging(text, output.terminal)
            try:
                code = _run(source_class, command, output)
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            except KeyboardInterrupt:
                code = 130
                LOGGER.warning("Stopped. Run the same command again, with the last state, to continue.")
            except AirbyteTracedException as error:
                output.write(error.as_sanitized_airbyte_message())
            except BrokenPipeError:
                raise
            except Exception as error:
                output.write(unexpected_error(error).as_sanitized_airbyte_message())
            buffer.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
            if not isinstance(error, BrokenPipeError):
                _report_output_error(str(error.strerror))
            code = code or 1
    return code


class _Output:
    """Standard output, and the log for people if there is one."""

    def __init__(self, buffer: BinaryIO, terminal: TerminalLog | None) -> None:
        self.buffer, self.terminal = buffer, terminal

    def write(self, message: AirbyteMessage) -> None:
        """Write a message and flush."""
        self.buffer.write(AirbyteEntrypoint.airbyte_message_to_string(message).encode() + b"\n")
        self.buffer.flush()
        if self.terminal is not None and message.type in (Type.TRACE, Type.CONNECTION_STATUS):
            self.terminal.show(AirbyteMessageSerializer.dump(message))


def _set_up_logging(text: io.TextIOWrapper, terminal: TerminalLog | None) -> None:
    root = logging.getLogger()
    if terminal is not None:
        handler = TerminalLogHandler(terminal)
        handler.addFilter(lambda record: record.getMessage() not in _STATUS_LOGS)
        root.addHandler(handler)
    for each in root.handlers:
        each.addFilter(lambda record: not record.getMessage().startswith(_CDK_NOISE))
        if isinstance(each, logging.StreamHandler):
            each.setStream(text)  # flushes what was logged before


def _report_output_error(reason: str) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"Cannot write to standard output: {reason}.\n")


def _terminate(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second SIGTERM ends a run that blocks on its output
    raise SystemExit(143)


#: Log lines of the CDK at every start that look like warnings to a user.
_CDK_NOISE = ("MemoryMonitor instantiated", "Overriding config keys")

#: Log lines of the CDK before a CONNECTION_STATUS, which says more.
_STATUS_LOGS = ("Check succeeded", "Check failed")

#: Rule of the JSON schema -> what a value must be.
_REQUIREMENTS = {
    "type": "{}",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "not empty",
    "minItems": "a list that is not empty",
    "uniqueItems": "a list without duplicates",
    "enum": "one of {}",
}
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "boolean": "true or false",
    "object": "an object",
    "null": "null",
}


class _Entrypoint(AirbyteEntrypoint):
    """The CDK's entrypoint, with config errors that name the option and the rule but never quote the value."""

    @staticmethod
    def validate_connection(source_spec: ConnectorSpecification, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for the worst violation of the spec, and for a misspelled option.

        Other unknown options are ignored: some orchestrators add their own.
        """
        schema = source_spec.connectionSpecification
        known = schema["properties"]
        for name in config:
            if name not in known and (meant := closest(name, known)):
                raise config_error(f"Unknown setting {name}. Did you mean {meant}?")
        error = best_match(Draft7Validator(schema).iter_errors(config))
        if error is not None:
            raise config_error(f"Invalid configuration: {_problem(error, schema['required'], config)}")


def _problem(error: ValidationError, required: list[str], config: Mapping[str, Any]) -> str:
    """Return what is wrong with a configuration, without the value, which may be a secret in the wrong place."""
    if error.validator == "required":
        for name, value in config.items():
            if isinstance(value, dict) and any(key in value for key in required):
                return f"the settings are inside {name}. Put them at the top level."
        return f"{error.message}."
    schema = cast("dict[str, Any]", error.schema)
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    rule: Any = error.validator_value
    if error.validator == "type":
        rule = " or ".join(_TYPES[name] for name in ([rule] if isinstance(rule, str) else rule))
    requirement = schema.get("pattern_descriptor") or _REQUIREMENTS.get(str(error.validator), "valid").format(rule)
    meant = did_you_mean(str(error.instance), map(str, rule), 0.6) if error.validator == "enum" else ""
    return f"{place.removeprefix('.')} must be {requirement}.{meant}"


def _run(source_class: type[ManifestSource], command: argparse.Namespace, output: _Output) -> int:
    try:
        return _run_command(source_class, command, output)
    except AirbyteTracedException as error:
        if command.command != "check" or error.failure_type != FailureType.config_error:
            raise
        status = AirbyteConnectionStatus(status=Status.FAILED, message=error.message)
        output.write(AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status))
        return 0


def _run_command(source_class: type[ManifestSource], command: argparse.Namespace, output: _Output) -> int:
    files = vars(command)
    config = source_class.read_config(files["config"]) if "config" in files else None
    catalog = source_class.read_catalog(files["catalog"]) if "catalog" in files else None
    state = source_class.read_state(files["state"]) if files.get("state") else None
    source = source_class(catalog=catalog, config=config, state=state, config_path=files.get("config"))
    entrypoint = _Entrypoint(source)
    spec = source.spec(LOGGER)
    if command.command == "spec":
        output.write(AirbyteMessage(type=Type.SPEC, spec=spec))
        return 0
    assert config is not None
    if command.command != "read":  # without AirbyteEntrypoint.run, which needs a temporary folder
        for message in (entrypoint.check if command.command == "check" else entrypoint.discover)(spec, config):
            output.write(message)
        if source.check_error is not None:  # its type tells an outage from a wrong configuration
            output.write(source.check_error.as_sanitized_airbyte_message())
        return 0
    assert catalog is not None
    entrypoint.set_up_secret_filter(config, spec.connectionSpecification)
    entrypoint.validate_connection(spec, config)
    gc.collect()
    gc.freeze()  # objects created so far live as long as the process, and rows contain no reference cycles
    gc.set_threshold(100_000, 50, 50)
    heads: dict[str, bytes] = {}
    write = output.buffer.write
    for item in source.items(catalog):
        if isinstance(item, Record):
            head = heads.get(item.stream_name)
            if head is None:
                name = orjson.dumps(item.stream_name)
                head = heads[item.stream_name] = b'{"type":"RECORD","record":{"stream":%b,"data":' % name
            write(head + orjson.dumps(item.data) + b',"emitted_at":%d}}\n' % (time.time() * 1000))
        else:
            output.write(item)
    return 0
