"""Finds the buyer of an affiliate sale.

Affiliate networks don't identify the buyer. Contact rules look for a contact id or an email address in what the
publisher put on the click: a sub id, click metadata or any other field (docs/vendors/wecantrack.md A9,
docs/vendors/sovrn.md B10).
Without a match, the mapping skips the sale or creates a synthetic contact for its click.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from destination_wicked_reports.api.samples import shape
from destination_wicked_reports.config.mappings import ContactRule
from destination_wicked_reports.mappings.field_rules import FieldRule

#: A local part that needs no quotes (RFC 5322, dot-atom), limited to the characters of click ids.
_LOCAL_PART = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*").fullmatch
_MAX_LOCAL_PART = 64
_EMAIL_GROUP = re.compile(r"\(\?P?<email>").search
#: Texts that the log shows of one record.
_MOST_SHOWN = 4


@dataclass(slots=True)
class Contact:
    """The buyer of one order; either field may be empty. `synthetic` if it was created for the click.

    `looked_up` if the address is not in the record but was found by the contact's id.
    """

    contact_id: str = ""
    email: str = ""
    synthetic: bool = False
    looked_up: bool = False


class ContactFinder:
    """Applies the contact rules in order."""

    def __init__(self, rules: Sequence[ContactRule]) -> None:
        self._rules = [
            FieldRule(rule.field, rule.pattern, f"contact_rules[{number}]") for number, rule in enumerate(rules)
        ]
        #: Whether there are rules, and none of them can find an address.
        self.finds_only_ids = bool(rules) and not any(map(_EMAIL_GROUP, (rule.pattern for rule in rules)))

    def find(self, data: Mapping[str, Any]) -> Contact | None:
        """Return the contact of the first rule that matches; a match whose groups are all empty does not count.

        Raises FieldError for a text that is too long to search or takes too long.
        """
        for rule in self._rules:
            for match in rule.matches(data):
                groups = match.groupdict()
                contact_id, email = groups.get("contact_id"), groups.get("email")
                if contact_id or email:
                    return Contact(contact_id or "", email or "")
        return None

    def searched(self, data: Mapping[str, Any]) -> str:
        """Return what the rules search in a record, for the log: the shape of each text, never the text."""
        if not self._rules:
            return "there are no contact rules"
        texts = {path: text for rule in self._rules for path, text in rule.searched(data)}
        if not texts:
            return "nothing at " + ", ".join(dict.fromkeys(rule.field for rule in self._rules))
        shown = [f"{path} {shape(text)}" for path, text in list(texts.items())[:_MOST_SHOWN]]
        return ", ".join(shown) + (", …" if len(texts) > _MOST_SHOWN else "")


def synthetic_contact(click_id: str, source: str) -> Contact:
    """Return a contact for one click, at a reserved domain that never receives mail (RFC 2606).

    A click id that cannot be a local part is replaced by its digest.
    """
    if len(click_id) > _MAX_LOCAL_PART or not _LOCAL_PART(click_id):
        click_id = blake2b(click_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Contact(email=f"{click_id}@{source}.invalid", synthetic=True)
