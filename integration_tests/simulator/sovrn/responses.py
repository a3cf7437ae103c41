"""Sovrn's responses: gzip on request, big days encoded once and streamed, and the response that stalls."""

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

from .transactions import RowFormat, SovrnRow

_CHUNK_BYTES = 65536
_ROWS_PER_CHUNK = 1000
#: days of this size are cached compressed: 200,000 rows are 180 MB as text, a tenth compressed
BIG_DAY_ROWS = 5000
_GZIP = 31  # zlib's number for the gzip format
_TICK_SECONDS = 0.01


def wants_gzip(request: Request) -> bool:
    """Return whether the client accepts gzip."""
    offered = [part.strip().lower() for part in request.headers.get("accept-encoding", "").split(",")]
    return any(part.split(";")[0] == "gzip" and not part.replace(" ", "").endswith(";q=0") for part in offered)


def json_response(request: Request, body: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = {}
    if wants_gzip(request):
        content, headers = gzip.compress(content, 1), {"Content-Encoding": "gzip"}
    return Response(content, status, headers, "application/json")


@dataclass(frozen=True)
class CompressedBody:
    """One big body, kept as gzip and decompressed chunk by chunk when it is sent."""

    gzipped: bytes
    plain_length: int

    def chunks(self, *, decompress: bool) -> Iterator[bytes]:
        """Yield the body in chunks."""
        inflate = zlib.decompressobj(_GZIP)
        for start in range(0, len(self.gzipped), _CHUNK_BYTES):
            chunk = self.gzipped[start : start + _CHUNK_BYTES]
            if sent := inflate.decompress(chunk) if decompress else chunk:
                yield sent


def compress(rows: Sequence[SovrnRow], row_format: RowFormat) -> CompressedBody:
    """Encode a big day, a thousand rows at a time."""
    deflate, length, parts = zlib.compressobj(1, zlib.DEFLATED, _GZIP), 0, []
    for start in range(0, len(rows), _ROWS_PER_CHUNK):
        chunk = b",".join(row.encoded(row_format) for row in rows[start : start + _ROWS_PER_CHUNK])
        chunk = (b"," if start else b'{"transactions":[') + chunk
        length += len(chunk)
        parts.append(deflate.compress(chunk))
    parts += [deflate.compress(b"]}"), deflate.flush()]
    return CompressedBody(b"".join(parts), length + 2)


class CompressedResponse(Response):
    """Streams a big day; only the faults, which cut or change it, read `body` as a whole."""

    def __init__(self, content: CompressedBody, *, gzipped: bool) -> None:
        self._content, self._gzipped = content, gzipped
        self._replaced: bytes | None = None
        super().__init__(None, 200, {"Content-Encoding": "gzip"} if gzipped else {}, "application/json")
        self._replaced = None
        self.headers["content-length"] = str(len(content.gzipped) if gzipped else content.plain_length)

    @property
    def body(self) -> bytes:
        """The whole body as sent."""
        if self._replaced is None:
            return b"".join(self._content.chunks(decompress=not self._gzipped))
        return self._replaced

    @body.setter
    def body(self, replaced: bytes) -> None:
        self._replaced = replaced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it chunk by chunk."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        streamed = self._content.chunks(decompress=not self._gzipped)
        for chunk in streamed if self._replaced is None else [self._replaced]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class StalledResponse(Response):
    """Sends nothing until the interval ends on the simulator's clock or the client disconnects (B8: "throttled")."""

    def __init__(self, retry: Callable[[], Response | None]) -> None:
        super().__init__(b"")
        self._retry = retry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then send the regular response."""
        disconnected = asyncio.ensure_future(_disconnected(receive))
        try:
            while not disconnected.done():
                if (response := self._retry()) is not None:
                    await response(scope, receive, send)
                    return
                await asyncio.wait([disconnected], timeout=_TICK_SECONDS)
        finally:
            disconnected.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
