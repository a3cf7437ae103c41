"""Reads the file of the contact lookup `file`: contact ids and email addresses, as CSV or JSON lines.

Its rows are copied to a private temporary database, which SQLite keeps on disk once it is large and deletes with the
connection, so that the memory does not grow with the file.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

import orjson

from destination_wicked_reports.errors import ConfigurationError

#: Names of columns without their case, spaces and punctuation, in order of precedence.
ID_NAMES = ("contactid", "id", "sourceid")
EMAIL_NAMES = ("email", "emailaddress", "contactemail")
_DELIMITERS = ",;\t"
_CHUNK = 5000
_PUNCTUATION = re.compile(r"[^a-z0-9]+")
NAMES = "`contact_id` (or `id`) and `email`"


class ContactFile:
    """The addresses in one file. Raises ConfigurationError for a file that cannot be used."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()
        self._database = sqlite3.connect("")  # an empty name is a temporary file
        self._database.execute("CREATE TABLE contacts (id TEXT NOT NULL, email TEXT NOT NULL, line INTEGER NOT NULL)")
        #: how many rows lack an id or an address
        self.incomplete = 0
        try:
            self._read()
        except IsADirectoryError:
            raise self._error("is a folder: name a file in it") from None
        except OSError as error:
            raise self._error(f"cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise self._error("is not UTF-8 text: save it as UTF-8") from None
        except csv.Error as error:
            raise self._error(f"is not valid CSV ({error})") from None

    def find(self, ids: Collection[str]) -> dict[str, str]:
        """Return id -> address of those among `ids` that the file has."""
        query = "SELECT id, email FROM contacts WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._database.execute(query, (orjson.dumps(list(ids)).decode(),)))

    def close(self) -> None:
        """Delete the temporary database."""
        self._database.close()

    def _read(self) -> None:
        chunk: list[tuple[str, str, int]] = []
        with self._path.open(encoding="utf-8-sig", newline="") as text:
            for line, contact_id, email in self._rows(text):
                contact_id, email = contact_id.strip(), email.strip()
                if not contact_id or not email:
                    self.incomplete += 1
                    continue
                chunk.append((contact_id, email, line))
                if len(chunk) == _CHUNK:
                    self._store(chunk)
                    chunk = []
        self._store(chunk)
        self._database.execute("CREATE INDEX contacts_by_id ON contacts (id)")
        twice = "SELECT min(line), max(line) FROM contacts GROUP BY id HAVING count(DISTINCT lower(email)) > 1 LIMIT 1"
        for first, last in self._database.execute(twice):
            raise self._error(
                f"gives one contact id different email addresses, for example in lines {first} and {last}: keep one "
                "line for each id"
            )

    def _store(self, rows: list[tuple[str, str, int]]) -> None:
        self._database.executemany("INSERT INTO contacts VALUES (?, ?, ?)", rows)

    def _rows(self, text: TextIO) -> Iterator[tuple[int, str, str]]:
        first = text.readline()
        if not first.strip():
            raise self._error(f"has no first line: it must be a CSV header with {NAMES}, or JSON lines")
        text.seek(0)
        yield from self._json_rows(text) if first.lstrip().startswith("{") else self._csv_rows(text, first)

    def _csv_rows(self, text: TextIO, header: str) -> Iterator[tuple[int, str, str]]:
        delimiter = max(_DELIMITERS, key=header.count)
        reader = csv.reader(text, delimiter=delimiter)
        names = [_plain(name) for name in next(reader)]
        id_column, email_column = (self._column(names, wanted) for wanted in (ID_NAMES, EMAIL_NAMES))
        for row in reader:
            if row:
                yield reader.line_num, _cell(row, id_column), _cell(row, email_column)

    def _column(self, names: list[str], wanted: tuple[str, ...]) -> int:
        for name in wanted:
            if name in names:
                return names.index(name)
        raise self._error(f"needs columns named {NAMES} in its first line")

    def _json_rows(self, text: TextIO) -> Iterator[tuple[int, str, str]]:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                row = None
            if not isinstance(row, dict):
                raise self._error(f"is not JSON lines: line {number} is not a JSON object")
            fields = {_plain(name): value for name, value in row.items()}
            yield number, _field(fields, ID_NAMES), _field(fields, EMAIL_NAMES)

    def _error(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"The file of contact_lookup, {self._path}, {what}.")


def _plain(name: str) -> str:
    return _PUNCTUATION.sub("", name.casefold())


def _cell(row: list[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _field(fields: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if type(value) is int:
            return str(value)
    return ""
