from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.planning.rate import Rate, recent_rate


def steady(rate, until, *, every=1.0, start=0.0):
    """Batches that each begin when the one before is over."""
    ends = np.arange(start + every, until + every / 2, every)
    return ends - every, ends, np.full(len(ends), rate * every)


@given(rate=st.integers(1, 1000), until=st.floats(20, 5000), every=st.floats(0.5, 4))
def test_a_steady_sweep_has_its_own_rate_and_a_narrow_interval(rate, until, every):
    starts, ends, counts = steady(rate, until, every=every)

    found = recent_rate(starts, ends, counts, now=ends[-1])

    assert found == Rate(*[pytest.approx(rate)] * 3)


def test_it_is_too_early_after_a_few_variants_or_batches():
    assert recent_rate([], [], [], now=5.0) is None
    assert recent_rate([0, 1, 2, 3], [1, 2, 3, 4], [2, 2, 2, 2], now=4.0) is None
    assert recent_rate([0, 1], [1, 2], [500, 500], now=2.0) is None
    assert recent_rate([0, 1, 2, 3], [1, 2, 3, 4], [5, 5, 5, 5], now=4.0) is not None


def test_what_was_long_ago_does_not_count():
    slow, fast = steady(1, 1000), steady(20, 1100, start=1000)

    found = recent_rate(*(np.concatenate(pair) for pair in zip(slow, fast, strict=True)), now=1100)

    assert found.usual == pytest.approx(20)


def test_few_variants_in_the_last_minute_make_recent_longer():
    starts, ends, counts = steady(0.01, 20_000, every=100.0)  # one variant every 100 s

    found = recent_rate(starts, ends, counts, now=20_000)

    assert found.usual == pytest.approx(0.01)


@pytest.mark.parametrize("slept", [10.0, 3600.0, 40 * 3600.0])
def test_a_machine_that_slept_has_the_rate_it_has_when_awake(slept):
    before, after = steady(10, 100), steady(10, 110 + slept, start=100 + slept)

    found = recent_rate(*(np.concatenate(pair) for pair in zip(before, after, strict=True)), now=110 + slept)

    assert found == Rate(*[pytest.approx(10)] * 3)


def test_a_closed_window_does_not_count_also_while_it_is_closed():
    before = steady(10, 100)

    closed = recent_rate(*before, now=5000.0, pauses=[(100.0, 5000.0)])

    assert closed == recent_rate(*before, now=100.0)


def test_a_batch_that_stalls_lowers_the_slow_end_and_not_the_usual_rate():
    starts, ends, counts = (np.array(values) for values in steady(10, 60))
    quick = recent_rate(starts, ends, counts, now=60)
    stalled = counts.copy()
    stalled[20:32] = 0  # twelve seconds of a minute

    found = recent_rate(starts, ends, stalled, now=60)

    assert found.usual == pytest.approx(quick.usual)
    assert found.slow < quick.slow / 2


def test_batches_side_by_side_are_not_taken_for_idle_time():
    """Eight workers with batches of two minutes each, all answering at once."""
    ends = np.repeat(np.arange(120.0, 1300.0, 120.0), 8)

    found = recent_rate(ends - 120.0, ends, np.full(len(ends), 3), now=1200.0)

    assert found.usual == pytest.approx(8 * 3 / 120)


def test_the_time_left_is_told_with_its_least_and_most():
    assert Rate(10.0, 5.0, 20.0).left_s(100) == (10.0, 5.0, 20.0)
    assert Rate(10.0, 0.0, 20.0).left_s(100) == (10.0, 5.0, math.inf)
    assert Rate(0.0, 0.0, 0.0).left_s(0) == (0.0, 0.0, 0.0)


@given(
    steps=st.lists(st.tuples(st.floats(0, 1e4), st.floats(0.001, 100), st.integers(0, 1000)), max_size=60),
    rest=st.floats(0, 100),
    pauses=st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e3)), max_size=3),
)
def test_whatever_was_seen_the_three_rates_are_in_order(steps, rest, pauses):
    steps = sorted(steps)
    ends = [end for end, _, _ in steps]
    starts = [end - took for end, took, _ in steps]
    gaps = [(start, start + length) for start, length in pauses]

    found = recent_rate(starts, ends, [n for _, _, n in steps], max([0.0, *ends]) + rest, gaps)

    if found is not None:
        assert 0 <= found.slow <= found.usual <= found.fast < math.inf
