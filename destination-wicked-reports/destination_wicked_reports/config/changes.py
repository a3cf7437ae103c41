"""The setting `accept_change`: names the one change of a guarded setting that a run may make."""

from __future__ import annotations

import re
from typing import NamedTuple

SOURCE_SYSTEM = "source_system"
_FORM = re.compile(r"\s*(?P<setting>[a-z_]+)\s*:\s*(?P<old>\S.*?)\s*->\s*(?P<new>\S.*?)\s*").fullmatch


class SettingChange(NamedTuple):
    """A setting of the mapping that changes from one value to another."""

    setting: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.old} -> {self.new}"


def parse_change(text: str) -> SettingChange | None:
    """Return the change that a text names, None for an empty text; raises ValueError for any other form."""
    if not text.strip():
        return None
    match = _FORM(text)
    if match is None:
        raise ValueError('must have the form "setting: old -> new", such as "revenue_basis: commission -> sale_amount"')
    return SettingChange(**match.groupdict())
