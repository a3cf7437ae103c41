"""`python -m integration_tests.simulator`: run the simulator on its own."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from .client import SimulatorClient
from .server import running_simulator

DESCRIPTION = """
A local simulator of the APIs of wecantrack, Sovrn, Wicked Reports and BigCommerce, for tests and demonstrations.
It is test equipment built from the vendors' documents, not the vendors' services; its data are invented.
Its keys are fake. It listens on 127.0.0.1 only.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m integration_tests.simulator", description=DESCRIPTION)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 (default) picks a free one")
    parser.add_argument("--port-file", type=Path, help="file to write the port to once the simulator is ready")
    parser.add_argument("--seed", type=int, default=7, help="seed of the generated transactions (default 7)")
    parser.add_argument("--transactions", type=int, default=20_000, help="number in the first period; 0 for none")
    parser.add_argument("--sovrn-transactions", type=int, default=2_000, help="the same for Sovrn; 0 for none")
    parser.add_argument("--days", type=int, default=90, help="length of the first period, which ends now")
    parser.add_argument("--later-days", type=int, default=45, help="length of the period after it")
    parser.add_argument("--now", help="the clock's start, e.g. 2026-04-01T00:00:00 (default: the real time)")
    parser.add_argument("--freeze", action="store_true", help="stop the clock until it is moved")
    return parser.parse_args()


def _greeting(client: SimulatorClient) -> str:
    url = client.url
    return f"""Simulator (test equipment, not the vendors' services): {url}
  clock                    {client.now()}, {client.stats()["wecantrack"]["visible"]} transactions visible
  Sovrn, Authorization     secret {client.sovrn_key}
  wecantrack, X-API-Key    {client.wecantrack_key}
  Wicked Reports, apikey   {client.wicked_key}

Try:
  curl -s '{url}/api/v3/transactions?date_type=last_wct_update&start_date=2020-01-01T00:00:00\
&end_date=2030-01-01T00:00:00&limit=1' -H 'X-API-Key: {client.wecantrack_key}' -H 'Accept: application/json'
  curl -s -X POST {url}/_sim/clock -d '{{"days": 45}}'
  curl -s -X POST {url}/_sim/faults -d '{{"kind": "html_200", "path": "/api/v3/transactions", "nth": 2}}'
  curl -s {url}/_sim/stats
Stop with Ctrl-C."""


def main() -> None:
    """Run until SIGINT or SIGTERM, then exit with 0."""
    arguments = _arguments()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running_simulator(start=arguments.now, frozen=arguments.freeze, port=arguments.port) as client:
        if arguments.transactions:
            client.generate(
                seed=arguments.seed,
                transactions=arguments.transactions,
                days=arguments.days,
                later_days=arguments.later_days,
            )
        if arguments.sovrn_transactions:
            client.sovrn.generate(
                seed=arguments.seed,
                transactions=arguments.sovrn_transactions,
                days=arguments.days,
                later_days=arguments.later_days,
            )
        print(_greeting(client), flush=True)
        if arguments.port_file:
            # renamed when complete, so that a reader never sees half a port
            draft = arguments.port_file.with_suffix(".draft")
            draft.write_text(client.url.rsplit(":", 1)[1], encoding="ascii")
            draft.replace(arguments.port_file)
        stop.wait()
    print("Simulator stopped.", flush=True)


if __name__ == "__main__":
    main()
