"""Compaction: whatever it does, and whenever it dies, a sweep says what it said before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciflow.errors import FormatError, LeaseLostError, StoreError
from sciflow.space.product import Grid
from sciflow.store import column, compact, merge
from sciflow.store.assemble import assemble
from sciflow.store.commits import Commits
from sciflow.store.compact import ClosedSegment, choose, closed_segments, compact_in_child, is_worthwhile
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.labels import labelled
from sciflow.store.lease import Session
from sciflow.store.segment import SegmentWriter, segment_name
from sciflow.testing.store import frame_of, rows_of

SPACE = Grid(a=[1.5, 2.5, 3.5], b=["x", "y"])


@pytest.fixture
def sweep(tmp_path):
    return SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)


def in_sessions(sweep, *commits):
    """Each of the commits in a session and a segment of its own; then a session that owns the sweep."""
    for frames in commits:
        with Session.acquire(sweep) as session, sweep.segment_writer(session.number) as writer:
            writer.commit(frames)
    return Session.acquire(sweep)


def in_segments(sweep, *commits):
    """Each of the commits in a segment of its own, all of one session, which is over; then the next session."""
    with Session.acquire(sweep) as session:
        for frames in commits:
            with sweep.segment_writer(session.number) as writer:
                writer.commit(frames)
    return Session.acquire(sweep)


def names(sweep):
    return sorted(path.name for path in sweep.segments.iterdir())


# ------------------------------------------------------------------------------------------- what is said stays said

# each makes the output columns for some variants, of which it gets a number each
SCHEMAS = {
    "numbers": lambda k: {"y": [float(i) if i % 3 else -0.0 for i in k], "n": [int(i) for i in k]},
    "gaps": lambda k: {"y": [None if i % 2 else float("nan") for i in k]},
    "texts": lambda k: {"y": [["ä", "", "\x00", None][i % 4] for i in k], "s": [f"text {i}" for i in k]},
    "mixed": lambda k: {"y": [[1, 1.0, True, -0.0, 0.0, None, "t", float("nan")][i % 8] for i in k]},
    "arrays": lambda k: {"y": [np.full((2, 3), i, dtype=np.float32) for i in k], "z": [np.zeros((0,))] * len(k)},
    "ragged": lambda k: {"y": [np.arange(i % 4, dtype=np.float32) for i in k]},
    "some": lambda k: {"y": [None if i % 2 else np.full(2, i, np.int16) for i in k]},
    "nothing": lambda k: {},
    "words": lambda k: {"y": [np.array(["p", "qq"])] * len(k), "t": [np.datetime64("2020-01-01", "s")] * len(k)},
}
FRAMES = st.lists(
    st.fixed_dictionaries(
        {
            "session": st.integers(1, 3),
            "rows": st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True),
            "schema": st.sampled_from([*sorted(SCHEMAS), None]),
            "attempt": st.integers(1, 2),
            "generation": st.sampled_from(["old", "new"]),
            "worker": st.sampled_from(["host:1", "host:2", None]),
            "number": st.integers(0, 99),
            "consecutive": st.booleans(),
        }
    ),
    max_size=12,
)


def frame_for(about, t0):
    """What a worker would commit of some variants; the schema None stands for failures."""
    rows = np.array(about["rows"])
    if about["consecutive"]:
        rows = np.arange(rows.min(), rows.max() + 1)
    table = SPACE.take(rows)
    numbers = [about["number"] + int(row) for row in rows]
    failures = [json.dumps({"message": f"m{number % 3}"}) for number in numbers] if about["schema"] is None else None
    columns = {
        known.name: column.category(table.columns[known.name].pool, table.columns[known.name].codes, kind="parameter")
        for known in table.parameters
    }
    columns |= column.variant_facts(
        table.id_bytes(),
        np.zeros(len(rows)),
        np.array(numbers) / 7,
        rows=None if about["consecutive"] else rows,
        failures=failures,
    )
    columns["@s.train"] = column.fixed(np.array(numbers, dtype="<f4"), kind="fact", units="s")
    if about["schema"] is not None:
        columns |= {name: column.outputs(values) for name, values in SCHEMAS[about["schema"]](numbers).items()}
    header = {
        "revision": 1,
        "session": about["session"],
        "generation": about["generation"],
        "environment": "e",
        "attempt": about["attempt"],
        "t0": t0,
        "status": "failed" if failures else "done",
        "cpu_s": 0.25 * about["number"],
        "peak_bytes": 1000 * about["number"],
        "unknown": {"nested": [about["number"] % 2]},
        **({} if about["worker"] is None else {"worker": about["worker"]}),
        **({"cause": "exception"} if failures else {}),
        **({"rows": [int(rows[0]), int(rows[-1]) + 1]} if about["consecutive"] else {}),
    }
    return Frame(header, columns)


def told(sweep):
    """All that a reader makes of the sweep, in a form that can be compared."""
    found = assemble(sweep, "flat")
    everything = {
        "status": found.status.tolist(),
        "attempt": found.attempt.tolist(),
        "runtime_s": found.runtime_s.tobytes(),
        "failure": [found.messages[code - 1] if code else None for code in found.failure.tolist()],
        "superseded": found.n_superseded,
        "coords": {name: coordinate.values.tolist() for name, coordinate in found.coords.items()},
    }
    for key in ("worker", "session", "generation", "environment"):
        codes, values = found.facts(key)
        everything[key] = [values[code] if code >= 0 else None for code in codes.tolist()]
    for name, output in found.outputs.items():
        if hasattr(output, "gather"):
            arrays = output.gather(np.arange(found.n_cells))
            everything[name] = [repr(array) for array in arrays], output.extent, output.dims
        else:
            everything[name] = [repr(value) for value in output.values.tolist()], str(output.values.dtype)
    return everything


def counted(sweep):
    """How often each record is there, with all that is said of it."""
    seen = Counter()
    for frame in sweep.snapshot().frames:
        table = frame.table()
        facts = {key: frame.fact(key) for key in ("t0", "worker", "cpu_s", "peak_bytes", "unknown", "cause")}
        rows = table[column.ROW].tolist() if column.ROW in table else list(range(*frame.header["rows"]))
        outputs = {name: entries(table[name]) for name in table if name[0] != "@" or name.startswith("@s.")}
        share = frame.n if "merged" not in frame.header else 1
        for k, row in enumerate(rows):
            said = {key: values[k] for key, values in facts.items()}
            said["cpu_s"] = round(said["cpu_s"] / share, 6)
            seen[frame.session, frame.header["status"], row, repr(said), repr([o[k] for o in outputs.values()])] += 1
    return seen


def entries(values):
    if isinstance(values, column.Category):
        return values.values()
    if isinstance(values, np.ma.MaskedArray):
        gone = np.ma.getmaskarray(values).reshape(len(values), -1).any(axis=1)
        return [None if masked else value for masked, value in zip(gone, values.data, strict=True)]
    return list(values)


@settings(max_examples=60, deadline=None)
@given(FRAMES)
def test_a_compacted_sweep_says_of_every_variant_what_it_said(tmp_path_factory, frames):
    sweep = SweepDirectory.create_or_open(tmp_path_factory.mktemp("s"), "w", seed=0)
    sweep.add_definition({"space": SPACE.describe(), "generation": "new"})
    in_sessions(sweep, [], [], []).end()
    for number in (1, 2, 3):
        mine = [(t0, about) for t0, about in enumerate(frames) if about["session"] == number]
        for part in (mine[::2], mine[1::2]):
            with sweep.segment_writer(number) as writer:
                for t0, about in part:
                    writer.commit([frame_for(about, 1e9 + t0)])
    # these sessions are over, and nothing of theirs is ruled out
    for path in sweep.session_files.glob("*.fence"):
        path.unlink()
    before, records, n = told(sweep), counted(sweep), sweep.snapshot().n_variants

    with Session.acquire(sweep) as session:
        report = compact.compact(sweep, session.number)

    assert told(sweep) == before
    assert counted(sweep) == records
    assert sweep.snapshot().n_variants == n
    assert report.n_frames_after <= report.n_frames
    assert len(names(sweep)) <= 1 or not report.n_segments


def test_frames_of_one_variant_become_one_frame_and_what_differed_stays_known(sweep):
    frames = [frame_of(range(row, row + 1), worker=f"host:{row % 2}", cpu_s=0.5, t0=100.0 + row) for row in range(9)]
    session = in_segments(sweep, frames[:3], frames[3:5])
    with SegmentWriter(sweep.segments, 1) as late:
        late.commit(frames[5:])  # ruled out: it comes after the fence
    with session:
        compact.compact(sweep, session.number)

        (frame,) = sweep.snapshot().frames

    assert frame.session == frame.header["session"] == 1
    assert frame.header["rows"] == [0, 5]
    assert frame.header["cpu_s"] == 2.5
    assert frame.header["t0"] == 100.0
    assert frame.fact("worker") == ["host:0", "host:1", "host:0", "host:1", "host:0"]
    assert frame.fact("t0") == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert frame.fact("cpu_s") == [0.5] * 5
    assert frame.fact("revision") == [1] * 5


def test_merged_frames_can_be_merged_again(sweep):
    for turn in range(4):
        session = in_sessions(sweep, [frame_of(range(turn, turn + 1), session=1, t0=float(turn), cpu_s=1.0)])
        with session:
            compact.compact(sweep, session.number)

    (frame,) = sweep.snapshot().frames
    assert frame.fact("t0") == [0.0, 1.0, 2.0, 3.0]
    assert frame.header["cpu_s"] == 4.0
    assert frame.header["merged"] == 4


def test_arrays_whose_labels_differ_keep_them_through_a_compaction(sweep):
    import xarray as xr

    def of(row, times):
        array = xr.DataArray(np.arange(len(times)), dims="time", coords={"time": times})
        frame = frame_of(range(row, row + 1))
        return Frame(frame.header, {**frame.columns, **labelled("curve", [array])})

    frames = [of(0, [0.0, 0.5]), of(1, [0.0, 0.25]), of(2, [1.0, 2.0, 3.0])]
    session = in_segments(sweep, frames[:2], frames[2:])
    with session:
        compact.compact(sweep, session.number)

        (frame,) = sweep.snapshot().frames

    assert [a.tolist() for a in frame.table()['@label.["curve", "time"]']] == [[0.0, 0.5], [0.0, 0.25], [1.0, 2.0, 3.0]]
    assert [a.tolist() for a in frame.table()["curve"]] == [[0, 1], [0, 1], [0, 1, 2]]


def test_long_frames_are_taken_over_as_they_are_and_small_ones_join_up(sweep):
    big = [
        Frame(
            frame_of(range(k, k + 1)).header,
            {**frame_of(range(k, k + 1)).columns, "field": column.fixed(np.full((1, 400_000), float(k)))},
        )
        for k in range(3)
    ]
    small = [frame_of(range(k, k + 1)) for k in range(3, 40)]
    session = in_sessions(sweep, [big[0], *small[:20]], [big[1], big[2], *small[20:]])
    with session:
        report = compact.compact(sweep, session.number)

    assert report.n_frames == 40
    assert report.n_frames_after == 3 + 2  # two sessions are not put into one frame
    assert sorted(rows_of(sweep.snapshot())) == list(range(40))


# ------------------------------------------------------------------------------------------------ what may be compacted


def test_only_segments_that_nobody_writes_any_more_are_touched(sweep):
    with Session.acquire(sweep) as session, sweep.segment_writer(1) as alive:
        alive.commit([frame_of(range(1))])
        for row in range(1, 4):
            write_in_child(sweep, row)
        other_host = sweep.segments / segment_name(1).replace(f"-{os.uname().nodename}-", "-elsewhere-")
        with SegmentWriter(sweep.segments, 1) as writer:
            writer.commit([frame_of(range(4, 5))])
        writer.path.rename(other_host)

        report = compact.compact(sweep, session.number)

        assert report.n_segments == 3
        assert alive.path.exists()
        assert other_host.exists()
        alive.commit([frame_of(range(5, 6))])
        assert sorted(rows_of(sweep.snapshot())) == list(range(6))


def write_in_child(sweep, row, n=1):
    script = f"""
        from sciflow.store.directory import SweepDirectory
        from sciflow.testing.store import frame_of
        with SweepDirectory.open({str(sweep.path)!r}).segment_writer(1) as writer:
            writer.commit([frame_of(range({row}, {row + n}))])
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_segment_with_damage_is_left_as_it_is_and_still_reported(sweep):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1)) for row in range(k, k + 3)] for k in (0, 3, 6)))
    first = sweep.segments / names(sweep)[0]
    content = bytearray(first.read_bytes())
    content[200] ^= 1
    first.write_bytes(content)
    problems = sweep.snapshot().problems
    with session:
        report = compact.compact(sweep, session.number)

    assert report.n_segments == 2
    assert first.read_bytes() == bytes(content)
    assert sweep.snapshot().problems == problems
    assert len(problems) == 1


