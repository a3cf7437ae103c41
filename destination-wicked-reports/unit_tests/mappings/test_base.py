"""What all mappings share."""

from __future__ import annotations

from destination_wicked_reports.mappings.base import BoundedSet


def test_a_bounded_set_keeps_the_names_added_last():
    recent = BoundedSet(size=2)
    assert [recent.add(name) for name in "abacba"] == [True, True, False, True, False, False]
    assert [recent.add(name) for name in "deacd"] == [True, True, True, False, False]


def test_a_bounded_set_is_bounded():
    recent = BoundedSet(size=2)
    for number in range(100):
        recent.add(str(number))
    assert sum(not recent.add(str(number)) for number in range(99, -1, -1)) <= 4
