"""Parses database URLs."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError


def parse_url(url: str) -> URL:
    """Return a libpq-style PostgreSQL URL for the installed driver; raises ValueError if it is none."""
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres") or not parsed.database:
        raise ValueError(
            "must be a PostgreSQL URL with a database name, such as postgresql://user:password@host:5432/name; "
            "percent-encode special characters in the password"
        )
    return parsed.set(drivername="postgresql+psycopg")
