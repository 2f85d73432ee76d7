"""What fits no window and no job is refused before it is begun; whoever saves their state is not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest

import sciflow
from sciflow import Engine, ExperimentalWorkflow, LocalCluster, PBSCluster
from sciflow.errors import PolicyError
from sciflow.planning.cost import WALL_S, CostModel, task_measure
from sciflow.planning.fit import excess, may_save, stretches
from sciflow.planning.sharing import Sharing
from sciflow.scheduling import Immediate, Opening, Policy
from sciflow.testing.pbs import FakePbs
from sciflow.testing.pbs_records import Settings

N_TIMED = 12


@dataclass(frozen=True)
class Blinks(Policy):
    """Open for some seconds of every hour."""

    seconds: float

    def opening(self, conditions):
        hour = conditions.now.replace(minute=0, second=0, microsecond=0)
        until = hour + timedelta(seconds=self.seconds)
        if conditions.now < until:
            return Opening(may_start=True, until=until)
        return Opening(may_start=False, next_open=hour + timedelta(hours=1))

    def reason(self, conditions):
        return "it blinks"

    explain = reason

    def to_dict(self):
        return {"name": "blinks"}


def slow(x):
    time.sleep(0.05)
    return {"y": x}


def saving(x, context):
    time.sleep(0.05)
    if context.should_stop():
        return context.defer()
    return {"y": x}


def workflow(task, n=100):
    one = ExperimentalWorkflow("fitting")
    one.add_task("task", task)
    one.add_parameter_space({"x": range(n)})
    return one


@pytest.fixture
def timed(tmp_path):
    """Have a few variants of a task timed; give an engine of that folder."""

    def timed(task, n=N_TIMED, cluster="inline"):
        engine = Engine(cluster, directory=tmp_path, policy="immediate", progress=False)
        engine.execute_parameter_sweep(workflow(task), only=f"x < {n}")
        return lambda policy, cluster="inline": Engine(cluster, directory=tmp_path, policy=policy, progress=False)

    return timed


@pytest.mark.parametrize("start", ["plan", "execute_parameter_sweep", "submit"])
def test_variants_that_take_longer_than_the_longest_window_are_refused_with_what_to_do(timed, start):
    engine = timed(slow)(Blinks(0.02), "local")

    with pytest.raises(PolicyError) as raised:
        getattr(engine, start)(workflow(slow))

    said = str(raised.value)
    assert said.startswith("task 'task' would be started again and again and never end: the longest window of Blinks(")
    for words in ("lasts 20 ms", "as 12 timed runs tell; all of", "context.checkpoint", "spill_minutes", "--now"):
        assert words in said


def test_windows_that_are_long_enough_and_tasks_that_save_their_state_are_not_refused(timed):
    assert timed(slow)(Blinks(10)).plan(workflow(slow)).n_todo == 88


def test_a_task_that_saves_its_state_is_not_refused(timed):
    assert timed(saving)(Blinks(0.02)).plan(workflow(saving)).n_todo == 88


def test_of_few_timed_runs_nothing_is_concluded(timed):
    assert timed(slow, n=7)(Blinks(0.02)).plan(workflow(slow)).n_todo == 93


def test_variants_longer_than_any_job_of_the_queue_are_refused_alike(timed, tmp_path, monkeypatch):
    def long(x):
        time.sleep(1.1)
        return {"y": x}

    engine = timed(long, n=8, cluster=LocalCluster(workers=8))
    with FakePbs(tmp_path / "pbs", Settings(walltime="00:00:01")) as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])

        with pytest.raises(PolicyError, match=r"the queue 'workq' ends every job after 1\.0 s, and .* choose a queue"):
            engine(Immediate(), PBSCluster(queue="workq")).plan(workflow(long))


# ------------------------------------------------------------------------------------------------ which variants, tasks


def prepare(dataset):
    return dataset


def train(prepare, size):
    return size


def check(train):
    return train


def chain(*, timeout=None):
    one = ExperimentalWorkflow("chain")
    one.add_task("prepare", prepare)
    one.add_task("train", train, depends_on=["prepare"], **({} if timeout is None else {"timeout": timeout}))
    one.add_task("check", check, depends_on=["train"])
    one.add_parameter_space({"dataset": ["a", "b"], "size": [1, 2, 4, 8, 16, 32]})
    return one.validate()


def look(definition, most_s, rows=None):
    """What of the chain takes too long when training takes an hour for each unit of size."""
    space = definition.space
    timed = space.take(np.arange(space.n_variants) if rows is None else rows)
    sizes = np.asarray(timed.arrays()["size"], dtype=float)
    costs = {"prepare": np.full(len(sizes), 1800.0), "train": 3600 * sizes, "check": 60 * sizes}
    model = CostModel(space.parameters, {step.task.name: step.footprint for step in definition.steps})
    model.observe(timed, {WALL_S: sum(costs.values())} | {task_measure(name): cost for name, cost in costs.items()})
    everything = space.take(np.arange(space.n_variants))
    found = [
        excess(one, model, everything, most_s, is_all=False) for one in stretches(definition, Sharing.of(definition))
    ]
    return [(one.stretch.names, space[one.place]["size"], one.share) for one in found if one is not None]


def test_what_runs_in_a_row_counts_together_and_a_shared_task_for_itself():
    definition = chain()

    assert look(definition, 40 * 3600) == []
    [(names, size, share)] = look(definition, 25 * 3600)
    assert (names, size) == ("tasks 'train' and 'check'", 32)
    assert share == pytest.approx(1 / 6)
    assert [names for names, _, _ in look(definition, 600)] == ["task 'prepare'", "tasks 'train' and 'check'"]


def test_a_limit_of_its_time_bounds_what_a_task_may_take():
    assert look(chain(timeout="20h"), 25 * 3600) == []


def test_values_of_which_nothing_is_known_are_no_reason_to_refuse():
    definition = chain()
    sizes = np.asarray(definition.space.take(np.arange(12)).arrays()["size"])

    assert look(definition, 2 * 3600, rows=np.flatnonzero(sizes <= 1)) == []


def _passed_on(helper, context):
    return helper(context)


def _in_a_closure(context):
    uses = [lambda: context]
    return uses[0]()


def _other_uses(x, context):
    return context.rng.normal() + x


@pytest.mark.parametrize(
    ("task", "may"),
    [(saving, True), (slow, False), (_other_uses, False), (_passed_on, True), (_in_a_closure, True)],
)
def test_whether_a_task_may_save_its_state_is_seen_from_its_code(task, may):
    one = sciflow.ExperimentalWorkflow("one")
    one.add_task("task", task)
    one.add_parameter_space({"x": [1], "helper": [2]})

    assert may_save(one.validate().steps[0]) is may