def test_a_last_commit_that_is_whole_but_changed_is_damage_too(sweep):
    session = in_sessions(sweep, [frame_of(range(2))], [frame_of(range(2, 4))], [frame_of(range(4, 6))])
    first = sweep.segments / names(sweep)[0]
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    with session:
        compact.compact(sweep, session.number)

    assert first.exists()


def test_a_long_column_that_was_damaged_keeps_its_segment(sweep):
    def with_array(row):
        frame = frame_of(range(row, row + 1))
        return Frame(frame.header, {**frame.columns, "field": column.fixed(np.ones((1, 50_000)))})

    session = in_sessions(sweep, *([with_array(row), frame_of(range(row + 1, row + 2))] for row in (0, 2, 4)))
    first = sweep.segments / names(sweep)[0]
    content = bytearray(first.read_bytes())
    content[100_000] ^= 1
    first.write_bytes(content)
    with session:
        report = compact.compact(sweep, session.number)

    assert report.n_segments == 2
    assert first.exists()
    with pytest.raises(FormatError, match="'field'"):
        next(frame for frame in sweep.snapshot().frames if frame.path == first).table()


def test_torn_ends_and_what_a_fence_ruled_out_are_gone_for_good(sweep):
    with Session.acquire(sweep) as old, sweep.segment_writer(1) as torn:
        torn.commit([frame_of(range(2)), frame_of(range(2, 4))])
        os.truncate(torn.path, torn.path.stat().st_size - 7)
    with Session.acquire(sweep) as new:
        with SegmentWriter(sweep.segments, old.number) as late:
            late.commit([frame_of(range(10, 12))])
        with SegmentWriter(sweep.segments, old.number) as other:
            other.commit([frame_of(range(12, 14))])
        before = rows_of(sweep.snapshot())
        report = compact.compact(sweep, new.number)

        assert rows_of(sweep.snapshot()) == before == [0, 1]
        assert report.n_removed == 2
        assert not sweep.snapshot().problems or "cut short" in sweep.snapshot().problems[0]
    with Session.acquire(sweep):
        assert rows_of(sweep.snapshot()) == [0, 1]


