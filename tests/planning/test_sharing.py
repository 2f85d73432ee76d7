"""What variants share is found exactly, and the enumeration puts those that share next to each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sciflow.canonical import identity_key
from sciflow.planning.sharing import Sharing
from sciflow.scheduling.policy import Immediate
from sciflow.space import Grid, Points, Space, Zip
from sciflow.testing.strategies import spaces
from sciflow.workflow import Definition, Step
from sciflow.workflow.task import make_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def definition(space: Space, footprints: Mapping[str, Sequence[str]]) -> Definition:
    """A chain of tasks with these footprints."""
    steps: list[Step] = []
    before: list[str] = []
    for name, footprint in footprints.items():
        task = make_task(name, lambda: None, before)
        ordered = tuple(one for one in space.names if one in footprint)
        steps.append(Step(task, (), sink=False, footprint=ordered))
        before = [name]
    return Definition(name="w", seed=0, space=space, steps=tuple(steps), policy=Immediate())


def values_of(space: Space, names: Sequence[str]) -> list[Any]:
    """What each row has in the parameters *names*, comparable; derived ones included."""
    derived = {one.name for one in space.parameters if one.derived}
    columns = space.columns()
    return [
        tuple(
            columns[name][k].item() if name in derived else identity_key(variant[name]) if name in variant else None
            for name in names
        )
        for k, variant in enumerate(space)
    ]


@st.composite
def shared_sweeps(draw: Any) -> tuple[Space, dict[str, tuple[str, ...]]]:
    space = draw(spaces("ab"))
    if draw(st.booleans()):
        space = space * draw(spaces("cd"))
    names = [one.name for one in space.parameters if not one.derived]
    assume(names and space.n_variants)
    subsets = st.lists(st.sampled_from(names), unique=True).map(tuple)
    footprints = draw(st.lists(subsets, min_size=1, max_size=3))
    return space, {f"t{k}": footprint for k, footprint in enumerate(footprints)}


@given(shared_sweeps())
def test_variants_share_a_run_exactly_when_they_agree_on_its_footprint(
    made: tuple[Space, dict[str, tuple[str, ...]]],
) -> None:
    space, footprints = made
    sharing = Sharing.of(definition(space, footprints))
    positions = np.arange(space.n_variants)
    rows = sharing.rows(positions)
    for task in sharing.tasks:
        values = values_of(space, task.footprint)
        runs = sharing.evaluations(task, positions).tolist()
        pairs = {(values[row], run) for row, run in zip(rows.tolist(), runs, strict=True)}
        assert len(pairs) == len({value for value, _ in pairs}) == len({run for _, run in pairs})
        assert sorted({run for _, run in pairs}) == list(range(task.n_evaluations))
    for name, footprint in footprints.items():
        assert sharing.n_evaluations[name] == len(set(values_of(space, sorted(footprint))))


@given(shared_sweeps())
def test_positions_and_rows_are_one_to_one(made: tuple[Space, dict[str, tuple[str, ...]]]) -> None:
    space, footprints = made
    sharing = Sharing.of(definition(space, footprints))
    positions = np.arange(space.n_variants)
    rows = sharing.rows(positions)
    assert sorted(rows.tolist()) == positions.tolist()
    assert sharing.positions(rows).tolist() == positions.tolist()


@given(shared_sweeps())
def test_the_variants_of_a_local_run_are_one_span_of_positions(
    made: tuple[Space, dict[str, tuple[str, ...]]],
) -> None:
    space, footprints = made
    sharing = Sharing.of(definition(space, footprints))
    positions = np.arange(space.n_variants)
    for task in (task for task in sharing.tasks if task.is_local):
        runs = sharing.evaluations(task, positions)
        for run in range(task.n_evaluations):
            start, stop = sharing.span(task, run)
            assert np.flatnonzero(runs == run).tolist() == list(range(start, stop))


def test_the_task_with_the_fewest_runs_varies_slowest_wherever_its_parameter_was_declared() -> None:
    space = Grid(d=range(7), c=range(5), a=range(3))
    sharing = Sharing.of(definition(space, {"load": ["a"], "fit": ["a", "c"], "score": ["a", "c", "d"]}))
    assert sharing.n_evaluations == {"load": 3, "fit": 15, "score": 105}
    assert [(task.name, task.is_local) for task in sharing.tasks] == [("load", True), ("fit", True)]
    assert [space[int(row)]["a"] for row in sharing.rows(np.arange(105))] == [0] * 35 + [1] * 35 + [2] * 35
    assert sharing.tasks[1].needs == {"load"}


def test_a_space_in_its_natural_order_is_left_as_it_is() -> None:
    sharing = Sharing.of(definition(Grid(a=range(3), b=range(9)).where("a + b < 9"), {"load": ["a"], "go": ["a", "b"]}))
    assert sharing.is_natural
    assert sharing.tasks[0].is_local


def test_two_tasks_that_share_across_each_other_cannot_both_be_local() -> None:
    sharing = Sharing.of(definition(Grid(a=range(3), b=range(4)), {"left": ["a"], "right": ["b"]}))
    assert [(task.name, task.is_local) for task in sharing.tasks] == [("left", True), ("right", False)]


def test_a_task_without_parameters_runs_once() -> None:
    sharing = Sharing.of(definition(Grid(a=range(3)), {"load": [], "go": ["a"]}))
    assert sharing.n_evaluations == {"load": 1, "go": 3}
    assert sharing.span(sharing.tasks[0], 0) == (0, 3)


def test_a_footprint_that_is_different_in_every_variant_is_not_shared() -> None:
    sharing = Sharing.of(definition(Zip(a=[1, 2, 3], b=[4, 5, 6]), {"load": ["a"]}))
    assert sharing.tasks == ()
    assert sharing.n_evaluations == {"load": 3}


def test_a_derived_parameter_is_shared_by_its_values() -> None:
    space = Grid(a=[1, 2, 3, 4], b=[0, 1]).derive(even="a % 2")
    sharing = Sharing.of(definition(space, {"load": ["even"]}))
    assert sharing.n_evaluations["load"] == 2


@pytest.mark.parametrize("n", [10**6, 10**18])
def test_a_huge_product_costs_nothing(n: int) -> None:
    side = math.isqrt(n)
    sharing = Sharing.of(definition(Grid(a=range(side), b=range(n // side)), {"load": ["b"]}))
    assert sharing.n_evaluations["load"] == n // side
    assert sharing.rows(np.array([0, 1, n - 1])).tolist() == [0, n // side, n - 1]


def test_points_that_share_are_brought_together() -> None:
    points = Points([{"a": k % 2, "b": k} for k in range(10)])
    sharing = Sharing.of(definition(points, {"load": ["a"]}))
    assert sharing.tasks[0].is_local
    assert sharing.rows(np.arange(10)).tolist() == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
