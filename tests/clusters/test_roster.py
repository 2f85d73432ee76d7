"""Which worker gets which batch: laws that hold whatever happens in whatever order."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sciflow.clusters.roster import MARGIN_S, Roster, Seat
from sciflow.planning.batch import STOP_EARLY_S, Batch

CLASSES = ("cpu1", "gpu1")


def batch_of(number=1, resource_class="cpu1", **facts):
    return Batch(number, np.array([number]), 1, 2.0, resource_class=resource_class, **facts)


class Rosters(RuleBasedStateMachine):
    """Workers come, go and answer; batches are put; time goes by."""

    def __init__(self):
        super().__init__()
        self.roster = Roster()
        self.now = 1000.0
        self.n_seats = self.n_batches = 0
        self.waiting = {}  # number → batch, as put
        self.seated = {}  # number → address
        self.settled = set()
        self.sent_away = set()

    @rule(
        resource_class=st.sampled_from(CLASSES),
        variant_s=st.none() | st.floats(0.01, 5000),
        stop_in=st.none() | st.floats(0, 3000),
        memory=st.sampled_from([1.0, 1.0, 2.0, 4.0]),
    )
    def put(self, resource_class, variant_s, stop_in, memory):
        self.n_batches += 1
        stop_at = None if stop_in is None else self.now + stop_in
        batch = batch_of(self.n_batches, resource_class, variant_s=variant_s, stop_at=stop_at, memory=memory)
        self.waiting[batch.number] = batch
        self.roster.put(batch)

    @rule(
        resource_class=st.sampled_from(CLASSES),
        job=st.integers(1, 4),
        left=st.just(math.inf) | st.floats(-50, 5000),
        memory=st.sampled_from([1.0, 2.0, 4.0]),
        is_large=st.booleans(),
    )
    def come(self, resource_class, job, left, memory, is_large):
        self.n_seats += 1
        seat = Seat(f"tls://{self.n_seats}", resource_class, job, self.now, self.now + left)
        seat.memory, seat.is_large = memory, is_large and memory > 1
        self.roster.add(seat)

    @precondition(lambda self: self.roster.seats)
    @rule(data=st.data())
    def go(self, data):
        address = data.draw(st.sampled_from(sorted(self.roster.seats)))
        seat = self.roster.remove(address)
        assert seat is not None
        held = [number for number, where in self.seated.items() if where == address]
        assert held == ([] if seat.batch is None else [seat.batch.number])
        for number in held:  # the driver sends it again, as another batch
            del self.seated[number]
            self.settled.add(number)

    @rule(seconds=st.floats(0, 2000))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def assign(self):
        for seat, batch in self.roster.assign(self.now):
            asked = self.waiting.pop(batch.number)  # raises when it was given already
            self.seated[batch.number] = seat.address
            assert seat.resource_class == asked.resource_class
            assert not seat.is_dismissed
            assert (seat.resource_class, seat.number) not in self.sent_away
            assert seat.memory == batch.memory >= asked.memory
            assert asked.memory > 1 or not seat.is_large
            assert list(self.seated.values()).count(seat.address) == 1
            assert seat.ends_at - MARGIN_S > self.now
            stops = [math.inf if one.stop_at is None else one.stop_at for one in (asked, batch)]
            assert stops[1] <= stops[0]
            assert stops[1] - STOP_EARLY_S <= seat.ends_at - MARGIN_S or seat.ends_at == math.inf == stops[1]
            assert replace(batch, stop_at=None).rows is asked.rows

    @rule()
    def assign_leaves_no_fresh_worker_idle(self):
        self.assign()
        for seat in self.roster.seats.values():
            if seat.batch is None and seat.ends_at == math.inf and not seat.is_dismissed:
                mine = [one.memory for one in self.waiting.values() if one.resource_class == seat.resource_class]
                assert not [one for one in mine if seat.suits(seat.resource_class, one)]

    @precondition(lambda self: self.seated)
    @rule(data=st.data())
    def answer(self, data):
        number = data.draw(st.sampled_from(sorted(self.seated)))
        assert self.roster.settle(self.seated.pop(number), number)
        self.settled.add(number)

    @rule(address=st.integers(1, 5), number=st.integers(1, 50))
    def answer_late(self, address, number):
        if self.seated.get(number) != f"tls://{address}":
            assert not self.roster.settle(f"tls://{address}", number)

    @rule(resource_class=st.sampled_from(CLASSES), job=st.integers(1, 4))
    def dismiss(self, resource_class, job):
        mine = [s for s in self.roster.seats.values() if (s.resource_class, s.number) == (resource_class, job)]
        busy = any(seat.batch is not None for seat in mine)
        before = [seat.is_dismissed for seat in mine]
        assert self.roster.dismiss(resource_class, job) is not busy
        self.sent_away |= set() if busy else {(resource_class, job)}
        assert [seat.is_dismissed for seat in mine] == (before if busy else [True] * len(mine))

    @rule(resource_class=st.sampled_from(CLASSES), memory=st.sampled_from([1.0, 2.0]))
    def take_beyond(self, resource_class, memory):
        taken = {batch.number for batch in self.roster.take_beyond(resource_class, memory)}
        mine = {n: one.memory for n, one in self.waiting.items() if one.resource_class == resource_class}
        assert taken == {number for number, wanted in mine.items() if wanted > memory}
        self.forget(taken)

    @rule()
    def take_late(self):
        taken = {batch.number for batch in self.roster.take_late(self.now)}
        stops = {number: one.stop_at for number, one in self.waiting.items()}
        assert taken == {number for number, at in stops.items() if at is not None and at < self.now}
        self.forget(taken)

    def forget(self, numbers):
        for number in numbers:
            del self.waiting[number]
        self.settled |= numbers

    @rule()
    def take_all(self):
        assert sorted(batch.number for batch in self.roster.take_all()) == sorted(self.waiting)
        self.settled |= self.waiting.keys()
        self.waiting.clear()

    @invariant()
    def no_batch_is_lost_or_had_twice(self):
        held = [seat.batch.number for seat in self.roster.seats.values() if seat.batch is not None]
        assert sorted(held) == sorted(self.seated)
        assert sum(self.roster.n_waiting(name) for name in CLASSES) == len(self.waiting)
        assert len(self.waiting) + len(self.seated) + len(self.settled) == self.n_batches


TestRosters = Rosters.TestCase


def test_what_takes_long_goes_to_the_worker_with_the_most_time():
    roster = Roster()
    for name, left in (("short", 100), ("long", 4000)):
        roster.add(Seat(name, "cpu1", 1, since=-100_000, ends_at=left))
    roster.put(batch_of(1, variant_s=1000))

    assert [(seat.address, batch.number) for seat, batch in roster.assign(0)] == [("long", 1)]


def test_a_short_variant_leaves_the_worker_with_the_most_time_free():
    roster = Roster()
    for name, left in (("long", 4000), ("short", 100)):
        roster.add(Seat(name, "cpu1", 1, since=-100_000, ends_at=left))
    roster.put(batch_of(1, variant_s=1))

    assert [seat.address for seat, _ in roster.assign(0)] == ["short"]


def test_a_variant_longer_than_any_job_still_gets_a_fresh_one():
    roster = Roster()
    roster.add(Seat("fresh", "cpu1", 1, since=0, ends_at=600))
    roster.put(batch_of(1, variant_s=10_000))

    assert len(roster.assign(5)) == 1


def large_seat(address, number, memory):
    return Seat(address, "cpu1", number, since=0, memory=memory, is_large=True)


def test_a_large_job_takes_what_needs_it_and_nothing_else():
    roster = Roster()
    roster.add(large_seat("large", 1, 4.0))
    roster.put(batch_of(1))
    assert roster.assign(0) == []
    assert roster.n_seats("cpu1") == 0

    roster.put(batch_of(2, memory=8.0))
    roster.put(batch_of(3, memory=2.0))
    assert roster.large("cpu1") == [8.0, 2.0]
    assert [batch.number for _, batch in roster.assign(0)] == [3]
    assert sorted(roster.large("cpu1")) == [4.0, 8.0]


def test_what_needs_most_memory_finds_it_though_others_wait_longer():
    roster = Roster()
    for address, number, memory in (("most", 1, 8.0), ("more", 2, 2.0)):
        roster.add(large_seat(address, number, memory))
    roster.put(batch_of(1, memory=2.0))
    roster.put(batch_of(2, memory=8.0))

    assert {seat.address: batch.number for seat, batch in roster.assign(0)} == {"most": 2, "more": 1}


def test_a_worker_that_is_retired_finishes_what_it_has():
    roster = Roster()
    roster.add(Seat("a", "cpu1", 7, since=0))
    roster.put(batch_of(1))
    roster.put(batch_of(2))
    roster.assign(0)
    roster.retire("cpu1", 7)

    assert roster.settle("a", 1)
    assert roster.assign(1) == []


@pytest.mark.parametrize("is_dismissed", [True, False])
@pytest.mark.parametrize("comes_first", [True, False])
def test_workers_of_jobs_that_are_dismissed_do_not_count_however_late_they_come(is_dismissed, comes_first):
    roster = Roster()
    steps = [lambda: roster.add(Seat("a", "cpu1", 7, since=0))]
    if is_dismissed:
        steps.insert(int(comes_first), lambda: roster.dismiss("cpu1", 7))
    for step in steps:
        step()
    roster.put(batch_of(1))

    assert roster.n_seats("cpu1") == len(roster.assign(0)) == (not is_dismissed)
