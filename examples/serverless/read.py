"""Read a source with airbyte-serverless into a file of JSON lines; run it again, and only what is new is read.

python read.py source-wecantrack --config source.json --stream transactions --folder output
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from airbyte_serverless.sources import Source

INCOMPLETE = "The source ended before it was complete. Run the same command again to continue."


def main() -> None:
    """Append the records of this run to the stream's file, and keep the state once they are in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the source's program: source-wecantrack, source-sovrn or source-wicked-reports")
    parser.add_argument("--config", type=Path, required=True, help="its settings, JSON")
    parser.add_argument("--stream", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the records and the state are stored")
    options = parser.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    lines = options.folder / f"{options.stream}.jsonl"
    kept = options.folder / f"{options.source}.{options.stream}.state.json"
    config = json.loads(options.config.read_text(encoding="utf-8"))
    source = Source(options.source, config=config, streams=[options.stream])
    status = source.connection_status
    if status["status"] != "SUCCEEDED":
        sys.exit(status["message"])
    drop_half_line(lines)
    count, complete = 0, False
    with lines.open("a", encoding="utf-8") as records:
        for message in source.extract(json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None):
            if message["type"] == "RECORD":
                records.write(json.dumps(message["record"]["data"]) + "\n")
                count += 1
            elif message["type"] == "STATE":
                records.flush()
                keep(kept, [message["state"]])
            complete = complete or is_complete(message)
    print(f"{count} records read")
    if not complete:
        sys.exit(INCOMPLETE)


def is_complete(message: dict[str, Any]) -> bool:
    """Tell whether this is the message that ends a stream. airbyte-serverless ignores a source's exit code."""
    status = message.get("trace", {}).get("stream_status") or {}
    return bool(status.get("status") == "COMPLETE")


def drop_half_line(path: Path) -> None:
    """Take away what a killed run left of its last line, or the next record would be glued to it."""
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))


def keep(path: Path, state: list[object]) -> None:
    """Replace the state in one step: a run that is killed here leaves the old one whole."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(state), encoding="utf-8")
    new.replace(path)


if __name__ == "__main__":
    main()
