from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sciflow.analysis import pareto
from sciflow.analysis.pareto import on_front
from sciflow.errors import ResultsError
from sciflow.space import Grid, Replicates

COSTS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.integers(0, 5).map(float),  # few values, so that many are equal
)


def dominates(one, other) -> bool:
    return bool((one <= other).all() and (one < other).any())


@given(COSTS)
def test_who_is_on_the_front_is_dominated_by_nobody_and_who_is_not_by_somebody(costs) -> None:
    front = on_front(costs)

    for point, is_on in zip(costs, front, strict=True):
        assert is_on == (not any(dominates(other, point) for other in costs))


@pytest.mark.parametrize("block", [1, 3])
@given(COSTS)
def test_a_front_does_not_depend_on_how_many_points_are_looked_at_at_once(block, costs) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "_BLOCK", block)
        front = on_front(costs)

    assert front.tolist() == [not any(dominates(other, point) for other in costs) for point in costs]


@pytest.mark.parametrize("n_metrics", [3, 4])
def test_a_large_front_of_several_metrics_is_found_whole(n_metrics) -> None:
    points = np.abs(np.random.default_rng(0).normal(size=(5000, n_metrics)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)  # on a sphere none dominates another

    front = on_front(np.concatenate([points, points + 0.01]))

    assert front.tolist() == [True] * 5000 + [False] * 5000


def test_a_front_of_means_over_replicates(recorded) -> None:
    y = {1: (1.0, 9.0), 2: (3.0, 5.0), 3: (2.0, 6.0), 4: (3.0, 5.0), 5: (4.0, 8.0)}
    results = recorded(
        Grid(a=[1, 2, 3, 4, 5]) * Replicates(2),
        lambda v: {"gain": y[v["a"]][0] + v["replicate"], "cost": y[v["a"]][1] - v["replicate"]},
    )

    front = results.pareto_front({"gain": "max", "cost": "min"})

    assert front["a"].tolist() == [5, 2, 4]
    assert front["gain"].tolist() == [4.5, 3.5, 3.5]
    assert front["n"].tolist() == [2, 2, 2]
    assert results.get_metric(front.index[0], "cost") == 7.5
    assert results.pareto_front({"gain": "max", "cost": "min"}, where="cost < 5.2")["a"].tolist() == [2, 4]


def test_a_direction_is_max_or_min(results) -> None:
    with pytest.raises(ResultsError, match="direction of 'energy' is 'max' or 'min', not 'low'"):
        results.pareto_front({"accuracy": "max", "energy": "low"})
    with pytest.raises(ResultsError, match="mapping such as"):
        results.pareto_front("accuracy")


@pytest.mark.parametrize("given", ["y", ["y"], ("y",)])
def test_metrics_without_directions_say_what_to_write(recorded, given) -> None:
    results = recorded({"a": [1, 2]}, lambda v: {"y": v["a"]})

    with pytest.raises(ResultsError, match=r"write \{'y': 'max'\}, or 'min' where less is better"):
        results.pareto_front(given)
