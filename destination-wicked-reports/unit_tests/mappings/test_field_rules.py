"""Field paths and patterns of contact and subscription rules."""

from __future__ import annotations

import time

import pytest
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.field_rules import FieldRule, texts_at
from destination_wicked_reports.mappings.patterns import MOST_TIMEOUTS, SECONDS, Pattern


def test_a_rule_searches_every_text_at_its_path():
    rule = FieldRule("a.*", r"x(\d)")
    assert [match[1] for match in rule.matches({"a": {"b": "x1", "c": "none", "d": "x2"}})] == ["1", "2"]


@pytest.mark.parametrize(
    ("value", "path", "texts"),
    [
        ("t", (), ["t"]),
        (7, (), ["7"]),
        (True, (), []),
        (1.5, (), []),
        (None, ("a",), []),
        ({"a": {"b": "t"}}, ("a", "b"), ["t"]),
        ('{"a": "t"}', ("a",), ["t"]),
        (["t", 7], ("*",), ["t", "7"]),
        ([{"a": "t"}, {"a": "u"}], ("*", "a"), ["t", "u"]),
    ],
)
def test_texts_and_integers_are_found_in_maps_lists_and_json_text(value, path, texts):
    assert texts_at(value, path) == texts


def test_a_search_is_bounded_and_its_failure_names_the_rule():
    rule = FieldRule("a", "^(?P<email>(a|aa|aaa)+)$", "contact_rules[2]")
    with pytest.raises(FieldError, match=r"^contact_rules\[2\]: the pattern takes too long on this text"):
        list(rule.matches({"a": "a" * 60 + "!"}))
    with pytest.raises(FieldError, match=r"^contact_rules\[2\]: a text of more than 2,000 characters"):
        list(rule.matches({"a": "a" * 2001}))
    with pytest.raises(FieldError, match=r"^the rule for a: "):
        list(FieldRule("a", "x").matches({"a": "a" * 2001}))


def test_a_pattern_that_failed_often_gets_less_time():
    pattern = Pattern("^(a|aa|aaa)+$", "x")
    pattern._timeouts = MOST_TIMEOUTS
    started = time.process_time()
    with pytest.raises(FieldError):
        pattern.search("a" * 60 + "!")
    assert time.process_time() - started < SECONDS