# ------------------------------------------------------------------------------------------- bounds

SEGMENTS = st.lists(
    st.builds(
        ClosedSegment,
        name=st.uuids().map(str),
        n_bytes=st.one_of(st.integers(0, 100), st.integers(0, 80 << 20), st.integers(0, 1 << 40)),
        n_frames=st.integers(0, 100),
        n_merged=st.integers(1, 50),
    ),
    max_size=100,
)


@given(SEGMENTS)
def test_what_is_not_chosen_is_bounded_by_its_size(closed):
    chosen = choose(closed)
    total = 0
    rounds = 0
    while chosen:
        put = [one for one in closed if one.name in chosen]
        merged = ClosedSegment(f"new {rounds}", sum(one.n_bytes for one in put), 1, 1)
        closed = [one for one in closed if one.name not in chosen] + [merged]
        chosen = choose(closed)
        rounds += 1
        assert rounds <= 200
    total = sum(one.n_bytes for one in closed)

    assert len(closed) <= 20 + total / compact.FULL_BYTES
    assert not any(one.is_fragmented for one in closed)


def test_a_single_large_frame_per_file_is_not_written_again():
    large = [ClosedSegment(str(k), 1 << 30, 3, 3) for k in range(50)]

    assert choose(large) == ()
    assert not is_worthwhile(large)


