"""Variants that no other one beats in every respect."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.analysis.objective import parse_goals
from sciflow.analysis.ranking import rank

_BLOCK: Final = 1024
"""Points that are held against each other at once."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants


def pareto_front(
    variants: Variants,
    directions: Mapping[str, str],
    *,
    where: str | None,
    over: str | Iterable[str] | None,
) -> pd.DataFrame:
    """The variants that no other one equals in all metrics and beats in one, the best by the first metric first.

    Returns
    -------
    pandas.DataFrame
        Parameters, the mean of each metric, and ``n``, how many values each mean is of; ids are the index.

    Raises
    ------
    ResultsError
        There is no such metric or direction, or no variant has a value of each metric.
    """
    goals = parse_goals(directions)
    ranking = rank(variants, goals, where=where, over=over, stacklevel=4)
    candidates = ranking.candidates
    costs = np.stack(
        [(-1.0 if goal.maximize else 1.0) * ranking.means[goal.metric].mean[candidates] for goal in goals], axis=1
    )
    chosen = candidates[on_front(costs)]
    means = {goal.metric: ranking.means[goal.metric].mean[chosen] for goal in goals}
    return ranking.frame(chosen).assign(**means, n=ranking.score.n[chosen])


def on_front(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of (n, n_metrics) points are not dominated, where less is better; equal points are all kept.

    O(n log n) for two and three metrics (Kung, Luccio and Preparata, J. ACM 22 (1975) 469); for more of them each point
    is held against the front so far, many points at once.
    """
    order = np.lexsort(costs.T[::-1])
    points = costs[order]
    first_of_equal = np.ones(len(points), dtype=np.bool_)
    first_of_equal[1:] = (points[1:] != points[:-1]).any(axis=1)
    points = points[first_of_equal]  # each once, and sorted: only an earlier one dominates
    n_metrics = costs.shape[1]
    kept = np.ones(len(points), dtype=np.bool_)
    if n_metrics == 1:
        kept[1:] = False
    elif n_metrics == 2:
        kept[1:] = points[1:, 1] < np.minimum.accumulate(points[:, 1])[:-1]
    else:
        kept = _on_front_of_three(points) if n_metrics == 3 else _on_front_of_many(points)
    found = np.empty(len(costs), dtype=np.bool_)
    found[order] = kept[np.cumsum(first_of_equal) - 1]
    return found


def _on_front_of_three(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`on_front` of distinct points in lexicographic order, by three metrics.

    Of what came before, the second and the third metric are kept of those that no other one equals in both: a stair
    along which the one rises and the other falls.
    """
    kept = np.zeros(len(points), dtype=np.bool_)
    rises: list[float] = []
    falls: list[float] = []
    for at, (y, z) in enumerate(points[:, 1:].tolist()):
        step = bisect_right(rises, y)
        if step and falls[step - 1] <= z:
            continue
        kept[at] = True
        first = step - 1 if step and rises[step - 1] == y else step
        last = step
        while last < len(falls) and falls[last] >= z:
            last += 1
        rises[first:last], falls[first:last] = [y], [z]
    return kept


def _on_front_of_many(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`on_front` of distinct points in lexicographic order, by any number of metrics.

    Only an earlier point dominates, so that a block of them is held against the front of all before it, and then
    against itself. The points of the front with the smallest sum of ranks go first: they dominate most, and what they
    dominate is not held against others.
    """
    kept = np.zeros(len(points), dtype=np.bool_)
    weight = np.argsort(np.argsort(points, axis=0, kind="stable"), axis=0).sum(axis=1)
    front = np.empty(0, dtype=np.int64)
    for start in range(0, len(points), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(points)))
        for at in range(0, len(front), _BLOCK):
            if not len(block):
                break
            block = block[~_dominated(points[block], points[front[at : at + _BLOCK]])]
        mine = points[block]
        block = block[~_dominated(mine, mine)]
        kept[block] = True
        front = np.concatenate([front, block])
        front = front[np.argsort(weight[front], kind="stable")]
    return kept


def _dominated(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points one of the *others*, unless it is the same one, is as good as in all metrics."""
    as_good = np.ones((len(points), len(others)), dtype=np.bool_)
    for mine, theirs in zip(points.T, others.T, strict=True):
        as_good &= theirs <= mine[:, None]
    if points is others:
        np.fill_diagonal(as_good, val=False)
    found: NDArray[np.bool_] = np.any(as_good, axis=1)
    return found
