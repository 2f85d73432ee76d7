from __future__ import annotations

import contextlib
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.analysis.refinement import boundary
from sciflow.analysis.refinement.reach import Reach, finer_values, is_geometric
from sciflow.analysis.results import open_results
from sciflow.engine.engine import Engine
from sciflow.errors import ResultsError
from sciflow.space import Axis, Grid, LatinHypercube, Points, Range, Replicates, from_dict
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from pathlib import Path

X, RATE, LAYERS = 0.337, 0.0123, 6
ran: list[dict[str, Any]] = []


def smooth(x: float, rate: float, layers: int, kind: str) -> float:
    """0 at x = 0.337, rate = 0.0123, 6 layers and kind b; less everywhere else."""
    ran.append({"x": x, "rate": rate, "layers": layers, "kind": kind})
    return -((x - X) ** 2) - math.log10(rate / RATE) ** 2 / 9 - (layers - LAYERS) ** 2 / 100 - (kind == "a")


stops: list[int] = []


def stopped_by_its_user(a: float, b: float) -> float:
    """Ctrl-C after so many variants, if any."""
    if stops:
        stops[0] -= 1
        if stops[0] < 0:
            raise KeyboardInterrupt
    return (a - 2.3) ** 2 + (b - 1.2) ** 2


def test_a_sweep_refined_twice_gets_closer_to_the_optimum_and_runs_new_variants_only(tmp_path: Path) -> None:
    workflow = ExperimentalWorkflow("refined")
    workflow.add_task("score", smooth)
    workflow.add_parameter_space({"x": np.linspace(0, 1, 5), "rate": [1e-4, 1e-3, 1e-2, 1e-1]})
    workflow.add_parameter_space({"layers": [2, 4, 8], "kind": ["a", "b"]})
    engine = Engine("inline", directory=tmp_path, progress=False)
    ran.clear()
    results = engine.execute_parameter_sweep(workflow)
    scores, counts = [], [len(ran)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\d+ variants share the best value")  # 4 and 8 layers are as good
        for _ in range(2):
            scores.append(results.get_metric(results.find_optimal_parameters("score"), "score"))
            workflow.add_parameter_space(results.suggest_refinement("score"))
            results = engine.execute_parameter_sweep(workflow)
            counts.append(len(ran))
        best = results.find_optimal_parameters("score")
    scores.append(results.get_metric(best, "score"))

    assert scores[0] < scores[1] < scores[2] < 0
    assert counts[0] == 120 < counts[1] < counts[2] == len(workflow.space)
    assert len({repr(one) for one in ran}) == len(ran)  # nothing ran twice
    assert best["kind"] == "b"
    assert best["layers"] == LAYERS
    assert type(best["layers"]) is int
    assert abs(best["x"] - X) <= 1 / 32
    assert abs(math.log10(best["rate"] / RATE)) <= 1 / 32
    assert results.status() == {"done": counts[2], "failed": 0, "missing": 0}


def suggested(results, *args, **options):
    """What a suggestion adds to the sweep's space."""
    there, finer = results.suggest_refinement(*args, **options).parts
    assert there == from_dict(results._assembled.definition["space"])
    return finer


def test_values_lie_between_the_neighbours_and_recorded_ones_are_given_exactly(recorded) -> None:
    third = 0.1 + 0.2  # 0.30000000000000004
    results = recorded(
        Grid(x=[0.0, third, 0.6], kind=["a", "b"]), lambda v: {"y": v["x"] == third and v["kind"] == "a"}
    )
    space = suggested(results, "y", factor=4)

    assert [axis.values for axis in space.axes] == [(0.075, 0.15, 0.225, third, 0.375, 0.45, 0.525), ("a",)]


def test_a_logarithmic_axis_is_refined_by_factors(recorded) -> None:
    results = recorded(Grid(rate=[0.001, 0.01, 0.1]), lambda v: {"y": -abs(v["rate"] - 0.01)})
    (axis,) = suggested(results, "y", factor=2).axes

    assert axis.values == (0.003162, 0.01, 0.031623)


def test_at_the_end_of_an_axis_values_go_beyond_and_that_is_told(recorded) -> None:
    results = recorded(Grid(x=[1.0, 2.0, 3.0], rate=[0.1, 1.0, 10.0]), lambda v: {"y": v["x"] - v["rate"]})

    with pytest.warns(UserWarning, match="best value of (x, 3, is at the upper|rate, 0.1, is at the lower) end"):
        space = suggested(results, "y", factor=2)
    assert [axis.values for axis in space.axes] == [(2.5, 3.0, 3.5, 4.0), (0.01, 0.03162, 0.1, 0.31623)]
    with pytest.warns(UserWarning, match="better ones may lie beyond it"):
        within = suggested(results, "y", factor=2, extend=False)
    assert [axis.values for axis in within.axes] == [(2.5, 3.0), (0.1, 0.31623)]


def test_beyond_the_end_values_do_not_change_sign(recorded) -> None:
    results = recorded(Grid(x=[0.5, 2.0, 3.5], n=[0, 3, 6]), lambda v: {"y": v["x"] + v["n"]})

    with pytest.warns(UserWarning, match="goes beyond it"):
        space = suggested(results, "y", maximize=False, factor=3)
    x, n = (axis.values for axis in space.axes)
    assert min(x) == 0.5
    assert n == (0, 1, 2)


def test_replicates_are_all_repeated_and_conditions_and_derived_parameters_hold(recorded) -> None:
    space = (Grid(a=[1, 5, 9], b=[2.0, 6.0, 10.0]).where("a < b") * Replicates(2)).derive(area="a * b")
    results = recorded(space, lambda v: {"y": -abs(v["a"] - 5) - abs(v["b"] - 6)})
    finer = suggested(results, "y", factor=2)

    assert finer.names == ("a", "b", "replicate", "area")
    assert len(finer) == 6 * 2
    assert sorted({variant["replicate"] for variant in finer}) == [0, 1]
    assert all(variant["a"] < variant["b"] and variant["area"] == variant["a"] * variant["b"] for variant in finer)
    workflow = ExperimentalWorkflow("all")
    workflow.add_parameter_space(space)
    workflow.add_parameter_space(finer)
    assert len(workflow.space) == len(space) + len(finer) - 2  # the best is in both, twice


@pytest.mark.parametrize(("around", "new"), [("optimum", {1.125, 1.625}), ("boundary", {0.375, 1.625})])
def test_a_union_of_spaces_is_refined_as_one_space_with_each_value_once(recorded, around, new) -> None:
    united = Grid(x=[0.0, 1.0, 2.0]) * Replicates(2) | Grid(x=[0.75, 1.0, 1.25]) * Replicates(3)
    results = recorded(united, lambda v: {"y": -abs(v["x"] - 1.2)})
    refined = suggested(results, "y", factor=2, around=around)

    assert {variant["replicate"] for variant in refined} == {0, 1, 2}
    assert {variant["x"] for variant in refined} - {0.0, 0.75, 1.0, 1.25, 2.0} == new


def test_a_script_that_refines_grows_the_sweep_each_time_and_goes_on_with_what_was_interrupted(tmp_path: Path) -> None:
    def run_script(*, stop_after: int | None = None) -> tuple[set[str], dict[str, int]]:
        """Run it as a user does, time and again; gives the variants of the sweep, and their statuses."""
        stops[:] = [] if stop_after is None else [stop_after]
        workflow = ExperimentalWorkflow("again")
        workflow.add_task("score", stopped_by_its_user)
        workflow.add_parameter_space({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 1.0, 2.0]})
        workflow.add_parameter_space(Replicates(2))
        engine = Engine("inline", directory=tmp_path, progress=False)
        if (tmp_path / "again").exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                workflow.add_parameter_space(
                    open_results(tmp_path / "again").suggest_refinement("score", maximize=False)
                )
        with contextlib.suppress(KeyboardInterrupt):
            engine.execute_parameter_sweep(workflow)
        return {variant.id for variant in workflow.space}, open_results(tmp_path / "again").status()

    first, _ = run_script()
    second, status = run_script(stop_after=9)
    assert first < second
    assert status["missing"] > 0
    completed, status = run_script()
    assert completed == second
    assert status == {"done": len(second), "failed": 0, "missing": 0}
    third, status = run_script()
    assert second < third
    fourth, status = run_script()
    assert third < fourth
    assert status == {"done": len(fourth), "failed": 0, "missing": 0}


