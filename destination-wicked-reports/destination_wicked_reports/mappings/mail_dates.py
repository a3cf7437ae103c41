"""Reads dates as mail has them (RFC 2822), such as `Fri, 31 May 2024 13:45:00 +0000`, wholly or not at all.

`email.utils` alone ignores what it does not know: a zone by name, the half of the day, a wrong weekday.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

#: Zones by name are those that RFC 2822 defines. A comment after an offset repeats it: `+0200 (CEST)`.
_MAIL_DATE = re.compile(
    r"(?:(Mon|Tue|Wed|Thu|Fri|Sat|Sun), ?)?"
    r"([0-9]{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" (?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)"
    r"(?: (?:([+-](?:0[0-9]|1[0-4])[0-5][0-9])(?: \([A-Za-z]{1,6}\))?|(GMT|UTC|UT|Z|[ECMP][SD]T)))?",
    re.IGNORECASE,
).fullmatch
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def read_mail_date(text: str) -> datetime | None:
    """Return the time, without a zone if the text has none; None if it is not wholly a date of this form."""
    match = _MAIL_DATE(text) if len(text) <= 64 else None
    if match is None:
        return None
    weekday, moment, offset, zone = match.groups()
    name = zone.upper() if zone else ""
    try:
        parsed = parsedate_to_datetime(f"{moment} {offset or {'Z': 'GMT', 'UT': 'GMT', '': '-0000'}.get(name, name)}")
    except (ValueError, OverflowError):
        return None
    if weekday and _DAYS[parsed.weekday()] != weekday.lower():
        return None
    # `-0000` makes a time without a zone, which is right only if the text has none.
    return parsed.replace(tzinfo=timezone.utc) if parsed.tzinfo is None and (offset or zone) else parsed
