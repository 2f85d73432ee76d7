from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.engine.gate import Gate
from sciflow.engine.loop import MOST_OUTLASTED, PATIENCE, Loop
from sciflow.errors import StoreWriteError, SweepError
from sciflow.planning.backlog import Parcel
from sciflow.planning.batch import Ack
from sciflow.planning.rows import RowSet
from sciflow.planning.sharing import Sharing
from sciflow.running.live import NOBODY, Note
from sciflow.scheduling.policy import Immediate, Opening
from sciflow.space import Grid
from sciflow.testing.workers import ScriptedWorkers
from sciflow.workflow import Definition, Step
from sciflow.workflow.task import make_task


class World:
    """A store of settled rows, a watcher that counts, and workers that follow a script."""

    def __init__(self, n, poison=(), stop_after=None, variant_s=0.5, n_slots=2, *, notes=True):
        self.settled_rows, self.given_up, self.n_lost, self.cause = set(), [], 0, "crash"
        self.saved = set()
        self.poison, self.stop_after, self.variant_s, self.notes = set(poison), stop_after, variant_s, notes
        self.runs = dict.fromkeys(range(n), 0)
        self.last = {}
        self.workers = ScriptedWorkers(self.script, n_slots)
        space = Grid(a=range(n))
        step = Step(make_task("f", lambda a: a), (), sink=True, footprint=("a",))
        self.loop = Loop(
            gate=Gate(Immediate()),
            sharing=Sharing.of(Definition(name="w", seed=0, space=space, steps=(step,), policy=Immediate())),
            todo={1: RowSet.span(0, n)},
            watcher=self,
        )

    def script(self, batch):
        for row in batch.rows.tolist():
            self.runs[row] += 1
            self.last[batch.number] = row if batch.careful else NOBODY
            if row in self.poison:
                return None
            self.settled_rows.add(row)
        return Ack(batch.n_variants, 0, batch.n_variants * self.variant_s)

    def settled(self, batch, ack):
        pass

    def lost(self, batch, how, suspect, n_done, cause=""):
        self.n_lost += 1

    def missing_of(self, rows):
        return rows - RowSet.from_rows(sorted(self.settled_rows))

    def note_of(self, batch):
        if not self.notes or batch.number not in self.last:
            return None
        return note(batch.number, self.last[batch.number])

    def give_up(self, row, batch, failure, note):
        assert failure.cause == self.cause
        self.given_up.append(row)

    def release(self, task, row):
        raise AssertionError("nothing is shared here")

    def has_saved(self, row):
        return row in self.saved

    def nearly_done(self):
        pass

    def tick(self):
        pass

    def stopping(self):
        return self.stop_after is not None and len(self.settled_rows) >= self.stop_after

    def run(self):
        return self.loop.run(self.workers)


def note(batch, row):
    return Note("host", 1, 1, batch, row, NOBODY, 1, 0.0, math.inf, math.nan, 0.0, 0, 0, "", Path("note"))


@given(st.integers(1, 300), st.integers(1, 5), st.floats(1e-6, 10.0))
def test_every_row_runs_exactly_once_when_nothing_goes_wrong(n, n_slots, variant_s):
    world = World(n, n_slots=n_slots, variant_s=variant_s)

    assert world.run() == "finished"
    assert set(world.runs.values()) == {1}
    assert world.workers.most_in_flight <= 2 * n_slots


@given(st.integers(1, 120), st.sets(st.integers(0, 119), max_size=3), st.booleans(), st.sampled_from([1e-6, 0.5]))
def test_a_variant_that_kills_its_worker_costs_itself_alone(n, poison, notes, variant_s):
    poison = {row for row in poison if row < n}
    world = World(n, poison, notes=notes, variant_s=variant_s)

    assert world.run() == "finished"
    assert world.settled_rows == set(range(n)) - poison
    assert sorted(world.given_up) == sorted(poison)
    assert world.loop.tally.n_failed == len(poison)


def test_a_suspect_runs_alone_and_gets_a_second_chance():
    world = World(40, poison={7})
    world.run()

    alone = [batch for batch in world.workers.batches if batch.alone]
    assert [batch.rows.tolist() for batch in alone] == [[7]] * PATIENCE
    assert world.runs[7] == 1 + PATIENCE


def test_a_variant_that_outlasts_every_job_is_given_up_in_the_end_and_its_mates_lose_nothing():
    world = World(40, poison={17})
    world.cause = "walltime"
    world.workers._script = lambda batch: world.script(batch) or "walltime"
    world.run()

    assert world.runs[17] == MOST_OUTLASTED
    assert world.given_up == [17]
    assert world.loop.tally.n_failed == 1
    assert world.settled_rows == set(range(40)) - {17}


