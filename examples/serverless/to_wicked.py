"""Write a source's commissions to Wicked Reports; run it again, and only what changed is sent.

    python to_wicked.py source-wecantrack --config source.json --destination-config destination.json --folder state

airbyte-serverless runs no Airbyte destinations, so this script pipes what it extracts into one. It keeps a state once
the destination has released it: every record before that state is then settled.

It ends with what the destination did. Exit code: 0 all well, 1 the run did not reach its end, 2 rows were rejected or
are in doubt.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from airbyte_serverless.sources import AirbyteSourceException, Source
from read import INCOMPLETE, is_complete, keep

DESTINATION, STREAM = "destination-wicked-reports", "transactions"


def main() -> None:
    """Check the source, pipe its messages into the destination, and show what the destination did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the source's program: source-wecantrack or source-sovrn")
    parser.add_argument("--config", type=Path, required=True, help="its settings, JSON")
    parser.add_argument("--destination-config", type=Path, required=True, help="the destination's settings, JSON")
    parser.add_argument("--folder", type=Path, required=True, help="where the state is stored")
    options = parser.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    kept = options.folder / f"{options.source}.{STREAM}.wicked.state.json"
    catalog = options.folder / f"{options.source}.{STREAM}.catalog.json"
    source = Source(options.source, config=json.loads(options.config.read_text(encoding="utf-8")), streams=[STREAM])
    status = source.connection_status
    if status["status"] != "SUCCEEDED":
        sys.exit(status["message"])
    catalog.write_text(json.dumps(source.configured_catalog), encoding="utf-8")
    began = int(time.time())
    files = ["--config", options.destination_config, "--catalog", catalog]
    destination = subprocess.Popen(
        [DESTINATION, "write", *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert destination.stdin is not None
    assert destination.stdout is not None
    reader = threading.Thread(target=keep_states, args=(destination.stdout, kept))
    reader.start()
    complete = False
    try:
        with destination.stdin as pipe:
            for message in source.extract(json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None):
                pipe.write(json.dumps(message) + "\n")
                complete = complete or is_complete(message)
    except AirbyteSourceException as error:
        print(json.loads(str(error))["message"], file=sys.stderr)
    except BrokenPipeError:
        pass  # the destination ended early, and its error is on the screen
    else:
        if not complete:
            print(INCOMPLETE, file=sys.stderr)
    reader.join()
    failed = bool(destination.wait()) or not complete
    code = subprocess.run(
        [DESTINATION, "ledger", "report", "--config", options.destination_config, "--since", str(began)], check=False
    ).returncode
    sys.exit(code or int(failed))


def keep_states(messages: IO[str], kept: Path) -> None:
    """Keep each state that the destination releases, and show its errors."""
    for line in messages:
        message = json.loads(line)
        if message["type"] == "STATE":
            keep(kept, [message["state"]])
        elif message["type"] == "TRACE" and message["trace"].get("error"):
            print(message["trace"]["error"]["message"], file=sys.stderr)


if __name__ == "__main__":
    main()
