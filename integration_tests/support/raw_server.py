"""A server that answers with raw bytes: responses that trickle, never end, or are no HTTP at all."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

Send = Callable[[bytes], None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class RawServer:
    """Answers every request with `answer(send)`; `send` raises OSError once the client is gone.

    `requests` has what each connection sent first in every exchange, a head and perhaps part of the body.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Send], object] = lambda send: send(HEAD + b"Content-Length: 2\r\n\r\n{}")
        self.requests: list[bytes] = []
        self.requested = threading.Event()
        self.closed = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while head := peer.recv(1 << 16):
                self.requests.append(head)
                self.requested.set()
                self.answer(peer.sendall)

    def drip(self, send: Send, piece: bytes, seconds: float = 0.02) -> None:
        """Send a piece every few milliseconds until the client or the server closes."""
        while not self.closed.wait(seconds):
            send(piece)

    def close(self) -> None:
        """Stop accepting connections, and end what drips."""
        self.closed.set()
        self._socket.close()
