"""Finding the buyer in the data that the publisher attached to the click."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from destination_wicked_reports.config.mappings import ContactRule, SovrnMapping, WecantrackMapping
from destination_wicked_reports.mappings.affiliate.contacts import Contact, ContactFinder, synthetic_contact
from destination_wicked_reports.mappings.affiliate.sovrn import SovrnNormalizer
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from hypothesis import given
from hypothesis import strategies as st

ID = r"^(?P<contact_id>U\d+)"


def find(field: str, pattern: str, data: dict[str, Any]) -> Contact | None:
    return ContactFinder([ContactRule(field=field, pattern=pattern)]).find(data)


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ("reference", {"reference": "U1"}),
        ("reference", {"reference": None, "sub_ids": "U2"}),
        ("sub_ids.clickRef", {"sub_ids": {"clickRef": "U1"}}),
        ("sub_ids.*", {"sub_ids": {"a": None, "b": 5, "c": "U1", "d": "U2"}}),
        ("sub_ids.*", {"sub_ids": ["x", "U1"]}),
        ("sub_ids.*", {"sub_ids": orjson.dumps({"clickRef": "U1"}).decode()}),
        ("click_metadata.user", {"click_metadata": {"user": "U1"}}),
        ("click_metadata.deep.*", {"click_metadata": {"deep": {"x": "U1"}}}),
        ("click_metadata.*.user", {"click_metadata": {"x": {"user": "U1"}}}),
    ],
)
def test_a_rule_finds_its_field(field, data):
    expected = Contact("U1") if "U1" in str(data) else None
    assert find(field, ID, data) == expected


@pytest.mark.parametrize("sub_ids", [None, [], {}, "", "{", "U1", 5, True, [{}], {"a": ["U1"]}, {"a": True}])
def test_a_map_may_be_missing_empty_or_anything_else(sub_ids):
    assert find("sub_ids.*", ID, {"sub_ids": sub_ids}) is None
    assert find("sub_ids.a", ID, {"sub_ids": sub_ids}) is None


def test_a_whole_number_is_searched_as_text():
    assert find("sub_ids.a", r"(?P<contact_id>\d+)", {"sub_ids": {"a": 77}}) == Contact("77")


def test_one_pattern_may_find_id_and_email_together():
    pattern = r"(?P<contact_id>\w+)/(?P<email>\S+@\S+)"
    assert find("reference", pattern, {"reference": "U1/a@b.example"}) == Contact("U1", "a@b.example")


def test_a_match_with_empty_groups_does_not_count():
    pattern = r"^(?:x(?P<contact_id>\d*))?"
    assert find("sub_ids.*", pattern, {"sub_ids": {"a": "x", "b": "y", "c": "x7"}}) == Contact("7")


def test_the_first_rule_that_matches_wins():
    finder = ContactFinder([ContactRule(field="b", pattern=ID), ContactRule(field="a", pattern=ID)])
    assert finder.find({"a": "U1", "b": "U2"}) == Contact("U2")
    assert finder.find({"a": "U1", "b": "none"}) == Contact("U1")
    assert finder.find({}) is None


@pytest.mark.parametrize(
    ("field", "pattern", "complaint"),
    [
        ("", ID, "field"),
        ("*", ID, "field"),
        ("a..b", ID, "field"),
        ("a", r"U\d+", "group"),
        ("a", r"(?P<name>U\d+)", "group"),
        ("a", r"(?P<email>", "regular expression"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_when_it_is_made(field, pattern, complaint):
    with pytest.raises(ValueError, match=complaint):
        ContactRule(field=field, pattern=pattern)


def test_a_synthetic_contact_has_an_address_at_a_domain_that_receives_no_mail():
    contact = synthetic_contact("WCT240514135314e7x4d", "wecantrack")
    assert contact == Contact("", "WCT240514135314e7x4d@wecantrack.invalid", synthetic=True)


@given(st.text())
def test_every_synthetic_contact_is_a_plain_address_of_bounded_length(click: Any):
    local, _, domain = synthetic_contact(click, "wecantrack").email.partition("@")
    assert domain == "wecantrack.invalid"
    assert 1 <= len(local) <= 64
    assert local.isascii()
    assert all(character.isalnum() or character in "-_." for character in local)


def test_two_clicks_that_no_address_can_hold_are_still_two():
    assert synthetic_contact("a b", "x").email != synthetic_contact("a  b", "x").email


@pytest.mark.parametrize(
    ("patterns", "only_ids"),
    [
        ([], False),
        (["(?P<contact_id>.+)"], True),
        (["(?P<contact_id>.+)", "(?P<email>.+)"], False),
        (["(?P<contact_id>[^ ]+) (?<email>.+)"], False),
    ],
)
def test_rules_that_find_only_ids_are_warned_of(patterns, only_ids):
    rules = [{"field": "reference", "pattern": one} for one in patterns]
    mapping = WecantrackMapping(contact_rules=rules, without_contact="synthetic")
    warnings = list(WecantrackNormalizer(mapping).check())
    assert bool(warnings) is only_ids
    assert all("contact_lookup" in warning for warning in warnings)


@pytest.mark.parametrize(
    "make",
    [
        lambda **each: WecantrackNormalizer(WecantrackMapping(**each)),
        lambda **each: SovrnNormalizer(SovrnMapping(**each)),
    ],
)
def test_rules_that_skip_every_sale_are_warned_of(make):
    (warning,) = make().check()
    assert "every new sale is skipped. Set contact_rules" in warning
    assert list(make(without_contact="synthetic").check()) == []
    rule = {"field": "reference", "pattern": "(?P<email>.+@.+)"}
    assert list(make(contact_rules=[rule]).check()) == []


@pytest.mark.parametrize(
    ("rules", "data", "shown"),
    [
        ([], {}, "there are no contact rules"),
        (["sub_id.*"], {"sub_ids": {"s1": "U1"}}, "nothing at sub_id.*"),
        (["sub_ids.*"], {"sub_ids": {"s1": "Ann-42", "s2": None}}, "sub_ids.s1 Aaa-00"),
        (["sub_ids.*", "reference"], {"sub_ids": ["ann@b.example"]}, "sub_ids.0 aaa@a.aaaaaaa"),
        (["reference"], {"reference": "é" * 50}, "reference " + "a" * 40 + "…"),
        (["sub_ids.*"], {"sub_ids": '{"s1": "x\\u001b[31m"}'}, "sub_ids.s1 a??00a"),
        (["sub_ids.*"], {"sub_ids": {"a@b.example": "x"}}, "sub_ids.? a"),
        (["m.*"], {"m": dict.fromkeys("abcdef", 7)}, "m.a 0, m.b 0, m.c 0, m.d 0, …"),
    ],
)
def test_what_was_searched_is_shown_by_its_shape_only(rules, data, shown):
    finder = ContactFinder([ContactRule(field=field, pattern=ID) for field in rules])
    assert finder.searched(data) == shown
