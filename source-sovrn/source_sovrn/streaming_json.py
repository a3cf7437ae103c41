"""Reads bodies of any size in flat memory: saves them to a temporary file, then parses row by row.

Sovrn returns a whole day in one body, up to 190 MB, gzipped or not. Numbers with a fraction stay decimal text, so
amounts keep every digit.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import IO, Any

import orjson
import requests

from .base.errors import BadResponseError, transient_error

_BLOCK = 1 << 18
_MAX_VALUE_CHARS = 1 << 23  # a row has about a thousand
_MAX_INTEGER_DIGITS = 18  # fits 64 bits, which is what JSON writers accept
_MAX_ZEROS = 400
_SAFE_BRACKETS = 200  # JSON writers accept about 250 levels; fewer brackets than this need no check
_GZIP_MAGIC = b"\x1f\x8b"
_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def spool_body(response: requests.Response) -> IO[bytes]:
    """Save a body, still compressed, to a temporary file that is deleted when closed or when the process ends."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for piece in response.raw.stream(_BLOCK, decode_content=False):
            _save(spool, piece)
    except BaseException:
        spool.close()
        raise
    return spool


def _save(spool: IO[bytes], piece: bytes) -> None:
    try:
        spool.write(piece)
    except OSError as error:
        raise transient_error(
            f"The response could not be saved in {tempfile.gettempdir()} ({error.strerror}). Free disk space there, or "
            "set TMPDIR to another folder."
        ) from None


def read_rows(spool: IO[bytes], key: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of the list `key`.

    Raises `BadResponseError` unless the body is one complete JSON object with that list.
    """
    parser = _StreamParser(_blocks(spool))
    found = False
    for name in parser.members():
        if name == key and not found:
            found = True
            yield from parser.objects()
        else:
            parser.value()
    parser.end()
    if not found:
        raise BadResponseError(f"the body has no list {key!r}")


def _blocks(spool: IO[bytes]) -> Iterator[str]:
    """Yield the body as text; gzip is detected from its content, because headers may be wrong."""
    spool.seek(0)
    is_gzip = spool.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    spool.seek(0)
    body = gzip.GzipFile(fileobj=spool) if is_gzip else spool
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        while block := body.read(_BLOCK):
            yield decode(block)
        yield decode(b"", final=True)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadResponseError("the gzipped body is corrupt or incomplete") from None
    except UnicodeDecodeError:
        raise BadResponseError("the body is not UTF-8") from None


def decimal_text(number: str) -> str:
    """Return a JSON number as plain decimal text: `7.5E-4` becomes `0.00075`."""
    if "e" in number or "E" in number:
        try:
            exact = Decimal(number)
        except InvalidOperation:  # the exponent exceeds Decimal's range
            return number
        if abs(exact.adjusted()) < _MAX_ZEROS:
            return format(exact, "f")
    return number


def _integer(number: str) -> int | str:
    return int(number) if len(number) <= _MAX_INTEGER_DIGITS else number


def _reject(word: str) -> None:
    raise BadResponseError(f"the body is not JSON ({word})")


_scan = json.JSONDecoder(parse_float=decimal_text, parse_int=_integer, parse_constant=_reject).scan_once  # type: ignore[attr-defined]


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class _StreamParser:
    """Parses JSON that arrives in blocks; keeps only the current value in memory."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks, self._text, self._at = blocks, "", 0
        self._has_surrogates = False

    def members(self) -> Iterator[str]:
        """Yield the member names of the next object; the caller must read each value."""
        self._take("{")
        if self._peek() == "}":
            self._take("}")
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise BadResponseError("the body is not a JSON object")
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of the next list."""
        self._take("[")
        if self._peek() == "]":
            self._take("]")
            return
        while True:
            value = self.value()
            if type(value) is not dict:
                raise BadResponseError("the list has an item that is not an object")
            yield value
            if self._take(",]") == "]":
                return

    def value(self) -> Any:
        """Return the next value."""
        while True:
            self._peek()
            try:
                value, end = _scan(self._text, self._at)
            except (StopIteration, json.JSONDecodeError):
                if len(self._text) - self._at > _MAX_VALUE_CHARS or not self._more():
                    raise BadResponseError("the body is not complete JSON") from None
                continue
            except RecursionError:
                raise BadResponseError("the body is nested too deeply") from None
            if end == len(self._text) and not isinstance(value, (dict, list, str)) and self._more():
                continue  # the number may continue in the next block
            begin, self._at = self._at, end
            try:
                if self._has_surrogates:
                    value = _replace_surrogates(value)
                if self._text.count("{", begin, end) + self._text.count("[", begin, end) > _SAFE_BRACKETS:
                    orjson.dumps(value)
            except (RecursionError, orjson.JSONEncodeError):
                raise BadResponseError("the body is nested too deeply") from None
            return value

    def end(self) -> None:
        """Raise `BadResponseError` if anything follows."""
        if self._peek():
            raise BadResponseError("the body has content after its end")

    def _take(self, allowed: str) -> str:
        found = self._peek()
        if not found or found not in allowed:
            raise BadResponseError(f"the body is not {'JSON of the expected form' if found else 'complete JSON'}")
        self._at += 1
        return found

    def _peek(self) -> str:
        while True:
            text, at = self._text, self._at
            if at < len(text) and text[at] not in " \t\r\n":
                return text[at]
            self._at = _skip_space(text, at)
            if self._at == len(text) and not self._more():
                return ""

    def _more(self) -> bool:
        """Append blocks until the buffer has doubled; otherwise a long value would be scanned once per block."""
        rest = self._text[self._at :]
        parts = [rest]
        size = 0
        for block in self._blocks:
            parts.append(block)
            size += len(block)
            if size and size >= len(rest):
                break
        self._text, self._at = "".join(parts), 0
        self._has_surrogates = self._has_surrogates or _SURROGATE.search(self._text) is not None
        return size > 0


def _replace_surrogates(value: Any) -> Any:
    r"""Replace unpaired surrogates, such as `\ud83d` alone, which JSON writers reject."""
    try:
        orjson.dumps(value)
    except TypeError:
        if isinstance(value, str):
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, dict):
            return {_replace_surrogates(name): _replace_surrogates(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [_replace_surrogates(inner) for inner in value]
    return value
