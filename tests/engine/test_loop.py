from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.engine.gate import Gate
from sciflow.engine.loop import PATIENCE, Loop
from sciflow.errors import StoreWriteError
from sciflow.planning.batch import Ack
from sciflow.planning.rows import RowSet
from sciflow.scheduling.policy import Immediate, Opening
from sciflow.testing.workers import ScriptedWorkers


class World:
    """A store of settled rows, a watcher that counts, and workers that follow a script."""

    def __init__(self, n, poison=(), stop_after=None, variant_s=0.5, n_slots=2):
        self.settled_rows, self.given_up, self.n_failed, self.n_lost = set(), [], 0, 0
        self.poison, self.stop_after, self.variant_s = set(poison), stop_after, variant_s
        self.runs = dict.fromkeys(range(n), 0)
        self.workers = ScriptedWorkers(self.script, n_slots)
        self.loop = Loop(
            gate=Gate(Immediate()),
            todo={1: RowSet.span(0, n)},
            watcher=self,
            missing_of=lambda rows: rows - RowSet.from_rows(sorted(self.settled_rows)),
            give_up=lambda row, _: self.given_up.append(row),
        )

    def script(self, batch):
        for start, stop in batch.rows:
            for row in range(start, stop):
                self.runs[row] += 1
                if row in self.poison:
                    return None
                self.settled_rows.add(row)
        return Ack(batch.n_variants, 0, batch.n_variants * self.variant_s)

    def settled(self, n_done, n_failed, message):
        self.n_failed += n_failed

    def lost(self, batch):
        self.n_lost += 1

    def tick(self):
        pass

    def stopping(self):
        return self.stop_after is not None and len(self.settled_rows) >= self.stop_after

    def run(self):
        return self.loop.run(self.workers)


@given(st.integers(1, 300), st.integers(1, 5), st.floats(1e-6, 10.0))
def test_every_row_runs_exactly_once_when_nothing_goes_wrong(n, n_slots, variant_s):
    world = World(n, n_slots=n_slots, variant_s=variant_s)

    assert world.run() == "finished"
    assert set(world.runs.values()) == {1}
    assert world.workers.most_in_flight <= 2 * n_slots


@given(st.integers(1, 120), st.sets(st.integers(0, 119), max_size=3))
def test_a_variant_that_kills_its_worker_costs_itself_alone(n, poison):
    poison = {row for row in poison if row < n}
    world = World(n, poison)

    assert world.run() == "finished"
    assert world.settled_rows == set(range(n)) - poison
    assert sorted(world.given_up) == sorted(poison)
    assert world.n_failed == len(poison)


def test_a_suspect_runs_with_nothing_else_in_flight_and_gets_a_second_chance():
    world = World(40, poison={7})
    world.run()

    alone = [batch for batch in world.workers.batches if batch.rows == ((7, 8),)]
    assert len(alone) == PATIENCE


def test_what_a_worker_hands_back_is_sent_again():
    world = World(10)
    seen = []

    def half(batch):
        ((start, stop),) = batch.rows
        done = max(1, (stop - start) // 2)
        seen.extend(range(start, start + done))
        left = ((start + done, stop),) if start + done < stop else ()
        return Ack(done, 0, 0.1 * done, left)

    workers = ScriptedWorkers(half)

    assert world.loop.run(workers) == "finished"
    assert sorted(seen) == list(range(10))


def test_ctrl_c_takes_no_new_work_and_keeps_what_is_finished():
    world = World(1000, stop_after=100)

    assert world.run() == "stopped"
    assert world.workers.drained
    assert 100 <= len(world.settled_rows) < 1000


def test_an_error_of_the_definition_ends_the_sweep_while_nothing_is_done():
    world = World(10)
    workers = ScriptedWorkers(lambda batch: Ack(0, 1, 0.1, left=batch.rows, fatal=ValueError("no such key")))

    with pytest.raises(ValueError, match="no such key"):
        world.loop.run(workers)


def test_the_same_error_is_one_failed_variant_once_others_have_succeeded():
    world = World(3)
    world.loop.any_done = True
    workers = ScriptedWorkers(
        lambda batch: Ack(0, 1, 0.1, fatal=ValueError("x")) if batch.number == 1 else Ack(batch.n_variants, 0, 0.1)
    )

    assert world.loop.run(workers) == "finished"
    assert world.n_failed == 1


def test_a_store_that_cannot_be_written_ends_the_sweep_with_its_own_words():
    world = World(10)

    with pytest.raises(StoreWriteError, match="disk full"):
        world.loop.run(ScriptedWorkers(lambda _: StoreWriteError("disk full")))


class TwoNights:
    """Open for the first batches, closed, and open again."""

    def __init__(self):
        self.asked = 0

    def opening(self, now):
        self.asked += 1
        return Opening(may_start=not 3 <= self.asked < 30)

    def start_by(self, asked_at):
        return None


def test_at_the_closing_nothing_new_starts_and_the_loop_goes_on_when_called_again():
    world = World(500, variant_s=1.0)
    world.loop.gate = Gate(TwoNights())

    assert world.run() == "closed"
    done = len(world.settled_rows)
    while world.run() == "closed":
        assert len(world.settled_rows) == done

    assert set(world.runs.values()) == {1}
