"""Batch and Ack: what the driver sends to a worker, and the few numbers that come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

STOP_EARLY_S = 5.0
"""So long before the window or the job ends no variant is started any more, and tasks are asked to save and stop."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Variants sent together: rows of the space, never their values.

    Parameters
    ----------
    number : counts the batches of a session
    rows : which variants, in the order in which they run
    attempt : which try this is for all of them; the first is 1
    budget_s : the worker starts no further variant after this long, and hands the rest back
    stop_at : the same as an instant (Unix seconds); None for no end
    until : the shared task whose values for these rows are wanted and nothing else; empty to run the variants whole
    kept : whether some values that the variants share may be kept in files
    careful : whether each variant is noted as it starts, so that one that kills its worker can be found
    alone : whether its one variant has killed a worker before, so that what ends it now is final
    resource_class : which kind of worker it is for
    memory : how many times the memory that its class asks for its worker has at least
    may_grow : whether it is sent to a worker with more memory when this one has not enough
    variant_s : mean seconds of such variants so far; None when nobody knows
    """

    number: int
    rows: NDArray[np.int64]
    attempt: int
    budget_s: float
    stop_at: float | None = None
    until: str = ""
    kept: bool = False
    careful: bool = False
    alone: bool = False
    resource_class: str = ""
    memory: float = 1.0
    may_grow: bool = False
    variant_s: float | None = None

    @property
    def n_variants(self) -> int:
        """Number of variants in the batch."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Ack:
    """A worker's answer: everything it counts is committed.

    Parameters
    ----------
    n_done, n_failed : variants committed with that status
    busy_s : time spent on the batch, in seconds
    run_s : the part of it in which variants ran; the rest went into recording them
    n_left : variants handed back, the last ones of the batch
    deferred : rows handed back from among the others
    message : one line about the last failure, for the progress display
    fatal : the error that makes going on pointless (a definition that cannot work), if there was one
    failures : fingerprint → how many variants failed so
    examples : what is known of the first failure of each fingerprint that is new to this worker
    sample : some rows and how many seconds each took
    unkept : whether a shared value could not be sent to other processes
    mismatch : in what the environment of this worker differs from the driver's; only in its first answer
    """

    n_done: int
    n_failed: int
    busy_s: float
    run_s: float = 0.0
    n_left: int = 0
    deferred: tuple[int, ...] = ()
    message: str = ""
    fatal: Exception | None = None
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    examples: tuple[Mapping[str, Any], ...] = ()
    sample: tuple[tuple[int, float], ...] = ()
    unkept: bool = False
    mismatch: Mapping[str, Any] | None = None
