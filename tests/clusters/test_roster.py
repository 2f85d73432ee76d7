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

    @rule(
        resource_class=st.sampled_from(CLASSES),
        variant_s=st.none() | st.floats(0.01, 5000),
        stop_in=st.none() | st.floats(0, 3000),
    )
    def put(self, resource_class, variant_s, stop_in):
        self.n_batches += 1
        stop_at = None if stop_in is None else self.now + stop_in
        batch = batch_of(self.n_batches, resource_class, variant_s=variant_s, stop_at=stop_at)
        self.waiting[batch.number] = batch
        self.roster.put(batch)

    @rule(resource_class=st.sampled_from(CLASSES), job=st.integers(1, 4), left=st.just(math.inf) | st.floats(-50, 5000))
    def come(self, resource_class, job, left):
        self.n_seats += 1
        self.roster.add(Seat(f"tls://{self.n_seats}", resource_class, job, self.now, self.now + left))

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
                assert self.roster.n_waiting(seat.resource_class) == 0

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
        assert [seat.is_dismissed for seat in mine] == (before if busy else [True] * len(mine))

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


@pytest.mark.parametrize("is_dismissed", [True, False])
def test_workers_that_are_sent_away_do_not_count(is_dismissed):
    roster = Roster()
    roster.add(Seat("a", "cpu1", 7, since=0))
    if is_dismissed:
        roster.dismiss("cpu1", 7)
    roster.put(batch_of(1))

    assert roster.n_seats("cpu1") == len(roster.assign(0)) == (not is_dismissed)
