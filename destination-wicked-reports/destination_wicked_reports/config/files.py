"""Files with customers' rows: paths that a configuration may name, and files that only their owner may read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import stat
import tempfile
from pathlib import Path

logger = logging.getLogger("airbyte")

_OTHERS = 0o077
#: What a file system without file locks answers.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/").match
NO_FILE_LOCKS = "its file system does not support file locks"


def check_path(path: str) -> str:
    """Return the path if it names the same file from every working folder; raise ValueError otherwise.

    Orchestrators and schedulers start a connector in any folder, so a relative path would name another file there: an
    empty ledger, with which everything is sent again.
    """
    if not path:
        return path
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("is not a valid path: it contains half of a surrogate pair") from None
    if "\0" in path:
        raise ValueError("is not a valid path: it contains a null character")
    if not path.strip():
        raise ValueError("is blank: write an absolute path, or leave it out")
    if path.strip() == ":memory:" or path.strip().startswith("file:"):
        raise ValueError("must be the path of a file: `:memory:` and `file:` are not supported")
    if _URL(path.strip()):  # it may hold a password, so it is not quoted
        raise ValueError(
            "must be the path of a file, not a URL (a ledger in PostgreSQL has the type `postgres` and a url)"
        )
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"starts with {Path(path).parts[0]}, a home folder that this machine does not know") from None
    if not expanded.is_absolute():
        raise ValueError(
            "is relative, so it would be another file whenever the connector starts in another folder: write "
            f"{os.path.abspath(expanded)}"
        )
    return path


def open_private(path: Path, flags: int) -> int:
    """Open a regular file, or create one for its owner alone, and return its descriptor; raises OSError."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NONBLOCK, 0o600)  # O_NONBLOCK: a FIFO would wait for a reader
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return descriptor


def make_private(path: Path) -> None:
    """Keep other users from reading a file that is known to be this connector's; warn if it is another user's."""
    status = path.stat()
    if status.st_mode & _OTHERS:
        try:
            if status.st_uid != os.geteuid():
                raise PermissionError
            path.chmod(0o600)
        except PermissionError:
            logger.warning(
                "Other users of this machine may read %s, which holds customers' rows: change its mode to 600.", path
            )


def supports_locks(folder: Path) -> bool:
    """Return whether files in this folder can be locked; True if that cannot be tried."""
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _NO_LOCKS
    return True


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file; False if there is no file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file, readable by its owner only, whole or not at all, even if the power fails; raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
