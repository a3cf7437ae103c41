"""The records of each STATE: delivered and rejected ones add up to what arrived."""

from __future__ import annotations

from collections import Counter

import pytest
from destination_wicked_reports.delivery import record_counts as module
from destination_wicked_reports.delivery.record_counts import RecordCounts
from hypothesis import given, settings
from hypothesis import strategies as st

A, B = ("", "a"), ("ns", "b")


def add(counts: RecordCounts, *keys) -> list[int]:
    return [counts.add(key) for key in keys]


def test_a_record_counts_once_for_the_state_of_its_own_stream() -> None:
    counts = RecordCounts()
    first, other, _ = add(counts, A, B, A)
    counts.reject(first)
    counts.reject(first)
    counts.reject(other)

    assert counts.release(counts.span(A)) == (1, 1)
    assert counts.release(counts.span(B)) == (0, 1)
    assert counts.release(counts.span(A)) == (0, 0)
    assert (counts.received, counts.rejected) == (3, 2)


def test_a_rejection_between_the_arrival_and_the_release_of_a_state_counts() -> None:
    counts = RecordCounts()
    (first,) = add(counts, A)
    span = counts.span(A)
    (second,) = add(counts, A)
    counts.reject(first)
    counts.reject(second)

    assert counts.release(span) == (0, 1)
    assert counts.release(counts.span(A)) == (0, 1)


def test_a_global_state_covers_all_streams() -> None:
    counts = RecordCounts()
    add(counts, A, B, B)
    counts.reject(2)

    assert counts.release(counts.span(None)) == (2, 1)


def test_a_state_of_an_unknown_stream_and_rows_of_no_record_count_nothing() -> None:
    counts = RecordCounts()
    counts.reject(0)
    counts.reject(5)

    assert counts.release(counts.span(A)) == (0, 0)
    assert counts.rejected == 0


def test_released_records_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PRUNED_AT_ONCE", 100)
    counts = RecordCounts()
    for _ in range(50):
        add(counts, *[A] * 99, B)
        counts.reject(counts.received)
        assert counts.release(counts.span(A)) == (99, 0)
    assert len(counts._marks) == 50 * 100, "stream b was never released"
    assert counts.release(counts.span(B)) == (0, 50)
    assert len(counts._marks) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "reject", "state a", "state b", "state", "release"]), max_size=60))
def test_all_states_together_count_every_record_once(steps) -> None:
    module_limit, module._PRUNED_AT_ONCE = module._PRUNED_AT_ONCE, 3
    try:
        counts, spans, found = RecordCounts(), [], Counter()
        keys = {"a": A, "b": B}
        for step in [*steps, "state"]:
            if step in keys:
                counts.add(keys[step])
            elif step == "reject":
                counts.reject(counts.received)
            elif step.startswith("state"):
                spans.append(counts.span(keys.get(step[6:])))
            elif spans:
                found.update(dict(zip(("ok", "bad"), counts.release(spans.pop(0)), strict=True)))
        for span in spans:
            found.update(dict(zip(("ok", "bad"), counts.release(span), strict=True)))
        assert found["ok"] + found["bad"] == counts.received
        assert found["bad"] <= counts.rejected
    finally:
        module._PRUNED_AT_ONCE = module_limit