def test_while_variants_have_not_run_nothing_finer_is_suggested(recorded) -> None:
    space = Grid(a=[1.0, 2.0, 3.0, 4.0])
    results = recorded(space, lambda v: {"y": v["a"]} if v["a"] < 4 else None)

    with pytest.warns(UserWarning, match="1 variants? of the sweep did not run yet"):
        assert results.suggest_refinement("y") == space


def test_parameters_that_the_best_lacks_do_not_keep_the_space_from_being_added(recorded) -> None:
    space = Grid(opt=["sgd"], rate=[0.1, 0.2, 0.3], momentum=[0.5, 0.9]) | Grid(opt=["adam"], rate=[0.1, 0.2, 0.3])
    results = recorded(space, lambda v: {"y": -abs(v["rate"] - 0.2) + (v["opt"] == "adam")})
    finer = suggested(results, "y", factor=2)
    workflow = ExperimentalWorkflow("all")
    workflow.add_parameter_space(space)
    workflow.add_parameter_space(finer)

    assert len(workflow.space) == 9 + 2
    assert {"opt": "adam", "rate": 0.15} in workflow.space


def test_around_a_drawn_variant_the_reach_is_the_usual_distance_between_variants(recorded) -> None:
    drawn = LatinHypercube({"x": (0.0, 1.0), "y": Range(0.01, 100, scale="log")}, n=64, seed=1)
    results = recorded(drawn, lambda v: {"z": -((v["x"] - 0.5) ** 2) - math.log10(v["y"]) ** 2})
    x, y = suggested(results, "z", factor=3).axes
    best = results.find_optimal_parameters("z")

    assert best["x"] in x.values
    assert 1 / 16 < max(x.values) - min(x.values) < 1 / 4
    assert is_geometric(y.values)


