"""Prints orders of about 0.9 kB as RECORD lines, with a STATE every 1,000: `python -m benchmarks.orders ROWS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

STEP = 1000


def lines(rows: int) -> Iterator[str]:
    """Yield the lines without line ends."""
    for number in range(1, rows + 1):
        fields = {
            "SourceSystem": "shop",
            "SourceID": str(number),
            "CreateDate": "2026-01-02T03:04:05Z",
            "ContactID": "",
            "ContactEmail": f"buyer{number}@example.com",
            "OrderTotal": "12.50",
            "OrderCurrency": "USD",
            "Country": "US",
            "City": "City " * 30,
            "State": "State " * 20,
            "SubscriptionID": "s" * 250,
            "IP_Address": "192.0.2.1",
        }
        yield json.dumps({"type": "RECORD", "record": {"stream": "orders", "emitted_at": 1, "data": fields}})
        if number % STEP == 0:
            descriptor = {"stream_descriptor": {"name": "orders"}, "stream_state": {"n": number}}
            yield json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": descriptor}})


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines(int(sys.argv[1])))
