"""Batch and Ack: what the driver sends to a worker, and the few numbers that come back."""

from __future__ import annotations

from dataclasses import dataclass

Intervals = tuple[tuple[int, int], ...]
"""Rows of a space as ``(start, stop)`` pairs, sorted and disjoint."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Variants sent together: rows of the space, never their values.

    Parameters
    ----------
    number : counts the batches of a session
    rows : which variants
    attempt : which try this is for all of them; the first is 1
    budget_s : the worker starts no further variant after this long, and hands the rest back
    stop_at : the same as an instant (Unix seconds); None for no end
    """

    number: int
    rows: Intervals
    attempt: int
    budget_s: float
    stop_at: float | None = None

    @property
    def n_variants(self) -> int:
        """Number of variants in the batch."""
        return sum(stop - start for start, stop in self.rows)


@dataclass(frozen=True, slots=True)
class Ack:
    """A worker's answer: everything it counts is committed.

    Parameters
    ----------
    n_done, n_failed : variants committed with that status
    busy_s : time spent on them, in seconds
    left : rows handed back, not started
    message : one line about the last failure, for the progress display
    fatal : the error that makes going on pointless (a definition that cannot work), if there was one
    """

    n_done: int
    n_failed: int
    busy_s: float
    left: Intervals = ()
    message: str = ""
    fatal: Exception | None = None