def test_a_few_small_segments_are_not_worth_a_compaction_and_many_are():
    assert not is_worthwhile([ClosedSegment(str(k), 10_000, 5, 1) for k in range(compact.MANY_SEGMENTS)])
    assert is_worthwhile([ClosedSegment(str(k), 10_000, 5, 1) for k in range(compact.MANY_SEGMENTS + 1)])
    assert is_worthwhile([ClosedSegment("one", 10 << 20, compact.MANY_FRAMES + 2, 1)])


def test_files_and_frames_stay_bounded_while_many_short_sessions_and_workers_come_and_go(sweep, monkeypatch):
    monkeypatch.setattr(compact, "MANY_SEGMENTS", 16)
    monkeypatch.setattr(merge, "FRAME_VARIANTS", 64)
    most, row, snapshot = 0, 0, None
    for _ in range(30):
        with Session.acquire(sweep) as session:
            snapshot = sweep.snapshot(snapshot)
            if is_worthwhile(closed_segments(snapshot, session.number)):
                compact.compact(sweep, session.number, snapshot)
            for _ in range(5):
                with sweep.segment_writer(session.number) as writer:
                    for _ in range(6):
                        writer.commit([frame_of(range(row, row + 1), session=1, t0=float(row))])
                        row += 1
            most = max(most, len(names(sweep)))
    with Session.acquire(sweep) as session:
        compact.compact(sweep, session.number)
    snapshot = sweep.snapshot()

    assert most <= 16 + 2 + 5
    assert len(names(sweep)) <= 2
    assert len(snapshot.frames) <= 2 * (row / 64 + snapshot.n_bytes / merge.FRAME_BYTES) + len(names(sweep))
    assert sorted(rows_of(snapshot)) == list(range(row))


