from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from SALib.analyze.morris import analyze as analyze_morris
from SALib.sample import morris, sobol

from sciflow.analysis import sensitivity
from sciflow.analysis.sensitivity import elementary_effects, grid_indices
from sciflow.errors import ResultsError
from sciflow.space import Grid, LatinHypercube, Points, Replicates

NAMES = ["x1", "x2", "x3"]
PROBLEM = {"num_vars": 3, "names": NAMES, "bounds": [[-math.pi, math.pi]] * 3}
# Ishigami and Homma (1990) with a = 7, b = 0.1
FIRST = {"x1": 0.3139, "x2": 0.4424, "x3": 0.0}
TOTAL = {"x1": 0.5576, "x2": 0.4424, "x3": 0.2437}


def ishigami(variant):
    x1, x2, x3 = (variant[name] for name in NAMES)
    return {"y": math.sin(x1) + 7 * math.sin(x2) ** 2 + 0.1 * x3**4 * math.sin(x1)}


def points(sampled) -> Points:
    return Points([dict(zip(NAMES, row, strict=True)) for row in sampled.tolist()])


@given(
    arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4),
        elements=st.floats(-1e3, 1e3, width=32),
    )
)
def test_first_order_indices_sum_to_one_at_most_and_totals_are_at_least_as_large(means) -> None:
    first, total = grid_indices(means)
    variance = means.var()

    slack = 1e-9 * max(1.0, np.abs(means).max() ** 2)
    assert first.sum() <= variance + slack
    assert (total >= first - slack).all()
    assert (total <= variance + slack).all()


def test_a_grid_is_decomposed_exactly(recorded) -> None:
    # y = a + 2 b + a b with a, b = ±1: variances 1, 4 and 1
    results = recorded(
        Grid(a=[-1, 1], b=[-1, 1], c=["u", "v"]), lambda v: {"y": v["a"] + 2.0 * v["b"] + v["a"] * v["b"]}
    )

    found = results.sensitivity("y")

    assert found.method == "grid"
    assert found.table.index.tolist() == ["b", "a", "c"]
    assert found.table["first"].tolist() == pytest.approx([4 / 6, 1 / 6, 0])
    assert found.table["total"].tolist() == pytest.approx([5 / 6, 2 / 6, 0])
    assert found.table["total_low"].isna().all()
    assert "without replicates nothing says how sure" in str(found)


def test_a_fine_grid_gives_the_indices_of_ishigami(recorded) -> None:
    middle = (np.arange(16) + 0.5) / 16 * 2 * math.pi - math.pi
    results = recorded(Grid(dict.fromkeys(NAMES, middle)), ishigami)

    table = results.sensitivity("y").table

    assert table["first"].to_dict() == pytest.approx(FIRST, abs=0.02)
    assert table["total"].to_dict() == pytest.approx(TOTAL, abs=0.02)


def test_what_chance_adds_on_a_grid_is_taken_off_and_told(recorded) -> None:
    noise = np.random.default_rng(5).normal(size=(4, 4, 12))
    results = recorded(
        Grid(a=range(4), b=range(4)) * Replicates(12),
        lambda v: {"y": v["a"] + 2.0 * float(noise[v["a"], v["b"], v["replicate"]])},
    )

    found = results.sensitivity("y")

    of_a_mean = (2 * noise).var(axis=2, ddof=1).mean() / 12
    assert found.unexplained == pytest.approx(of_a_mean / (np.arange(4)[:, None] + 2 * noise.mean(axis=2)).var())
    a, b = found.table.loc["a"], found.table.loc["b"]
    assert a["first"] > 0.85
    assert a["total_low"] <= a["total"] <= a["total_high"]
    assert b["total"] < 0.15
    assert b["total_high"] > b["total_low"]


@pytest.mark.parametrize("second_order", [False, True])
def test_points_of_saltelli_give_the_indices_of_ishigami_with_intervals(recorded, second_order) -> None:
    sampled = sobol.sample(PROBLEM, 256, calc_second_order=second_order, seed=1)
    results = recorded(points(sampled), ishigami)

    found = results.sensitivity("y")

    assert found.method == "sobol"
    assert "256 to begin with" in found.why
    for name in NAMES:
        row = found.table.loc[name]
        assert row["total"] == pytest.approx(TOTAL[name], abs=0.12)
        assert row["first_low"] - 0.05 <= FIRST[name] <= row["first_high"] + 0.05


