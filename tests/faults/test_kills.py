"""SIGKILL at every named step and at random: what was acknowledged is there, once and right, and the sweep goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from sciflow.testing import processes
from sciflow.testing.faults import Fault, Kill
from sciflow.testing.ledger import Ledger

ROOT = Path(__file__).parents[2]

COMMIT = [
    ("batch", "before"),
    ("segment.create", "before"),
    ("segment.create", "after"),
    ("segment.write", "before"),
    ("segment.write", "half"),
    ("segment.write", "after"),
    ("segment.sync", "before"),
    ("segment.sync", "after"),
    ("segments.sync", "after"),
    ("batch", "after"),
]
"""The steps of a worker's first commit."""

LATER = [("segment.write", "half"), ("segment.sync", "after"), ("batch", "before")]
"""Steps of a later commit; a batch begins when the answer to the one before was sent and maybe not settled."""

DRIVER = [
    ("sweep.create", "before"),
    ("sweep.publish", "before"),
    ("sweep.publish", "after"),
    ("code.write", "half"),
    ("code.publish", "before"),
    ("session.write", "half"),
    ("session.publish", "before"),
    ("session.publish", "after"),
    ("heartbeat.publish", "before"),
    ("fence.write", "half"),
    ("fence.publish", "before"),
    ("fence.publish", "after"),
    ("definition.sync", "before"),
    ("definition.publish", "after"),
    ("environment.publish", "before"),
    ("environment.publish", "after"),
    ("segment.write", "half"),
    ("segment.sync", "after"),
    ("answer", "before"),
    ("end.write", "half"),
    ("end.publish", "before"),
    ("end.publish", "after"),
]
"""The steps of a driver that does the work itself."""


def kills(steps, role, skip=0):
    return [Fault(Kill(), at=at, when=when, role=role, skip=skip) for at, when in steps]


def struck(faults, expected):
    """Whether each of these struck."""
    found = {strike.fault for strike in faults.fired()}
    missing = [faults.faults[k] for k in range(len(expected)) if k not in found]
    assert not missing, missing


# ------------------------------------------------------------------------------------------- at named steps


@pytest.mark.parametrize("cluster", ["children", "nannies"])
def test_workers_killed_at_every_step_of_a_commit_lose_nothing(script, cluster):
    steps, later = (COMMIT, LATER) if cluster == "children" else (COMMIT[3::3], LATER[:1])
    expected = [*kills(steps, "worker"), *kills(later, "worker", skip=2)]
    faults = script.faults(*expected)

    with script.watched():
        done = script.run(faults, cluster=cluster)

    assert done.returncode == 0, done.stderr
    struck(faults, expected)
    assert len(script.events("worker.lost")) >= len(expected) // 2


@pytest.mark.parametrize("steps", [DRIVER[::2], DRIVER[1::2]], ids=["every other", "the rest"])
def test_drivers_killed_at_every_step_one_after_another_are_followed_by_one_that_finishes(script, steps):
    script.write(seconds=0.0)
    expected = kills(steps, "driver")
    faults = script.faults(*expected)

    with script.watched():
        for k in range(len(expected) + 1):
            done = script.run(faults, cluster="inline", n=60 + 10 * k)  # a sweep without work takes none of the steps
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr

    assert done.returncode == 0, done.stderr
    struck(faults, expected)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_driver_killed_between_an_answer_and_its_settling_repeats_nothing_that_was_committed(script, when):
    faults = script.faults(Fault(Kill(), at="answer", when=when, role="driver", skip=4))

    with script.watched():
        killed = script.run(faults)
        ledger = Ledger(script.ledger_file)
        ledger.read()
        committed = set(ledger.acknowledged)
        script.finish()

    assert killed.returncode == -signal.SIGKILL
    assert committed
    runs = script.runs()
    assert [runs[one] for one in committed] == [1] * len(committed)


# ------------------------------------------------------------------------------------------- what is derived


@pytest.mark.parametrize(
    "step", [("results.sync", "before"), ("results.publish", "before"), ("results.publish", "after")]
)
def test_a_consolidation_that_is_killed_leaves_the_file_of_before_or_the_new_one(script, step):
    script.write(seconds=0.0)
    script.finish(n=20)
    file = script.path / "results.h5"
    before = file.read_bytes()
    faults = script.faults(*kills([step], "consolidator"))

    with script.watched():
        done = script.run(faults, n=40)

        assert done.returncode == 0
        assert "every record is safe" in done.stderr
        assert (file.read_bytes() == before) == (step != ("results.publish", "after"))
        script.check(40)
        script.finish()
    assert file.read_bytes() != before
    assert not list(script.path.glob(".results.h5.*"))


def test_compactions_killed_at_every_step_lose_nothing_and_the_next_one_cleans_up(script):
    script.write(seconds=0.0)
    script.finish(n=40)
    segments = script.path / "segments"
    for path in list(segments.iterdir()):
        for _ in range(40):  # as if many workers had come and gone; their records are the same, which harms nobody
            shutil.copy(path, segments / f"{path.stem[:-8]}{uuid.uuid4().hex[:8]}.seg")
    steps = [
        ("compacted.write", "half"),
        ("compacted.sync", "before"),
        ("compacted.publish", "before"),
        ("compacted.publish", "after"),
        ("segment.remove", "after"),
    ]
    expected = kills(steps, "compactor")
    faults = script.faults(*expected)

    with script.watched():
        for k in range(len(steps) + 1):
            script.run(faults, n=50 + 10 * k)

    struck(faults, expected)
    script.finish()
    assert len(list(segments.iterdir())) < 64


# ------------------------------------------------------------------------------------------- from outside


def test_nannies_and_their_workers_are_killed_and_the_sweep_goes_on(script):
    with script.watched():
        driver = script.start(cluster="nannies", n=400)
        for n_runs, role, n_victims in [(40, "nanny", 1), (120, "worker", 1), (200, "nanny", 2)]:
            script.wait_for_runs(n_runs)
            victims = processes.processes_of(driver.pid)[role][:n_victims]
            assert processes.kill(victims) == n_victims
        _, said = driver.communicate(timeout=120)

    assert driver.returncode == 0, said


def test_workers_and_helpers_of_a_driver_that_was_killed_are_gone_within_seconds(script):
    driver = script.start()
    script.wait_for_runs(20)
    everything = processes.all_of(driver.pid)

    driver.kill()

    assert len(everything) >= 3
    assert processes.await_end(everything)
    script.finish()


@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("SCIFLOW_CAMPAIGN_SEEDS", "1").split(",")])
def test_a_short_kill_campaign_loses_nothing(seed):
    n_variants, n_kills = os.environ.get("SCIFLOW_CAMPAIGN", "600x12").split("x")
    script = [sys.executable, str(ROOT / "benchmarks/kill_campaign.py"), "--json", "--seed", str(seed)]

    done = subprocess.run(
        [*script, "--variants", n_variants, "--kills", n_kills],
        capture_output=True,
        text=True,
        timeout=3600,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert sum(found["kills"].values()) == int(n_kills)
    assert found["saw"]["n_looks"] > 10
