"""The minimum cost of the work in Python: requests and orjson, without retries, checks or a ledger."""

from __future__ import annotations

import sys
from datetime import timedelta

import orjson
import requests

from benchmarks.server import FIRST_DAY


def read(url: str, pages: int, days: int) -> None:
    """Read every page of every day and print a RECORD line for each row."""
    session, out = requests.Session(), sys.stdout.buffer
    for index in range(days):
        day = (FIRST_DAY + timedelta(days=index)).isoformat()
        for page in range(1, pages // days + 1):
            params: dict[str, str | int] = {"start_date": f"{day}T00:00:00", "page": page, "limit": 1000}
            body = orjson.loads(session.get(f"{url}/api/v3/transactions", params=params).content)
            for row in body["data"]:
                message = {"type": "RECORD", "record": {"stream": "transactions", "data": row, "emitted_at": 1}}
                out.write(orjson.dumps(message) + b"\n")


def write(url: str) -> None:
    """Post the rows of every RECORD line, a thousand at a time."""
    session, rows = requests.Session(), []

    def post() -> None:
        body = b"[" + b",".join(rows) + b"]"
        orjson.loads(session.post(f"{url}/orders", data=body, headers={"Content-Type": "application/json"}).content)
        rows.clear()

    for line in sys.stdin.buffer:
        message = orjson.loads(line)
        if message["type"] == "RECORD":
            rows.append(orjson.dumps(message["record"]["data"]))
            if len(rows) == 1000:
                post()
    if rows:
        post()


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        write(sys.argv[2])
