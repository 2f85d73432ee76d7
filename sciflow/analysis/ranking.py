"""Groups of variants in the order of what they are worth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sciflow.analysis.condition import holds, names_in
from sciflow.analysis.grouping import group, known_parameters
from sciflow.analysis.mixture import warn_of_mixture
from sciflow.analysis.objective import Goal, Weighted
from sciflow.analysis.variants import parameter_frame
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from sciflow.analysis.grouping import Averages, Groups
    from sciflow.analysis.objective import Objective
    from sciflow.analysis.variants import Variants
    from sciflow.space.variant import Variant

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Candidates, the best first; equal ones in the order of the space.

    Attributes
    ----------
    over
        The parameters that were averaged over.
    candidates
        Numbers of groups.
    place
        The place of each candidate, from 0 on; equal for those that share it.
    score
        Of every group what is ranked first: the metric, or the weighted sum.
    means
        Of every group the metrics that count.
    """

    variants: Variants
    over: tuple[str, ...]
    groups: Groups
    candidates: NDArray[np.int64]
    place: NDArray[np.int64]
    score: Averages
    maximize: bool
    means: Mapping[str, Averages]

    def variant_of(self, candidates: NDArray[np.int64]) -> list[Variant]:
        """Candidates as variants, without the parameters that were averaged over."""
        found = self.variants.table.take(self.groups.first[candidates]).variants()
        return [variant.without(*self.over) for variant in found]

    def frame(self, candidates: NDArray[np.int64]) -> pd.DataFrame:
        """The parameters of candidates as a table; the ids of variants are its index."""
        table = self.variants.table.take(self.groups.first[candidates])
        return parameter_frame(table.only(known.name for known in table.parameters if known.name not in self.over))


def rank(
    variants: Variants,
    objective: Objective,
    *,
    where: str | None,
    over: str | Iterable[str] | None,
    stacklevel: int = 3,
) -> Ranking:
    """Rank the variants by what is wanted.

    Variants that differ only in the parameters *over* count as one: their means are ranked, and it takes
    part only if each of them is done and has a number. A condition on metrics is asked of these means.

    Raises
    ------
    ResultsError
        There is no such metric or parameter, its values are not numbers, or no variant has one.
    """
    names = (
        [name for name, _ in objective.weights] if isinstance(objective, Weighted) else [g.metric for g in objective]
    )
    values = {name: variants.numbers(name) for name in names}
    known = known_parameters(over, variants.table)
    groups = group(variants.table, known)
    lacking = np.zeros(len(groups), dtype=np.bool_)
    for mine in values.values():
        lacking |= groups.incomplete(mine)
    lacking |= unlisted(variants, groups, known)
    chosen = choose(variants, where, groups, known)
    rows = np.flatnonzero(chosen & ~lacking[groups.of_variant])
    means = {name: groups.average(mine, rows) for name, mine in values.items()}
    comparable: NDArray[np.bool_] = ~np.any(np.isnan(np.stack([mine.mean for mine in means.values()])), axis=0)
    candidates = np.flatnonzero(comparable)
    if not len(candidates):
        raise ResultsError(_nothing_to_rank(variants, names, where, values, chosen))
    ranked = chosen & comparable[groups.of_variant]
    warn_of_mixture(variants, f"values of {' and '.join(names)} that are compared", ranked, stacklevel=stacklevel)
    if isinstance(objective, Weighted):
        score = groups.average(_weighted(objective, values, means, candidates), rows)
        goals, keys = (Goal(str(objective), objective.maximize),), [score.mean[candidates]]
    else:
        score, goals = means[names[0]], objective
        keys = [means[goal.metric].mean[candidates] for goal in objective]
    order, place = _order(goals, keys)
    ranking = Ranking(variants, known, groups, candidates[order], place, score, goals[0].maximize, means)
    _tell_infinite(ranking, values, stacklevel + 1)
    return ranking


def unlisted(variants: Variants, groups: Groups, over: Sequence[str]) -> NDArray[np.bool_]:
    """Which groups have members that nobody ran and that are not listed, because the space is unknown or too large."""
    n_members = variants.n_combinations(over) if over else None
    if n_members is None:
        return np.zeros(len(groups), dtype=np.bool_)
    # where nobody knows, a group that is smaller than others counts as one that is not finished
    return groups.size < (n_members or groups.size.max(initial=0))


def choose(variants: Variants, where: str | None, groups: Groups, over: Sequence[str]) -> NDArray[np.bool_]:
    """For which variants a condition holds; one on metrics is asked of the means of groups, if there are any.

    A condition that names a parameter that is averaged over, or what became of a variant, is about single variants.
    """
    if where is None:
        return np.ones(variants.n, dtype=np.bool_)
    shared = [known.name for known in variants.table.parameters if known.name not in over]
    metrics = [*variants.numeric_metrics, "runtime_s"]
    named = names_in(where, [*shared, *metrics]) if over else None
    if named is None or named.isdisjoint(metrics):
        return variants.matching(where)
    table = variants.columns(sorted(named - set(metrics))).iloc[groups.first]
    everyone = np.arange(variants.n)
    means = {name: groups.average(variants.numbers(name), everyone).mean for name in sorted(named & set(metrics))}
    return holds(where, table.assign(**means))[groups.of_variant]


