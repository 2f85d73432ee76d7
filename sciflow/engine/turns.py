"""Turns: jobs of a controller that are queued beforehand, where nodes may not submit; pure decisions about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sciflow.engine.chain import WORTHWHILE
from sciflow.scheduling.opening import Conditions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sciflow.batch.nodes import Node
    from sciflow.scheduling.policy import Policy
    from sciflow.workflow import Resources

MOST: Final = 10
"""Jobs that are queued beforehand, unless it is said."""

WORKER_BYTES: Final = 2**30
"""Memory for a worker whose tasks ask for none."""

CONTROLLER_BYTES: Final = 2 * 2**30
"""Memory for the controller beside its workers."""


def begins_of_turns(policy: Policy, asked_at: datetime, walltime_s: int, most: int) -> list[datetime | None]:
    """When each of so many jobs begins at the earliest; None is as soon as the one before has ended.

    In each window there are as many as fill it, and one more: one of them may be lost. What is not needed ends within
    seconds.
    """
    begins: list[datetime | None] = []
    at, begun_at = asked_at, None
    while len(begins) < most:
        opening = policy.opening(Conditions(at, asked_at=asked_at, begun_at=begun_at))
        if not opening.may_start and opening.next_open is not None:
            at = opening.next_open
            opening = policy.opening(Conditions(at, asked_at=asked_at, begun_at=begun_at))
        begun_at = begun_at or at
        begin = at if at - asked_at > WORTHWHILE else None
        if not opening.may_start or opening.until is None:  # the clock alone does not tell when, or there is no end
            return begins + [begin] * (most - len(begins))
        begins += [begin] * (math.ceil((opening.until - at) / timedelta(seconds=walltime_s)) + 1)
        at = opening.until
    return begins[:most]


@dataclass(frozen=True, slots=True)
class Size:
    """What one job has that does the work itself."""

    workers: int
    cores: int
    memory_bytes: int
    gpus: int = 0


def size_of_job(
    resources: Mapping[str, Resources],
    nodes: Collection[Node],
    *,
    workers: int,
    cores: int | None = None,
    worker_bytes: int | None = None,
) -> Size:
    """A job with as many workers as are wanted and one node has room for.

    Parameters
    ----------
    resources
        What each task asks for.
    nodes
        The kinds of nodes of the queue; none when nobody says.
    workers
        How many are wanted.
    cores
        Of the job, if that was said; the workers are as many as fit.
    worker_bytes
        Memory of a worker whose tasks ask for none; None is `WORKER_BYTES`.
    """
    per_worker = max((one.cores for one in resources.values()), default=1)
    gpus = max((one.gpus for one in resources.values()), default=0)
    memory = max((one.memory_bytes or 0 for one in resources.values()), default=0) or worker_bytes or WORKER_BYTES
    if gpus:
        workers = 1  # workers of one machine would share its first GPU
    if cores is not None:
        workers = min(workers, cores // per_worker)
    best = max(nodes, key=lambda node: (node.gpus >= gpus, node.cores, node.memory_bytes), default=None)
    if best is not None:
        workers = min(workers, best.cores // per_worker)
        if best.memory_bytes:
            workers = min(workers, (best.memory_bytes - CONTROLLER_BYTES) // memory)
    workers = max(1, workers)
    wanted = CONTROLLER_BYTES + workers * memory
    most = wanted if best is None or not best.memory_bytes else best.memory_bytes
    return Size(workers, cores or workers * per_worker, min(wanted, most), gpus)
