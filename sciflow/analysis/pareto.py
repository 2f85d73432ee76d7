"""Variants that no other one beats in every respect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciflow.analysis.objective import parse_goals
from sciflow.analysis.ranking import rank

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

    O(n log n) for two metrics (Kung, Luccio and Preparata, J. ACM 22 (1975) 469); for more of them one pass over
    what is left for each point of the front.
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
        kept[:] = False
        left = np.arange(len(points))
        while len(left):
            first = left[0]
            kept[first] = True
            left = left[(points[left] < points[first]).any(axis=1)]
    found = np.empty(len(costs), dtype=np.bool_)
    found[order] = kept[np.cumsum(first_of_equal) - 1]
    return found
