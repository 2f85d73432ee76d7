"""How many jobs a sweep asks for, class by class: never more than there is to run, and none where nothing is left."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sciflow.clusters.pool import Pool, PoolJob
from sciflow.clusters.protocol import Answer
from sciflow.engine.gate import Gate
from sciflow.engine.loop import Loop
from sciflow.planning.batch import Ack
from sciflow.planning.classes import Classes
from sciflow.planning.rows import RowSet
from sciflow.planning.sharing import Sharing, count_evaluations
from sciflow.scheduling.policy import Immediate
from sciflow.space import Grid
from sciflow.workflow import Definition, Step
from sciflow.workflow.resources import Resources
from sciflow.workflow.task import make_task


class Site:
    """The pools of a sweep with jobs of one worker, which come when they like and end only when they are cancelled."""

    n_cores, batch_s = 1, 10.0

    def __init__(self, classes, most, chance, run_s):
        self.pools = {one.name: Pool(one, most) for one in classes.all}
        self.n_submitted = dict.fromkeys(self.pools, 0)
        self.chance, self.run_s = chance, run_s
        self.waiting, self.running = [], {}

    @property
    def n_slots(self):
        return sum(self.slots_of(name) for name in self.pools)

    def slots_of(self, resource_class):
        return sum(job.n_there for job in self.pools[resource_class].jobs.values())

    def most_memory(self, resource_class):
        return 1.0

    def demand(self, waiting):
        """As the supervisor does in one step, after which some jobs start."""
        assert waiting.keys() == self.pools.keys()
        for name, pool in self.pools.items():
            pool.demand = waiting[name]
            busy = {number for of, number in self.running if of == name}
            n_new, over = pool.decide((), pool.jobs.keys() - busy)
            for job in over:
                del pool.jobs[job.number]
            for _ in range(n_new):
                self.n_submitted[name] += 1
                number = self.n_submitted[name]
                pool.jobs[number] = PoolJob(str(number), number, Path("log"), 0.0)
            for job in pool.jobs.values():
                if not job.n_came and self.chance.random() < 0.5:
                    pool.came(job)

    def submit(self, batch):
        self.pools[batch.resource_class].variant_s = batch.variant_s
        self.waiting.append(batch)

    def next_answer(self, timeout_s):
        for name, pool in self.pools.items():
            for number in (job.number for job in pool.jobs.values() if job.n_there):
                mine = next((batch for batch in self.waiting if batch.resource_class == name), None)
                if mine is not None and (name, number) not in self.running:
                    self.waiting.remove(mine)
                    self.running[name, number] = mine
        if not self.running:
            return None
        batch = self.running.pop(self.chance.choice(list(self.running)))
        n_done = 0 if batch.until else batch.n_variants
        return Answer(batch, Ack(n_done, 0, batch.n_variants * self.run_s))


class Watcher:
    def __getattr__(self, name):
        return lambda *facts: None


@st.composite
def definitions(draw):
    """A chain of one to three tasks with resources of their own over a grid."""
    space = Grid(a=range(draw(st.integers(1, 4))), b=range(draw(st.integers(1, 4))), c=range(draw(st.integers(1, 6))))
    kinds = st.sampled_from([Resources(), Resources(cores=2), Resources(gpus=1)])
    footprints = [*draw(st.lists(st.sampled_from(["a", "b", "ab", "abc"]), max_size=2)), "abc"]
    steps, before = [], []
    for k, footprint in enumerate(footprints):
        steps.append(Step(make_task(f"t{k}", lambda: None, before), (), sink=False, footprint=tuple(footprint)))
        before = [f"t{k}"]
    resources = {step.task.name: draw(kinds) for step in steps}
    return Definition(name="w", seed=0, space=space, steps=tuple(steps), policy=Immediate(), resources=resources)


@given(
    definitions(),
    st.integers(1, 200),
    st.sampled_from([1e-3, 1.0, 100.0]),
    st.data(),
    st.randoms(use_true_random=False),
)
def test_no_more_jobs_are_submitted_for_a_class_than_it_has_runs(definition, most, run_s, data, chance):
    classes = Classes.of(definition)
    sharing = Sharing.of(definition, classes)
    n = sharing.n_variants
    rows = RowSet.from_rows(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))) if data else range(n))
    site = Site(classes, most, chance, run_s)
    loop = Loop(Gate(Immediate()), sharing, {1: rows}, Watcher())
    assert loop.run(site) == "finished"

    n_runs = dict.fromkeys(site.pools, 0)
    for task, n_evaluations in count_evaluations(sharing, rows).items():
        n_runs[classes.of_task(task)] += n_evaluations
    assert all(site.n_submitted[name] <= n_runs[name] for name in site.pools)
    # everything is done, so every job is given back at once
    assert set(loop._demand().values()) == {0}


def test_a_class_gives_its_jobs_back_as_soon_as_all_that_it_runs_is_done():
    prepare = Step(make_task("prepare", lambda a: a), (), sink=False, footprint=("a",))
    fit = Step(make_task("fit", lambda a, b: b, ["prepare"]), (), sink=True, footprint=("a", "b"))
    definition = Definition(
        name="w",
        seed=0,
        space=Grid(a=range(3), b=range(40)),
        steps=(prepare, fit),
        policy=Immediate(),
        resources={"prepare": Resources(), "fit": Resources(cores=2)},
    )
    classes = Classes.of(definition)
    loop = Loop(Gate(Immediate()), Sharing.of(definition, classes), {1: RowSet.span(0, 120)}, Watcher())
    demands = []

    class Noting(Site):
        def demand(self, waiting):
            demands.append((waiting, loop._backlog.n_unkept("prepare")))
            super().demand(waiting)
            if waiting["cpu1"] == 0:
                assert self.pools["cpu1"].jobs == {}

    site = Noting(classes, 16, random.Random(0), 1e-3)
    loop.run(site)

    assert demands[0] == ({"cpu1": 3, "cpu2": 1}, 3)
    assert site.n_submitted["cpu1"] <= 3
    assert {waiting["cpu1"] for waiting, n_left in demands if n_left == 0} == {0}
