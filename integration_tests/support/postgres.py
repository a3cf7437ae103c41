"""A temporary PostgreSQL server on a Unix socket in a folder of its own, with a password, and a pooler before it.

The binaries come with the Debian packages `postgresql` and `pgbouncer`, or from the PATH. Without them the tests are
skipped, or fail with `CI_STRICT=1`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from integration_tests.support.layers import unavailable

PASSWORD = "pg/secret key@1"
START_SECONDS = 60


class Server:
    """A running server."""

    def __init__(self, folder: Path):
        self.folder = folder

    def url(self, database: str) -> str:
        """Return the URL of a database as a user writes it."""
        return f"postgresql://wicked:{quote(PASSWORD, safe='')}@/{database}?host={self.folder}"

    def database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)


def ask(url: str, statement: str) -> list[Any]:
    """Run one statement; return its rows, if any."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def find(program: str) -> str | None:
    """Return the path of a server program; Debian keeps them off the PATH, in a folder per version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    return str(versions[-1]) if versions else shutil.which(program)


@contextlib.contextmanager
def running_postgres() -> Iterator[Server]:
    """Run a server, without fsync, as its data are temporary."""
    initdb, postgres = find("initdb"), find("postgres")
    if initdb is None or postgres is None:
        unavailable("no PostgreSQL server is installed: install the Debian package `postgresql`")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as place:
        folder = Path(place)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        user = _not_root(folder, secret)
        data = folder / "data"
        init = [initdb, "-D", str(data), "-U", "wicked", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
        subprocess.run([*init, "--encoding=UTF8", "--no-locale"], check=True, capture_output=True, cwd=folder, **user)
        settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_connections=40")
        options = [option for setting in settings for option in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([postgres, "-D", str(data), *options], stderr=log, cwd=folder, **user)
        try:
            _wait_until_ready(Server(folder), process)
            yield Server(folder)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def running_pgbouncer(server: Server, mode: str, **settings: object) -> Iterator[Callable[[str], str]]:
    """Run PgBouncer in this pool mode before a server; yield what turns the URL of a database into that by way of it.

    The port only names its Unix socket.
    """
    pgbouncer = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if pgbouncer is None:
        unavailable("PgBouncer is not installed: install the Debian package `pgbouncer`")
    with tempfile.TemporaryDirectory(prefix="pgb-", dir="/tmp") as place:
        folder = Path(place)
        users, file = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"wicked" "{PASSWORD}"\n')
        options = {
            "listen_port": 6432,
            "unix_socket_dir": folder,
            "auth_type": "plain",
            "auth_file": users,
            "pool_mode": mode,
            **settings,
        }
        target = f"* = host={server.folder} port=5432 user=wicked password='{PASSWORD}'"
        lines = [f"{name} = {value}" for name, value in options.items()]
        file.write_text("\n".join(["[databases]", target, "[pgbouncer]", *lines, ""]))
        user = _not_root(folder, users, file)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([pgbouncer, str(file)], stdout=log, stderr=log, cwd=folder, **user)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (folder / ".s.PGSQL.6432").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text(errors="replace"))
                time.sleep(0.05)
            yield lambda url: url.replace(f"host={server.folder}", f"host={folder}&port=6432")
        finally:
            process.kill()  # it has nothing to keep
            process.wait()


def _not_root(*paths: Path) -> dict[str, Any]:
    """Return the `subprocess` options that start a process as another user, as PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            for path in paths:
                os.chown(path, entry.pw_uid, entry.pw_gid)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`.")


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((server.folder / "log").read_text(errors="replace"))
        time.sleep(0.05)


def _answers(server: Server) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        return bool(ask(server.url("postgres"), "SELECT 1"))
    return False
