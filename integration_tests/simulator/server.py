"""Starts and stops the simulator: in a thread of this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from .app import build_app
from .client import SimulatorClient
from .clock import Clock, parse_instant
from .wire import ExposingProtocol
from .world import World

_START_SECONDS = 20
_REPOSITORY = Path(__file__).resolve().parents[2]


def _listen(port: int) -> socket.socket:
    """Bind before the server starts, so that its port is known; 0 lets the system pick a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


@contextlib.contextmanager
def running_simulator(
    *, start: str | int | None = None, frozen: bool = False, port: int = 0, world: World | None = None
) -> Iterator[SimulatorClient]:
    """Run a simulator in a thread and yield its client; `start` is the clock's initial time (default: now)."""
    world = world or World(Clock(None if start is None else parse_instant(start), frozen=frozen))
    listener = _listen(port)
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(world),
            http=ExposingProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="simulator", daemon=True)
    thread.start()
    try:
        _wait_until(lambda: server.started, "the simulator did not start")
        with SimulatorClient(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)
        listener.close()


@contextlib.contextmanager
def simulator_process(*arguments: str) -> Iterator[SimulatorClient]:
    """Run `python -m integration_tests.simulator` as a process of its own and yield its client."""
    with tempfile.TemporaryDirectory(prefix="simulator-") as folder:
        port_file = Path(folder) / "port"
        command = [sys.executable, "-m", "integration_tests.simulator", "--port-file", str(port_file), *arguments]
        process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.DEVNULL)
        try:
            _wait_until(lambda: port_file.exists() or process.poll() is not None, "the simulator did not start")
            if process.poll() is not None:
                raise RuntimeError(f"the simulator exited at once with {process.returncode}")
            with SimulatorClient(f"http://127.0.0.1:{port_file.read_text(encoding='ascii').strip()}") as client:
                yield client
        finally:
            process.terminate()
            process.wait(timeout=_START_SECONDS)


def _wait_until(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(message)
        time.sleep(0.01)
