"""Read a source into DuckDB; run it again, and only what is new or changed is read.

python to_duckdb.py source-wecantrack --config source.json --stream transactions --database affiliate.duckdb
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import airbyte
from airbyte.caches import DuckDBCache


def main() -> None:
    """Check the source, then read its streams into the database; the database also keeps the state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the source's program: source-wecantrack, source-sovrn or source-wicked-reports")
    parser.add_argument("--config", type=Path, required=True, help="its settings, JSON")
    parser.add_argument("--stream", action="append", help="a stream to read; may be given more than once; default: all")
    parser.add_argument("--database", type=Path, required=True, help="the DuckDB file; made if it is not there")
    options = parser.parse_args()

    source = airbyte.get_source(
        options.source,
        config=json.loads(options.config.read_text(encoding="utf-8")),
        local_executable=Path(shutil.which(options.source) or options.source),
        streams=options.stream or "*",
    )
    source.check()
    vendor = options.source.removeprefix("source-").replace("-", "_")
    cache = DuckDBCache(db_path=options.database, schema_name=f"from_{vendor}")
    result = source.read(cache=cache)
    for name in source.get_selected_streams():
        print(f"{name}: {len(cache[name])} rows in the database")
    print(f"{result.processed_records} records read")


if __name__ == "__main__":
    main()
