"""How much of a metric's variance each parameter accounts for, by the method that the design allows."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd

from sciflow.analysis.grouping import REPLICATE, group, half_width
from sciflow.analysis.sample import Factor, factors_of
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.sample import Sample

    Floats = NDArray[np.float64]

METHODS: Final = ("grid", "sobol", "morris", "permutation")
MAIN_COLUMN: Final = {"grid": "total", "sobol": "total", "morris": "mu_star", "permutation": "importance"}
_N_RESAMPLES: Final = 200
_MOST_DRAWN: Final = 40_000_000
_FEWEST: Final = 20
_MOST_FITTED: Final = 20_000
_N_TREES: Final = 200
_N_PERMUTATIONS: Final = 20
_POOR_FIT: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """Which parameters matter.

    Attributes
    ----------
    metric : of which metric
    method : ``grid``, ``sobol``, ``morris`` or ``permutation``
    why : what that is, and why it was taken, in words
    table : a row per parameter, the one that matters most first. Of ``grid`` and ``sobol``: ``first`` (the share of
        the variance that it accounts for alone) and ``total`` (with its interactions); of ``morris``: ``mu_star``
        (mean size of its effects, over the extent of its values), ``mu`` (mean effect) and ``sigma`` (their spread:
        interactions or curvature), with Student's interval; of
        ``permutation``: ``importance`` (loss of R² when its values are shuffled). Each with ``_low`` and ``_high``;
        NaN where nothing says how sure it is.
    n : how many values went in
    unexplained : of ``grid``: the share of variance between cells that is chance, as replicates say; of
        ``permutation``: what the model does not explain of values that it has not seen. None: not known
    confidence : of the intervals
    """

    metric: str
    method: str
    why: str
    table: pd.DataFrame
    n: int
    unexplained: float | None
    confidence: float

    @property
    def bars(self) -> pd.DataFrame:
        """What parameters are ranked by: ``value``, ``low`` and ``high`` of each."""
        name = MAIN_COLUMN[self.method]
        columns = {f"{name}_low": "low", name: "value", f"{name}_high": "high"}
        return pd.DataFrame({new: self.table[old] for old, new in columns.items()})

    @property
    def measure(self) -> str:
        """What `bars` are."""
        return {
            "grid": "total Sobol' index",
            "sobol": "total Sobol' index",
            "morris": "mean size of elementary effects",
            "permutation": "loss of R² when shuffled",
        }[self.method]

    @property
    def brief(self) -> str:
        """The method in a few words."""
        return {
            "grid": "exact, of all combinations",
            "sobol": "of Saltelli's points",
            "morris": "of trajectories of Morris",
            "permutation": f"by a random forest, R² {1 - (self.unexplained or 0.0):.2f}",
        }[self.method]

    def __str__(self) -> str:
        return (
            f"sensitivity of {self.metric} ({self.n:,} values): {self.why}\n{self.table.to_string(float_format='%.3g')}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table: Any = self.table
        return f"<p>Sensitivity of {html.escape(self.metric)}: {html.escape(self.why)}</p>{table._repr_html_()}"


def measure_sensitivity(sample: Sample, *, method: str, confidence: float) -> Sensitivity:
    """How much each parameter matters.

    Parameters
    ----------
    method
        ``auto``: what the design allows, in this order. ``grid``: all combinations are there, so the variance is
        decomposed exactly. ``sobol``: the points are Saltelli's (of `SALib.sample.sobol`, given as `Points`).
        ``morris``: they are trajectories (of `SALib.sample.morris`). ``permutation``: any others.

    Raises
    ------
    ResultsError
        There is no such method, the design does not allow the method, or a package is not installed.
    """
    if method != "auto" and method not in METHODS:
        raise ResultsError(f"method {method!r} is unknown; it is one of auto, {', '.join(METHODS)}")
    if not 0 < confidence < 1:
        raise ResultsError(f"confidence={confidence!r} is no probability; give a number between 0 and 1, such as 0.95")
    factors = factors_of(sample.table, binned=False)
    if not factors:
        raise ResultsError(f"no parameter differs between the variants that have a value of {sample.metric!r}")
    if float(np.ptp(sample.numbers)) == 0.0:
        raise ResultsError(
            f"all {len(sample.numbers):,} values of {sample.metric!r} are {sample.numbers[0]:g}: nothing varies"
        )
    why_not: list[str] = []
    for name, analyse in _METHODS.items():
        if method in {"auto", name}:
            try:
                return analyse(sample, factors, "; ".join(why_not), confidence)
            except _OtherDesignError as reason:
                if method == name:
                    raise ResultsError(f"method {name!r} does not fit: {reason}") from None
                why_not.append(str(reason))
    raise AssertionError("permutation fits any design")


class _OtherDesignError(Exception):
    """The points are not of the kind that a method needs; says why."""


# ----------------------------------------------------------------------------------------------------- all combinations


def grid_indices(means: Floats) -> tuple[Floats, Floats]:
    """First-order and total variance of each axis of a grid of values, every cell weighing the same.

    The functional analysis of variance of Sobol' (Math. Comput. Simul. 55 (2001) 271), which on a grid is exact:
    first = Var(E[y | x_i]), total = E[Var(y | all but x_i)]. Divide by ``means.var()`` for the indices.
    """
    axes = range(means.ndim)
    first = [means.mean(axis=tuple(other for other in axes if other != axis)).var() for axis in axes]
    return np.array(first), np.array([means.var(axis=axis).mean() for axis in axes])


def _grid(sample: Sample, factors: Sequence[Factor], _why_not: str, confidence: float) -> Sensitivity:
    shape = tuple(factor.n for factor in factors)
    n_cells = math.prod(shape)
    n = len(sample.numbers)
    if n_cells > 10 * n:
        raise _OtherDesignError("the points are no grid")
    if n_cells > n:
        raise _OtherDesignError(f"only {n:,} values for {n_cells:,} combinations of parameters")
    cell = np.ravel_multi_index([factor.codes for factor in factors], shape)
    size = np.bincount(cell, minlength=n_cells)
    if not size.all():
        raise _OtherDesignError(f"{int((size == 0).sum()):,} of {n_cells:,} combinations of parameters have no value")
    mean = np.bincount(cell, sample.numbers, minlength=n_cells) / size
    first, total, noise, variance = _corrected(mean.reshape(shape), cell, size, sample.numbers)
    table = pd.DataFrame({"first": first, "total": total}, index=_index(factors))
    why = f"all combinations of values are there, so the variance of {n_cells:,} means is decomposed exactly"
    spread = np.full((2, len(factors)), np.nan)
    if size.min() < 2:
        why += "; without replicates nothing says how sure that is"
    elif size.min() < size.max():
        why += "; replicates differ in number, so no interval is given"
    elif 50 * n > _MOST_DRAWN:
        why += "; for so many values no interval is drawn"
    else:
        spread = _resampled(shape, cell, int(size[0]), sample.numbers)
    half = _normal_quantile(confidence) * spread
    for name, mine in zip(("first", "total"), half, strict=True):
        table[f"{name}_low"] = np.clip(table[name] - mine, 0.0, 1.0)
        table[f"{name}_high"] = np.clip(table[name] + mine, 0.0, 1.0)
    unexplained = None if noise is None else float(min(1.0, noise / variance))
    if unexplained is not None and unexplained > 0.5:
        why += f"; {unexplained:.0%} of it is chance"
    columns = [name + end for name in ("first", "total") for end in ("", "_low", "_high")]
    return _result(sample, "grid", why, pd.DataFrame(table, columns=columns), unexplained, confidence)


def _corrected(
    means: Floats, cell: NDArray[np.int64], size: NDArray[np.int64], numbers: Floats
) -> tuple[Floats, Floats, float | None, float]:
    """Indices, less what chance adds to each variance if replicates say how much that is; chance; variance of means."""
    first, total = grid_indices(means)
    variance = float(means.var())
    if size.min() < 2 or variance == 0.0:
        scale = variance or 1.0
        return first / scale, total / scale, None, variance
    within = float(((numbers - means.ravel()[cell]) ** 2).sum()) / (len(numbers) - len(size))
    noise = within * float((1.0 / size).mean())  # the variance of one mean
    n_levels = np.array(means.shape)
    left = variance - noise * (1 - 1 / means.size)
    if left <= 0:
        return np.full(means.ndim, np.nan), np.full(means.ndim, np.nan), noise, variance
    of_first = noise * (1 - 1 / n_levels) * n_levels / means.size
    of_total = noise * (1 - 1 / n_levels)
    return (
        np.clip((first - of_first) / left, 0.0, 1.0),
        np.clip((total - of_total) / left, 0.0, 1.0),
        noise,
        variance,
    )


def _resampled(shape: tuple[int, ...], cell: NDArray[np.int64], n_replicates: int, numbers: Floats) -> Floats:
    """The standard deviation of first and total indices when replicates are drawn again within each cell."""
    blocks = numbers[np.argsort(cell, kind="stable")].reshape(-1, n_replicates)
    rng = np.random.default_rng(0)
    n_resamples = max(50, min(_N_RESAMPLES, _MOST_DRAWN // len(numbers)))
    drawn: list[Floats] = []
    for _ in range(n_resamples):
        chosen = rng.integers(n_replicates, size=blocks.shape)
        means = np.take_along_axis(blocks, chosen, axis=1).mean(axis=1).reshape(shape)
        first, total = grid_indices(means)
        drawn.append(np.stack([first, total]) / (means.var() or 1.0))
    # a draw from r values varies (r - 1) / r as much as they do
    return np.std(drawn, axis=0) * math.sqrt(n_replicates / (n_replicates - 1))


# ---------------------------------------------------------------------------------------------------- structured points


def _sobol(sample: Sample, factors: Sequence[Factor], _why_not: str, confidence: float) -> Sensitivity:
    codes, values = _points(sample, factors)
    n_factors = len(factors)
    second = next((order for order in (False, True) if is_saltelli(codes, second_order=order)), None)
    if second is None:
        raise _OtherDesignError("the points are not Saltelli's")
    _need("SALib", "Sobol' indices")
    from SALib.analyze import sobol  # noqa: PLC0415  an extra

    analyze = cast("Callable[..., dict[str, Floats]]", sobol.analyze)
    found = analyze(
        _problem(factors), values, calc_second_order=second, conf_level=confidence, num_resamples=1000, seed=0
    )
    n_base = len(values) // (2 * n_factors + 2 if second else n_factors + 2)
    table = pd.DataFrame(index=_index(factors))
    for name, key in (("first", "S1"), ("total", "ST")):
        table[name] = found[key]
        table[f"{name}_low"], table[f"{name}_high"] = (
            found[key] - found[f"{key}_conf"],
            found[key] + found[f"{key}_conf"],
        )
    why = f"the points are Saltelli's, {n_base:,} to begin with, so Sobol' indices are estimated (SALib)"
    return _result(sample, "sobol", why, table, None, confidence)


def is_saltelli(codes: NDArray[np.int64], *, second_order: bool) -> bool:
    """Whether points are in Saltelli's order: A, A with each column of B, (B with each column of A), B.

    Saltelli et al., Comput. Phys. Commun. 181 (2010) 259, as SALib writes them.

    Parameters
    ----------
    codes
        (n_points, n_parameters) equal numbers for equal values.
    """
    n, n_factors = codes.shape
    n_block = 2 * n_factors + 2 if second_order else n_factors + 2
    if n_factors < 2 or n % n_block or n < 2 * n_block:
        return False
    blocks = codes.reshape(-1, n_block, n_factors)
    first, last = blocks[:, :1], blocks[:, -1:]
    own = np.eye(n_factors, dtype=np.bool_)
    expected = [np.where(own, last, first)] + ([np.where(own, first, last)] if second_order else [])
    return bool((blocks[:, 1:-1] == np.concatenate(expected, axis=1)).all())


def _morris(sample: Sample, factors: Sequence[Factor], _why_not: str, confidence: float) -> Sensitivity:
    codes, values = _points(sample, factors)
    if not is_trajectories(codes):
        raise _OtherDesignError("nor trajectories of Morris")
    points = np.stack([_scaled(factor) for factor in factors], axis=1)
    effects = elementary_effects(points, values)
    sizes = np.abs(effects)
    star, n = sizes.mean(axis=0), len(effects)
    sd = sizes.std(axis=0, ddof=1) if n > 1 else np.full(len(factors), np.nan)
    half = half_width(sd, np.full(len(factors), n), confidence)
    table = pd.DataFrame(
        {
            "mu_star": star,
            "mu_star_low": np.maximum(star - half, 0.0),
            "mu_star_high": star + half,
            "mu": effects.mean(axis=0),
            "sigma": effects.std(axis=0, ddof=1) if n > 1 else np.nan,
        },
        index=_index(factors),
    )
    why = f"the points are {n:,} trajectories of Morris, so elementary effects are averaged"
    return _result(sample, "morris", why, table, None, confidence)


def elementary_effects(points: Floats, values: Floats) -> Floats:
    """By how much each step of each walk changes the value, for a step of one: (n_walks, n_parameters).

    Morris, Technometrics 33 (1991) 161. Each step counts with its own length, so that walks need not have the step that
    goes with a number of levels, which SALib takes for granted.

    Parameters
    ----------
    points
        (n_walks * (n_parameters + 1), n_parameters), each parameter scaled to 0 … 1.
    """
    n_factors = points.shape[1]
    steps = np.diff(points.reshape(-1, n_factors + 1, n_factors), axis=1)
    changes = np.diff(values.reshape(-1, n_factors + 1), axis=1)
    moved = np.abs(steps).argmax(axis=2)  # the one parameter that a step changes
    slopes = changes / np.take_along_axis(steps, moved[..., None], axis=2)[..., 0]
    effects = np.empty_like(slopes)
    np.put_along_axis(effects, moved, slopes, axis=1)
    return effects


def is_trajectories(codes: NDArray[np.int64]) -> bool:
    """Whether points are walks that change each parameter once, one at a time (Morris, Technometrics 33 (1991) 161)."""
    n, n_factors = codes.shape
    if n_factors < 2 or n % (n_factors + 1):
        return False
    walks = codes.reshape(-1, n_factors + 1, n_factors)
    changed = walks[:, 1:] != walks[:, :-1]
    return bool((changed.sum(axis=1) == 1).all() and (changed.sum(axis=2) == 1).all())


# ----------------------------------------------------------------------------------------------------------- any points


def _permutation(sample: Sample, factors: Sequence[Factor], why_not: str, confidence: float) -> Sensitivity:
    n = len(sample.numbers)
    if n < _FEWEST:
        raise ResultsError(
            f"{n} values are too few to learn from (at least {_FEWEST})" + (f"; {why_not}" if why_not else "")
        )
    _need("sklearn", "importance by permutation")
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415  an extra
    from sklearn.inspection import permutation_importance  # noqa: PLC0415  an extra
    from sklearn.model_selection import train_test_split  # noqa: PLC0415  an extra

    points = np.stack([_numbers(factor) for factor in factors], axis=1)
    values = sample.numbers
    part = ""
    if n > _MOST_FITTED:
        chosen = np.random.default_rng(0).choice(n, _MOST_FITTED, replace=False)
        points, values = points[chosen], values[chosen]
        part = f" on {_MOST_FITTED:,} of them"
    split: Any = train_test_split
    learn_x, test_x, learn_y, test_y = split(points, values, test_size=0.3, random_state=0)
    forest: Any = RandomForestRegressor(n_estimators=_N_TREES, random_state=0)
    forest.fit(learn_x, learn_y)
    r2 = float(forest.score(test_x, test_y))
    importance: Any = permutation_importance
    found = importance(forest, test_x, test_y, n_repeats=_N_PERMUTATIONS, random_state=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(found.importances, [tail, 1 - tail], axis=1)
    table = pd.DataFrame(
        {"importance": found.importances_mean, "importance_low": low, "importance_high": high}, index=_index(factors)
    )
    why = f"a random forest was fitted{part} (scikit-learn), R² {r2:.2f} on values that it has not seen"
    if r2 < _POOR_FIT:
        why += ", which is little: take the order with care"
    return _result(sample, "permutation", f"{why_not}: {why}" if why_not else why, table, max(0.0, 1 - r2), confidence)


# ------------------------------------------------------------------------------------------------------- what is shared


def _points(sample: Sample, factors: Sequence[Factor]) -> tuple[NDArray[np.int64], Floats]:
    """Levels and values in the order of the space, one row per point; replicates are averaged."""
    groups = group(sample.table, [REPLICATE])
    mean = np.bincount(groups.of_variant, sample.numbers) / groups.size
    return np.stack([factor.codes[groups.first] for factor in factors], axis=1), mean


def _numbers(factor: Factor) -> Floats:
    """Each variant's value as a number; of others than numbers their place among the values."""
    levels = [level for level in factor.levels if isinstance(level, int | float) and not isinstance(level, bool)]
    whole = len(levels) == factor.n and all(map(math.isfinite, levels))
    return (np.array(levels, dtype=np.float64) if whole else np.arange(factor.n, dtype=np.float64))[factor.codes]