def test_a_boundary_is_looked_for_where_the_metric_jumps(recorded) -> None:
    results = recorded(Grid(t=[1.0, 2.0, 3.0, 4.0], size=[8, 16]), lambda v: {"m": float(v["t"] < 2.3) + v["t"] / 100})
    space = suggested(results, "m", around="boundary", factor=4, parameters=["t"])

    assert {variant["t"] for variant in space} == {2.25, 2.5, 2.75}
    assert {variant["size"] for variant in space} == {8, 16}


def test_only_named_parameters_are_refined(recorded) -> None:
    results = recorded(Grid(a=[0.0, 1.0, 2.0], b=[0.0, 1.0, 2.0]), lambda v: {"y": -abs(v["a"] - 1) - abs(v["b"] - 1)})

    assert [len(axis) for axis in suggested(results, "y", parameters=["b"], factor=2).axes] == [1, 3]
    with pytest.raises(ResultsError, match="there is no parameter 'c'"):
        suggested(results, "y", parameters=["c"])


@pytest.mark.parametrize("values", [[1, 2, 3], ["a", "b"], [1.0]])
def test_what_cannot_be_finer_is_told(recorded, values) -> None:
    results = recorded(Axis("a", values), lambda v: {"y": -abs(values.index(v["a"]) - 1)})

    with pytest.raises(ResultsError, match="nothing finer can be suggested"):
        results.suggest_refinement("y")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"factor": 1}, "factor=1"), ({"factor": 2.5}, "factor=2.5"), ({"around": "edge"}, "'optimum' or 'boundary'")],
)
def test_arguments_that_are_not_understood_are_told(recorded, options, words) -> None:
    results = recorded(Grid(a=[0.0, 1.0, 2.0]), lambda v: {"y": -abs(v["a"] - 1)})

    with pytest.raises(ResultsError, match=words):
        results.suggest_refinement("y", **options)


def test_a_metric_that_changes_nowhere_has_no_boundary(recorded) -> None:
    results = recorded(Points([{"a": 1.0}, {"a": 2.0}]), lambda v: {"y": 1.0})

    with pytest.raises(ResultsError, match="y does not change"):
        results.suggest_refinement("y", around="boundary")


numbers = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(st.lists(numbers, min_size=3, max_size=3, unique=True), st.integers(2, 9))
def test_finer_values_lie_strictly_between_the_neighbours_and_hold_the_best(ends: list[float], factor: int) -> None:
    low, best, high = sorted(ends)
    values = finer_values(Reach(low, best, high, recorded=(low, best, high)), factor)

    assert best in values
    assert all(low < value < high for value in values)
    assert len(values) <= 2 * factor - 1
    recorded = [low, best, high]
    assert not [v for v in values for r in recorded if v != r and math.isclose(v, r, rel_tol=1e-12)]


def test_of_very_many_neighbours_the_steepest_are_looked_at(monkeypatch) -> None:
    made: list[float] = []
    edge = boundary._Edge
    monkeypatch.setattr(boundary, "_Edge", lambda *facts: made.append(facts[0]) or edge(*facts))
    monkeypatch.setattr(boundary, "_MOST_EDGES", 5)
    space = Grid(a=range(50), b=range(40))
    table = space.take(np.arange(space.n_variants))
    means = np.random.default_rng(0).normal(size=space.n_variants)

    found = boundary.steepest_edges(table, means, ["a", "b"])

    block = means.reshape(50, 40)
    changes = np.concatenate([np.abs(np.diff(block, axis=axis)).ravel() for axis in (0, 1)])
    assert [one.change for one in found] == sorted(changes.tolist())[:-6:-1]
    assert all(abs(means[one.after] - means[one.before]) == one.change for one in found)
    assert len(made) <= 10
