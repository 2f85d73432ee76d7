"""Disks that are full, broken or slow: what was committed stays, the message says where, the next call goes on."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import sciflow
from sciflow.testing.faults import Delay, Fail, Fault, FileLimit, Short


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Fail("ENOSPC"), at="segment.write", when="half", role="worker", skip=3),
        Fault(Fail("EIO"), at="segment.sync", role="worker", skip=3),
        Fault(FileLimit(6_000), at="process.start", role="worker", times=None),
    ],
    ids=["full", "broken", "full for real"],
)
def test_a_worker_that_cannot_write_ends_the_sweep_with_its_path_and_the_next_call_goes_on(script, fault):
    with script.watched():
        failed = script.run(script.faults(fault))

        assert failed.returncode == 1
        assert "cannot write" in failed.stderr
        assert ".seg" in failed.stderr
        assert 0 < sciflow.open_results(script.path).status()["done"] < script.n
        script.finish()


@pytest.mark.parametrize(
    "step", ["sweep.write", "session.write", "fence.write", "definition.write", "environment.write"]
)
def test_a_driver_that_cannot_write_says_where_and_leaves_nothing_in_the_way(script, step):
    script.write(seconds=0.0)
    before = 0
    if step == "fence.write":
        before = 20
        script.finish(n=before, cluster="inline")
    faults = script.faults(Fault(Fail("ENOSPC"), at=step, when="half", role="driver"))

    failed = script.run(faults, cluster="inline", n=40)

    assert failed.returncode == 1
    assert "cannot write" in failed.stderr
    assert "No space left on device (ENOSPC)" in failed.stderr
    with script.watched():
        script.finish(cluster="inline")
    assert set(script.runs().values()) == {1}


def test_a_disk_that_is_slow_takes_short_writes_and_refuses_heartbeats_costs_nothing_but_time(script):
    faults = script.faults(
        Fault(Delay(0.05), at="segment.sync", role="worker", times=None),
        Fault(Short(), at="segment.write", when="half", role="worker", times=None),
        Fault(Fail("ENOSPC"), at="heartbeat.write", role="driver", skip=1, times=None),
        Fault(Short(), at="write *.json.*.tmp", when="half", times=None),
    )

    with script.watched():
        done = script.run(faults, n=300)

    assert done.returncode == 0, done.stderr
    assert {strike.fault for strike in faults.fired()} >= {0, 1, 2, 3}
    assert set(script.runs().values()) == {1}


def test_a_disk_that_is_full_during_consolidation_leaves_the_file_of_before(script):
    script.write(seconds=0.0)
    script.finish(n=20)
    file = script.path / "results.h5"
    before = file.read_bytes()
    faults = script.faults(Fault(FileLimit(4096), at="process.start", role="consolidator", times=None))

    with script.watched():
        done = script.run(faults, n=3000)

        assert done.returncode == 0, done.stderr
        assert "results.h5 could not be written" in done.stderr
        assert file.read_bytes() == before
        script.check(3000)
        script.finish()
    assert file.read_bytes() != before


# runs in name spaces of its own, where everybody may mount
FULL = textwrap.dedent("""
    import subprocess, sys
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", "sweeps"], check=True)
    command = [sys.executable, "sweep.py", "9000", "children"]
    full = subprocess.run(command, capture_output=True, text=True)
    import sciflow
    before = sciflow.open_results("sweeps/faults").status()["done"]
    subprocess.run(["mount", "-o", "remount,size=50m", "sweeps"], check=True)
    again = subprocess.run(command, capture_output=True, text=True)
    table = sciflow.open_results("sweeps/faults").to_dataframe()
    right = (table["y"] == table["a"] ** 2).all() and table["a"].tolist() == list(range(9000))
    assert full.returncode == 1 and "No space left on device (ENOSPC)" in full.stderr, full.stderr
    assert again.returncode == 0, again.stderr
    print(0 < before < 9000, right)
    """)


def test_a_file_system_that_is_full_keeps_what_was_committed_and_takes_the_rest_when_it_has_room(script):
    apart = ["unshare", "--user", "--map-root-user", "--mount"]
    (script.folder / "sweeps").mkdir()
    try:
        probe = subprocess.run([*apart, "mount", "-t", "tmpfs", "none", "sweeps"], cwd=script.folder)
    except FileNotFoundError:
        pytest.skip("this system has no unshare")
    if probe.returncode:
        pytest.skip("this system lets nobody mount in a name space of their own")
    script.write(seconds=0.0)

    done = subprocess.run(
        [*apart, sys.executable, "-c", FULL],
        cwd=script.folder,
        env=script.faults().environment(),
        capture_output=True,
        text=True,
    )

    assert done.stdout == "True True\n", done.stderr
