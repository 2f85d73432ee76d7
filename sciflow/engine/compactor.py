"""Compactor: keeps the number of segments bounded while a sweep runs, in the background."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from sciflow.errors import StoreError
from sciflow.store.compact import closed_segments, compact_in_child, is_worthwhile

if TYPE_CHECKING:
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.snapshot import Snapshot

EVERY_S = 120.0
"""Seconds between two looks whether there is something to gain, at the least."""

_SHARE = 100  # of the time that a compaction takes, until the next


class Compactor:
    """Puts the segments of dead workers and earlier sessions together when there are many; a child does the work.

    Parameters
    ----------
    directory : the sweep
    session : number of the session that owns it
    snapshot : what is committed when the session starts
    """

    def __init__(self, directory: SweepDirectory, session: int, snapshot: Snapshot) -> None:
        self._directory, self._session = directory, session
        self._due = time.monotonic() + EVERY_S
        self._thread: threading.Thread | None = None
        is_cut_short = snapshot.scans.keys() > snapshot.counted.keys()  # what others replace is still there
        if is_cut_short or is_worthwhile(closed_segments(snapshot, session)):
            self._start()

    def tick(self) -> None:
        """Look again when it is time."""
        if (self._thread is None or not self._thread.is_alive()) and time.monotonic() >= self._due:
            self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._compact, name="sciflow-compact")
        self._thread.start()

    def _compact(self) -> None:
        begun = time.monotonic()
        with contextlib.suppress(StoreError):  # what is recorded is the same as before; the next one may succeed
            compact_in_child(self._directory, self._session, when_worthwhile=True)
        took = time.monotonic() - begun
        self._due = begun + max(EVERY_S, _SHARE * took)

    def close(self) -> None:
        """Wait for a compaction that runs: the sweep must not change hands meanwhile."""
        if self._thread is not None:
            self._thread.join()
