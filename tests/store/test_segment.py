"""Segments: commits, damage, and what a reader makes of it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciflow.errors import FormatError, StoreWriteError
from sciflow.store import column
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import FRAME_MAGIC, LONG_BYTES, Frame
from sciflow.store.segment import FIRST_LINE, SegmentWriter, scan_segment, segment_name, session_of
from sciflow.testing.store import frame_of, rows_of

GOLDEN = Path(__file__).parents[1] / "golden" / "segment-format-1"


@pytest.fixture
def sweep(tmp_path):
    return SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)


@pytest.fixture
def three(sweep):
    """A segment with three commits of two rows each, and where each ends."""
    ends = [len(FIRST_LINE)]
    with sweep.segment_writer(1) as writer:
        for first in (0, 2, 4):
            writer.commit([frame_of(range(first, first + 2))])
            assert writer.path is not None
            ends.append(writer.path.stat().st_size)
        return writer.path, ends


def test_the_first_line_of_a_segment_says_what_it_is(three):
    path, _ = three

    assert path.read_bytes().split(b"\n")[0] == b"sciflow segment 1"


def test_a_segment_cut_anywhere_gives_the_commits_before_the_cut(sweep, three):
    path, ends = three
    content = path.read_bytes()
    for size in range(len(content), -1, -1):
        os.truncate(path, size)

        scan = scan_segment(path)

        whole = sum(size >= end for end in ends[1:])
        assert [frame.header["rows"][0] for frame in scan.frames] == list(range(0, 2 * whole, 2))
        assert not scan.problems
    assert not sweep.snapshot().frames


def test_zeros_at_the_end_are_a_torn_commit(sweep, three):
    path, ends = three
    content = bytearray(path.read_bytes())
    for size in range(ends[2] + 1, ends[3], 3):
        path.write_bytes(content[:size] + bytes(ends[3] - size))

        assert rows_of(sweep.snapshot())[:4] == list(range(4))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_changed_byte_costs_its_frame_alone_and_is_reported(tmp_path_factory, data):
    sweep = SweepDirectory.create_or_open(tmp_path_factory.mktemp("s"), "w", seed=0)
    ends = [len(FIRST_LINE)]
    with sweep.segment_writer(1) as writer:
        for first in (0, 2, 4):
            writer.commit([frame_of(range(first, first + 2))])
            ends.append(writer.path.stat().st_size)
    content = bytearray(writer.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    writer.path.write_bytes(content)

    try:
        snapshot = sweep.snapshot()
    except FormatError as error:
        # the one digit of the first line that makes it a later format
        assert "upgrade" in str(error)  # noqa: PT017  other outcomes are as good
        return

    hit = next((k for k in range(3) if ends[k] <= place < ends[k + 1]), None)
    assert rows_of(snapshot) == [row for row in range(6) if row // 2 != hit]
    assert len(snapshot.problems) == (0 if hit == 2 else 1)


def test_a_damaged_last_commit_is_reported_once_its_session_is_over(sweep, three):
    path, ends = three
    path.write_bytes(path.read_bytes()[: ends[3] - 5])
    (sweep.session_files / "000001.json").write_text("{}")
    (sweep.session_files / "000001.end").write_text("{}")

    assert "cut short" in sweep.snapshot().problems[0]


def test_frames_after_a_damaged_stretch_are_found_by_their_magic(sweep, three):
    path, ends = three
    content = path.read_bytes()
    junk = b"\x00" * 100 + FRAME_MAGIC + b"\x01" * 100
    path.write_bytes(content[: ends[1]] + junk + content[ends[1] :])

    snapshot = sweep.snapshot()

    assert rows_of(snapshot) == list(range(6))
    assert f"{len(junk)} bytes from byte {ends[1]}" in snapshot.problems[0]


def test_a_damaged_stretch_longer_than_a_read_is_crossed(sweep, three):
    path, ends = three
    content = path.read_bytes()
    path.write_bytes(content[: ends[1]] + b"\x07" * (20 << 20) + content[ends[1] :])

    assert rows_of(sweep.snapshot()) == list(range(6))


def test_a_frame_or_segment_of_a_newer_format_is_refused(sweep, three):
    path, ends = three
    content = path.read_bytes()
    path.write_bytes(content.replace(b"segment 1", b"segment 7", 1))
    with pytest.raises(FormatError, match=r"format 7.*upgrade sciflow"):
        sweep.snapshot()

    import zlib

    newer = bytearray(content)
    newer[ends[1] + 8] = 2
    newer[ends[1] + 36 : ends[1] + 40] = zlib.crc32(newer[ends[1] : ends[1] + 36]).to_bytes(4, "little")
    path.write_bytes(newer)
    with pytest.raises(FormatError, match=r"format 2.*upgrade sciflow"):
        sweep.snapshot()


def test_a_file_that_is_no_segment_is_named(sweep):
    (sweep.segments / "notes.seg").write_text("x")
    with pytest.raises(FormatError, match=r"notes\.seg is not the name of a segment"):
        sweep.snapshot()


def test_names_of_segments_tell_session_host_and_process():
    name = segment_name(12)

    assert session_of(name) == 12
    assert f"-{os.getpid()}-" in name


def test_a_later_snapshot_reads_only_what_was_appended(sweep):
    with sweep.segment_writer(1) as writer:
        writer.commit([frame_of(range(2))])
        first = sweep.snapshot()
        writer.commit([frame_of(range(2, 3))])
        second = sweep.snapshot(first)
        same = sweep.snapshot(second)

    assert second.frames[0] is first.frames[0]
    assert rows_of(second) == [0, 1, 2]
    assert same.frames == second.frames


def test_the_golden_segment_of_format_1_opens(tmp_path):
    sweep = SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)
    for path in GOLDEN.glob("*.seg"):
        shutil.copy(path, sweep.segments)

    (frame,) = sweep.snapshot().frames
    table = frame.table()

    assert frame.header["rows"] == [0, 3]
    assert frame.column("energy")["units"] == "eV"
    assert table["size"].values() == [16, 16.0, None]
    assert table["optimizer"].values() == ["adam", "sgd", "adam"]
    assert table[column.ID].tobytes() == b"".join(row.to_bytes(10, "big") for row in range(3))
    assert table["energy"].tolist() == [0.5, 1.5, 2.5]
    assert table["curve"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert table["note"] == ["ä", None, "longer"]
    assert [a.tolist() for a in table["spectrum"]] == [[1.0], [], [[1.0, 2.0]]]
    assert table["steps"].tolist() == [1, None, 3]


def test_long_columns_are_checked_when_they_are_loaded(sweep):
    n = LONG_BYTES // 8 + 1
    columns = {"big": column.fixed(np.arange(2 * n, dtype=float).reshape(2, n))}
    with sweep.segment_writer(1) as writer:
        writer.commit([Frame({"status": "done", "rows": [0, 2]}, columns)])
        writer.commit([frame_of(range(2, 3))])
    content = bytearray(writer.path.read_bytes())
    content[10_000] ^= 1
    writer.path.write_bytes(content)

    snapshot = sweep.snapshot()

    assert not snapshot.problems
    with pytest.raises(FormatError, match=r"'big' of the frame at byte .* is damaged"):
        snapshot.frames[0].table()


def test_a_long_commit_that_was_not_finished_is_found_out_at_once(sweep):
    with sweep.segment_writer(1) as writer:
        writer.commit([Frame({"status": "done"}, {"big": column.fixed(np.ones((1, LONG_BYTES)))})])
    with writer.path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(bytes(1000))

    assert not sweep.snapshot().frames


def test_columns_of_different_lengths_are_no_frame():
    with pytest.raises(ValueError, match="differ in length"):
        Frame({}, {"a": column.fixed(np.zeros(2)), "b": column.fixed(np.zeros(3))})


def test_a_segment_that_vanishes_is_not_there(sweep, three):
    path, _ = three
    snapshot = sweep.snapshot()
    path.unlink()

    assert rows_of(snapshot.__class__((), ())) == rows_of(sweep.snapshot(snapshot)) == []


# ------------------------------------------------------------------------------------------------ failing writes


def test_a_commit_is_one_write_and_one_sync(sweep):
    calls = []

    def write(descriptor, buffers):
        calls.append("write")
        return os.writev(descriptor, buffers)

    with SegmentWriter(sweep.segments, 1, write=write, sync=lambda _: calls.append("sync")) as writer:
        writer.commit([frame_of(range(2)), frame_of(range(2, 4))])
        writer.commit([frame_of(range(4, 6))])
        writer.commit([])

    assert calls == ["write", "sync"] * 2


def test_many_frames_are_still_one_write(sweep):
    with sweep.segment_writer(1) as writer:
        writer.commit([frame_of(range(row, row + 1)) for row in range(300)])

    assert len(rows_of(sweep.snapshot())) == 300


def test_writes_that_take_only_a_part_are_carried_on(sweep):
    def write(descriptor, buffers):
        return os.write(descriptor, b"".join(buffers)[:7])

    with SegmentWriter(sweep.segments, 1, write=write) as writer:
        writer.commit([frame_of(range(3))])

    assert rows_of(sweep.snapshot()) == [0, 1, 2]


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_after_a_failure_the_segment_is_abandoned_and_nothing_is_lost(sweep, failing):
    broken = []

    def write(descriptor, buffers):
        if broken and failing == "write":
            os.write(descriptor, b"".join(buffers)[:50])
            raise OSError(broken.pop(), "No space left on device")
        return os.writev(descriptor, buffers)

    def sync(descriptor):
        if broken and failing == "sync":
            raise OSError(broken.pop(), "No space left on device")
        os.fsync(descriptor)

    with SegmentWriter(sweep.segments, 1, write=write, sync=sync) as writer:
        writer.commit([frame_of(range(2))])
        first = writer.path
        broken.append(errno.ENOSPC)
        with pytest.raises(StoreWriteError, match=r"\.seg: No space left on device \(ENOSPC\).*safe"):
            writer.commit([frame_of(range(2, 4))])
        writer.commit([frame_of(range(2, 4))])

    assert writer.path != first
    assert set(rows_of(sweep.snapshot())) == {0, 1, 2, 3}
    assert sum(segment.name.endswith(".seg") for segment in sweep.segments.iterdir()) == 2


def test_an_interrupted_commit_abandons_the_segment_too(sweep):
    interrupts = [KeyboardInterrupt()]

    def write(descriptor, buffers):
        if interrupts:
            raise interrupts.pop()
        return os.writev(descriptor, buffers)

    with SegmentWriter(sweep.segments, 1, write=write) as writer:
        with pytest.raises(KeyboardInterrupt):
            writer.commit([frame_of(range(2))])
        writer.commit([frame_of(range(2))])

    assert rows_of(sweep.snapshot()) == [0, 1]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreWriteError, match=r"cannot write .*file.*\.seg: Not a directory"):
        SegmentWriter(tmp_path / "file", 1).commit([frame_of(range(1))])


def test_a_full_disk_loses_only_the_commit_that_it_refused(sweep):
    script = textwrap.dedent(f"""
        import resource, signal, sys
        from sciflow.errors import StoreWriteError
        from sciflow.store.directory import SweepDirectory
        from sciflow.testing.store import frame_of
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = SweepDirectory.open({str(sweep.path)!r}).segment_writer(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
        refused = 0
        for row in range(20):
            try:
                writer.commit([frame_of(range(row, row + 1))])
            except StoreWriteError as error:
                assert "File too large" in str(error), error
                refused += 1
                writer.commit([frame_of(range(row, row + 1))])
        print(refused)
        """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert int(done.stdout) > 1
    assert set(rows_of(sweep.snapshot())) == set(range(20))


def test_a_forked_child_writes_into_a_segment_of_its_own(sweep):
    with sweep.segment_writer(1) as writer:
        writer.commit([frame_of(range(1))])
        parents = writer.path
        writer._pid += 1  # as it is in a child
        writer.commit([frame_of(range(1, 2))])

    assert writer.path != parents
    assert scan_segment(parents).frames[0].n == 1
