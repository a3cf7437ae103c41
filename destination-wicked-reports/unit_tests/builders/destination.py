"""Rows and a scripted Wicked for the destination's unit tests."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import orjson
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.model import OpenOrder, Row, SalePayment, SaleState

ACCEPTED = PostResult(Outcome.ACCEPTED, {})
#: A row of each native stream with its required fields only.
COMPLETE: dict[str, dict[str, Any]] = {
    "products": {"SourceSystem": "shop", "SourceID": "p1", "ProductName": "Shoe", "ProductPrice": "59.90"},
    "contacts": {"SourceSystem": "shop", "SourceID": "c1", "CreateDate": "2024-05-31 13:45:00", "Email": "a@b.example"},
    "orders": {
        "SourceSystem": "shop",
        "SourceID": "o1",
        "CreateDate": "2024-05-31 13:45:00",
        "ContactEmail": "a@b.example",
        "OrderTotal": "59.90",
    },
    "order_items": {
        "SourceSystem": "shop",
        "OrderID": "o1",
        "SourceID": "1",
        "ProductID": "p1",
        "Qty": 1,
        "PPU": "59.90",
    },
    "order_payments": {
        "SourceSystem": "shop",
        "OrderID": "o1",
        "PaymentDate": "2024-05-31 13:45:00",
        "Amount": "59.90",
        "Status": "APPROVED",
    },
    "clicks": {
        "Email": "a@b.example",
        "Date_Time": "2024-05-31 13:45:00",
        "Timezone": "UTC-5",
        "ConversionType": "NEW_LEAD",
    },
    "marketing": {"Date_Time": "2024-05-31 00:00:00", "Clicks": 3, "Cost": "1.20", "AdId": "a", "AccountId": "b"},
}


def sale(total: str = "10.00", version: int = 1, *, refunded: str = "0.00", **fields: Any) -> SaleState:
    """A sale with one open order, after `version` rows."""
    order = OpenOrder(1, Decimal(total), Decimal(refunded), "2026-03-01 10:00:00")
    return SaleState("EUR", (order,), 1, version, **fields)


def make_row(
    endpoint: str = "orders",
    number: int = 1,
    *,
    sequence: int = 0,
    sale_key: str | None = None,
    sale: SaleState | None = None,
    payments: tuple[SalePayment, ...] = (),
    **fields: Any,
) -> Row:
    """One small row; its SourceID is its number."""
    body = orjson.dumps({"SourceSystem": "shop", "SourceID": str(number), **fields})
    digest = blake2b(body, digest_size=16).digest()
    return Row(endpoint, f"shop\x1f{number}", body, digest, endpoint, sequence, sale_key, sale, payments)


def lines_of(dead_letters: DeadLetterFile) -> list[dict[str, Any]]:
    return (
        [orjson.loads(line) for line in dead_letters.path.read_bytes().splitlines()]
        if dead_letters.path.exists()
        else []
    )


class ScriptedServer:
    """An HTTP server with scripted responses: (status, headers, body), or None to close the connection."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes] | None] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Print nothing, because tests check the connector's output."""

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.requests.append((self.command, self.path, dict(self.headers), body))
                answer = server.answers.pop(0) if server.answers else (200, {}, b'{"success":"Successfully"}')
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class ScriptedClient:
    """Replaces the HTTP client: records every post, and answers it with a function of its rows."""

    def __init__(self, answer: Callable[[str, Sequence[Row]], PostResult] | None = None) -> None:
        self.posts: list[tuple[str, list[str]]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._answer = answer or (lambda path, rows: ACCEPTED)

    def stop(self, grace: float | None = None) -> None:
        """Do nothing: no retry is waiting."""

    def post(self, path: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        with self._lock:
            self.posts.append((path, [row.key.rpartition("\x1f")[2] for row in rows]))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            assert body == b"[" + b",".join(row.body for row in rows) + b"]"
            return self._answer(path, rows)
        finally:
            with self._lock:
                self._at_once -= 1
