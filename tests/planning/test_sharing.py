"""What variants share is found exactly, kept together, and run once, whatever the order in which workers answer."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sciflow.canonical import identity_key
from sciflow.planning.backlog import Backlog, Parcel
from sciflow.planning.classes import Classes
from sciflow.planning.rows import RowSet
from sciflow.planning.sharing import Sharing
from sciflow.scheduling.policy import Immediate
from sciflow.space import Grid, Points, Space, Zip
from sciflow.testing.strategies import spaces
from sciflow.workflow import Definition, Step
from sciflow.workflow.resources import Resources
from sciflow.workflow.task import make_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def definition(
    space: Space, footprints: Mapping[str, Sequence[str]], resources: Mapping[str, Resources] | None = None
) -> Definition:
    """A chain of tasks with these footprints."""
    steps: list[Step] = []
    before: list[str] = []
    for name, footprint in footprints.items():
        task = make_task(name, lambda: None, before)
        ordered = tuple(one for one in space.names if one in footprint)
        steps.append(Step(task, (), sink=False, footprint=ordered))
        before = [name]
    return Definition(
        name="w", seed=0, space=space, steps=tuple(steps), policy=Immediate(), resources=dict(resources or {})
    )


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


# ------------------------------------------------------------------------------------------------------- backlog


class Workers:
    """Do what parcels say, and count how often each distinct run is done."""

    def __init__(self, sharing: Sharing, backlog: Backlog) -> None:
        self.sharing, self.backlog = sharing, backlog
        self.n_runs: Counter[tuple[str, int]] = Counter()
        self.kept: set[tuple[str, int]] = set()
        self.done: list[int] = []

    def run_of(self, name: str, position: int) -> tuple[str, int]:
        task = next(task for task in self.sharing.tasks if task.name == name)
        return name, int(self.sharing.evaluations(task, np.array([position]))[0])

    def do(self, parcel: Parcel, n_handed_back: int) -> None:
        positions = parcel.positions.rows().tolist()
        if parcel.until:
            (task,) = (task for task in self.sharing.tasks if task.name == parcel.until)
            for position, run in zip(positions, parcel.evaluations, strict=True):
                assert self.run_of(task.name, position) == (task.name, run)
                assert all(self.run_of(name, position) in self.kept for name in task.needs)
                self.n_runs[task.name, run] += 1
                self.kept.add((task.name, run))
            self.backlog.staged(parcel)
            return
        n = max(1, len(positions) - n_handed_back)
        memory: set[tuple[str, int]] = set()
        classes = self.sharing.classes
        for position in positions[:n]:
            for task in self.sharing.tasks:
                run = self.run_of(task.name, position)
                if run not in memory and not (parcel.kept and run in self.kept):
                    assert classes.of_task(task.name) == classes.final, "a worker of another class does it"
                    self.n_runs[run] += 1
                memory.add(run)
        self.done += positions[:n]
        for name, position in self.backlog.settle(RowSet.from_rows(positions[:n])):
            self.kept.remove(self.run_of(name, position))
        if positions[n:]:
            for task in self.sharing.tasks:
                if self.run_of(task.name, positions[n]) in memory:
                    self.kept.add(self.run_of(task.name, positions[n]))
            self.backlog.give_back(parcel, RowSet.from_rows(positions[n:]))


def halves_swapped(positions: RowSet) -> list[RowSet]:
    """Another order, cut wherever it falls."""
    head, tail = positions.split(len(positions) // 2)
    return [part for part in (tail, head) if len(part)]


def work(sharing: Sharing, todo: RowSet, draw: Any, *, hand_back: bool = True) -> Workers:
    backlog = Backlog(sharing, {1: todo})
    workers = Workers(sharing, backlog)
    in_flight: list[Parcel] = []

    def has_room(name: str) -> bool:
        return sum(sharing.classes.of_task(one.until) == name for one in in_flight) < 4

    while backlog or in_flight:
        size = draw(st.integers(1, 12))
        parcel = backlog.take(lambda _, size=size: size, has_room)
        if parcel is not None:
            in_flight.append(parcel)
        if parcel is None or draw(st.booleans()):
            answered = in_flight.pop(draw(st.integers(0, len(in_flight) - 1)))
            n_left = draw(st.integers(0, 3)) if hand_back and len(answered.positions) > 1 else 0
            workers.do(answered, n_left)
            if draw(st.integers(0, 5)) == 0:
                backlog.reorder(halves_swapped)
    return workers


@given(shared_sweeps(), st.data())
def test_each_variant_and_each_shared_run_is_done_exactly_once(made: Any, data: st.DataObject) -> None:
    space, footprints = made
    sharing = Sharing.of(definition(space, footprints))
    some = data.draw(st.sets(st.integers(0, space.n_variants - 1))) if data.draw(st.booleans()) else range(len(space))
    todo = RowSet.from_rows(sorted(some))
    # across each other shared runs that are handed back may be done twice: nobody knows who else needs them
    all_local = all(task.is_local for task in sharing.tasks)
    workers = work(sharing, todo, data.draw, hand_back=all_local)
    assert sorted(workers.done) == todo.rows().tolist()
    assert set(workers.n_runs.values()) <= {1}
    needed = {workers.run_of(task.name, position) for task in sharing.tasks for position in workers.done}
    assert set(workers.n_runs) == needed
    assert workers.kept == set(), "every kept value is released when nobody needs it"


@given(shared_sweeps(), st.data())
def test_each_run_is_done_once_by_a_worker_of_the_class_that_it_asks_for(made: Any, data: st.DataObject) -> None:
    space, footprints = made
    kinds = st.sampled_from([Resources(), Resources(cores=4), Resources(gpus=1)])
    defined = definition(space, footprints, {name: data.draw(kinds) for name in footprints})
    sharing = Sharing.of(defined, Classes.of(defined))
    todo = RowSet.span(0, space.n_variants)
    workers = work(sharing, todo, data.draw, hand_back=False)
    assert sorted(workers.done) == todo.rows().tolist()
    assert set(workers.n_runs.values()) <= {1}
    assert workers.kept == set()
    assert {task.name for task in sharing.tasks} >= sharing.classes.travels


def test_tasks_are_grouped_by_what_they_ask_for() -> None:
    gpu, hours = Resources(cores=4, gpus=1, max_runtime_s=7200), Resources(max_runtime_s=60)
    names = {"load": ["a"], "train": ["a", "b"], "test": ["a", "b"]}
    classes = Classes.of(definition(Grid(a=[1, 2], b=[3, 4]), names, {"train": gpu, "test": hours}))
    assert [(one.name, one.tasks) for one in classes.all] == [("cpu1", {"load", "test"}), ("gpu1", {"train"})]
    assert [one.resources.max_runtime_s for one in classes.all] == [None, 7200]
    assert (classes.final, classes.travels) == ("cpu1", {"load", "train"})
    assert not Classes.of(definition(Grid(a=[1]), {"load": ["a"]}, {"load": gpu})).is_mixed


def test_while_one_class_is_busy_the_other_does_not_run_far_ahead() -> None:
    space = Grid(a=range(100), b=range(1000))
    names = {"load": ["a"], "train": ["a", "b"], "test": ["a", "b"]}
    defined = definition(space, names, {"train": Resources(gpus=1)})
    backlog = Backlog(Sharing.of(defined, Classes.of(defined)), {1: RowSet.span(0, space.n_variants)})
    n_taken = 0
    while (parcel := backlog.take(lambda _: 100, lambda name: name == "cpu1")) is not None:
        backlog.staged(parcel)
        n_taken += 1
    assert n_taken < 100


def chain(space: Space) -> Sharing:
    return Sharing.of(definition(space, {"load": ["a"], "fit": ["a", "b"], "go": list(space.names)}))


def test_a_parcel_ends_where_a_shared_run_ends() -> None:
    backlog = Backlog(chain(Grid(a=range(3), b=range(4), c=range(5))), {1: RowSet.span(0, 60)})
    sizes = []
    while (parcel := backlog.take(lambda _: 45)) is not None:
        assert not parcel.until
        sizes.append(len(parcel.positions))
    assert sizes == [40, 20]


def test_a_run_that_many_parcels_share_is_done_first_and_others_go_on_meanwhile() -> None:
    backlog = Backlog(chain(Grid(a=range(2), b=range(4), c=range(5))), {1: RowSet.span(0, 40)})
    first, second = backlog.take(lambda _: 5), backlog.take(lambda _: 5)
    assert first is not None
    assert second is not None
    assert (first.until, first.evaluations) == ("load", (0,))
    assert (second.until, second.evaluations) == ("load", (1,)), "the other worker computes the next shared run"
    assert backlog.take(lambda _: 5) is None
    backlog.staged(second)
    parcel = backlog.take(lambda _: 5)
    assert parcel is not None
    assert (parcel.positions.rows().tolist(), parcel.kept) == (list(range(20, 25)), True)


def test_what_is_left_to_do_alone_decides_what_is_shared() -> None:
    sharing = chain(Grid(a=range(2), b=range(4), c=range(5)))
    backlog = Backlog(sharing, {1: RowSet.from_rows([3, 4])})
    parcel = backlog.take(lambda _: 2)
    assert parcel is not None
    assert not parcel.until, "the rest of the group is recorded already"


def test_a_million_variants_wait_in_a_few_numbers() -> None:
    backlog = Backlog(chain(Grid(a=range(100), b=range(100), c=range(100))), {1: RowSet.span(0, 10**6)})
    parcels = []
    while (parcel := backlog.take(lambda _: 100_000)) is not None:
        parcels.append(parcel)
        backlog.settle(parcel.positions)
    assert len(parcels) == 10
    assert all(len(parcel.positions.starts) == 1 for parcel in parcels)
