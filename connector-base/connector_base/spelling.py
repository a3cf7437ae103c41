"""Compares names that people type with the known ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_BETWEEN_WORDS = re.compile(r"[\W_]+")
#: How similar two names must be; a key that an orchestrator adds must not pass for a setting.
_SIMILARITY = 0.85


def fold(name: str) -> str:
    """Return the same text for all spellings of a name, such as `network_accounts` and `Network-Accounts`."""
    return _BETWEEN_WORDS.sub("", name.casefold())


def closest(name: str, known: Iterable[str], similarity: float = _SIMILARITY) -> str | None:
    """Return the known name that was probably meant; None if no one is similar enough."""
    folded = {fold(each): each for each in known}
    found = get_close_matches(fold(name), folded, 1, similarity)
    return folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], similarity: float = _SIMILARITY) -> str:
    """Return the sentence ` Did you mean …?`, or an empty text."""
    meant = closest(name, known, similarity)
    return "" if meant is None else f" Did you mean {meant}?"
