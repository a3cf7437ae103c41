"""Field paths and patterns of contact and subscription rules."""

from __future__ import annotations

import pytest
from destination_wicked_reports.mappings.field_rules import FieldRule, texts_at


def test_a_rule_searches_every_text_at_its_path():
    rule = FieldRule("a.*", r"x(\d)")
    found = map(rule.search, rule.texts({"a": {"b": "x1", "c": "none", "d": "x2"}}))
    assert [match and match[1] for match in found] == ["1", None, "2"]


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
