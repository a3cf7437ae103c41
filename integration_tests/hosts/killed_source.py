"""A source that sends one record and is killed, as by the kernel when memory is short."""

from __future__ import annotations

import json
import os
import signal
import sys

STREAM = {"name": "transactions", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
ANSWERS = {
    "check": {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}},
    "discover": {"type": "CATALOG", "catalog": {"streams": [STREAM]}},
    "read": {"type": "RECORD", "record": {"stream": "transactions", "data": {"id": 1}, "emitted_at": 1}},
}

command = sys.argv[1]
print(json.dumps(ANSWERS[command]), flush=True)
if command == "read":
    os.kill(os.getpid(), signal.SIGKILL)
