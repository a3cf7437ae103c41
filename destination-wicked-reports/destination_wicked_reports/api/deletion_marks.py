"""Recognizes records that mean "this row was deleted": marks of Airbyte, Singer, Fivetran and other loaders.

Wicked Reports cannot delete, and a deleted order must not be sent as a new one, so such records are left out. A mark
matches in any spelling (`_AB_CDC_DELETED_AT`, `isDeleted`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_BETWEEN_WORDS = re.compile(r"[\s_.-]")
#: When the row was deleted: Airbyte's CDC, Singer, and tables with soft deletes (also Airbyte's source-shopify).
_TIMES = frozenset({"abcdcdeletedat", "sdcdeletedat", "deletedat"})
#: Whether it was: Fivetran, Debezium (`__deleted`), Hevo, PeerDB, Salesforce (`IsDeleted`), Stripe (`deleted`).
_FLAGS = frozenset({"fivetrandeleted", "deleted", "isdeleted", "hevomarkeddeleted", "peerdbisdeleted", "sdcdeleted"})
#: What was done to it: Debezium, Databricks, Snowflake.
_OPERATIONS = frozenset({"__op", "_change_type", "metadata$action", "_cdc_operation"})

_NO = frozenset({"", "0", "false", "f", "no", "n", "null", "none", "nan", "nat"})
_YES = frozenset({"1", "true", "t", "yes", "y"})
_DELETE = frozenset({"d", "delete", "deleted"})

#: The columns of a record that are marks.
Marks = tuple[str, ...]


def find_marks(names: Iterable[str]) -> Marks:
    """Return those of the columns that are marks."""
    return tuple(name for name in names if _kind(name))


def is_own_column(name: str) -> bool:
    """Return whether a mark may be a column of the source itself, such as `deleted_at`, which a mapping may read."""
    return name[:1] not in "_$" and "$" not in name


def is_deleted(data: Mapping[str, Any], marks: Marks) -> bool:
    """Return whether one of the marks says that the row was deleted."""
    return any(_says_deleted(_kind(name), data[name]) for name in marks)


def _kind(name: str) -> str:
    folded = _BETWEEN_WORDS.sub("", name).lower()
    if folded in _TIMES:
        return "time"
    if folded in _FLAGS:
        return "flag"
    return "operation" if name.strip().lower() in _OPERATIONS else ""


def _says_deleted(kind: str, value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return value is True
    written = str(value).strip().lower()
    if kind == "time":
        return written not in _NO and not written.startswith("0000-")
    return written in (_YES if kind == "flag" else _DELETE)
