"""Parses database URLs."""

from __future__ import annotations

from urllib.parse import unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

#: An option of psycopg for prepared statements. The ledger uses none, since they break behind a pooler.
_PREPARED_STATEMENTS = "prepare_threshold"
_WHOLE_NUMBERS = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)


def parse_url(url: str) -> URL:
    """Return a libpq-style PostgreSQL URL for the installed driver; raises ValueError if it is none.

    The message quotes no part of the URL: with an @ that is not percent-encoded, any part may be one of the password.
    """
    if url.count("@") > 1:
        raise ValueError(
            "holds more than one @: percent-encode special characters in the user name and the password, an @ as %40"
        )
    if "\0" in unquote(url):
        raise ValueError("contains a null character")
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres") or not parsed.database:
        raise ValueError(
            "must be a PostgreSQL URL with a database name, such as postgresql://user:password@host:5432/name; "
            "percent-encode special characters in the password"
        )
    parsed = parsed.set(drivername="postgresql+psycopg").difference_update_query([_PREPARED_STATEMENTS])
    _check_options(parsed)
    return parsed


def _check_options(url: URL) -> None:
    """Raise ValueError for an option after the `?` that the driver does not know or cannot read."""
    import psycopg  # here, because most configurations have no PostgreSQL ledger
    from psycopg.conninfo import make_conninfo

    for name, value in url.query.items():
        if name in _WHOLE_NUMBERS and not str(value).lstrip("-").isdecimal():
            raise ValueError(f"must have a whole number as `{name}`")
        if name.isidentifier() and not _is_valid_option(name, value):
            raise ValueError(f"has an unknown or repeated option `{name}` after the `?`")
    try:
        make_conninfo(**url.get_dialect()().create_connect_args(url)[1])
    except (ArgumentError, psycopg.Error, TypeError, ValueError):
        raise ValueError("has options after the `?` that PostgreSQL's client cannot read") from None


def _is_valid_option(name: str, value: str | tuple[str, ...]) -> bool:
    import psycopg
    from psycopg.conninfo import make_conninfo

    if not isinstance(value, str):
        return name in ("host", "port")  # several servers
    try:
        make_conninfo(**{name: value})
    except (psycopg.Error, TypeError, ValueError):
        return False
    return True
