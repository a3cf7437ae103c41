"""Database URLs of the configuration."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError


def parse_url(url: str) -> URL:
    """Return a PostgreSQL URL, as libpq writes it, for the driver we have; ValueError says what is wrong with it."""
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres") or not parsed.database:
        raise ValueError(
            "must be a PostgreSQL URL with the name of a database, such as postgresql://user:password@host:5432/name; "
            "write special characters of the password in percent form"
        )
    return parsed.set(drivername="postgresql+psycopg")
