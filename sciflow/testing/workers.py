"""ScriptedWorkers: workers without processes, whose deaths and answers a test decides."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sciflow.clusters.protocol import Answer, OfOneKind
from sciflow.planning.batch import Ack, Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class ScriptedWorkers(OfOneKind):
    """Answers each batch as a script says.

    Parameters
    ----------
    script : callable
        Given a batch: its `Ack`, None for a worker that dies with it, the cause of the end of its job, or an exception
        that the worker raises.
    n_slots : int
        How many batches are said to run at the same time.

    Attributes
    ----------
    batches : list of Batch
        Every batch that was submitted, in order.
    most_in_flight : int
        The most batches that were without an answer at one time.
    """

    def __init__(self, script: Callable[[Batch], Ack | BaseException | str | None], n_slots: int = 2) -> None:
        self.n_slots = n_slots
        self.batches: list[Batch] = []
        self.most_in_flight = 0
        self.drained = self.closed = False
        self._script = script
        self._waiting: deque[Batch] = deque()

    def submit(self, batch: Batch) -> None:
        """Keep the batch."""
        self.batches.append(batch)
        self._waiting.append(batch)
        self.most_in_flight = max(self.most_in_flight, len(self._waiting))

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Answer the oldest batch as the script says."""
        del timeout_s
        if not self._waiting:
            return None
        batch = self._waiting.popleft()
        if self.drained:
            return Answer(batch, Ack(0, 0, 0.0, n_left=batch.n_variants))
        said = self._script(batch)
        if isinstance(said, str):
            return Answer(batch, cause=said)
        if isinstance(said, BaseException):
            return Answer(batch, error=said)
        return Answer(batch, said)

    def drain(self) -> None:
        """Hand back everything from now on."""
        self.drained = True

    def close(self) -> None:
        """Note that the workers were closed."""
        self.closed = True


def rows_of(batches: Iterable[Batch]) -> list[int]:
    """Every row of the batches, in order."""
    return [row for batch in batches for row in batch.rows.tolist()]
