"""Compaction killed at every system call, and seen by readers that look all the time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from sciflow.errors import FormatError
from sciflow.space.product import Grid
from sciflow.store import column, compact
from sciflow.store.assemble import assemble
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.lease import Session
from sciflow.store.segment import SegmentWriter
from sciflow.testing.store import frame_of, rows_of

# forks a warm process for every point, which is much faster than starting one
HARNESS = textwrap.dedent("""
    import json, os, shutil, sys
    from pathlib import Path
    from sciflow.testing.deadly import DeadlyCalls
    deadly = DeadlyCalls()
    from sciflow.store.compact import compact
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.lease import Session

    template, root, torn = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "torn"
    k, survived = 0, False
    while not survived:
        child = os.fork()
        if not child:
            shutil.copytree(template, root / str(k))
            sweep = SweepDirectory.open(root / str(k))
            session = Session.acquire(sweep, heartbeat_s=60)
            deadly.arm(k, torn=torn)
            compact(sweep, session.number)
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        k += 1
    print(json.dumps(k))
    """)


def rows_in(snapshot):
    return sorted(rows_of(snapshot))


@pytest.mark.parametrize("death", ["whole", "torn"])
def test_whatever_call_kills_a_compaction_everything_is_there_once(tmp_path, death):
    template = SweepDirectory.create_or_open(tmp_path / "template", "w", seed=0)
    for turn in range(3):
        with Session.acquire(template) as session:
            for part in range(2):
                with template.segment_writer(session.number) as writer:
                    row = 6 * turn + 3 * part
                    writer.commit([frame_of(range(row, row + 1)), frame_of(range(row + 1, row + 3))])
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HARNESS, template.path, tmp_path, death],
        capture_output=True,
        text=True,
        check=True,
    )

    n_deaths = json.loads(done.stdout)
    assert n_deaths > 25
    for k in range(n_deaths):
        sweep = SweepDirectory.open(tmp_path / str(k))
        snapshot = sweep.snapshot()
        assert rows_in(snapshot) == list(range(18)), k
        assert not snapshot.problems
        with Session.acquire(sweep) as session:
            compact.compact(sweep, session.number)
            assert rows_in(sweep.snapshot()) == list(range(18)), k
            assert [path.suffix for path in sweep.segments.iterdir()] == [".seg"], k
        shutil.rmtree(sweep.path)


# short sessions with short-lived workers, some of which are killed; each session compacts what it finds
DRIVER = textwrap.dedent("""
    import os, signal, sys
    from sciflow.store.compact import compact
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.lease import Session
    from sciflow.testing.store import frame_of

    sweep, row = SweepDirectory.open(sys.argv[1]), 0
    for turn in range(int(sys.argv[2])):
        with Session.acquire(sweep, heartbeat_s=60) as session:
            compact(sweep, session.number)
            for worker in range(3):
                child = os.fork()
                if not child:
                    writer = sweep.segment_writer(session.number)
                    for k in range(4):
                        writer.commit([frame_of(range(row + k, row + k + 1), t0=float(row))])
                    os.kill(os.getpid(), signal.SIGKILL)
                os.waitpid(child, 0)
                row += 4
                print(row, flush=True)
            compact(sweep, session.number)
    """)


def test_a_reader_that_looks_all_the_time_never_sees_less_or_anything_twice(tmp_path):
    sweep = SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", DRIVER, sweep.path, "40"],
        stdout=subprocess.PIPE,
        text=True,
    )
    seen, snapshot, n_looks, files = [], None, 0, []
    while driver.poll() is None:
        n_looks += 1
        # one reader goes on from its last look, another comes anew
        for earlier in (snapshot, None):
            rows, now = sweep.read(rows_in, sweep.snapshot(earlier))
            assert rows == list(range(len(rows)))
            assert len(rows) >= len(seen)
            seen = rows
            snapshot = now if earlier is snapshot else snapshot
        files.append(len(list(sweep.segments.glob("*.seg"))))
    acknowledged = driver.stdout.read().split()
    driver.stdout.close()

    assert driver.returncode == 0
    assert n_looks > 10
    assert int(acknowledged[-1]) == 480
    assert rows_in(sweep.snapshot(snapshot)) == list(range(480))
    assert max(files) <= 20 + 2 * 3


def with_array(row):
    frame = frame_of(range(row, row + 1), session=1, t0=float(row))
    ids = column.variant_facts(Grid(x=list(range(50))).take(np.array([row])).id_bytes(), [0.0], [0.0])
    array = column.fixed(np.full((1, 20_000), float(row)))
    return Frame(frame.header, {**frame.columns, **ids, "array": array})


def test_a_dataset_that_was_opened_before_is_read_from_where_a_compaction_put_it(tmp_path, monkeypatch):
    def all_of(closed):
        names = tuple(one.name for one in closed)
        return names if len(names) > 1 else ()

    monkeypatch.setattr(compact, "choose", all_of)
    sweep = SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)
    sweep.add_definition({"space": Grid(x=list(range(50))).describe()})
    for first in range(0, 40, 5):
        with Session.acquire(sweep), SegmentWriter(sweep.segments, 1) as writer:
            writer.commit([with_array(row) for row in range(first, first + 5)])
        for fence in sweep.session_files.glob("*.fence"):
            fence.unlink()
    opened = assemble(sweep)
    array = opened.outputs["array"]
    expected = [float(row) if row < 40 else None for row in range(50)]
    for turn in range(2):
        with Session.acquire(sweep) as session:
            with sweep.segment_writer(session.number) as writer:
                writer.commit([with_array(40 + turn)])
            compact.compact(sweep, session.number)
        assert len(list(sweep.segments.iterdir())) <= 2

        got = array.gather(np.arange(50))[:, 7]

        # what was opened stays what it was, whatever is committed later
        assert [None if np.isnan(value) else value for value in got] == expected
        codes, sessions = opened.facts("session")
        assert [sessions[code] if code >= 0 else None for code in codes] == [1] * 40 + [None] * 10
    assert not np.isnan(assemble(sweep).outputs["array"].gather(np.array([40, 41]))).any()


def test_results_that_were_moved_away_by_hand_are_said_to_be_gone(tmp_path):
    sweep = SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)
    sweep.add_definition({"space": Grid(x=list(range(50))).describe()})
    with SegmentWriter(sweep.segments, 1) as writer:
        writer.commit([with_array(0)])
    opened = assemble(sweep)
    writer.path.unlink()

    with pytest.raises(FormatError, match="removed by hand"):
        opened.outputs["array"].gather(np.arange(2))