def _weighted(
    objective: Weighted, values: Mapping[str, Floats], means: Mapping[str, Averages], candidates: NDArray[np.int64]
) -> Floats:
    """The weighted sum of each variant.

    Each metric is scaled by its extent among the candidates (the upper-lower-bound transformation of Marler and Arora,
    Survey of multi-objective optimization methods for engineering, Struct. Multidisc. Optim. 26 (2004) 369).
    """
    total = np.zeros(len(next(iter(values.values()))))
    for name, weight in objective.weights:
        mine = means[name].mean[candidates]
        low, high = float(mine.min()), float(mine.max())
        if not np.isfinite(high - low):
            raise ResultsError(
                f"{name!r} has infinite values, so it cannot be scaled and weighed; "
                f'leave them out with where="{name} < ..." or rank one metric after the other'
            )
        if high > low:
            total += weight * (values[name] - low) / (high - low)
    return total


def _order(goals: Sequence[Goal], keys: Sequence[Floats]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidates from best to worst, and the place of each in this order, the same for equal ones.

    By the first goal, then within equal ones by the next. With a tolerance those within it of the best are equal, then
    those within twice of it, and so on.
    """
    costs: list[Floats] = []
    for goal, key in zip(goals, keys, strict=True):
        worse = -key if goal.maximize else key
        costs.append(_steps(worse, costs, goal.tolerance) if goal.tolerance else worse)
    # the sort keeps the order of the space among equal ones
    order = np.lexsort(costs[::-1]) if len(costs) > 1 else np.argsort(costs[0], kind="stable")
    return order, _places(costs, order)


def _places(costs: Sequence[Floats], order: NDArray[np.int64]) -> NDArray[np.int64]:
    differs = np.zeros(len(order), dtype=np.bool_)
    for cost in costs:
        ordered = cost[order]
        differs[1:] |= ordered[1:] != ordered[:-1]
    return np.cumsum(differs, dtype=np.int64)


def _steps(worse: Floats, before: Sequence[Floats], tolerance: float) -> Floats:
    """How many tolerances each candidate is from the best of those that are equal so far."""
    rank = np.zeros(len(worse), dtype=np.int64)
    if before:
        order = np.lexsort(before[::-1])
        rank[order] = _places(before, order)
    best = np.full(int(rank.max()) + 1, np.inf)
    np.minimum.at(best, rank, worse)
    with np.errstate(invalid="ignore"):  # infinite ones are equal to each other
        steps = np.ceil((worse - best[rank]) / tolerance) - 1
    return np.where(np.isnan(steps), 0.0, np.maximum(steps, 0.0))


def _tell_infinite(ranking: Ranking, values: Mapping[str, Floats], stacklevel: int) -> None:
    """Warn if the winner is infinite, or a mean became infinite by one of several values."""
    ranked, groups = ranking.candidates, ranking.groups
    for name, mine in ranking.means.items():
        if np.isinf(mine.mean[ranked[0]]):
            words = f"the best variant's {name} is {mine.mean[ranked[0]]}; where= leaves such variants out"
            warnings.warn(words, UserWarning, stacklevel=stacklevel)
            continue
        infinite = ranked[np.isinf(mine.mean[ranked]) & (mine.n[ranked] > 1)]
        if not len(infinite):
            continue
        n_finite = np.bincount(groups.of_variant, np.isfinite(values[name]), minlength=len(groups))
        n = int((n_finite[infinite] > 0).sum())
        if n:
            words = f"{n:,} means of {name} are infinite because some of the values that are averaged are"
            warnings.warn(words, UserWarning, stacklevel=stacklevel)


def _nothing_to_rank(
    variants: Variants,
    names: Sequence[str],
    where: str | None,
    values: Mapping[str, Floats],
    chosen: NDArray[np.bool_],
) -> str:
    counts = ", ".join(f"{n:,} {status}" for status, n in variants.counts().items())
    if where is not None and not chosen.any():
        return f"no variant satisfies {where!r} ({counts})"
    metric = " and ".join(map(repr, names))
    lacking: NDArray[np.bool_] = np.any(np.isnan(np.stack(list(values.values()))), axis=0)
    if lacking.all():
        return f"no variant has a value of {metric} ({counts}); results.failures() says why variants failed"
    if where is not None and lacking[chosen].all():
        return f"no variant that satisfies {where!r} has a value of {metric} ({counts})"
    return (
        f"no group of replicates has a value of {metric} for each of its members ({counts}); "
        "over=None ranks single variants"
    )
