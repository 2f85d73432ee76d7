# ruff: noqa: D102  the name of a test is its sentence
"""The contract of a store, as tests that look at its files from outside.

A test class inherits `StoreContract` and says how a store is made and how its files are read without it::

    class TestSweepDirectory(StoreContract):
        def create(self, path, workflow="w"):
            return SweepDirectory.create_or_open(path, workflow, seed=0)

        def recorded_outside(self, path):
            ...
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sciflow.errors import LeaseLostError, SweepBusyError, SweepMismatchError
from sciflow.store import column
from sciflow.store.frame import Frame
from sciflow.store.lease import Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sciflow.store.segment import SegmentWriter
    from sciflow.store.snapshot import Snapshot


class Store(Protocol):
    """What workers and readers ask of a store."""

    @property
    def path(self) -> Path:
        """Where its files are."""
        ...

    def add_definition(self, data: Mapping[str, Any]) -> int:
        """Append a revision of the definition."""
        ...

    def segment_writer(self, session: int) -> SegmentWriter:
        """A writer for one process."""
        ...

    def snapshot(self) -> Snapshot:
        """What is committed now."""
        ...


def frame_of(rows: range, *, status: str = "done", **facts: Any) -> Frame:
    """A frame for consecutive rows of a space with the one parameter ``x``: ``x`` is the row, ``y`` its square."""
    numbers = np.arange(rows.start, rows.stop)
    ids = b"".join(row.to_bytes(column.ID_BYTES, "big") for row in rows)
    failures = [f'{{"message": "row {row}"}}' for row in rows] if status == "failed" else None
    columns = {
        "x": column.category(numbers.tolist(), np.arange(len(rows)), kind="parameter"),
        **column.variant_facts(ids, np.zeros(len(rows)), np.full(len(rows), 0.5), failures=failures),
    }
    if status == "done":
        columns["y"] = column.fixed(numbers.astype(float) ** 2, units="1")
    header = {"revision": 1, "rows": [rows.start, rows.stop], "status": status, "attempt": 1, "t0": float(rows.start)}
    return Frame({**header, **facts}, columns)


def rows_of(snapshot: Snapshot) -> list[int]:
    """The rows in a snapshot, in order of the frames; checks that what is stored with them is theirs."""
    found: list[int] = []
    for frame in snapshot.frames:
        table = frame.table()
        rows = table["x"].values()
        stored = table[column.ROW].tolist() if column.ROW in table else list(range(*frame.header["rows"]))
        assert stored == rows
        if frame.header["status"] == "done":
            assert table["y"].tolist() == [float(row) ** 2 for row in rows]
        found += rows
    return found


class StoreContract(ABC):
    """What every store promises to drivers, workers and readers."""

    @abstractmethod
    def create(self, path: Path, workflow: str = "w") -> Any:
        """Make or open the store of a workflow in *path*."""

    @abstractmethod
    def recorded_outside(self, path: Path) -> list[int]:
        """The rows that the files in *path* hold, read without the store under test."""

    def test_a_commit_is_in_the_files_when_it_returns(self, tmp_path: Path) -> None:
        store: Store = self.create(tmp_path / "s")
        with store.segment_writer(1) as writer:
            for first in range(0, 12, 3):
                writer.commit([frame_of(range(first, first + 3))])

                assert sorted(self.recorded_outside(store.path)) == list(range(first + 3))

    def test_what_is_committed_comes_back_in_order(self, tmp_path: Path) -> None:
        store: Store = self.create(tmp_path / "s")
        with store.segment_writer(1) as writer:
            writer.commit([frame_of(range(2)), frame_of(range(2, 5))])
            writer.commit([frame_of(range(5, 6))])

        assert rows_of(store.snapshot()) == list(range(6))

    def test_each_writer_has_a_file_of_its_own(self, tmp_path: Path) -> None:
        store: Store = self.create(tmp_path / "s")
        with store.segment_writer(1) as one, store.segment_writer(1) as other:
            one.commit([frame_of(range(1))])
            other.commit([frame_of(range(1, 2))])

        assert len({frame.path for frame in store.snapshot().frames}) == 2

    def test_what_was_written_is_never_changed(self, tmp_path: Path) -> None:
        store: Store = self.create(tmp_path / "s")
        with store.segment_writer(1) as writer:
            writer.commit([frame_of(range(3))])
            before = _contents(store.path)
            writer.commit([frame_of(range(3, 9))])
            store.add_definition({"space": 1})
            after = _contents(store.path)

        assert all(after[name].startswith(content) for name, content in before.items())

    def test_a_reader_leaves_the_files_as_they_are(self, tmp_path: Path) -> None:
        store: Store = self.create(tmp_path / "s")
        with store.segment_writer(1) as writer:
            writer.commit([frame_of(range(3))])
        before = _contents(store.path)

        store.snapshot()

        assert _contents(store.path) == before

    def test_counts_never_shrink_while_others_write(self, tmp_path: Path) -> None:
        store: Store = self.create(tmp_path / "s")

        def write(writer: SegmentWriter, first: int) -> None:
            for row in range(first, first + 100):
                writer.commit([frame_of(range(row, row + 1))])

        with store.segment_writer(1) as one, store.segment_writer(1) as other:
            threads = [threading.Thread(target=write, args=(w, f)) for w, f in ((one, 0), (other, 100))]
            for thread in threads:
                thread.start()
            counts: list[int] = []
            while any(thread.is_alive() for thread in threads):
                counts.append(len(rows_of(store.snapshot())))
            for thread in threads:
                thread.join()

        assert counts == sorted(counts)
        assert sorted(rows_of(store.snapshot())) == list(range(200))

    def test_the_store_of_another_workflow_is_refused(self, tmp_path: Path) -> None:
        self.create(tmp_path / "s", "one")

        message = ""
        try:
            self.create(tmp_path / "s", "other")
        except SweepMismatchError as error:
            message = str(error)

        assert "'one'" in message
        assert "'other'" in message

    def test_a_second_driver_is_refused_while_the_first_lives(self, tmp_path: Path) -> None:
        store = self.create(tmp_path / "s")
        with Session.acquire(store, heartbeat_s=0.05, lease_s=5.0):
            refused = False
            try:
                Session.acquire(store, heartbeat_s=0.05, lease_s=5.0)
            except SweepBusyError:
                refused = True

        assert refused

    def test_what_a_driver_that_lost_its_session_commits_does_not_count(self, tmp_path: Path) -> None:
        store = self.create(tmp_path / "s")
        old = Session.acquire(store, heartbeat_s=60.0, lease_s=0.1)  # it will seem to hang
        with store.segment_writer(old.number) as early, store.segment_writer(old.number) as late:
            early.commit([frame_of(range(2))])
            with Session.acquire(store, heartbeat_s=0.05, lease_s=5.0) as new:
                early.commit([frame_of(range(2, 4))])
                late.commit([frame_of(range(4, 6))])
                with store.segment_writer(new.number) as writer:
                    writer.commit([frame_of(range(10, 12))])

                assert rows_of(store.snapshot()) == [0, 1, 10, 11]
        lost = False
        try:
            old.check()
        except LeaseLostError:
            lost = True
        old.end()

        assert lost


def _contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
