"""Entry point of the container image."""

import os
import signal

# Process 1 of a container ignores SIGTERM until a handler is set, and importing the connector takes a second.
signal.signal(signal.SIGTERM, lambda *_: os._exit(143))

from source_wecantrack.run import run  # noqa: E402

if __name__ == "__main__":
    run()
