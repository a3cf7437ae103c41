"""Reads bodies of any size in flat memory: saves them to a temporary file, then parses row by row.

Sovrn returns a whole day in one body, up to 190 MB, gzipped or not. Numbers with a fraction stay decimal text, so
amounts keep every digit.
"""

from __future__ import annotations

import codecs
import gzip
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import orjson
import requests

from .base.errors import BadResponseError, config_error, transient_error
from .base.json_parser import Repairs, decimal_text, replace_surrogates

#: Largest report, both as sent and decompressed. The vendor's largest days have 190 MB.
MAX_REPORT_BYTES = 2_000_000_000
_BLOCK = 1 << 18
_MAX_VALUE_CHARS = 1 << 23  # a row has about a thousand
_MAX_INTEGER_DIGITS = 18  # fits 64 bits, which is what JSON writers accept
_SAFE_BRACKETS = 200  # JSON writers accept about 250 levels; fewer brackets than this need no check
_GZIP_MAGIC = b"\x1f\x8b"
_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def spool_body(response: requests.Response) -> IO[bytes]:
    """Save a body, still compressed, to a temporary file that is deleted when closed or when the process ends.

    Raises `BadResponseError` for a body of more than `MAX_REPORT_BYTES`.
    """
    try:
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    except OSError as error:
        folder = os.environ.get("TMPDIR") or "the system's temporary folder"
        raise config_error(
            f"The response could not be saved in {folder} ({error.strerror}). Set TMPDIR to a folder that is writable."
        ) from None
    size = 0
    try:
        for piece in response.raw.stream(_BLOCK, decode_content=False):
            size += len(piece)
            if size > MAX_REPORT_BYTES:
                raise BadResponseError(f"the body is larger than {MAX_REPORT_BYTES:,} bytes")
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


def read_rows(spool: IO[bytes], key: str, repairs: Repairs | None = None) -> Iterator[dict[str, Any]]:
    """Yield the objects of the list `key`.

    Raises `BadResponseError` unless the body is one complete JSON object with that list. `repairs` counts what is read
    although JSON does not have it: NaN and Infinity as null, invalid characters as U+FFFD.
    """
    repairs = Repairs() if repairs is None else repairs
    parser = _StreamParser(_blocks(spool, repairs), repairs)
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


def _blocks(spool: IO[bytes], repairs: Repairs) -> Iterator[str]:
    """Yield the body as text; gzip is detected from its content, because headers may be wrong."""
    spool.seek(0)
    is_gzip = spool.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    spool.seek(0)
    body = gzip.GzipFile(fileobj=spool) if is_gzip else spool
    decode = _Decoder(repairs).decode
    size = 0
    try:
        while block := body.read(_BLOCK):
            size += len(block)
            if size > MAX_REPORT_BYTES:
                raise BadResponseError(f"the decompressed body is larger than {MAX_REPORT_BYTES:,} bytes")
            yield decode(block)
        yield decode(b"", final=True)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadResponseError("the gzipped body is corrupt or incomplete") from None


class _Decoder:
    """Decodes UTF-8, with or without a byte order mark; invalid bytes become U+FFFD."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogatepass")

    def decode(self, block: bytes, final: bool = False) -> str:
        """Return the text of a block; the rest of a character that it cuts comes with the next one."""
        before = self._decoder.getstate()
        try:
            return self._decoder.decode(block, final)
        except UnicodeDecodeError:
            self._repairs.text = True
            self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
            self._decoder.setstate(before)
            return self._decoder.decode(block, final)


def _integer(number: str) -> int | str:
    return int(number) if len(number) <= _MAX_INTEGER_DIGITS else number


def _scanner(on_constant: Callable[[str], None]) -> Callable[[str, int], tuple[Any, int]]:
    decoder = json.JSONDecoder(
        parse_float=decimal_text, parse_int=_integer, parse_constant=on_constant, strict=False
    )  # `strict` rejects line breaks inside a text
    return decoder.scan_once  # type: ignore[attr-defined,no-any-return]


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class _StreamParser:
    """Parses JSON that arrives in blocks; keeps only the current value in memory."""

    def __init__(self, blocks: Iterator[str], repairs: Repairs) -> None:
        self._blocks, self._text, self._at, self._repairs = blocks, "", 0, repairs
        self._has_surrogates = False
        #: Constants of the value that is being scanned; a scan that ends in the middle of a value starts over.
        self._constants = Repairs()
        self._scan = _scanner(self._constants.null)

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
            self._constants.nulls = 0
            try:
                value, end = self._scan(self._text, self._at)
            except (StopIteration, json.JSONDecodeError):
                if len(self._text) - self._at > _MAX_VALUE_CHARS or not self._more():
                    raise BadResponseError("the body is not complete JSON") from None
                continue
            except RecursionError:
                raise BadResponseError("the body is nested too deeply") from None
            if end == len(self._text) and not isinstance(value, (dict, list, str)) and self._more():
                continue  # the number may continue in the next block
            begin, self._at = self._at, end
            self._repairs.nulls += self._constants.nulls
            try:
                if self._has_surrogates:
                    value = replace_surrogates(value, self._repairs)
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
