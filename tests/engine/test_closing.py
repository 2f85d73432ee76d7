"""What still runs when its window has closed: workers end themselves, nobody is blamed, and it runs again."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

import sciflow
from sciflow.analysis.words import describe_event
from sciflow.engine.gate import Gate
from sciflow.engine.loop import MOST_OUTLASTED, Loop
from sciflow.engine.overrun import Overrun
from sciflow.events import Event
from sciflow.planning.batch import Ack
from sciflow.planning.rows import RowSet
from sciflow.planning.sharing import Sharing
from sciflow.running.closing import GRACE_S, Closing
from sciflow.running.live import NOBODY, Live, Note, read_notes
from sciflow.scheduling import Immediate, OffPeak, Opening, Policy
from sciflow.space import Grid
from sciflow.testing.workers import ScriptedWorkers
from sciflow.workflow import Definition, Step
from sciflow.workflow.task import make_task


@pytest.fixture
def guard(tmp_path):
    """A guard of a worker at 1000 s, who notes when it would have ended."""

    class Guard:
        def __init__(self):
            self.now, self.ended = 1000.0, []
            self.live = Live(tmp_path, 1)
            self.closing = Closing(self.live, end=self.ended.append, clock=lambda: self.now)

    return Guard()


def test_a_worker_ends_itself_when_its_grace_is_over_and_says_why(guard, tmp_path):
    guard.closing.begin(1100.0)
    guard.now = 1100.0 + GRACE_S - 0.1
    guard.closing.look()
    assert not guard.ended

    guard.now = 1100.0 + GRACE_S
    guard.closing.look()

    assert len(guard.ended) == 1
    assert [note.reason for note in read_notes(tmp_path)] == ["window"]


@pytest.mark.parametrize("stop_at", [None, 1100.0])
def test_one_whose_batch_is_over_or_has_no_end_stays(guard, stop_at):
    guard.closing.begin(stop_at)
    if stop_at is not None:
        guard.closing.over()

    guard.now = 1e9
    guard.closing.look()

    assert not guard.ended


def test_what_still_runs_after_a_closing_is_told_once_and_with_how_long_it_may(tmp_path):
    told, clock = [], [datetime(2026, 1, 14, 7, 59, tzinfo=UTC)]
    gate = Gate(OffPeak("22:00-08:00", timezone="UTC"), lambda: clock[0])
    look = Overrun(
        gate, tmp_path, 1, lambda name, **facts: told.append((name, facts)), lambda: float(clock[0].timestamp())
    )
    with Live(tmp_path, 1) as live:
        live.variant(3)
        for _ in range(200):
            clock[0] += timedelta(seconds=0.5)
            look()

    closed = datetime(2026, 1, 14, 8, tzinfo=UTC).timestamp()
    assert told == [("window.overrun", {"variants": 1, "closed": closed, "end_by": closed + GRACE_S})]
    said = describe_event(Event(*told[0][:1], closed, told[0][1]))
    assert said == "the window closed, and 1 variant still runs: ended with the worker after 30 s"


def test_a_closing_after_which_nothing_runs_is_no_news(tmp_path):
    told, clock = [], [datetime(2026, 1, 14, 7, 59, 58, tzinfo=UTC)]
    gate = Gate(OffPeak("22:00-08:00", timezone="UTC"), lambda: clock[0])
    look = Overrun(gate, tmp_path, 1, lambda *_, **__: told.append(1), lambda: float(clock[0].timestamp()))
    for _ in range(20):
        clock[0] += timedelta(seconds=0.5)
        look()

    assert not told


class Nights:
    """A driver whose workers end themselves over one row, and what it is told."""

    def __init__(self, *, ran_s, saved=False):
        self.lost_causes, self.given_up, self.n_runs = [], [], 0
        self.is_saved = saved
        self.settled_rows = set()
        now = datetime(2026, 1, 14, 23, tzinfo=UTC)
        self.started = now.timestamp() - ran_s
        step = Step(make_task("f", lambda a: a), (), sink=True, footprint=("a",))
        definition = Definition(name="w", seed=0, space=Grid(a=range(4)), steps=(step,), policy=Immediate())
        self.loop = Loop(
            gate=Gate(OffPeak("22:00-08:00", timezone="UTC"), lambda: now, asked_at=now),
            sharing=Sharing.of(definition),
            todo={1: RowSet.span(0, 4)},
            watcher=self,
        )

    def run(self):
        return self.loop.run(ScriptedWorkers(self.script, 1))

    def script(self, batch):
        if 2 not in batch.rows or (self.is_saved and self.n_runs == 2 * MOST_OUTLASTED):
            self.settled_rows.update(batch.rows.tolist())
            return Ack(batch.n_variants, 0, 0.1)
        self.n_runs += 1
        return None

    def note_of(self, batch):
        return Note("h", 1, 1, batch.number, 2, NOBODY, 1, self.started, math.inf, math.nan, 0.0, 0, 0, "window", "")

    def lost(self, batch, how, suspect, n_done, cause=""):
        self.lost_causes.append((cause, how, suspect))

    def missing_of(self, rows):
        return rows - RowSet.from_rows(sorted(self.settled_rows))

    def give_up(self, row, batch, failure, note):
        self.given_up.append((row, failure))

    def has_saved(self, row):
        return self.is_saved

    def settled(self, batch, ack):
        pass

    def nearly_done(self):
        pass

    def tick(self):
        pass

    def stopping(self):
        return False


def test_a_variant_that_was_late_runs_again_and_is_given_up_after_several_closings_with_the_window_as_cause():
    nights = Nights(ran_s=3600)

    assert nights.run() == "finished"

    assert nights.lost_causes == [("window", "it still ran 30 s after the closing", None)] * MOST_OUTLASTED
    [(row, failure)] = nights.given_up
    assert (row, failure.cause, failure.task) == (2, "window", "f")
    assert f"when its window had closed ({MOST_OUTLASTED} times); allow more hours" in failure.message
    assert nights.settled_rows == {0, 1, 3}


def test_one_that_had_the_longest_window_is_given_up_at_once():
    nights = Nights(ran_s=10 * 3600)

    nights.run()

    assert nights.n_runs == 1
    assert "had closed (and it was the longest of the coming weeks)" in nights.given_up[0][1].message


def test_one_that_saves_its_state_may_take_as_many_windows_as_it_needs():
    nights = Nights(ran_s=10 * 3600, saved=True)

    nights.run()

    assert (nights.n_runs, nights.given_up, nights.settled_rows) == (2 * MOST_OUTLASTED, [], {0, 1, 2, 3})


# ------------------------------------------------------------------------------------------------------------ for real


@dataclass(frozen=True)
class TwoWindows(Policy):
    """One of some seconds, and another a minute later that does not close."""

    opens: float
    closes: float

    def opening(self, conditions):
        now, closes = conditions.now.timestamp(), datetime.fromtimestamp(self.closes, UTC)
        if now < self.closes:
            return Opening(may_start=True, until=closes)
        again = closes + timedelta(seconds=60)
        return Opening(may_start=True) if conditions.now >= again else Opening(may_start=False, next_open=again)

    def reason(self, conditions):
        return "the second window is to come"

    explain = reason

    def to_dict(self):
        return {"name": "two_windows"}


def stubborn(a, folder):
    """Runs for minutes when it runs for the first time, and does not ask."""
    file = Path(folder, str(a))
    began = file.read_text() if file.exists() else ""
    file.write_text(f"{began}{time.time()}\n")
    n = len(began.splitlines()) + 1
    if n == 1:
        time.sleep(100)
    return {"n": n}


@pytest.mark.slow
def test_a_worker_whose_task_does_not_stop_is_ended_after_its_grace_and_the_variant_runs_in_the_next_window(tmp_path):
    closes = time.time() + 20  # both are running by then, on a machine that does much else too
    workflow = sciflow.ExperimentalWorkflow("stubborn")
    workflow.add_task("stubborn", stubborn)
    workflow.add_parameter_space({"a": [1, 2], "folder": [str(tmp_path)]})
    events = []
    engine = sciflow.Engine(
        sciflow.LocalCluster(workers=2),
        directory=tmp_path,
        policy=TwoWindows(time.time(), closes),
        progress=False,
        on_event=events.append,
    )

    results = engine.execute_parameter_sweep(workflow)

    assert results.to_dataframe()["n"].tolist() == [2, 2]
    assert [event.facts["variants"] for event in events if event.name == "window.overrun"] == [2]
    lost = [event for event in events if event.name == "worker.lost"]
    assert [event.facts["cause"] for event in lost] == ["window", "window"]
    assert all(closes + GRACE_S <= event.time < closes + GRACE_S + 20 for event in lost)
    assert describe_event(lost[0]) == "a worker was ended with what it ran: it still ran 30 s after the closing"
    for a in (1, 2):
        began = [float(line) for line in (tmp_path / str(a)).read_text().splitlines()]
        assert [later - earlier >= 55 for earlier, later in pairwise(began)] == [True]
