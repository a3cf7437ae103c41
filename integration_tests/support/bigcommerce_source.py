"""Airbyte's source-bigcommerce, unmodified, in an environment of its own, redirected to the simulator.

The package has one host, `https://api.bigcommerce.com`. It connects through a proxy that terminates TLS for that host
with a generated certificate, forwards to the simulator, and refuses every other host. The package's CDK ignores the
environment variables for CA bundles, so the certificate is added to the CA bundle of its environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from integration_tests.support.layers import unavailable
from integration_tests.support.processes import BIN, Workspace

REPOSITORY = Path(__file__).resolve().parents[2]
LOCK = REPOSITORY / "requirements" / "source-bigcommerce.txt"
FOLDER = REPOSITORY / ".cache" / "source-bigcommerce"
HOST = "api.bigcommerce.com"
INSTALL_SECONDS = 900
#: the package's CDK (1.0) cannot be imported by newer versions
PYTHON = "3.10"


def installed() -> Path:
    """Return the folder of the environment's programs, installing it if needed; skip the test if that fails."""
    done = FOLDER / ".installed.txt"
    if not (done.exists() and done.read_bytes() == LOCK.read_bytes()):
        _uv("venv", "--quiet", "--clear", "--python", _python(), str(FOLDER))
        _uv(
            "pip",
            "install",
            "--quiet",
            "--link-mode=copy",
            "--python",
            str(FOLDER),
            "--require-hashes",
            "-r",
            str(LOCK),
        )
        _trust()
        shutil.copyfile(LOCK, done)
    return FOLDER / "bin"


def _python() -> str:
    """Return a working interpreter of the right version; pyenv's names on the PATH may not work."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [sys.executable, shutil.which(f"python{PYTHON}"), *versions.glob(f"{PYTHON}.*/bin/python")]
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for place in filter(None, places):
        done = subprocess.run([str(place), "-c", ask], capture_output=True, text=True, check=False)
        if done.stdout.strip() == PYTHON:
            return str(place)
    return PYTHON  # uv may find or download one


def _trust() -> None:
    """Generate a certificate for the host, and make this environment, and nothing else, trust it."""
    make = [str(FOLDER / "bin" / "python"), "-m", "trustme", "-q", "-d", str(FOLDER), "-i", HOST]
    subprocess.run(make, check=True, timeout=60)
    (trusted,) = FOLDER.glob("lib/python*/site-packages/certifi/cacert.pem")
    with trusted.open("ab") as bundle:
        bundle.write(b"\n" + (FOLDER / "client.pem").read_bytes())


def _uv(*arguments: str) -> None:
    command = [str(BIN / "uv"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        unavailable(f"airbyte-source-bigcommerce cannot be installed: {done.stderr.strip()[:500]}")


class _Connection(socketserver.BaseRequestHandler):
    """One CONNECT: terminates the client's TLS and forwards to the simulator."""

    server: _Proxy

    def handle(self) -> None:
        """Serve one connection until either side closes it."""
        received = b""
        while b"\r\n\r\n" not in received:
            more = self.request.recv(4096)
            if not more:
                return
            received += more
        if not received.startswith(f"CONNECT {HOST}:443 ".encode()):
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with (
            self.server.context.wrap_socket(self.request, server_side=True) as inside,
            socket.create_connection(self.server.target) as outside,
        ):
            back = threading.Thread(target=_pump, args=(outside, inside), daemon=True)
            back.start()
            _pump(inside, outside)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a killed connector resets its connections
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, target: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.target = target
        self.context = context


@dataclass
class BigcommerceSource:
    """The command line of the package, redirected to the simulator."""

    program: Path
    proxy: str

    def command(self, workspace: Workspace, command: str, **files: Any) -> list[str]:
        """Return the command line; a file given as data is written first."""
        variables = {
            "HTTPS_PROXY": self.proxy,
            "https_proxy": self.proxy,
            "NO_PROXY": "",
            "no_proxy": "",
        }
        line = ["env", *(f"{name}={value}" for name, value in variables.items()), str(self.program), command]
        for name, content in files.items():
            line += [f"--{name}", str(workspace.file(f"source-bigcommerce.{name}.json", content))]
        return line


@contextlib.contextmanager
def bigcommerce_source(simulator_url: str) -> Iterator[BigcommerceSource]:
    """Yield the package, redirected to this simulator."""
    programs = installed()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "server.pem", FOLDER / "server.key")
    parts = urlsplit(simulator_url)
    assert parts.hostname
    assert parts.port
    with _Proxy((parts.hostname, parts.port), context) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            address = f"http://127.0.0.1:{proxy.server_address[1]}"
            yield BigcommerceSource(programs / "source-bigcommerce", address)
        finally:
            proxy.shutdown()
            thread.join()
