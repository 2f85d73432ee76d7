"""Forecast: core-hours and time that what is still to run will take, as far as what ran can tell; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.planning.cost import WALL_S, task_measure
from sciflow.quantities import render_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sciflow.planning.cost import CostModel
    from sciflow.planning.costfit import CostFit
    from sciflow.planning.features import Floats
    from sciflow.planning.rows import RowSet
    from sciflow.space.table import Table

UNKNOWN: Final = "unknown; to find out: sciflow plan --pilot 8"
COVERAGE: Final = 0.9
"""How likely the truth lies in an interval, as far as the variants to run are like those that ran."""

MOST_LOOKED_AT: Final = 1 << 14
"""Variants whose cost is predicted to predict that of all."""

_N_DRAWS, _DRAWN_FROM = 400, 512
_FEW_ERROR = math.log(2.0)  # how far off the mean of one run may be: a standard deviation of log cost


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that is not known exactly, and between which two it lies with the probability `COVERAGE`."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def times(self, factor: float) -> Estimate:
        """The estimate of so many times the number."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is still to run will take so much.

    Attributes
    ----------
    n_variants : how many are to run
    n_slots : how many run at a time
    busy_s : seconds of all of them together; None where nothing is known
    wall_s : seconds until all are done, windows and queues aside; None where nothing is known
    tasks : seconds of each task's runs together, as far as they are known apart
    cores : that one variant occupies
    utilisation : the share of their time that workers are taken to be busy
    n_samples : how many variants were timed
    explained : how much of the differences between them the parameters explain, in [0, 1]
    share_new : of the variants to run, those with a value of a kind that was never timed, in [0, 1]
    """

    n_variants: int
    n_slots: int
    busy_s: Estimate | None = None
    wall_s: Estimate | None = None
    tasks: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    cores: float = 1.0
    utilisation: float = 1.0
    n_samples: int = 0
    explained: float = 0.0
    share_new: float = 0.0

    @property
    def core_hours(self) -> Estimate | None:
        """Core-hours of all variants together; None where nothing is known."""
        return None if self.busy_s is None else self.busy_s.times(self.cores / 3600)

    def ends(self, start: float) -> Estimate | None:
        """When all are done if work starts at *start* and is not interrupted, both in Unix seconds."""
        wall = self.wall_s
        return None if wall is None else Estimate(start + wall.value, start + wall.low, start + wall.high)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``; what is not known is None."""
        core_hours = self.core_hours
        return {
            "variants": self.n_variants,
            "slots": self.n_slots,
            "core_hours": None if core_hours is None else core_hours.to_dict(),
            "wall_s": None if self.wall_s is None else self.wall_s.to_dict(),
            "core_hours_by_task": {
                task: estimate.times(self.cores / 3600).to_dict() for task, estimate in self.tasks.items()
            },
            "utilisation": self.utilisation,
            "samples": self.n_samples,
            "explained": self.explained,
            "share_new": self.share_new,
            "coverage": COVERAGE,
        }

    def __str__(self) -> str:
        if not self.n_variants:
            return "forecast: nothing to run"
        if self.busy_s is None or self.wall_s is None:
            timed = f" ({self.n_samples} timed variants are too few)" if self.n_samples else ""
            return f"forecast for {self.n_variants:,} variants: {UNKNOWN}{timed}"
        workers = f"{self.n_slots} worker{'s' * (self.n_slots > 1)}"
        cost, time = _core_time(self.busy_s.times(self.cores)), _between(self.wall_s)
        lines = [f"forecast for {self.n_variants:,} variants: {cost}; about {time} with {workers}"]
        total = sum(estimate.value for estimate in self.tasks.values())
        if len(self.tasks) > 1:
            lines += [
                f"  {task}: {estimate.value / total:.0%}, {_core_time(estimate.times(self.cores))}"
                for task, estimate in self.tasks.items()
            ]
        learnt = f"{self.explained:.0%} of their differences" if self.explained else "none of their differences"
        lines.append(
            f"  from {self.n_samples:,} timed variants, of which the parameters explain {learnt}; intervals hold "
            f"{COVERAGE * 10:.0f} times in 10, at {self.utilisation:.0%} use of the workers"
        )
        if self.share_new >= 0.005:
            lines.append(
                f"  {self.share_new:.0%} of the variants have values of which nothing is known; a pilot covers them: "
                "sciflow plan --pilot 8"
            )
        return "\n".join(lines)


