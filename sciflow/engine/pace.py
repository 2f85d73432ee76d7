"""Pace: what variants have been found to take, and from that in which order the waiting ones are best sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sciflow.planning.cost import WALL_S
from sciflow.planning.dispatch import order_of_dispatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sciflow.planning.cost import CostModel
    from sciflow.planning.rows import RowSet
    from sciflow.planning.sharing import Sharing
    from sciflow.space import Space

_FIRST_LOOK = 32  # variants seen before an order is tried
_SHORT_S = 0.01  # variants shorter than this are over before an order could matter


@dataclass(slots=True)
class Pace:
    """Learns from the answers of workers.

    Parameters
    ----------
    model : what is known already
    space : the space
    sharing : what variants share
    """

    model: CostModel
    space: Space
    sharing: Sharing
    _next_look: int = field(init=False, default=_FIRST_LOOK)

    def observe(self, sample: Sequence[tuple[int, float]]) -> None:
        """Learn how many seconds some rows took."""
        if sample and max(seconds for _, seconds in sample) >= _SHORT_S:
            rows, seconds = zip(*sample, strict=True)
            self.model.observe(self.space.take(np.array(rows)), {WALL_S: seconds})

    def is_due(self) -> bool:
        """Whether enough was learnt since the last time to look at the order again."""
        n = self.model.n_seen()
        if n < self._next_look:
            return False
        self._next_look = 4 * n
        return True

    def order(self, positions: RowSet, n_slots: int) -> list[RowSet]:
        """Cut the waiting positions into segments, those with the longest variants first, if that pays."""
        fit = self.model.fit(WALL_S)
        if fit is None or not fit.is_predictive:
            return [positions]

        def seconds_of(some: NDArray[np.int64]) -> NDArray[np.float64]:
            return fit.predict(self.space.take(self.sharing.rows(some)))

        block = next((task.block for task in self.sharing.tasks if task.is_local), 1)
        return order_of_dispatch(positions, seconds_of, n_slots, block=block)
