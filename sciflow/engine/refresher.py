"""Refresher: keeps results.h5 near the newest commit, in the background."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from sciflow.errors import StoreError
from sciflow.store.consolidate import Consolidation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.store.directory import SweepDirectory

EVERY_S = 120.0
"""Seconds between two refreshes while a sweep runs, at the least; readers add what is newer themselves."""

_SHARE = 100  # a large sweep takes long to consolidate: spend at most this fraction of the time on it


class Refresher:
    """Writes results.h5 now and then, and once more at the end; a child process does the work.

    Parameters
    ----------
    directory : the sweep
    """

    def __init__(self, directory: SweepDirectory) -> None:
        self._directory = directory
        self._thread: threading.Thread | None = None
        self._due = time.monotonic() + EVERY_S
        self._complaint = ""
        self._prepared: Consolidation | None = None

    def prepare(self) -> None:
        """Start the process that will write, which takes longest, while the last variants run."""
        if self._prepared is None and self._thread is None:
            with contextlib.suppress(OSError):  # it is tried again when it is needed
                self._prepared = Consolidation(self._directory)

    def tick(self) -> None:
        """Start a refresh when it is time."""
        if self._thread is None and time.monotonic() >= self._due:
            self.start()
        elif self._thread is not None and not self._thread.is_alive():
            self._thread = None

    def start(self, ending: Mapping[str, object] | None = None) -> None:
        """Start a refresh of everything that is committed now, with what the session's end will say."""
        self.finish()
        self._thread = threading.Thread(target=self._write, args=(ending,), name="sciflow-refresh")
        self._thread.start()

    def finish(self) -> str:
        """Wait for the refresh that runs, if one does; say what to tell the user if the last one failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        return self._complaint

    def close(self) -> None:
        """End a process that was prepared and not needed."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.close()

    def _write(self, ending: Mapping[str, object] | None) -> None:
        begun = time.monotonic()
        try:
            prepared, self._prepared = self._prepared, None
            (prepared or Consolidation(self._directory)).write(ending)
            self._complaint = ""
        except StoreError as error:
            segments = self._directory.segments
            self._complaint = f"results.h5 could not be written ({error}); every record is safe in {segments}"
        took = time.monotonic() - begun
        self._due = begun + max(EVERY_S, _SHARE * took)
