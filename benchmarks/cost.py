"""Measures the CPU seconds and the peak memory of one process, as the kernel counts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Cost:
    """CPU seconds (user and system) and peak resident memory in MB."""

    cpu: float
    memory: float


def measure(command: list[str], stdin: Path | None = None) -> Cost:
    """Run a command to its end and discard its output.

    It runs under a small process of its own, because a child's peak memory starts with that of its parent.
    """
    with open(stdin or os.devnull, "rb") as source:
        done = subprocess.run(
            [sys.executable, "-S", __file__, *command], stdin=source, stderr=subprocess.PIPE, check=True, text=True
        )
    return Cost(**json.loads(done.stderr.splitlines()[-1]))


def main() -> None:
    """Run the command in `sys.argv` and print its cost as the last line of standard error."""
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(sys.argv[1:], stdout=null)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps(asdict(Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))), file=sys.stderr)
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
