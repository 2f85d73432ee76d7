from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
from sciflow.store.sessions import SessionWatch, cancel_requested, request_cancel

DRIVER = """
import os, signal, sys
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
Session.acquire(SweepDirectory.open(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def sweep(tmp_path):
    return SweepDirectory.create_or_open(tmp_path / "w", "w", 0)


def test_nobody_has_driven_a_new_sweep(sweep):
    assert SessionWatch(sweep).look() is None


def test_a_driver_is_seen_to_begin_live_and_end(sweep):
    watch = SessionWatch(sweep)

    with Session.acquire(sweep, facts={"code": "c"}) as session:
        seen = watch.look()
        assert (seen.number, seen.life, seen.facts["pid"]) == (1, "alive", os.getpid())
        session.end({"done": 3})

    seen = watch.look()
    assert (seen.life, seen.facts["done"], seen.facts["code"]) == ("ended", 3, "c")


def test_a_driver_that_was_killed_has_died(sweep):
    subprocess.run([sys.executable, "-c", DRIVER, str(sweep.path)], check=False)

    assert SessionWatch(sweep).look().life == "died"


def test_a_driver_whose_heart_stopped_is_silent_and_alive_again_when_it_beats(sweep):
    watch = SessionWatch(sweep)
    with Session.acquire(sweep, heartbeat_s=1000) as session:
        beat = sweep.session_files / f"{session.number:06d}.heartbeat"
        os.utime(beat, (0, 0))
        assert watch.look().life == "silent"

        # its clock may be wrong by any amount: that it beats is what counts
        os.utime(beat, (1, 1))
        assert watch.look().life == "alive"


def test_a_request_to_cancel_is_for_one_session_and_is_made_once(sweep):
    assert not cancel_requested(sweep, 1)

    assert request_cancel(sweep, 1)
    assert not request_cancel(sweep, 1)

    assert cancel_requested(sweep, 1)
    assert not cancel_requested(sweep, 2)
