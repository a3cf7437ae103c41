"""Who bought: no affiliate source knows, so the publisher's own marks on the click have to say.

The ladder of `apis/affiliate-facts.md` D3, its first rung: a contact id or e-mail address found by a configured rule
in a sub id, in click metadata or in any other field. The synthetic contact, the third rung, is in `affiliate.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from hashlib import blake2b
from typing import Any

import orjson

GROUPS = ("contact_id", "email")
#: What may stand before the @ without quotes (RFC 5322, dot-atom, less what no click id needs).
_LOCAL_PART = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*").fullmatch


@dataclass(slots=True)
class Contact:
    """The buyer of one order; either field may be empty. `synthetic` if it was made up for the click."""

    contact_id: str = ""
    email: str = ""
    synthetic: bool = False


@dataclass(slots=True, frozen=True)
class ContactRule:
    """Where a contact may be found: a field, and a pattern with a group `contact_id`, `email` or both.

    `field` is a path with dots; `*` stands for every value at its place: `sub_ids.*`, `click_metadata.user`,
    `reference`.
    """

    field: str
    pattern: str
    _path: tuple[str, ...] = attribute(init=False, repr=False, compare=False)
    _regex: re.Pattern[str] = attribute(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        path = tuple(self.field.split("."))
        if not all(path) or path[0] == "*":
            raise ValueError("The field of a contact rule must be a field name, such as reference or sub_ids.*")
        try:
            regex = re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"The pattern of a contact rule is not a regular expression: {error}") from None
        if not any(group in regex.groupindex for group in GROUPS):
            raise ValueError("The pattern of a contact rule needs a group (?P<contact_id>...) or (?P<email>...)")
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_regex", regex)

    def find(self, data: Mapping[str, Any]) -> Contact | None:
        """Return the contact this rule finds in a record, if any; an empty group is no find."""
        for value in values_at(data.get(self._path[0]), self._path[1:]):
            match = self._regex.search(value)
            if match:
                found = match.groupdict()
                contact_id, email = found.get("contact_id"), found.get("email")
                if contact_id or email:
                    return Contact(contact_id or "", email or "")
        return None


def find_contact(rules: Sequence[ContactRule], data: Mapping[str, Any]) -> Contact | None:
    """Return what the first rule that hits has found."""
    for rule in rules:
        contact = rule.find(data)
        if contact is not None:
            return contact
    return None


def synthetic_contact(click: str, source: str) -> Contact:
    """Return a contact that stands for one click, at the reserved domain that can never receive mail (RFC 2606)."""
    if len(click) > 64 or not _LOCAL_PART(click):
        click = blake2b(click.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Contact(email=f"{click}@{source}.invalid", synthetic=True)


def unpacked(value: Any) -> Any:
    """Return an object that a warehouse kept as JSON text; anything else comes back as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def values_at(value: Any, path: tuple[str, ...]) -> list[str]:
    """Return the texts at a path; the vendor's maps may also be `[]` or null (affiliate-facts A5)."""
    if not path:
        if isinstance(value, str):
            return [value]
        return [str(value)] if type(value) is int else []
    value = unpacked(value)
    if path[0] == "*":
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [found for child in children for found in values_at(child, path[1:])]
    return values_at(value.get(path[0]), path[1:]) if isinstance(value, dict) else []
