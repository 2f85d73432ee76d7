"""A driver and its worker killed at every system call that changes a file: what was acknowledged is there."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
from sciflow.testing.store import frame_of, rows_of

# forks a warm process for every point, which is much faster than starting one
HARNESS = textwrap.dedent("""
    import json, os, sys
    from pathlib import Path
    from sciflow.testing.deadly import DeadlyCalls
    deadly = DeadlyCalls()
    acknowledge = os.pwrite  # not counted
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.lease import Session
    from sciflow.testing.store import frame_of

    def drive(path, acknowledged):
        sweep = SweepDirectory.create_or_open(path, "w", seed=0)
        sweep.add_definition({"space": 1})
        session = Session.acquire(sweep, heartbeat_s=60)
        sweep.add_environment({"python": "3"})
        with sweep.segment_writer(session.number) as writer:
            for row in range(4):
                writer.commit([frame_of(range(2 * row, 2 * row + 1)), frame_of(range(2 * row + 1, 2 * row + 2))])
                acknowledge(acknowledged, b"%d" % (row + 1), 0)
        session.end()

    root, torn = Path(sys.argv[1]), sys.argv[2] == "torn"
    told, k, survived = [], 0, False
    while not survived:
        note = os.open(root / f"{k}.ack", os.O_RDWR | os.O_CREAT, 0o644)
        child = os.fork()
        if not child:
            deadly.arm(k, torn=torn)
            drive(root / str(k), note)
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        told.append(int(os.pread(note, 10, 0) or 0))
        os.close(note)
        k += 1
    print(json.dumps(told))
    """)


@pytest.mark.parametrize("death", ["whole", "torn"])
def test_whatever_call_kills_a_driver_its_acknowledged_commits_are_there(tmp_path, death):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HARNESS, str(tmp_path), death],
        capture_output=True,
        text=True,
        check=True,
    )
    acknowledged = json.loads(done.stdout)

    assert len(acknowledged) > 25
    assert acknowledged[-1] == 4
    for k, n in enumerate(acknowledged):
        sweep = SweepDirectory.create_or_open(tmp_path / str(k), "w", seed=0)
        before = rows_of(sweep.snapshot())
        # a prefix of the commits, and at least what was acknowledged; of the last one maybe its first frame
        assert before == list(range(len(before)))
        assert 2 * n <= len(before) <= 2 * n + 2

        sweep.add_definition({"space": 1})
        with (
            Session.acquire(sweep, heartbeat_s=60) as session,
            sweep.segment_writer(session.number) as writer,
        ):
            writer.commit([frame_of(range(len(before), 8))] if len(before) < 8 else [])
        after = sweep.snapshot()
        assert sorted(rows_of(after)) == list(range(8))
        assert all("cut short" in problem for problem in after.problems)
        assert sweep.newest_revision() == 1


WRITER = textwrap.dedent("""
    import sys, time
    from sciflow.store.directory import SweepDirectory
    from sciflow.testing.store import frame_of
    first = int(sys.argv[2])
    with SweepDirectory.open(sys.argv[1]).segment_writer(1) as writer:
        for row in range(first, first + 100_000):
            writer.commit([frame_of(range(row, row + 1))])
            print(row, flush=True)
            time.sleep(0.001)
    """)


def test_a_reader_never_sees_less_than_before_while_writers_write_and_are_killed(tmp_path):
    sweep = SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)
    acknowledged = set()
    counts = []
    for turn in range(3):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(sweep.path), str(first)], stdout=subprocess.PIPE, text=True
            )
            for first in (turn * 1_000_000, turn * 1_000_000 + 500_000)
        ]
        for writer in writers:
            acknowledged.add(int(writer.stdout.readline()))
        snapshot = None
        for _ in range(20):
            snapshot = sweep.snapshot(snapshot)
            counts.append(snapshot.n_variants)
        for writer in writers:
            writer.kill()
            acknowledged |= {int(line) for line in writer.communicate()[0].split()}

    assert counts == sorted(counts)
    rows = rows_of(sweep.snapshot())
    assert acknowledged <= set(rows)
    assert len(rows) == len(set(rows))
