"""The best variants, and which others are as good."""

from __future__ import annotations

import html
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from sciflow.analysis.objective import Goal, Weighted, parse_objective
from sciflow.analysis.ranking import Ranking, rank
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from sciflow.analysis.objective import Metric
    from sciflow.analysis.variants import Variants
    from sciflow.space.variant import Variant

PLATEAU_SHARE: Final = 0.01
"""Of the extent of a metric: differences up to this count as none where nothing else is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """The best variant, how sure its value is, and which others are as good.

    Attributes
    ----------
    ranked_by : what is best, in words
    variant : the best variant, without the parameters that were averaged over
    value : the mean of the metric, or of the weighted sum
    ci : the confidence interval of `value`, by Student's t; NaN where there is a single value. That the best was chosen
        for its value makes it a little too good.
    confidence : of `ci`
    n : how many values were averaged
    means : each metric that counts
    ties : other variants with the same place
    plateau : the best and those that are as good, best first; `criterion` says what as good means. Columns: parameters,
        ``mean``, ``ci_low``, ``ci_high``, ``n``, ``worse_by``, ``p_value`` (NaN where no test was made)
    criterion : what was asked of the plateau, in words
    n_candidates : how many were compared
    """

    ranked_by: str
    variant: Variant
    value: float
    ci: tuple[float, float]
    confidence: float
    n: int
    means: Mapping[str, float]
    ties: tuple[Variant, ...]
    plateau: pd.DataFrame
    criterion: str
    n_candidates: int

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.ranked_by}: {self._value_words()}",
                f"  at {_words(self.variant)}",
                *([f"  {', '.join(f'{k} = {v:.6g}' for k, v in self.means.items())}"] if len(self.means) > 1 else []),
                *(f"  shared with {_words(tie)}" for tie in self.ties[:3]),
                *([f"  and {len(self.ties) - 3:,} more"] if len(self.ties) > 3 else []),
                f"  {self._plateau_words()}",
            ]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = {**{name: str(value) for name, value in self.variant.items()}}
        rows |= {name: f"{value:.6g}" for name, value in self.means.items()} if len(self.means) > 1 else {}
        rows |= {"shared with": f"{len(self.ties):,} more"} if self.ties else {}
        rows |= {"as good": self._plateau_words()}
        body = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table><caption>{html.escape(f'{self.ranked_by}: {self._value_words()}')}</caption>{body}</table>"

    def _value_words(self) -> str:
        if self.n < 2:
            return f"{self.value:.6g} (one value, so no interval)"
        low, high = self.ci
        return f"{self.value:.6g}, {self.confidence:.0%} interval {low:.6g} to {high:.6g} of {self.n} values"

    def _plateau_words(self) -> str:
        n = len(self.plateau)
        if n == 1:
            return f"no other of {self.n_candidates:,} is as good ({self.criterion})"
        spans: list[str] = []
        for name in self.variant:
            values = self.plateau[name].dropna().unique().tolist()
            if len(values) > 1:
                numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
                many = f"{len(values)} values" if len(values) > 3 else ", ".join(map(str, values))
                spans.append(f"{name} {min(values):.4g} to {max(values):.4g}" if numbers else f"{name}: {many}")
        return f"{n:,} of {self.n_candidates:,} are as good ({self.criterion}): {'; '.join(spans)}"


def find_best(
    variants: Variants,
    metric: Metric,
    *,
    maximize: bool,
    where: str | None,
    over: str | Iterable[str] | None,
    top: int,
) -> list[Variant]:
    """The best variants, the best first; equal ones in the order of the space.

    Raises
    ------
    ResultsError
        There is no such metric or parameter, its values are not numbers, or no variant has one.
    """
    if isinstance(cast("object", top), bool) or not isinstance(cast("object", top), int | np.integer) or top < 1:
        raise ResultsError(f"top={top!r}: how many variants to give is a whole number, 1 or more")
    objective = parse_objective(metric, maximize=maximize)
    ranking = rank(variants, objective, where=where, over=over, stacklevel=4)
    _tell_ties(_name(objective), ranking, top)
    return ranking.variant_of(ranking.candidates[:top])


def find_optimum(
    variants: Variants,
    metric: Metric,
    *,
    maximize: bool,
    where: str | None,
    over: str | Iterable[str] | None,
    tolerance: float | None,
    confidence: float,
) -> Optimum:
    """The best variant with its uncertainty, and the plateau around it.

    Raises
    ------
    ResultsError
        There is no such metric or parameter, its values are not numbers, or no variant has one.
    """
    objective = parse_objective(metric, maximize=maximize)
    ranking = rank(variants, objective, where=where, over=over, stacklevel=4)
    if tolerance is None and not isinstance(objective, Weighted) and objective[0].tolerance:
        tolerance = objective[0].tolerance
    members, p_values, criterion = _plateau(ranking, tolerance, confidence)
    score, best = ranking.score, int(ranking.candidates[0])
    half = score.half_width(confidence)
    value = float(score.mean[best])
    with np.errstate(invalid="ignore"):  # of infinite values
        worse_by = np.where(score.mean == value, 0.0, np.abs(score.mean - value))
    frame = ranking.frame(members).assign(
        mean=score.mean[members],
        ci_low=(score.mean - half)[members],
        ci_high=(score.mean + half)[members],
        n=score.n[members],
        worse_by=worse_by[members],
        p_value=p_values,
    )
    return Optimum(
        ranked_by=_title(objective),
        variant=ranking.variant_of(ranking.candidates[:1])[0],
        value=value,
        ci=(value - float(half[best]), value + float(half[best])),
        confidence=confidence,
        n=int(score.n[best]),
        means={name: float(mine.mean[best]) for name, mine in ranking.means.items()},
        ties=tuple(ranking.variant_of(ranking.candidates[1 : int((ranking.place == ranking.place[0]).sum())])),
        plateau=frame,
        criterion=criterion,
        n_candidates=len(ranking.candidates),
    )


def _plateau(
    ranking: Ranking, tolerance: float | None, confidence: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
    """Which candidates are as good as the best, the p-value of each, and what was asked of them.

    With several values each, Welch's t-test against the best (Welch, Biometrika 34 (1947) 28), one-sided; else, and if
    a tolerance is given, what is within it. Where the best has several values those with a single one are not tested,
    and are in it only if they are no worse.
    """
    score, sign = ranking.score, -1.0 if ranking.maximize else 1.0
    by_score = ranking.candidates[np.argsort(sign * score.mean[ranking.candidates], kind="stable")]
    best = int(ranking.candidates[0])
    with np.errstate(invalid="ignore"):
        worse_by = sign * (score.mean[by_score] - score.mean[best])
    worse_by = np.where(score.mean[by_score] == score.mean[best], 0.0, worse_by)
    nothing = np.full(len(by_score), np.nan)
    if tolerance is None and score.n[best] > 1:
        p_values = _welch(ranking, best, by_score, worse_by)
        level = 1 - confidence
        untested = np.isnan(p_values) & (worse_by > 0)
        kept = ~(p_values < level) & ~untested
        criterion = f"not told from the best by Welch's one-sided t-test at p < {level:.2g}"
        if n := int(untested.sum()):
            criterion += f"; {n:,} with a single value were not tested and are left out"
        return by_score[kept], p_values[kept], criterion
    if tolerance is None:
        finite = score.mean[by_score][np.isfinite(score.mean[by_score])]
        tolerance = PLATEAU_SHARE * float(np.ptp(finite)) if len(finite) else 0.0
        criterion = f"within {tolerance:.3g}, {PLATEAU_SHARE:.0%} of the extent; replicates would allow a test"
    elif tolerance < 0:
        raise ResultsError(f"tolerance={tolerance!r} is a difference that does not matter, from 0 on")
    else:
        criterion = f"within {tolerance:g}"
    # a little more, so that a difference that is the tolerance but for rounding is in it
    kept = worse_by <= tolerance + 4 * np.finfo(float).eps * max(1.0, abs(float(score.mean[best])))
    return by_score[kept], nothing[kept], criterion


def _welch(
    ranking: Ranking, best: int, others: NDArray[np.int64], worse_by: NDArray[np.float64]
) -> NDArray[np.float64]:
    from scipy import stats  # noqa: PLC0415  SciPy takes a while to import

    score = ranking.score
    with np.errstate(invalid="ignore", divide="ignore"):
        tested: Any = stats.ttest_ind_from_stats(
            0.0, score.sd[best], score.n[best], worse_by, score.sd[others], score.n[others], equal_var=False
        )
    p_values = np.asarray(tested.pvalue) / 2
    p_values = np.where(worse_by < 0, 1 - p_values, p_values)
    # without any spread every difference counts; a single value tells nothing
    exact = (score.sd[best] == 0) & (score.sd[others] == 0)
    p_values = np.where(exact, np.where(worse_by > 0, 0.0, 1.0), p_values)
    p_values[others == best] = 1.0
    return p_values


def _name(objective: tuple[Goal, ...] | Weighted) -> str:
    if isinstance(objective, Weighted):
        return str(objective)
    return objective[0].metric if len(objective) == 1 else ", then ".join(goal.metric for goal in objective)


def _title(objective: tuple[Goal, ...] | Weighted) -> str:
    if isinstance(objective, Weighted):
        return f"{'largest' if objective.maximize else 'smallest'} {objective} (each scaled to 0 … 1)"
    first, *more = [f"{'largest' if goal.maximize else 'smallest'} {goal.metric}" for goal in objective]
    return ", then ".join([first, *more])


def _words(variant: Variant) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in variant.items()) or "the one variant"


def _tell_ties(name: str, ranking: Ranking, top: int) -> None:
    """Warn if the last place that is given could as well have gone to somebody else."""
    place = ranking.place
    last = place[min(top, len(place)) - 1]
    if top < len(place) and place[top] == last:
        ordinal = "best value" if top == 1 else f"value of place {top}"
        value = float(ranking.score.mean[ranking.candidates[top - 1]])
        warnings.warn(
            f"{int((place == last).sum())} variants share the {ordinal} of {name}, {value:.6g}; which of them is given "
            f"goes by the order of the space, and top={int(np.flatnonzero(place == last)[-1]) + 1} gives them all",
            UserWarning,
            stacklevel=4,
        )
