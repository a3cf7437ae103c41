"""The named switches: every behavior that the vendors' documents leave open, with its possible values.

The first value is the default. The evidence marks ([seed], [doc], [sdk], [wild], [code], [laravel], [derived],
[guess]) are explained in docs/vendors/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Switch:
    """One open behavior: its values, the evidence for the default, and what it decides."""

    name: str
    values: tuple[str, ...]
    evidence: str
    meaning: str

    @property
    def default(self) -> str:
        """The value that the evidence favors."""
        return self.values[0]


SWITCHES: tuple[Switch, ...] = (
    Switch("wecantrack.key_in", ("header_or_query", "header_only"), "[seed]", "where the key is accepted"),
    Switch("wecantrack.unauthorised_body", ("error", "laravel"), "[code] / [laravel]", "the body of a 401"),
    Switch(
        "wecantrack.links", ("on", "off", "with_page"), "[laravel]", "the paginator's `links`, by Laravel's version"
    ),
    Switch("wecantrack.order", ("id", "date", "unordered"), "[guess]", "the order of rows across pages"),
    Switch("wecantrack.over_limit", ("clamp", "422"), "[guess]", "`limit` above 1000"),
    Switch("wecantrack.bounds", ("inclusive", "end_exclusive"), "[guess]", "whether `end_date` is included"),
    Switch("wecantrack.throttle_headers", ("on", "no_retry_after", "none"), "[laravel]", "the headers of the 429"),
    Switch("wecantrack.throttle_body", ("json", "html"), "[laravel]", "the body of the 429"),
    Switch("wecantrack.throttle_reset", ("simulated", "real"), "-", "whose clock X-RateLimit-Reset is on"),
    Switch(
        "wicked.key_refused",
        ("forbidden_403", "unauthorized_401", "plan_403"),
        "[guess]",
        "the response to a missing or wrong key",
    ),
    Switch("wicked.success_reply", ("full", "success_only"), "[guess]", "the response if every row is valid"),
    Switch("wicked.bad_row", ("row_errors", "whole_request"), "[wild]", "what an invalid row does to the request"),
    Switch("wicked.duplicates", ("first_kept", "last_wins", "both_kept"), "[guess]", "same SourceSystem and SourceID"),
    Switch(
        "wicked.payments_repeated", ("stored_again", "collapse"), "[guess]", "equal payment, click or marketing row"
    ),
    Switch("wicked.join", ("email", "email_or_id"), "[doc] / [guess]", "whether an order's id alone finds its contact"),
    Switch("wicked.unknown_contact", ("accept", "reject"), "[guess]", "an order whose contact does not exist"),
    Switch("wicked.unknown_order", ("orphan", "row_error"), "[guess]", "a payment or item whose order does not exist"),
    Switch(
        "wicked.known_email", ("update_names", "off"), "[doc]", "a new contact with an e-mail address already stored"
    ),
    Switch("wicked.bare_object", ("refuse", "accept"), "[guess]", "one object instead of an array"),
    Switch("wicked.row_count", ("400", "413"), "[guess]", "the status for 0 or more than 1,000 rows"),
    Switch("wicked.body_size", ("413", "400"), "[guess]", "the status for more than 10,000,000 bytes"),
    Switch("wicked.ids", ("sdk", "lenient"), "[sdk]", "whether ids must be text and `0` counts as empty"),
    Switch("wicked.contact_keys", ("one_of", "both_present"), "[doc] / [sdk]", "ContactID and ContactEmail"),
    Switch("wicked.email", ("checked", "unchecked"), "[guess]", "whether an e-mail address is validated"),
    Switch(
        "wicked.net", ("orders", "payments"), "[doc] / [guess]", "whether net is counted by order or by adding payments"
    ),
    Switch("wicked.partial_refunds", ("add", "last"), "[guess]", "what counts of several partial refunds of one order"),
    Switch("wicked.latest_max", ("text", "numeric"), "[guess]", "how `max=SourceID` compares"),
    Switch("outbound.processing", ("daily", "immediate"), "[seed] / [guess]", "when posted rows become visible"),
    Switch("outbound.next", ("constant", "per_page"), "[seed] / [guess]", "one hash per read, or one per page"),
    Switch("outbound.next_look", ("hex", "digits", "exponent"), "[guess]", "the characters of the hash"),
    Switch("outbound.next_at_end", ("present", "missing", "null", "empty"), "[seed]", "`next` on the last page"),
    Switch("outbound.from", ("inclusive", "after_midnight", "exclusive"), "[guess]", "where `from` begins"),
    Switch("outbound.to", ("inclusive", "exclusive", "at_midnight"), "[guess]", "where `to` ends"),
    Switch("outbound.day_zone", ("utc", "eastern"), "[guess]", "the zone of `from` and `to`"),
    Switch("outbound.range", ("difference", "days_counted"), "[seed] / [guess]", "how the 30 (180) days are counted"),
    Switch("outbound.over_limit", ("400", "clamp"), "[guess]", "`limit` above 1000"),
    Switch(
        "outbound.most_rows",
        ("all", "cut_at_10000", "refuse_past_10000", "says_10000"),
        "[guess]",
        "a list of more than 10,000 rows",
    ),
    Switch("outbound.order", ("date", "date_desc", "id", "unordered", "ties_unstable"), "[guess]", "the order of rows"),
    Switch("outbound.pages", ("live", "snapshot"), "[guess]", "whether a read sees later changes"),
    Switch("outbound.empty", ("no_page", "one_page"), "[guess]", "totalPages 0 and `next` empty, or 1 and no `next`"),
    Switch("outbound.no_date", ("text", "null", "missing"), "[seed] / [guess]", "how a missing date is written"),
    Switch(
        "outbound.naive_dates", ("eastern", "utc"), "[seed] / [guess]", "the zone of payments' and attributions' dates"
    ),
    Switch(
        "outbound.nobody", ("object", "null", "hidden"), "[guess]", "the contact of an order without a known contact"
    ),
    Switch("outbound.unknown_contact", ("404", "400", "empty"), "[guess]", "the lists of an unknown contact"),
    Switch("outbound.throttle_window", ("fixed", "clock_minute", "sliding"), "[guess]", "what a minute is"),
    Switch("outbound.refused_call", ("free", "counts"), "[guess]", "whether a refused call counts"),
    Switch(
        "outbound.reset_header",
        ("unix", "seconds_left", "http_date", "iso_date", "missing"),
        "[guess]",
        "how x-ratelimit-reset is written",
    ),
    Switch("outbound.reset_clock", ("simulated", "real"), "-", "whose clock x-ratelimit-reset is on"),
    Switch("outbound.retry_after", ("absent", "present"), "[guess]", "Retry-After on the 429"),
    Switch("bigcommerce.deleted", ("hidden", "listed"), "[guess]", "whether deleted orders are listed by default"),
    Switch("sovrn.shape", ("nested", "flat", "mixed"), "[seed] / [spec]", "the shape of a transaction"),
    Switch("sovrn.ids", ("string", "number"), "[seed] / [spec]", "how revenueId is written"),
    Switch("sovrn.numbers", ("plain", "exponent"), "[guess]", "how amounts below a thousandth are written"),
    Switch("sovrn.day_zone", ("utc", "us_pacific"), "[guess]", "the zone of the days"),
    Switch("sovrn.empty_day", ("200", "404"), "[guess]", "the response for a day without transactions"),
    Switch("sovrn.empty_aggregate", ("404", "200"), "[spec]", "the response for an aggregate without rows"),
    Switch("sovrn.aggregates", ("equal", "mismatch"), "-", "whether one sum of an aggregate is 1.25 too high"),
    Switch("sovrn.over_limit", ("429", "block_403", "stall"), "[guess]", "the response to a call that comes too early"),
    Switch("sovrn.pace_scope", ("shared", "per_endpoint"), "[guess]", "which calls share the one call per 60 s"),
    Switch("sovrn.refused_call", ("free", "restarts"), "[guess]", "whether a refused call restarts the 60 s"),
    Switch("sovrn.primary", ("all", "by_name"), "[guess]", "which campaigns PRIMARY stands for"),
    Switch("sovrn.jsonp", ("off", "on"), "[code]", "whether the campaigns are wrapped as NULL({...})"),
    Switch(
        "sovrn.total_results",
        ("exact", "missing", "too_low", "too_high"),
        "[code]",
        "totalResults of the campaigns; the wrong ones differ by one",
    ),
)


class Switches(Mapping[str, str]):
    """The current value of every switch."""

    def __init__(self) -> None:
        self._known = {switch.name: switch for switch in SWITCHES}
        self.reset()

    def reset(self) -> None:
        """Put every switch back to its default."""
        self._values = {name: switch.default for name, switch in self._known.items()}

    def set(self, name: str, value: str) -> None:
        """Set one switch; ValueError for an unknown name or value, so that a typo cannot make a test pass."""
        if name not in self._known:
            raise ValueError(f"unknown switch {name!r}; the switches are {', '.join(self._known)}")
        if value not in self._known[name].values:
            raise ValueError(f"{name} is one of {', '.join(self._known[name].values)}, not {value!r}")
        self._values[name] = value

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
