from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sciflow.analysis.convergence import n_needed
from sciflow.errors import ResultsError
from sciflow.space import Grid, Replicates

NOISE = np.random.default_rng(2).normal(size=(2, 8))


def test_running_means_and_intervals_are_those_of_the_first_replicates(recorded) -> None:
    results = recorded(
        Grid(a=[0, 1]) * Replicates(8), lambda v: {"y": 1e6 + (1 + v["a"]) * float(NOISE[v["a"], v["replicate"]])}
    )

    found = results.convergence("y")

    of_one = found.running[found.running["a"] == 1]
    values = 1e6 + 2 * NOISE[1]
    assert of_one["n"].tolist() == list(range(1, 9))
    assert of_one["mean"].tolist() == pytest.approx([values[:n].mean() for n in range(1, 9)])
    assert math.isnan(of_one["half_width"].iloc[0])
    for n in range(2, 9):
        low, high = stats.t.interval(0.95, n - 1, values[:n].mean(), stats.sem(values[:n]))
        assert of_one.iloc[n - 1][["ci_low", "ci_high"]].tolist() == pytest.approx([low, high], rel=1e-9)
    assert found.variants["n"].tolist() == [8, 8]
    assert found.enough is None


def test_a_target_says_who_needs_more(recorded) -> None:
    results = recorded(
        Grid(a=[0, 1]) * Replicates(8), lambda v: {"y": (0.01 + v["a"]) * float(NOISE[v["a"], v["replicate"]])}
    )

    found = results.convergence("y", target=0.2)

    assert found.variants["enough"].tolist() == [True, False]
    assert not found.enough
    assert found.n_needed > 8
    assert "1 are not within ±0.2" in str(found)
    assert results.convergence("y", target=10).enough


@given(st.floats(1e-3, 1e3), st.floats(1e-2, 1e3), st.sampled_from([0.8, 0.95, 0.99]))
def test_as_many_values_as_needed_are_enough_and_one_less_is_not(sd, target, confidence) -> None:
    n = n_needed(np.array([sd]), target, confidence)[0]

    def half(n):
        return stats.t.ppf(0.5 + confidence / 2, n - 1) * sd / math.sqrt(n)

    assert half(n) <= target * (1 + 1e-9)
    assert n == 2 or half(n - 1) > target * (1 - 1e-9)


def test_a_single_replicate_says_that_there_is_no_interval(recorded) -> None:
    results = recorded(Grid(a=[0, 1]) * Replicates(1), lambda v: {"y": 1.0 * v["a"]})

    found = results.convergence("y", target=0.1)

    assert "a single value has no interval" in str(found)
    assert (found.enough, found.n_needed) == (False, None)


def test_replicates_that_are_not_there_are_not_counted(recorded) -> None:
    results = recorded(
        Grid(a=[0, 1]) * Replicates(3),
        lambda v: {"y": float(v["replicate"])} if (v["a"], v["replicate"]) != (0, 1) else None,
    )

    found = results.convergence("y")

    assert found.variants["n"].tolist() == [2, 3]
    assert found.running["mean"].tolist() == [0, 1, 0, 0.5, 1]


def test_what_is_no_parameter_or_target_says_so(results, recorded) -> None:
    with pytest.raises(ResultsError, match="no parameter 'seed'"):
        results.convergence("accuracy", "seed")
    with pytest.raises(ResultsError, match="target=0"):
        results.convergence("accuracy", target=0)
