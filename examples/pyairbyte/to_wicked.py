"""Write a source's commissions to Wicked Reports; run it again, and only what changed is sent.

    python to_wicked.py source-wecantrack --config source.json --destination-config destination.json --database a.duckdb

Straight through by default: the destination gets the records as the source made them, and the state is kept in the
database. With --cache they go into the database first, and from there to Wicked Reports.

It ends with what the destination did. Exit code: 0 all well, 1 the run did not reach its end, 2 rows were rejected or
are in doubt.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import airbyte
from airbyte.caches import DuckDBCache
from airbyte.exceptions import PyAirbyteError

DESTINATION = "destination-wicked-reports"


def main() -> None:
    """Check both connectors, read and write, and show what the destination did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the source's program: source-wecantrack or source-sovrn")
    parser.add_argument("--config", type=Path, required=True, help="its settings, JSON")
    parser.add_argument("--destination-config", type=Path, required=True, help="the destination's settings, JSON")
    parser.add_argument("--database", type=Path, required=True, help="the DuckDB file that keeps the state")
    parser.add_argument("--cache", action="store_true", help="keep the records in the database too")
    options = parser.parse_args()

    source = airbyte.get_source(
        options.source,
        config=json.loads(options.config.read_text(encoding="utf-8")),
        local_executable=_program(options.source),
        streams=["transactions"],
    )
    destination = airbyte.get_destination(
        DESTINATION,
        config=json.loads(options.destination_config.read_text(encoding="utf-8")),
        local_executable=_program(DESTINATION),
    )
    source.check()
    destination.check()
    database = DuckDBCache(db_path=options.database, schema_name="for_wicked_reports")
    read = source.read(cache=database) if options.cache else None
    began = int(time.time())
    failed = False
    try:
        if read is not None:
            destination.write(read)
        else:
            destination.write(source, cache=False, state_cache=database)
    except PyAirbyteError as error:  # also if rows were rejected; the ledger knows more
        failed = True
        print(error, file=sys.stderr)
    # PyAirbyte counts the records that it handed over. The ledger knows what became of them.
    code = subprocess.run(
        [_program(DESTINATION), "ledger", "report", "--config", options.destination_config, "--since", str(began)],
        check=False,
    ).returncode
    sys.exit(code or int(failed))


def _program(name: str) -> Path:
    return Path(shutil.which(name) or name)


if __name__ == "__main__":
    main()