# ------------------------------------------------------------------------------------------------ readers


def test_a_reader_ignores_what_a_compacted_segment_replaces(sweep, tmp_path):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    copies = tmp_path / "copies"
    shutil.copytree(sweep.segments, copies)
    with session:
        compact.compact(sweep, session.number)
        for path in copies.iterdir():  # as if the compaction had died before it removed them
            shutil.copy(path, sweep.segments)

        assert rows_of(sweep.snapshot()) == list(range(5))
        assert compact.compact(sweep, session.number).n_removed == 5
        assert len(names(sweep)) == 1


def test_a_compacted_segment_that_a_fence_rules_out_replaces_nothing(sweep):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    copies = {path.name: path.read_bytes() for path in sweep.segments.iterdir()}
    compact.compact(sweep, session.number)
    (late,) = sweep.segments.iterdir()
    content = late.read_bytes()
    late.unlink()
    for name, data in copies.items():
        (sweep.segments / name).write_bytes(data)
    session.end()
    with Session.acquire(sweep) as new:
        late.write_bytes(content)  # a driver that lost the sweep in the middle of its compaction

        assert rows_of(sweep.snapshot()) == list(range(5))
        assert sorted(copies) == [name for name in names(sweep) if name != late.name]
        compact.compact(sweep, new.number)
        assert rows_of(sweep.snapshot()) == list(range(5))


def test_a_driver_that_lost_the_sweep_removes_nothing(sweep):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    session.end()
    before = names(sweep)
    with Session.acquire(sweep):
        with pytest.raises(LeaseLostError, match="took over"):
            compact.compact(sweep, session.number)

        assert names(sweep) == before


def test_an_older_release_is_told_to_upgrade_instead_of_counting_twice(sweep):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    with session:
        compact.compact(sweep, session.number)
    (path,) = sweep.segments.iterdir()

    assert path.read_bytes().startswith(b"sciflow segment 2\n")


def test_a_dataset_is_as_current_as_before_the_compaction(sweep):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    before = Commits.of(sweep, sweep.snapshot())
    with session:
        compact.compact(sweep, session.number)

        assert Commits.of(sweep, sweep.snapshot()) == before


def test_what_was_written_wrongly_replaces_nothing(sweep, monkeypatch):
    session = in_segments(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    before = names(sweep)

    def wrong(members):
        return merge.merge(members[::-1])

    monkeypatch.setattr(compact, "merge", wrong)
    with session:
        with pytest.raises(StoreError, match="nothing was removed"):
            compact.compact(sweep, session.number)

        assert names(sweep) == before


def test_two_compactions_of_one_session_do_not_work_at_a_time(sweep):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    with session, compact._alone(sweep, session.number) as alone:
        assert alone
        assert compact_in_child(sweep, session.number).n_segments == 0
        assert len(names(sweep)) == 6


def test_a_child_compacts_and_says_what_it_did(sweep):
    session = in_sessions(sweep, *([frame_of(range(row, row + 1))] for row in range(5)))
    with session:
        assert compact_in_child(sweep, session.number, when_worthwhile=True).n_segments == 0
        report = compact_in_child(sweep, session.number)

    assert (report.n_segments, report.n_segments_after, report.n_frames) == (5, 1, 5)
    assert rows_of(sweep.snapshot()) == list(range(5))
    with pytest.raises(StoreError, match="no sweep"):
        compact_in_child(SweepDirectory(sweep.path / "none", {}), 1)


def test_files_of_writers_that_died_are_removed(sweep):
    script = f"""
        import os
        from pathlib import Path
        from sciflow.store.atomic import temporary_name
        for folder in ("segments", "sessions", "definition", "."):
            (Path({str(sweep.path)!r}) / folder / temporary_name("x.json")).write_text("half")
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    mine = sweep.segments / compact.temporary_name("x.json")
    mine.write_text("being written")
    with Session.acquire(sweep) as session:
        report = compact.compact(sweep, session.number)

    assert report.n_removed == 4
    assert list(sweep.path.rglob("*.tmp")) == [mine]
