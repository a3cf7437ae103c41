"""Finding the buyer in what the publisher put on the click."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from destination_wicked_reports.mappings.affiliate.contacts import Contact, ContactRule, find_contact, synthetic_contact
from hypothesis import given
from hypothesis import strategies as st

ID = r"^(?P<contact_id>U\d+)"


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
    assert ContactRule(field, ID).find(data) == expected


@pytest.mark.parametrize("sub_ids", [None, [], {}, "", "{", "U1", 5, True, [{}], {"a": ["U1"]}, {"a": True}])
def test_a_map_may_be_missing_empty_or_anything_else(sub_ids):
    assert ContactRule("sub_ids.*", ID).find({"sub_ids": sub_ids}) is None
    assert ContactRule("sub_ids.a", ID).find({"sub_ids": sub_ids}) is None


def test_a_whole_number_is_searched_as_text():
    assert ContactRule("sub_ids.a", r"(?P<contact_id>\d+)").find({"sub_ids": {"a": 77}}) == Contact("77")


def test_one_pattern_may_find_id_and_email_together():
    rule = ContactRule("reference", r"(?P<contact_id>\w+)/(?P<email>\S+@\S+)")
    assert rule.find({"reference": "U1/a@b.example"}) == Contact("U1", "a@b.example")


def test_a_match_with_empty_groups_is_no_find():
    rule = ContactRule("sub_ids.*", r"^(?:x(?P<contact_id>\d*))?")
    assert rule.find({"sub_ids": {"a": "x", "b": "y", "c": "x7"}}) == Contact("7")


def test_the_first_rule_that_hits_wins():
    rules = [ContactRule("b", ID), ContactRule("a", ID)]
    assert find_contact(rules, {"a": "U1", "b": "U2"}) == Contact("U2")
    assert find_contact(rules, {"a": "U1", "b": "none"}) == Contact("U1")
    assert find_contact(rules, {}) is None


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
        ContactRule(field, pattern)


def test_a_synthetic_contact_lives_at_a_domain_that_receives_no_mail():
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
