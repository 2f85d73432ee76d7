"""How many jobs a class of workers has: bounded whatever happens, and none for which there is nothing to do."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.clusters.pool import MOST_GROWTH, Pool, PoolJob
from sciflow.planning.classes import ResourceClass
from sciflow.workflow.resources import Resources

KIND = ResourceClass("cpu1", Resources(), frozenset())


class Site:
    """Jobs of a pool that start, end and have workers, of which each runs one thing at a time; no clock."""

    def __init__(self, pool, n_runs):
        self.pool, self.n_runs = pool, n_runs
        self.busy = {}  # job → runs under way in it
        self.n_submitted = self.n_ended = self.n_cancelled = 0

    def step(self, useless=()):
        """What the supervisor does in one step; asserts what holds of each."""
        pool = self.pool
        pool.demand = self.n_runs
        idle = {job.number for job in pool.jobs.values() if job.n_there and not self.busy.get(job.number)}
        bored = {number for number in idle if number % 2}
        n_new, over = pool.decide(useless, idle, bored)
        assert len({job.number for job in over}) == len(over)
        for job in over:
            assert not job.cancelled
            assert not self.busy.get(job.number), "it runs something"
            job.cancelled = True
            self.n_cancelled += 1
            del pool.jobs[job.number]
            self.busy.pop(job.number, None)
        useful = [number for number in pool.jobs if number not in useless]
        assert n_new >= 0
        assert len(useful) + n_new <= max(len(useful), math.ceil(pool.most / pool.per_job))
        for _ in range(n_new):
            self.n_submitted += 1
            pool.jobs[self.n_submitted] = PoolJob(str(self.n_submitted), self.n_submitted, Path("log"), 0.0)
        return n_new, over

    def start(self, job):
        job.n_came = job.n_there = self.pool.per_job

    def work(self):
        """Each worker that is there and free takes something, if there is any."""
        for job in self.pool.jobs.values():
            free = job.n_there - self.busy.get(job.number, 0)
            taken = min(free, self.n_runs - sum(self.busy.values()))
            if taken > 0:
                self.busy[job.number] = self.busy.get(job.number, 0) + taken

    def finish(self, number):
        """Something that runs in a job is done."""
        if self.busy.get(number):
            self.busy[number] -= 1
            self.n_runs -= 1

    def end(self, number):
        """A job ends, and what it ran is to be run again."""
        self.n_ended += 1
        self.busy.pop(number, None)
        del self.pool.jobs[number]


pools = st.builds(
    Pool, st.just(KIND), st.integers(1, 20), st.integers(1, 4), variant_s=st.none() | st.floats(0.001, 10_000)
)
happenings = st.lists(st.sampled_from(["step", "start", "work", "finish", "end", "useless"]), max_size=120)


@given(pools, st.integers(0, 60), happenings, st.randoms(use_true_random=False))
def test_jobs_stay_bounded_and_what_is_cancelled_runs_nothing(pool, n_runs, what, random):
    site = Site(pool, n_runs)
    n_useless = 0
    for one in what:
        job = random.choice(list(pool.jobs.values())) if pool.jobs else None
        if one == "step":
            site.step()
        elif one == "work":
            site.work()
        elif job is None:
            continue
        elif one == "start":
            site.start(job)
        elif one == "finish":
            site.finish(job.number)
        elif one == "end":
            site.end(job.number)
        else:
            n_useless += 1
            site.step(useless={job.number})
    # one for each worker that may be, and one for each that was lost or used up: nothing is cancelled and
    # submitted again in turn
    assert site.n_submitted <= math.ceil(pool.most / pool.per_job) + site.n_ended + n_useless


@given(pools, st.integers(1, 60), st.randoms(use_true_random=False))
def test_work_comes_to_its_end_and_then_no_job_is_left(pool, n_runs, random):
    site = Site(pool, n_runs)
    for _ in range(2000):
        site.step()
        for job in pool.jobs.values():
            if not job.n_came and random.random() < 0.5:
                site.start(job)
        site.work()
        for number in list(pool.jobs):
            if random.random() < 0.5:
                site.finish(number)
            elif random.random() < 0.05:
                site.end(number)
        if site.n_runs == 0:
            break
    assert site.n_runs == 0
    site.step()
    assert pool.jobs == {}


@given(pools, st.integers(1, 100))
def test_there_are_at_least_one_and_at_most_as_many_workers_as_may_be(pool, n_runs):
    pool.demand = n_runs
    assert 1 <= pool.n_wanted() <= min(pool.most, n_runs)


def started(n, *, most=8, per_job=1):
    pool = Pool(KIND, most, per_job)
    for number in range(1, n + 1):
        pool.jobs[number] = PoolJob(str(number), number, Path("log"), 0.0, n_came=per_job, n_there=per_job)
    return pool


def test_in_the_tail_workers_that_have_nothing_are_let_go_while_long_runs_go_on():
    pool = started(8)
    pool.demand, pool.variant_s = 3, 3600.0

    n_new, over = pool.decide((), idle={4, 5, 6, 7, 8}, bored={5, 6, 7, 8})

    assert n_new == 0
    assert [job.number for job in over] == [5, 6, 7, 8]


def test_no_more_workers_are_let_go_than_are_too_many():
    pool = started(8)
    pool.demand, pool.variant_s = 6, 3600.0

    _, over = pool.decide((), idle={4, 5, 6, 7, 8}, bored={4, 5, 6, 7, 8})

    assert len(over) == 2


def test_a_short_pause_between_two_batches_costs_no_worker():
    pool = started(8)
    pool.demand, pool.variant_s = 100, 1.0  # work for two workers for a minute, but eight are there

    assert pool.decide((), idle={1, 5}) == (0, [])


def test_a_job_that_ends_soon_is_replaced_at_once_and_cancelled_only_when_it_is_idle():
    pool = started(4, most=4)
    pool.demand = 100

    assert pool.decide(useless={2}, idle=()) == (1, [])
    n_new, over = pool.decide(useless={2}, idle={2})
    assert n_new == 1
    assert [job.number for job in over] == [2]


def test_work_for_a_moment_is_not_worth_further_workers():
    pool = Pool(KIND, most=16)
    pool.demand, pool.variant_s = 600, 0.1

    assert pool.decide((), ()) == (1, [])


@pytest.mark.parametrize(("how", "what"), [("out_of_memory", "memory"), ("walltime", "time")])
def test_later_jobs_ask_for_more_of_what_was_not_enough_up_to_a_limit(how, what):
    pool = Pool(KIND, most=1)
    for _ in range(10):
        pool.grow(how)
    pool.grow("node_lost")

    assert pool.growth == {"memory": 1.0, "time": 1.0} | {what: MOST_GROWTH}
