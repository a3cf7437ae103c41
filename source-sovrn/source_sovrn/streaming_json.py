"""Bodies of any size: spooled to a file as they come, read to the end before they count, then read row by row.

Sovrn answers a whole day in one body, perhaps 190 MB of it, gzip or not. Numbers with a fraction are never floats
here: they stay the decimal text that they are on the wire.
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

from .base.errors import BadReplyError, transient_error

_BLOCK = 1 << 18
_LONGEST_VALUE = 1 << 23  # characters; a row has about a thousand
_LONGEST_WHOLE = 18  # digits that fit 64 bits, which is what JSON writers take
_MOST_ZEROS = 400
_DEEPEST = 200  # a value with fewer brackets can surely be written again; JSON writers take about 250 levels
_GZIP = b"\x1f\x8b"
_SPACE = re.compile(r"[ \t\r\n]*")
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def spooled(response: requests.Response) -> IO[bytes]:
    """Save a body, as it came over the wire, in a file that is gone when it is closed or the process dies."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the reader closes it
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
            f"The reply could not be saved in {tempfile.gettempdir()} ({error.strerror}): make room there, or set "
            "TMPDIR to another folder."
        ) from None


def rows(spool: IO[bytes], key: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of the list `key`; raise `BadReplyError` unless the body is one whole JSON object with it."""
    text = _Text(_blocks(spool))
    found = False
    for name in text.members():
        if name == key and not found:
            found = True
            yield from text.objects()
        else:
            text.value()
    text.end()
    if not found:
        raise BadReplyError(f"the body holds no list {key!r}")


def _blocks(spool: IO[bytes]) -> Iterator[str]:
    """Read the saved body as text, unpacked if it is packed, whatever a header says."""
    spool.seek(0)
    packed = spool.read(len(_GZIP)) == _GZIP
    spool.seek(0)
    plain = gzip.GzipFile(fileobj=spool) if packed else spool
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        while block := plain.read(_BLOCK):
            yield decode(block)
        yield decode(b"", final=True)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadReplyError("the packed body is broken or not complete") from None
    except UnicodeDecodeError:
        raise BadReplyError("the body is no UTF-8 text") from None


def decimal_text(number: str) -> str:
    """Return a JSON number as plain decimal text with every digit: `7.5E-4` is `0.00075`."""
    if "e" in number or "E" in number:
        try:
            exact = Decimal(number)
        except InvalidOperation:  # an exponent of more digits than Decimal holds
            return number
        if abs(exact.adjusted()) < _MOST_ZEROS:
            return format(exact, "f")
    return number


def _whole(number: str) -> int | str:
    return int(number) if len(number) <= _LONGEST_WHOLE else number


def _no_number(word: str) -> None:
    raise BadReplyError(f"the body is no JSON ({word})")


_scan = json.JSONDecoder(parse_float=decimal_text, parse_int=_whole, parse_constant=_no_number).scan_once  # type: ignore[attr-defined]


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class _Text:
    """JSON text that comes in blocks, of which only the present value is held."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks, self._text, self._at = blocks, "", 0
        self._half_characters = False

    def members(self) -> Iterator[str]:
        """Yield the names of the object that comes next; the caller reads each value."""
        self._take("{")
        if self._peek() == "}":
            self._take("}")
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise BadReplyError("the body is no JSON object")
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of the list that comes next."""
        self._take("[")
        if self._peek() == "]":
            self._take("]")
            return
        while True:
            value = self.value()
            if type(value) is not dict:
                raise BadReplyError("the list holds something that is no object")
            yield value
            if self._take(",]") == "]":
                return

    def value(self) -> Any:
        """Read the value that comes next."""
        while True:
            self._peek()
            try:
                value, end = _scan(self._text, self._at)
            except (StopIteration, json.JSONDecodeError):
                if len(self._text) - self._at > _LONGEST_VALUE or not self._more():
                    raise BadReplyError("the body is not complete JSON") from None
                continue
            except RecursionError:
                raise BadReplyError("the body is nested too deeply") from None
            if end == len(self._text) and not isinstance(value, (dict, list, str)) and self._more():
                continue  # the number may go on
            begin, self._at = self._at, end
            try:
                if self._half_characters:
                    value = _whole_characters(value)
                if self._text.count("{", begin, end) + self._text.count("[", begin, end) > _DEEPEST:
                    orjson.dumps(value)
            except (RecursionError, orjson.JSONEncodeError):
                raise BadReplyError("the body is nested too deeply") from None
            return value

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self._peek():
            raise BadReplyError("something follows the body's end")

    def _take(self, allowed: str) -> str:
        found = self._peek()
        if not found or found not in allowed:
            raise BadReplyError("the body is not complete JSON" if not found else "the body is no JSON of that form")
        self._at += 1
        return found

    def _peek(self) -> str:
        while True:
            text, at = self._text, self._at
            if at < len(text) and text[at] not in " \t\r\n":
                return text[at]
            self._at = _after_space(text, at)
            if self._at == len(text) and not self._more():
                return ""

    def _more(self) -> bool:
        """Take in at least as much as is held, so that a long value is not scanned again for each block."""
        held = self._text[self._at :]
        taken = [held]
        size = 0
        for block in self._blocks:
            taken.append(block)
            size += len(block)
            if size and size >= len(held):
                break
        self._text, self._at = "".join(taken), 0
        self._half_characters = self._half_characters or _HALF_CHARACTER.search(self._text) is not None
        return size > 0


def _whole_characters(value: Any) -> Any:
    r"""Replace half characters, such as `\ud83d` without its other half, which no JSON writer takes."""
    try:
        orjson.dumps(value)
    except TypeError:
        if isinstance(value, str):
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, dict):
            return {_whole_characters(name): _whole_characters(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [_whole_characters(inner) for inner in value]
    return value
