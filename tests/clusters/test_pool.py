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


def ended(pool, how, **facts):
    job = PoolJob("1", 1, Path("log"), 0.0, memory=pool.memory, time=pool.time, **({"n_came": 1} | facts))
    pool.grow(job, how, 16.0)
    return job


def test_later_jobs_are_longer_where_jobs_ended_at_their_walltime_up_to_a_limit():
    pool = Pool(KIND, most=1)
    times = []
    for _ in range(6):
        times.append(pool.time)
        ended(pool, "walltime")
    ended(pool, "node_lost")

    assert times == [1, 2, 4, 8, 16, MOST_GROWTH]
    assert (pool.time, pool.memory) == (MOST_GROWTH, 1)


@pytest.mark.parametrize("how", ["walltime", "out_of_memory"])
def test_many_jobs_that_end_at_once_tell_no_more_than_one(how):
    pool = Pool(KIND, most=8)
    for job in [PoolJob(str(k), k, Path("log"), 0.0, n_came=int(how == "walltime")) for k in range(8)]:
        pool.grow(job, how, 16.0)

    assert pool.time * pool.memory == 2


def test_one_variant_that_needs_more_memory_than_others_makes_no_job_of_others_larger():
    pool = Pool(KIND, most=4)
    for _ in range(50):
        for _ in range(4):
            pool.settled()
        ended(pool, "out_of_memory")
        ended(pool, "out_of_memory", is_large=True)

    assert pool.memory == 1


def test_where_most_jobs_have_not_enough_memory_all_later_ones_have_more():
    pool = Pool(KIND, most=4)
    for _ in range(100):
        ended(pool, "out_of_memory")

    assert pool.memory == 16


def test_a_job_without_memory_for_its_worker_to_start_is_followed_by_a_larger_one():
    pool = Pool(KIND, most=4)
    ended(pool, "out_of_memory", n_came=0)

    assert pool.memory == 2


def test_what_was_refused_is_not_asked_for_again():
    pool = Pool(KIND, most=4)
    fine, refused = PoolJob("1", 1, Path("log"), 0.0, memory=2.0), PoolJob("2", 2, Path("log"), 0.0, memory=4.0)
    pool.memory = 4.0
    pool.came(fine)

    assert pool.shrink(refused, "refused")
    assert (pool.most_memory, pool.memory) == (2.0, 2.0)
    assert not pool.shrink(fine, "refused")  # one like that was there: it is refused for another reason


def test_a_walltime_that_is_refused_ends_its_growth():
    pool = Pool(KIND, most=4)
    ended(pool, "walltime")

    assert pool.shrink(PoolJob("2", 2, Path("log"), 0.0, time=2.0), "refused")
    ended(pool, "walltime")
    assert pool.time == 1


def test_each_variant_that_needs_a_large_job_gets_one_beside_those_of_others():
    pool = started(4, most=8)
    pool.demand, pool.large = 100, [2.0, 8.0, 2.0]

    assert pool.decide((), ()) == (1, [])
    assert pool.decide_large((), ()) == ([8.0, 2.0, 2.0], [], [])


def test_a_large_job_serves_who_needs_less_and_goes_when_nobody_wants_it():
    pool = Pool(KIND, 8, jobs={1: PoolJob("1", 1, Path("log"), 0.0, memory=8.0, is_large=True, n_came=1, n_there=1)})
    pool.large = [2.0]
    assert pool.decide_large((), ()) == ([], [], [])

    pool.large = []
    _, over, _ = pool.decide_large((), idle={1})
    assert [job.number for job in over] == [1]


def test_where_others_have_all_places_one_of_them_makes_room():
    pool = started(4, most=4)
    pool.demand, pool.large = 100, [2.0]

    new, over, yielding = pool.decide_large((), ())
    assert (new, over, [job.number for job in yielding]) == ([], [], [1])
    pool.jobs[1].is_retired = True
    assert pool.decide_large({1}, ()) == ([], [], [])
    del pool.jobs[1]
    assert pool.decide_large((), ()) == ([2.0], [], [])
    assert pool.decide((), ()) == (0, [])


def test_a_job_that_waits_gives_its_place_to_a_large_one():
    pool = started(4, most=4)
    pool.demand, pool.large, pool.jobs[3].n_came, pool.jobs[3].n_there = 100, [2.0], 0, 0

    _, over = pool.decide((), ())
    assert [job.number for job in over] == [3]


class MixedSite:
    """A pool whose variants need ordinary jobs, or large ones of their own."""

    def __init__(self, pool, large, n_runs, random):
        self.pool, self.waiting, self.n_runs, self.random = pool, list(large), n_runs, random
        self.running = {}  # large job → memory of the variant that it runs
        self.number = 0

    @property
    def is_over(self):
        return not (self.waiting or self.running or self.n_runs or self.pool.jobs)

    def step(self):
        pool, jobs = self.pool, self.pool.jobs
        pool.demand, pool.large = self.n_runs, [*self.waiting, *(jobs[number].memory for number in self.running)]
        there = {job.number for job in jobs.values() if job.n_there}
        busy = {number for number in there if number in self.running or (self.n_runs and not jobs[number].is_large)}
        useless = {job.number for job in jobs.values() if job.is_retired}
        n_new, over = pool.decide(useless, there - busy, there - busy)
        new, large_over, yielding = pool.decide_large(useless, there - busy)
        for job in (*over, *large_over):
            assert job.number not in busy
            del jobs[job.number]
        for memory in (*new, *[None] * n_new):
            self.number += 1
            facts = {} if memory is None else {"memory": memory, "is_large": True}
            jobs[self.number] = PoolJob(str(self.number), self.number, Path("log"), 0.0, **facts)
        assert len(jobs) <= pool.most
        for job in yielding:
            job.is_retired = True

    def work(self):
        for job in list(self.pool.jobs.values()):
            if self.random.random() < 0.5:
                continue
            if not job.n_came:
                self.pool.came(job)
            elif job.is_large:
                self.work_in_large(job)
            else:
                self.n_runs = max(0, self.n_runs - 1)
                if job.is_retired:
                    del self.pool.jobs[job.number]

    def work_in_large(self, job):
        fits = [memory for memory in self.waiting if memory <= job.memory]
        if job.number in self.running:
            del self.running[job.number]
        elif fits:
            self.waiting.remove(fits[0])
            self.running[job.number] = fits[0]


@given(
    pools,
    st.lists(st.sampled_from([2.0, 4.0, 8.0]), max_size=12),
    st.integers(0, 40),
    st.randoms(use_true_random=False),
)
def test_large_variants_and_others_all_come_to_their_end_within_the_workers_that_may_be(pool, large, n_runs, random):
    pool.per_job = 1
    site = MixedSite(pool, large, n_runs, random)
    for _ in range(3000):
        site.step()
        site.work()
        if site.is_over:
            break

    assert site.is_over
