"""How much memory jobs ask for: what the first one has, and as many times that as a variant needs; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciflow.clusters.pool import MOST_GROWTH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sciflow.batch.nodes import Node
    from sciflow.workflow.resources import Resources


@dataclass(frozen=True, slots=True)
class JobMemory:
    """The memory of the jobs of a pool.

    Attributes
    ----------
    is_asked
        Whether the first job asks for it; else it has what the site gives.
    first_bytes
        What that has; None when nobody tells.
    largest_bytes
        What the largest node has that one worker may have for itself; None when nobody tells.
    """

    is_asked: bool
    first_bytes: int | None
    largest_bytes: int | None

    @classmethod
    def of(
        cls, resources: Resources, per_job: int, asked: int | None, told: int | None, nodes: Iterable[Node]
    ) -> JobMemory:
        """Find out what there is to know.

        Parameters
        ----------
        resources
            Of one worker.
        per_job
            Workers in a job.
        asked
            Bytes that each of them asks for; None is the site's default.
        told
            What the batch system says that a job has which asked for none.
        nodes
            Those of the queue, as far as users are told. Where nothing else is known of the site's default it is taken
            for a share of a node as large as that of its cores, which is what most sites give.
        """
        fit = [n for n in nodes if n.cores >= resources.cores and n.gpus >= resources.gpus and n.memory_bytes > 0]
        shares = (node.memory_bytes * resources.cores * per_job // node.cores for node in fit)
        first = asked * per_job if asked is not None else told or min(shares, default=0) or None
        return cls(asked is not None, first, max((node.memory_bytes for node in fit), default=None))

    @property
    def most(self) -> float:
        """How many times what the first job has a job may have; 1 where nobody knows what that is."""
        if self.first_bytes is None:
            return 1.0
        return MOST_GROWTH if self.largest_bytes is None else max(1.0, self.largest_bytes / self.first_bytes)

    def bytes_of(self, multiple: float) -> int | None:
        """What to ask for; None is the site's default."""
        if self.first_bytes is None or multiple <= 1:
            return self.first_bytes if self.is_asked else None
        wanted = round(self.first_bytes * multiple)
        # to the byte, which a multiple may miss
        return wanted if self.largest_bytes is None else max(self.first_bytes, min(wanted, self.largest_bytes))
