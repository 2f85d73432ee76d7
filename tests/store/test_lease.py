"""Sessions: one driver at a time, found without locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from sciflow.errors import LeaseLostError, StoreWriteError, SweepBusyError
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session, owner_of
from sciflow.store.process import ProcessName, is_tag_of_the_dead
from sciflow.testing.store import frame_of, rows_of

OWNER = """
import sys, time
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
session = Session.acquire(SweepDirectory.open(sys.argv[1]), heartbeat_s=0.05, lease_s=0.6)
print(session.number, flush=True)
for command in sys.stdin:
    exec(command)
"""


@pytest.fixture
def sweep(tmp_path):
    return SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)


@pytest.fixture
def other_driver(sweep):
    """A driver in another process; it obeys lines of Python."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(sweep.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    yield process
    process.kill()
    process.communicate()


def quick(sweep):
    return Session.acquire(sweep, heartbeat_s=0.05, lease_s=0.6)


def test_sessions_are_numbered_and_end(sweep):
    with Session.acquire(sweep, heartbeat_s=0.05, lease_s=0.6, facts={"command": "run"}) as first:
        first.check()
        assert owner_of(sweep)["session"] == 1
    assert owner_of(sweep) is None
    second = quick(sweep)
    second.end({"done": 3})
    second.end()

    assert (first.number, second.number) == (1, 2)
    told = sweep.sessions()
    assert told[0]["command"] == "run"
    assert told[1]["done"] == 3
    assert told[1]["ended"] >= told[1]["since"]


def test_a_living_driver_is_named_to_the_second(sweep, other_driver):
    with pytest.raises(SweepBusyError, match=rf"host .*, pid {other_driver.pid}, since 20"):
        quick(sweep)


def test_a_killed_driver_on_this_host_is_succeeded_at_once(sweep, other_driver):
    other_driver.kill()
    other_driver.wait()

    start = time.monotonic()
    with quick(sweep) as session:
        assert session.number == 2
    assert time.monotonic() - start < 0.5


def test_remains_of_a_process_count_as_dead(sweep, other_driver):
    os.kill(other_driver.pid, signal.SIGKILL)
    os.waitid(os.P_PID, other_driver.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie

    with quick(sweep) as session:
        assert session.number == 2


def test_a_driver_that_hangs_is_succeeded_after_its_lease_and_stops_when_it_wakes(sweep, other_driver):
    os.kill(other_driver.pid, signal.SIGSTOP)
    start = time.monotonic()
    with quick(sweep) as session:
        assert session.number == 2
        assert 0.5 < time.monotonic() - start < 5
        os.kill(other_driver.pid, signal.SIGCONT)
        other_driver.stdin.write("session.check()\n")
        _, _ = other_driver.communicate(timeout=10)

        assert other_driver.returncode == 1
        session.check()


def test_a_session_of_another_host_is_judged_by_its_heartbeat_alone(sweep):
    facts = {"host": "elsewhere", "pid": 1, "boot": "b", "start": "0", "since": "2026", "lease_s": 0.3}
    (sweep.session_files / "000001.json").write_text(json.dumps(facts))

    start = time.monotonic()
    with quick(sweep) as session:
        assert session.number == 2
    assert 0.3 <= time.monotonic() - start < 3


RACE = textwrap.dedent("""
    import sys, time
    from sciflow.errors import SweepBusyError
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.lease import Session
    sweep = SweepDirectory.open(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        session = Session.acquire(sweep, heartbeat_s=0.05, lease_s=0.5)
    except SweepBusyError:
        print("busy", flush=True)
    else:
        print("won", session.number, flush=True)
        sys.stdin.readline()
        session.end()
    """)


@pytest.mark.parametrize("predecessor", ["ended", "dead", "silent"])
def test_of_several_that_take_over_exactly_one_wins(sweep, predecessor):
    if predecessor == "ended":
        quick(sweep).end()
    else:
        facts = ProcessName.of_this_process().to_dict()
        facts |= {"start": "1"} if predecessor == "dead" else {"host": "elsewhere"}
        facts |= {"since": "2026", "lease_s": 0.3}
        (sweep.session_files / "000001.json").write_text(json.dumps(facts))
    contenders = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(sweep.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(5)
    ]
    try:
        for contender in contenders:
            assert contender.stdout.readline() == "ready\n"
        for contender in contenders:
            contender.stdin.write("go\n")
        answers = sorted(contender.stdout.readline() for contender in contenders)
    finally:
        for contender in contenders:
            contender.communicate("end\n", timeout=20)

    assert answers == ["busy\n"] * 4 + ["won 2\n"]


def test_fences_add_up_over_several_sessions(sweep):
    writers = []
    for number in range(1, 5):
        session = Session.acquire(sweep, heartbeat_s=60, lease_s=0.05)
        writers.append(sweep.segment_writer(number))
        writers[-1].commit([frame_of(range(number, number + 1))])
        for late in writers[:-1]:
            late.commit([frame_of(range(90, 91))])
        assert sorted(rows_of(sweep.snapshot())) == list(range(1, number + 1))
        session._over.set()
    for writer in writers:
        writer.close()


def test_a_lost_session_is_not_marked_as_ended(sweep):
    old = Session.acquire(sweep, heartbeat_s=60, lease_s=0.05)
    with quick(sweep):
        with pytest.raises(LeaseLostError, match=r"session 1\) was away"):
            old.check()
        assert old.lost
        old.end()

        assert not (sweep.session_files / "000001.end").exists()


def test_an_owner_that_sees_a_successor_stops_its_heart(sweep):
    old = Session.acquire(sweep, heartbeat_s=0.2, lease_s=0.05)
    with Session.acquire(sweep, heartbeat_s=0.05, lease_s=5):
        old._heart.join(timeout=5)

        assert not old._heart.is_alive()


def test_a_full_disk_does_not_stop_the_heart(sweep):
    session = Session.acquire(sweep, heartbeat_s=0.02, lease_s=5)
    heartbeat = sweep.session_files / "000001.heartbeat"
    content = heartbeat.read_bytes()
    session._over.set()
    session._heart.join()
    heartbeat.unlink()
    heartbeat.mkdir()  # no file can take its place now, but it takes a time stamp
    os.utime(heartbeat, (0, 0))
    session._beat()

    assert content
    assert heartbeat.stat().st_mtime > 0


def test_a_session_that_cannot_start_is_ended(sweep):
    quick(sweep).end()
    (sweep.session_files / "000002.heartbeat").mkdir()

    with pytest.raises(StoreWriteError, match=r"000002\.heartbeat"):
        quick(sweep)
    assert (sweep.session_files / "000002.end").exists()
    with quick(sweep) as session:
        assert session.number == 3


def test_processes_on_other_hosts_are_never_certainly_dead():
    mine = ProcessName.of_this_process()
    gone = ProcessName(mine.host, 2**22 + 1, mine.boot, "1")
    elsewhere = ProcessName("elsewhere", 2**22 + 1, mine.boot, "1")

    assert not mine.is_certainly_dead()
    assert gone.is_certainly_dead()
    assert not elsewhere.is_certainly_dead()
    assert is_tag_of_the_dead(gone.tag)
    assert not is_tag_of_the_dead(elsewhere.tag)
    assert not is_tag_of_the_dead(mine.tag)
