"""What all mappings share."""

from __future__ import annotations

from destination_wicked_reports.mappings.base import BoundedSet


def test_a_bounded_set_forgets_its_oldest_members():
    recent = BoundedSet(size=2)
    assert [recent.add(name) for name in "abacab"] == [True, True, False, True, True, True]
