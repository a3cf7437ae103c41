"""A server with minimal cost: it encodes the pages of transactions once, and accepts every POST.

It runs as a separate process, so that its cost does not count as the client's.
`python -m benchmarks.server ROWS_PER_PAGE PAGES DAYS [LATENCY]` prints its port; LATENCY is in milliseconds per POST.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

FIRST_DAY = date(2026, 1, 1)
RECEIPT = b'{"success":"Successfully inserted","errors":[]}'


def transaction(number: int, day: date) -> dict[str, object]:
    """Return one transaction of about 1 kB in wecantrack's documented shape."""
    at = f"{day} 12:00:00"
    return {
        "transaction_id": f"T{number:09d}",
        "network_id": "awin",
        "user_network_account_id": 101,
        "last_wct_update": at,
        "modified_date": at,
        "order_date": at,
        "click_date": None,
        "validation_date": at,
        "reference": f"wct260101120000{number % 46656:05d}",
        "sub_ids": {"clickRef": f"U{number}-deal-wct260101120000{number % 99999:05d}", "clickRef2": "x" * 80},
        "sale_amount": "103.29",
        "commission_amount": "4.14",
        "sale_amount_euro": "103.29",
        "commission_amount_euro": "4.14",
        "currency_id": "EUR",
        "status": "approved",
        "advertiser_id": str(number % 40),
        "advertiser_name": f"Shop {number % 40}",
        "decline_reason": None,
        "order_ref": f"R{number}",
        "clickout_url": "https://blog.example/article/" + "a" * 120,
        "click_metadata": {"utm_source": "google", "utm_campaign": "spring", "title": "t" * 200},
    }


class Pages:
    """Bodies of every day and page, encoded before the first request."""

    def __init__(self, rows: int, pages: int, days: int) -> None:
        self._per_day = pages // days
        self._bodies = {}
        for number in range(pages):
            index, page = divmod(number, self._per_day)
            day = FIRST_DAY + timedelta(days=index)
            data = [transaction(number * rows + n, day) for n in range(rows)]
            self._bodies[day.isoformat(), page + 1] = json.dumps(
                {
                    "current_page": page + 1,
                    "data": data,
                    "last_page": self._per_day,
                    "per_page": rows,
                    "total": rows * self._per_day,
                }
            ).encode()

    def get(self, target: str) -> bytes:
        """Return the body for a request target."""
        query = parse_qs(urlsplit(target).query)
        return self._bodies[query["start_date"][0][:10], int(query.get("page", ["1"])[0])]


def serve(connection: socket.socket, pages: Pages, latency: float) -> None:
    """Serve one keep-alive connection until the client closes it; `latency` is in seconds."""
    with connection, connection.makefile("rb", 1 << 16) as stream:
        while request := stream.readline():
            method, target, _ = request.decode().split(" ", 2)
            length = 0
            while (header := stream.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            remaining = length
            while remaining:
                remaining -= len(stream.read(min(remaining, 1 << 20)))
            body = pages.get(target) if method == "GET" else RECEIPT
            if method == "POST" and latency:
                time.sleep(latency)
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-ratelimit-limit: 100000\r\n"
                f"x-ratelimit-remaining: 99999\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)


def main() -> None:
    """Serve until the process ends."""
    pages = Pages(*(int(argument) for argument in sys.argv[1:4]))
    latency = float(sys.argv[4]) / 1000 if len(sys.argv) > 4 else 0.0
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection, pages, latency), daemon=True).start()


if __name__ == "__main__":
    main()