def test_a_variant_that_saves_its_state_may_take_as_many_jobs_as_it_needs():
    world = World(4, poison={2})
    world.cause, world.saved = "walltime", {2}

    def answer(batch):
        if world.runs[2] >= 3 * MOST_OUTLASTED:
            world.poison = set()
        return world.script(batch) or "walltime"

    world.workers._script = answer
    world.run()

    assert world.given_up == []
    assert world.settled_rows == set(range(4))


class Hungry(World):
    """Variants that need so many times the memory that is asked for; jobs that are killed when they have less."""

    def __init__(self, n, needs, most, **facts):
        super().__init__(n, **facts)
        self.needs, self.cause = needs, "out_of_memory"
        self.had = {row: [] for row in needs}
        self.workers.most_memory = lambda resource_class: most
        self.workers._script = self.eat

    def eat(self, batch):
        for row in batch.rows.tolist():
            self.runs[row] += 1
            self.last[batch.number] = row if batch.careful else NOBODY
            need = self.needs.get(row, 1.0)
            if row in self.needs:
                self.had[row].append((batch.memory, batch.alone))
            if need > batch.memory:
                return "out_of_memory"
            assert row not in self.settled_rows
            self.settled_rows.add(row)
        return Ack(batch.n_variants, 0, batch.n_variants * self.variant_s)


@given(
    st.integers(1, 60),
    st.dictionaries(st.integers(0, 59), st.floats(1.01, 40), max_size=6),
    st.sampled_from([1.0, 1.3, 2.0, 6.5, 16.0]),
    st.booleans(),
    st.sampled_from([1e-6, 0.5]),
)
def test_each_variant_ends_once_with_the_memory_that_it_needs_or_for_want_of_it(n, needs, most, notes, variant_s):
    needs = {row: need for row, need in needs.items() if row < n}
    world = Hungry(n, needs, most, notes=notes, variant_s=variant_s)

    assert world.run() == "finished"
    hopeless = {row for row, need in needs.items() if need > most}
    assert sorted(world.given_up) == sorted(hopeless)
    assert world.settled_rows == set(range(n)) - hopeless
    assert world.loop.tally.n_failed == len(hopeless)
    for had in world.had.values():
        multiples = [memory for memory, _ in had]
        assert multiples == sorted(multiples)
        assert multiples[-1] <= most
        assert all(alone for memory, alone in had if memory > 1)


def test_memory_is_doubled_for_the_variant_that_needs_it_and_for_no_other():
    world = Hungry(40, {7: 5.0}, most=16.0)
    world.run()

    assert [(batch.rows.tolist(), batch.memory) for batch in world.workers.batches if batch.memory > 1] == [
        ([7], 2.0),
        ([7], 4.0),
        ([7], 8.0),
    ]


def test_where_a_worker_has_all_that_there_is_a_variant_gets_one_more_try_alone():
    world = Hungry(8, {3: 2.0}, most=1.0)
    world.run()

    assert world.had[3][-1] == (1.0, True)
    assert [alone for _, alone in world.had[3]].count(True) == 1


def test_many_variants_that_all_need_more_memory_are_no_reason_to_give_the_sweep_up():
    world = Hungry(100, dict.fromkeys(range(100), 3.0), most=16.0, n_slots=1)

    assert world.run() == "finished"
    assert world.settled_rows == set(range(100))


def test_a_large_variant_goes_out_though_no_worker_of_the_others_has_room():
    world = Hungry(4, {0: 2.0}, most=4.0)
    world.run()
    world.workers.n_slots = 0
    world.loop._backlog.again(Parcel(RowSet.span(0, 1), 1, alone=True, memory=2.0))
    world.loop._feed()

    assert world.workers.batches[-1].memory == 2.0
    assert world.loop._demand() == {"": 0}


N_SHARING = 6