def _scaled(factor: Factor) -> Floats:
    """Each variant's value as a number from 0, the smallest, to 1, the largest."""
    numbers = _numbers(factor)
    return (numbers - numbers.min()) / float(np.ptp(numbers))


def _problem(factors: Sequence[Factor]) -> dict[str, Any]:
    bounds = [[float(_numbers(factor).min()), float(_numbers(factor).max())] for factor in factors]
    return {"num_vars": len(factors), "names": [factor.name for factor in factors], "bounds": bounds}


def _index(factors: Sequence[Factor]) -> pd.Index:
    return pd.Index([factor.name for factor in factors], name="parameter")


def _result(  # noqa: PLR0917  the fields of what it makes
    sample: Sample, method: str, why: str, table: pd.DataFrame, unexplained: float | None, confidence: float
) -> Sensitivity:
    ranked = table.sort_values(MAIN_COLUMN[method], ascending=False, kind="stable")
    return Sensitivity(sample.metric, method, why, ranked, len(sample.numbers), unexplained, confidence)


def _normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri  # noqa: PLC0415  SciPy takes a while to import

    return float(ndtri(0.5 + confidence / 2))


def _need(module: str, what: str) -> None:
    if find_spec(module) is None:
        raise ResultsError(f'{what} need a package that is not installed: pip install "sciflow[statistics]"')


_METHODS: Final = {
    "grid": _grid,
    "sobol": _sobol,
    "morris": _morris,
    "permutation": _permutation,
}
