"""Sovrn's replies: gzip when asked, big days encoded once and streamed, and the reply that stalls."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .transactions import SovrnRow, Wire

_PIECE = 65536
_ROWS_PER_PIECE = 1000
#: from here on a day is kept compressed: 200,000 rows are 180 MB as text and a tenth of that so
BIG_DAY_ROWS = 5000
_GZIP = 31  # zlib's number for the gzip format
_TICK_SECONDS = 0.01


def wants_gzip(request: Request) -> bool:
    """Tell whether the client takes gzip (sovrn-transactions: "Accept-Encoding: gzip")."""
    offered = [part.strip().lower() for part in request.headers.get("accept-encoding", "").split(",")]
    return any(part.split(";")[0] == "gzip" and not part.replace(" ", "").endswith(";q=0") for part in offered)


def json_reply(request: Request, body: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = {}
    if wants_gzip(request):
        content, headers = gzip.compress(content, 1), {"Content-Encoding": "gzip"}
    return Response(content, status, headers, "application/json")


@dataclass(frozen=True)
class Packed:
    """One big body, kept as gzip; the plain text is unpacked piece by piece when it is sent."""

    packed: bytes
    plain_length: int

    def pieces(self, *, unpack: bool) -> Iterator[bytes]:
        """Return the body in pieces."""
        inflate = zlib.decompressobj(_GZIP)
        for start in range(0, len(self.packed), _PIECE):
            piece = self.packed[start : start + _PIECE]
            if plain := inflate.decompress(piece) if unpack else piece:
                yield plain


def pack(rows: Sequence[SovrnRow], wire: Wire) -> Packed:
    """Encode a big day once, a thousand rows at a time."""
    deflate, length, parts = zlib.compressobj(1, zlib.DEFLATED, _GZIP), 0, []
    for start in range(0, len(rows), _ROWS_PER_PIECE):
        piece = b",".join(row.encoded(wire) for row in rows[start : start + _ROWS_PER_PIECE])
        piece = (b"," if start else b'{"transactions":[') + piece
        length += len(piece)
        parts.append(deflate.compress(piece))
    parts += [deflate.compress(b"]}"), deflate.flush()]
    return Packed(b"".join(parts), length + 2)


class PackedReply(Response):
    """A big day on the wire. `body` is whole only for the faults, which cut and change it."""

    def __init__(self, packed: Packed, *, zipped: bool) -> None:
        self._packed, self._zipped = packed, zipped
        self._replaced: bytes | None = None
        super().__init__(None, 200, {"Content-Encoding": "gzip"} if zipped else {}, "application/json")
        self._replaced = None
        self.headers["content-length"] = str(len(packed.packed) if zipped else packed.plain_length)

    @property
    def body(self) -> bytes:
        """The whole body, as it goes over the wire."""
        if self._replaced is None:
            return b"".join(self._packed.pieces(unpack=not self._zipped))
        return self._replaced

    @body.setter
    def body(self, replaced: bytes) -> None:
        self._replaced = replaced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it piece by piece."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pieces = iter([self._replaced]) if self._replaced is not None else self._packed.pieces(unpack=not self._zipped)
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Stalled(Response):
    """Says nothing until the interval is over on the simulator's clock, or the client gives up (B8: "throttled")."""

    def __init__(self, retry: Callable[[], Response | None]) -> None:
        super().__init__(b"")
        self._retry = retry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then answer as if nothing had been."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while not gone.done():
                if (response := self._retry()) is not None:
                    await response(scope, receive, send)
                    return
                await asyncio.wait([gone], timeout=_TICK_SECONDS)
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