def test_trajectories_of_morris_give_elementary_effects(recorded) -> None:
    problem = {"num_vars": 3, "names": NAMES, "bounds": [[0.0, 1.0]] * 3}
    sampled = morris.sample(problem, 12, num_levels=64, seed=2)
    results = recorded(points(sampled), lambda v: {"y": 3.0 * v["x1"] - 1.0 * v["x2"]})

    found = results.sensitivity("y")

    assert found.method == "morris"
    assert found.table.index.tolist() == ["x1", "x2", "x3"]
    x1, x2, _ = np.ptp(sampled, axis=0).tolist()
    assert found.table["mu_star"].tolist() == pytest.approx([3 * x1, x2, 0], abs=1e-9)
    assert found.table["mu"].tolist() == pytest.approx([3 * x1, -x2, 0], abs=1e-9)
    assert found.table["sigma"].tolist() == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("length", [0.05, 0.3])
def test_elementary_effects_have_the_size_of_the_steps_that_were_made(recorded, length) -> None:
    # walks of one's own, whose steps are not those that SALib makes of a number of levels
    rng = np.random.default_rng(0)
    walks: list[dict[str, float]] = []
    for start in rng.uniform(0.0, 1.0 - length, (20, 2)).tolist():
        at = dict(zip(NAMES, start, strict=False))
        walks.append(dict(at))
        for name in rng.permutation(NAMES[:2]).tolist():
            at[name] += length
            walks.append(dict(at))
    results = recorded(Points(walks), lambda v: {"y": 2.0 * v["x1"] - 3.0 * v["x2"]})

    found = results.sensitivity("y")

    assert found.method == "morris"
    extent = {name: np.ptp([point[name] for point in walks]) for name in NAMES[:2]}
    assert found.table.loc["x1", ["mu_star", "mu", "sigma"]].tolist() == pytest.approx(
        [2 * extent["x1"], 2 * extent["x1"], 0], abs=1e-9
    )
    assert found.table.loc["x2", ["mu_star", "mu"]].tolist() == pytest.approx([3 * extent["x2"], -3 * extent["x2"]])


def test_elementary_effects_of_walks_that_salib_makes_are_those_of_salib() -> None:
    problem = {"num_vars": 3, "names": NAMES, "bounds": [[0.0, 1.0]] * 3}
    sampled = morris.sample(problem, 30, num_levels=4, seed=5)
    values = np.sin(5 * sampled[:, 0]) + sampled[:, 1] * sampled[:, 2]

    effects = elementary_effects(sampled, values)

    expected = analyze_morris(problem, sampled, values, num_levels=4)
    assert np.abs(effects).mean(axis=0) == pytest.approx(expected["mu_star"])
    assert effects.mean(axis=0) == pytest.approx(expected["mu"])
    assert effects.std(axis=0, ddof=1) == pytest.approx(expected["sigma"])


def test_other_points_are_fitted_by_a_forest_which_says_how_well(recorded) -> None:
    results = recorded(
        LatinHypercube({"a": (0.0, 1.0), "b": (0.0, 1.0), "c": ["u", "v"]}, n=150, seed=3),
        lambda v: {"y": 5.0 * v["a"] + v["b"]},
    )

    found = results.sensitivity("y")

    assert found.method == "permutation"
    assert "no grid; the points are not Saltelli's; nor trajectories of Morris" in found.why
    assert found.table.index[0] == "a"
    assert found.table.loc["c", "importance"] == pytest.approx(0, abs=0.02)
    assert found.unexplained < 0.2
    assert list(found.bars) == ["low", "value", "high"]
    assert "Sensitivity of y" in found._repr_html_()


def test_a_grid_with_a_hole_is_no_grid(recorded) -> None:
    results = recorded(Grid(a=range(6), b=range(6)), lambda v: {"y": v["a"]} if v["a"] + v["b"] else None)

    found = results.sensitivity("y")

    assert found.method == "permutation"
    assert "only 35 values for 36 combinations" in found.why


def test_what_a_method_lacks_is_said(recorded, results, monkeypatch) -> None:
    with pytest.raises(ResultsError, match="method 'anova' is unknown; it is one of auto, grid"):
        results.sensitivity("accuracy", method="anova")
    with pytest.raises(ResultsError, match="method 'sobol' does not fit: the points are not Saltelli's"):
        results.sensitivity("accuracy", method="sobol")
    with pytest.raises(ResultsError, match="too few to learn from"):
        results.sensitivity("accuracy")
    constant = recorded({"a": [1, 2]}, lambda v: {"y": 2.0}, name="constant")
    with pytest.raises(ResultsError, match="all 2 values of 'y' are 2: nothing varies"):
        constant.sensitivity("y")
    monkeypatch.setattr(sensitivity, "find_spec", lambda name: None)
    many = recorded(LatinHypercube({"a": (0.0, 1.0)}, n=30, seed=3) * Grid(b=[1]), lambda v: {"y": v["a"]}, name="many")
    with pytest.raises(ResultsError, match=r'pip install "sciflow\[statistics\]"'):
        many.sensitivity("y", method="permutation")