class Sharers(World):
    """Variants of which each six share a run; that of the second six ends its job, until its failure is kept."""

    def __init__(self, how, n_slots):
        super().__init__(3 * N_SHARING, n_slots=n_slots, variant_s=10.0)
        self.how, self.n_deaths, self.kept = how, 0, []
        self.memory = []
        self.workers._script = self.share
        self.workers.most_memory = lambda resource_class: 4.0
        load = Step(make_task("load", lambda a: a), (), sink=False, footprint=("a",))
        fit = Step(make_task("fit", lambda a, b: b, ["load"]), (), sink=True, footprint=("a", "b"))
        space = Grid(a=range(3), b=range(N_SHARING))
        self.loop.sharing = Sharing.of(Definition(name="w", seed=0, space=space, steps=(load, fit), policy=Immediate()))
        self.loop.__post_init__()

    def share(self, batch):
        n_failed = 0
        for row in batch.rows.tolist():
            is_second = row // N_SHARING == 1
            if is_second and not self.kept:
                self.last[batch.number] = row
                self.n_deaths += 1
                self.memory.append(batch.memory)
                return self.how
            if not batch.until:
                assert row not in self.settled_rows
                self.settled_rows.add(row)
                n_failed += is_second
        n = 0 if batch.until else batch.n_variants
        return Ack(n - n_failed, n_failed, batch.n_variants * self.variant_s)

    def note_of(self, batch):
        return replace(note(batch.number, self.last[batch.number]), step=0)

    def give_up(self, row, batch, failure, note):
        assert batch.until == "load"
        self.give_up_shared(batch.until, row, failure, note)

    def give_up_shared(self, task, row, failure, note):
        assert (task, row // N_SHARING) == ("load", 1)
        self.kept.append(failure.cause)

    def release(self, task, row):
        pass


@pytest.mark.parametrize("n_slots", [1, 2, 9, 40])
@pytest.mark.parametrize(("how", "most_deaths"), [("walltime", MOST_OUTLASTED), ("out_of_memory", 3)])
def test_a_shared_run_that_no_job_is_enough_for_fails_those_who_need_it_and_no_others(how, most_deaths, n_slots):
    world = Sharers(how, n_slots)

    assert world.run() == "finished"
    assert world.kept == [how]
    assert world.settled_rows == set(range(3 * N_SHARING))
    assert (world.loop.tally.n_done, world.loop.tally.n_failed) == (2 * N_SHARING, N_SHARING)
    # its first try is in a batch with others that need it too
    assert most_deaths <= world.n_deaths <= most_deaths + N_SHARING
    assert max(world.memory) == (4.0 if how == "out_of_memory" else 1.0)


def test_the_batch_mates_of_a_variant_that_kills_its_worker_lose_nothing():
    world = World(40, poison={7})
    world.run()

    assert {n for row, n in world.runs.items() if row != 7} == {1}


def test_a_worker_that_dies_by_itself_costs_a_variant_no_chance():
    world = World(1)
    world.script = None
    answers = iter([None, None, None, Ack(1, 0, 0.1)])
    world.loop.run(ScriptedWorkers(lambda batch: next(answers)))

    assert world.n_lost == 3
    assert not world.given_up


@given(st.integers(1, 1000), st.integers(1, 8))
def test_workers_that_die_whatever_they_run_end_the_sweep_with_words(n, n_slots):
    world = World(n, n_slots=n_slots)
    world.workers = ScriptedWorkers(lambda batch: world.last.update({batch.number: NOBODY}), n_slots)

    with pytest.raises(SweepError, match="one after another and finished nothing"):
        world.run()


def test_a_space_in_which_every_variant_kills_its_worker_is_gone_through_to_the_end():
    world = World(50, poison=range(50), n_slots=8)

    world.run()

    assert sorted(world.given_up) == list(range(50))


def test_what_a_worker_hands_back_is_sent_again():
    world = World(10)
    seen = []

    def half(batch):
        done = max(1, batch.n_variants // 2)
        seen.extend(batch.rows[:done].tolist())
        return Ack(done, 0, 0.1 * done, n_left=batch.n_variants - done)

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
    workers = ScriptedWorkers(
        lambda batch: Ack(0, 1, 0.1, n_left=batch.n_variants - 1, fatal=ValueError("no such key"))
    )

    with pytest.raises(ValueError, match="no such key"):
        world.loop.run(workers)


def test_the_same_error_is_one_failed_variant_once_others_have_succeeded():
    world = World(3)
    world.loop.any_done = True
    workers = ScriptedWorkers(
        lambda batch: Ack(0, 1, 0.1, fatal=ValueError("x")) if batch.number == 1 else Ack(batch.n_variants, 0, 0.1)
    )

    assert world.loop.run(workers) == "finished"
    assert world.loop.tally.n_failed == 1


def test_a_store_that_cannot_be_written_ends_the_sweep_with_its_own_words():
    world = World(10)

    with pytest.raises(StoreWriteError, match="disk full"):
        world.loop.run(ScriptedWorkers(lambda _: StoreWriteError("disk full")))


class TwoNights(Immediate):
    """Open for the first batches, closed, and open again."""

    asked = itertools.count(1)

    def opening(self, conditions):
        return Opening(may_start=not 3 <= next(self.asked) < 30)


def test_at_the_closing_nothing_new_starts_and_the_loop_goes_on_when_called_again():
    world = World(500, variant_s=1.0)
    world.loop.gate = Gate(TwoNights())

    assert world.run() == "closed"
    done = len(world.settled_rows)
    while world.run() == "closed":
        assert len(world.settled_rows) == done

    assert set(world.runs.values()) == {1}
