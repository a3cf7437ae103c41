"""Searches text of strangers with patterns of the user, in bounded time.

Strangers write sub ids, page URLs and notes, and a regular expression can take
exponential time on a text that was made for it. The package `regex` reads the syntax of `re` and can be given a time.
"""

from __future__ import annotations

from typing import Any

from destination_wicked_reports.errors import FieldError

#: Characters of the longest text that is searched.
MAX_TEXT = 2000
#: Seconds of processor time for one search, and for one after MOST_TIMEOUTS, so that a bad pattern cannot hold a run.
SECONDS, SECONDS_LATER = 0.25, 0.01
MOST_TIMEOUTS = 100


class Pattern:
    """A compiled pattern. `name` names it in the reason of a dead letter: `contact_rules[0]`, `regex()`."""

    def __init__(self, pattern: str, name: str) -> None:
        import regex  # here, because most runs have no patterns and it takes 40 ms

        self._pattern = regex.compile(pattern)
        self._name = name
        self._timeouts = 0
        self.groups: int = self._pattern.groups

    def search(self, text: str) -> Any:
        """Return the first match or None; raises FieldError for a text that is too long or takes too long."""
        if len(text) > MAX_TEXT:
            raise FieldError("", f"{self._name}: a text of more than {MAX_TEXT:,} characters is not searched")
        try:
            return self._pattern.search(text, timeout=SECONDS if self._timeouts < MOST_TIMEOUTS else SECONDS_LATER)
        except TimeoutError:
            self._timeouts += 1
            raise FieldError(
                "", f"{self._name}: the pattern takes too long on this text; make it simpler, without nested repeats"
            ) from None