def forecast(
    model: CostModel,
    sample: Table,
    n_variants: int,
    *,
    n_slots: int,
    evaluations: Mapping[str, int] | None = None,
    cores: float = 1.0,
    utilisation: float | None = None,
) -> Forecast:
    """What *n_variants* will take.

    Parameters
    ----------
    model : what is known of costs
    sample : the parameters of some of the variants to run, chosen evenly: those of `rows_to_look_at`
    n_slots : how many variants run at a time
    evaluations : task → how often it will be called, in the order in which they are to be shown (``n_evaluations``
        of a plan); by default once per variant
    cores : that one variant occupies
    utilisation : the share of their time that workers were busy so far; None for all of it
    """
    n_slots = max(n_slots, 1)
    whole = model.fit(WALL_S)
    used = min(max(utilisation or 1.0, 0.05), 1.0)
    empty = Forecast(n_variants, n_slots, cores=cores, utilisation=used, n_samples=model.n_seen(WALL_S))
    if not n_variants or not sample.n_rows or whole is None:
        return empty
    rng = np.random.Generator(np.random.Philox(n_variants))
    look = _Look(model, sample, rng)
    counts = {task: n for task, n in (evaluations or {}).items() if n}
    draws = {task: look.total(task_measure(task), n) for task, n in counts.items()}
    if len(counts) == 1 or any(one is None for one in draws.values()):
        draws = dict.fromkeys(counts if len(counts) == 1 else (), look.total(WALL_S, n_variants))
    tasks = {task: one for task, one in draws.items() if one is not None}
    everything = sum(tasks.values(), np.zeros(1 + _N_DRAWS)) if tasks else look.total(WALL_S, n_variants)
    assert everything is not None
    busy = _estimate(everything)
    return Forecast(
        n_variants=n_variants,
        n_slots=n_slots,
        busy_s=busy,
        wall_s=_wall(busy, whole, sample, min(n_slots, n_variants), used),
        tasks={task: _estimate(one) for task, one in tasks.items()},
        cores=cores,
        utilisation=used,
        n_samples=min(model.n_seen(WALL_S), whole.n_samples),
        explained=whole.explained,
        share_new=float((whole.n_new(sample) > 0).mean()),
    )


class _Look:
    """The variants to run, seen through a model."""

    def __init__(self, model: CostModel, sample: Table, rng: np.random.Generator) -> None:
        self._model, self._sample, self._rng = model, sample, rng
        some = np.unique(np.linspace(0, sample.n_rows - 1, min(sample.n_rows, _DRAWN_FROM)).astype(np.int64))
        self._some = sample.take(some)

    def total(self, measure: str, n: int) -> Floats | None:
        """Seconds of *n* runs: the best guess, then likely values; None if nothing is known."""
        fit = self._model.fit(measure)
        if fit is None:
            n_known, mean = self._model.mean(measure)
            if not n_known:
                return None
            error = _FEW_ERROR / math.sqrt(n_known)
            return n * mean * np.exp(np.r_[0.0, error * self._rng.standard_normal(_N_DRAWS)])
        mean = fit.scale * float(fit.predict(self._sample).mean())
        of_some = fit.scale * float(fit.predict(self._some).mean())
        draws = fit.mean_draws(self._some, n, _N_DRAWS, self._rng)
        return n * mean * np.r_[1.0, draws / of_some]


def _estimate(draws: Floats) -> Estimate:
    value = float(np.median(draws))
    low, high = np.quantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]).tolist()
    return Estimate(value, min(low, value), max(high, value))


def _wall(busy: Estimate, whole: CostFit, sample: Table, n_slots: int, utilisation: float) -> Estimate:
    """Busy workers finish together but for the last variant, and nothing ends before its longest variant."""
    longest = float(whole.predict(sample).max())
    at_most = longest * math.exp(max(whole.error_quantiles(COVERAGE)[1], 0.0))
    share = 1 / (n_slots * utilisation)
    return Estimate(
        max(busy.value * share, longest),
        max(busy.low / n_slots, min(longest, busy.low)),
        max(busy.high * share, at_most) + at_most * (1 - 1 / n_slots),
    )


def rows_to_look_at(rows: RowSet, most: int = MOST_LOOKED_AT) -> NDArray[np.int64]:
    """Some of *rows*, one at random from each of as many parts of equal length; all if they are few."""
    n = len(rows)
    if n <= most:
        return rows.rows()
    edges = np.array([n * k // most for k in range(most + 1)], dtype=np.int64)
    ranks = np.random.Generator(np.random.Philox(n)).integers(edges[:-1], edges[1:])
    return rows.at(ranks)


def _between(seconds: Estimate) -> str:
    return (
        f"{render_seconds(seconds.value)} ({render_seconds(seconds.low)} to {render_seconds(seconds.high)})"
        if render_seconds(seconds.low) != render_seconds(seconds.high)
        else render_seconds(seconds.value)
    )


def _core_time(core_s: Estimate) -> str:
    if core_s.value < 360:
        return f"{_between(core_s)} of one core"
    hours = core_s.times(1 / 3600)
    return f"{_hours(hours.value)} core-hours ({_hours(hours.low)} to {_hours(hours.high)})"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 9.95 else f"{hours:.2g}"
