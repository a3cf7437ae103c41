"""Reads the JSON files of a command line, in UTF-8 whatever the locale, from regular files and from pipes.

Every message names the file and, for JSON that is invalid, the place. None quotes the content, which may be a secret.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from airbyte_cdk.models import ConfiguredAirbyteCatalog, ConfiguredAirbyteCatalogSerializer, SyncMode
from serpyco_rs import SchemaValidationError

_SYNC_MODES = " or ".join(mode.value for mode in SyncMode)


class UnusableFileError(Exception):
    """A file cannot be read or does not have the content that is needed. The message is for the user."""


def read_bytes(path: Path | str, kind: str) -> bytes:
    """Return the content of a file, which is read once: it may be a pipe. `kind` is what messages call it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UnusableFileError(unreadable(f"The {kind} file {path}", error)) from None


def unreadable(subject: str, error: OSError) -> str:
    """Return the message for a file that cannot be read; `subject` begins it."""
    if isinstance(error, IsADirectoryError):
        return f"{subject} is a folder. Name a file in it."
    return f"{subject} cannot be read ({error.strerror})."


def parse_json(content: bytes, path: Path | str, kind: str) -> Any:
    """Return the value of a whole JSON document, with or without a byte order mark; raises UnusableFileError."""
    subject = f"The {kind} file {path}"
    try:
        text = content.decode(json.detect_encoding(content))
        if not text.strip():
            raise UnusableFileError(f"{subject} is empty.")
        value = json.loads(text, parse_constant=_refuse_constant)
        text.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise UnusableFileError(
            f"{subject} is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}). Correct it."
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableFileError(f"{subject} is not text in UTF-8 (line {line}). Save it as UTF-8.") from None
    except UnicodeEncodeError:
        raise UnusableFileError(f"{subject} has half of a character, such as \\ud83d alone. Correct it.") from None
    except RecursionError:
        raise UnusableFileError(f"{subject} is nested too deeply. Correct it.") from None
    except ValueError as error:
        raise UnusableFileError(f"{subject} is not valid JSON: {_reason(error)}. Correct it.") from None
    return value


class _ConstantError(ValueError):
    """JSON has no NaN and no Infinity."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(f"{name} is not a JSON value")


def _reason(error: ValueError) -> str:
    return str(error) if isinstance(error, _ConstantError) else "a number has too many digits"


def read_json(path: Path | str, kind: str) -> Any:
    """Return the value of a JSON file; raises UnusableFileError."""
    return parse_json(read_bytes(path, kind), path, kind)


def read_object(path: Path | str, kind: str) -> dict[str, Any]:
    """Return the object in a JSON file; raises UnusableFileError."""
    value = read_json(path, kind)
    if not isinstance(value, dict):
        raise UnusableFileError(
            f"The {kind} file {path} has {_KINDS[type(value)]} in place of a JSON object in braces. Correct it."
        )
    return value


_KINDS: dict[type, str] = {list: "a list", str: "a text", int: "a number", float: "a number"} | {
    bool: "true or false",
    type(None): "null",
}


def read_catalog(path: Path | str) -> ConfiguredAirbyteCatalog:
    """Return the configured catalog in a file; raises UnusableFileError, also for the output of `discover`."""
    content = read_bytes(path, "catalog")
    discovered = UnusableFileError(
        f"The catalog file {path} is the output of discover. A configured catalog is needed, which selects what to "
        'read: {"streams": [{"stream": X, "sync_mode": "incremental", "destination_sync_mode": "append"}]}, where '
        "X is one of the streams in that output."
    )
    try:
        catalog = parse_json(content, path, "catalog")
    except UnusableFileError:
        if _has_catalog_message(content):
            raise discovered from None
        raise
    if _is_discovered(catalog):
        raise discovered
    if not isinstance(catalog, dict):
        raise UnusableFileError(f"The catalog file {path} has no object with the list streams. Correct it.")
    try:
        return ConfiguredAirbyteCatalogSerializer.load(catalog)
    except SchemaValidationError as error:
        fault = error.errors[0]
        *parents, name = fault.instance_path.split("/")
        if fault.message.endswith("is a required property"):
            problem = f"has no {name}{_in(parents, catalog)}"
        else:
            problem = f"has a wrong {name}{_in(parents, catalog)}: {fault.message}"
        raise UnusableFileError(f"The catalog file {path} {problem}. Correct it.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnusableFileError(f"The catalog file {path} is not a configured catalog. Correct it.") from None


def _in(parents: list[str], catalog: dict[str, Any]) -> str:
    """Return the place of a fault: the number of the stream, and its name if it has one."""
    if len(parents) < 2:
        return ""
    place = f" in stream {int(parents[1]) + 1}"
    try:
        return f"{place} ({catalog['streams'][int(parents[1])]['stream']['name']})"
    except (KeyError, TypeError):
        return place


def _is_discovered(value: Any) -> bool:
    """Tell whether this is the message that `discover` prints, or the catalog in it."""
    if not isinstance(value, dict):
        return False
    streams = value.get("streams")
    return "catalog" in value or (isinstance(streams, list) and any(_is_plain_stream(each) for each in streams))


def _has_catalog_message(content: bytes) -> bool:
    """Tell whether a line of a file is the message that `discover` prints between its log lines."""
    text = content.decode(json.detect_encoding(content), errors="replace")
    for line in text.splitlines():
        if '"CATALOG"' in line:
            with contextlib.suppress(ValueError, RecursionError):
                if _is_discovered(json.loads(line)):
                    return True
    return False


def _is_plain_stream(stream: Any) -> bool:
    return isinstance(stream, dict) and "name" in stream and "stream" not in stream
