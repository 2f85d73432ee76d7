"""Processes that hang and wake up, drivers that race for a sweep, clocks that jump: a reader notices none of it."""

from __future__ import annotations

import psutil
import pytest

import sciflow
from sciflow.testing import processes
from sciflow.testing.faults import ClockJump, Fault, Stop


@pytest.mark.parametrize("sleepers", ["driver", "everything"])
def test_a_driver_that_slept_beyond_its_lease_changes_nothing_that_a_reader_sees(script, sleepers):
    script.write(seconds=0.02)
    with script.watched():
        sleeper = script.start(n=300)
        script.wait_for_runs(40)
        everything = processes.all_of(sleeper.pid)
        hang = everything if sleepers == "everything" else [psutil.Process(sleeper.pid)]
        processes.stop(hang)
        script.finish()
        before = script.check(300)
        file = (script.path / "results.h5").read_bytes()
        processes.go_on(hang)
        _, said = sleeper.communicate(timeout=60)
        assert processes.await_end(everything)

        assert sleeper.returncode != 0
        assert "another driver took over" in said
        assert script.check(300).equals(before)
        assert (script.path / "results.h5").read_bytes() == file


def test_workers_that_hang_at_every_step_of_a_commit_go_on_where_they_were(script):
    steps = [("segment.write", "half"), ("segment.sync", "before"), ("segment.sync", "after"), ("batch", "after")]
    faults = script.faults(*(Fault(Stop(3.0), at=at, when=when, role="worker") for at, when in steps))

    with script.watched():
        done = script.run(faults)

    assert done.returncode == 0, done.stderr
    assert len({strike.fault for strike in faults.fired()} & set(range(len(steps)))) == len(steps)
    assert set(script.runs().values()) == {1}


@pytest.mark.parametrize("n_drivers", [2, 5])
def test_of_several_drivers_at_once_one_runs_and_the_others_say_who(script, n_drivers):
    script.write(seconds=0.05)  # long enough for all to be there at once
    with script.watched():
        drivers = [script.start(n=100) for _ in range(n_drivers)]
        said = [driver.communicate(timeout=120) for driver in drivers]

    winners = [out for out, _ in said if out]
    assert len(winners) == 1, said
    losers = [error for out, error in said if not out]
    assert all("another driver works on" in error for error in losers), losers
    assert set(script.runs().values()) == {1}


@pytest.mark.parametrize("hours", [3, -3])
def test_clocks_that_jump_by_hours_cost_nothing_and_break_no_limit(script, hours):
    script.write(options=', timeout="60 s"')
    jumps = [
        Fault(ClockJump(3600.0 * hours), at="segment.write", role="worker", skip=3, times=2),
        Fault(ClockJump(-3600.0 * hours), at="answer", role="driver", skip=4),
    ]
    faults = script.faults(*jumps)

    with script.watched():
        done = script.run(faults)

    assert done.returncode == 0, done.stderr
    assert {strike.fault for strike in faults.fired()} >= {0, 1}
    assert set(script.runs().values()) == {1}
    script.finish()
    assert sciflow.open_results(script.path).status()["done"] == script.n
