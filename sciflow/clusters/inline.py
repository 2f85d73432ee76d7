"""InlineCluster: batches run in this process, one after another; for debuggers and tests."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sciflow.clusters import machine
from sciflow.clusters.protocol import Answer, OfOneKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.clusters.protocol import Setting, Work
    from sciflow.planning.batch import Batch
    from sciflow.workflow import Resources


class InlineCluster:
    """Run everything in the calling process."""

    name = "inline"
    has_jobs = False

    def __repr__(self) -> str:
        return "InlineCluster()"

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement that this machine cannot meet."""
        return machine.unmet(resources)

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """One after the other."""
        del resources
        return 1

    def start(self, work: Work, resources: Mapping[str, Resources], setting: Setting) -> InlineWorkers:
        """Make the one worker: this process, with the user's own functions and not copies of them."""
        del resources, setting  # one process, whatever is asked
        return InlineWorkers(work)


class InlineWorkers(OfOneKind):
    """The calling process as the only worker; a batch runs when its answer is asked for."""

    n_slots = 1

    def __init__(self, work: Work) -> None:
        self._work = work
        self._waiting: deque[Batch] = deque()

    def submit(self, batch: Batch) -> None:
        """Keep the batch until an answer is asked for."""
        self._waiting.append(batch)

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Run the oldest batch, however long it takes."""
        del timeout_s
        if not self._waiting:
            return None
        batch = self._waiting.popleft()
        try:
            return Answer(batch, self._work(batch))
        except Exception as error:  # noqa: BLE001  what a worker raises is an answer, as it is across processes
            return Answer(batch, error=error)

    def drain(self) -> None:
        """Start no further variant."""
        self._work.drain()

    def close(self) -> None:
        """Nothing to end."""
        self._work.close()
