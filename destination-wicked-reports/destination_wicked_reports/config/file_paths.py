"""Checks the path of a file in the configuration."""

from __future__ import annotations

import os
from pathlib import Path


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
    if path.strip() == ":memory:" or path.strip().startswith("file:"):
        raise ValueError("must be the path of a file: `:memory:` and `file:` are not supported")
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
