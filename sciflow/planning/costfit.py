"""CostFit: one cost of variants (seconds, memory) against their parameters; pure.

Costs multiply, and so do their errors, so the model is linear in their logarithm: the trend, bend and single values of
each parameter, and the strongest parameters in pairs (`sciflow.planning.features`). What it says of itself comes from
samples that it was not fitted to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import numpy as np

from sciflow.planning.features import Factor, Values, with_at_most
from sciflow.planning.regression import ridge, robust_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.planning.features import Codes, Floats, Labels
    from sciflow.planning.regression import Ridge
    from sciflow.space.table import Table

Pairs: TypeAlias = tuple[tuple[int, int], ...]

LEAST_COST: Final = 1e-7
"""Costs below this count as this: no clock tells them apart."""

_MOST_COLUMNS, _MOST_PAIR_COLUMNS, _MOST_PAIRED = 72, 32, 4
_EXPECTED_OF_PAIRS = 0.5
_PREDICTIVE_FROM, _EXPLAINED_FROM = 8, 0.3
_KEPT_FROM = 0.05  # a model that explains less than this of what it does not know is a mean in disguise,
_KEPT_FROM_FEW = 3.0  # or than so much divided by the number of samples: chance explains that much of few
_WORTH = 0.95  # a larger model must have less than this share of the smaller one's error
_NEW_VALUE = math.log(3.0)  # what a value may do of which nothing is known: a standard deviation of log cost
_ROBUST_FROM = 16
_FARTHEST = 100.0  # no log cost is beyond
_BLOCK = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Variants that ran: of each parameter a number or a label, and the cost, (n,) each."""

    numbers: Mapping[str, Floats]
    labels: Mapping[str, Labels]
    costs: Floats


@dataclass(frozen=True, slots=True)
class Effect:
    """What one parameter does to a cost, over the values that were seen.

    Parameters
    ----------
    parameter : its name
    share : how much of the variance of what the model predicts it has, in [0, 1]
    factor : the largest predicted cost over the smallest, as far as this parameter goes
    exponent : k where the cost goes like parameter**k; None unless its values are numbers above 0
    """

    parameter: str
    share: float
    factor: float
    exponent: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"parameter": self.parameter, "share": self.share, "factor": self.factor, "exponent": self.exponent}


@dataclass(frozen=True, slots=True, eq=False)
class CostFit:
    """A model of one cost; get one with `of`.

    Attributes
    ----------
    costs, expected
        (n_samples,) what the samples cost, and what a model that did not know them expected.
    explained
        How much of the variance of log cost it explains in samples that it does not know, in [0, 1]; 0 for a
        model that says the same of all variants, which is taken where parameters do not help.
    effects
        What each parameter does, the strongest first; empty where parameters do not help.
    """

    costs: Floats = field(repr=False)
    expected: Floats = field(repr=False)
    explained: float
    effects: tuple[Effect, ...]
    _factors: tuple[Factor, ...] = field(repr=False)
    _pairs: Pairs | None = field(repr=False)  # None: the same for all variants
    _ridge: Ridge = field(repr=False)

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """Fit a model."""
        costs = np.maximum(samples.costs, LEAST_COST)
        logs = np.log(costs)
        fitter = _Fitter.of(samples, logs)
        everything = np.arange(len(logs))
        expected, without = np.empty(len(logs)), np.empty(len(logs))
        for fold in _folds(len(logs)):
            train = np.setdiff1d(everything, fold)
            pairs, model = fitter.fit(train)
            expected[fold] = model.predict(fitter.matrix(pairs)[fold])
            without[fold] = np.average(logs[train], weights=fitter.weights[train])
        explained = _explained(logs, expected, without)
        is_kept = explained >= max(_KEPT_FROM, _KEPT_FROM_FEW / len(logs))
        pairs, model = fitter.fit(everything) if is_kept else (None, fitter.mean(everything))
        if pairs is None:
            explained, expected = 0.0, without
        effects = fitter.effects(pairs, model)
        return cls(costs, np.exp(expected), explained, effects, fitter.factors, pairs, model)

    @property
    def n_samples(self) -> int:
        """How many variants it was fitted to."""
        return len(self.costs)

    @property
    def is_predictive(self) -> bool:
        """Whether it tells expensive variants from cheap ones well enough to act on."""
        return self.n_samples >= _PREDICTIVE_FROM and self.explained >= _EXPLAINED_FROM

    @property
    def scale(self) -> float:
        """What a sum of predictions is to be multiplied with: they are medians, and means are higher."""
        ratios, weights = self._ratios
        return float(ratios @ weights / weights.sum())

    @property
    def _ratios(self) -> tuple[Floats, Floats]:
        """What samples cost over what is predicted, and how much each says of the sum of many.

        In a sum the expensive ones count most; but the less the others count, the fewer samples it rests on.
        """
        ratios = np.exp(self._ridge.residuals)
        return ratios, np.sqrt(self.costs / ratios)

    @property
    def error(self) -> float:
        """How large errors are: a standard deviation of log cost, which single outliers do not decide."""
        errors = np.log(self.costs / self.expected)
        low, high = np.quantile(errors, [0.16, 0.84])
        return max(float(high - low) / 2, float(errors.std()) / 2)

    def error_quantiles(self, coverage: float = 0.9) -> tuple[float, float]:
        """Between which log errors a new variant lies with this probability; of few samples, the largest seen."""
        errors = np.sort(np.log(self.costs / self.expected))
        beyond = math.floor((self.n_samples + 1) * (1 - coverage) / 2)  # conformal: a new one is the n+1st of its kind
        return float(errors[max(beyond - 1, 0)]), float(errors[min(len(errors) - beyond, len(errors) - 1)])

    def predict(self, table: Table) -> Floats:
        """The cost that is as likely exceeded as not, for each row: (n_rows,)."""
        return np.exp(self._logs(_values_of(table), table.n_rows))

    def interval(self, table: Table, coverage: float = 0.9) -> tuple[Floats, Floats]:
        """Between which costs each row lies with this probability, by the errors seen so far: (n_rows,) each."""
        low, high = self.error_quantiles(coverage)
        ends = np.empty((2, table.n_rows))
        for start in range(0, table.n_rows, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, table.n_rows))
            values = _values_of(table.take(rows))
            logs = self._logs(values, len(rows))
            variance = (self._unsure(values, len(rows)) ** 2).sum(axis=1)
            variance += self._n_new(values, len(rows)) * _NEW_VALUE**2
            spread = np.sqrt(1.0 + variance / max(self.error, 1e-6) ** 2)
            ends[:, rows] = logs + low * spread, logs + high * spread
        ends = np.exp(np.clip(ends, -_FARTHEST, _FARTHEST))
        return ends[0], ends[1]

    def n_new(self, table: Table) -> NDArray[np.int64]:
        """For each row, how many of its values nothing is known of: (n_rows,)."""
        return self._n_new(_values_of(table), table.n_rows)

    def mean_draws(self, table: Table, n: int, n_draws: int, rng: np.random.Generator) -> Floats:
        """Likely values of the mean cost of *n* variants, of which *table* has some: (n_draws,).

        They vary as the model may be wrong (its slopes, its level, what is not known at all), and as the mean of so
        many variants varies by itself.
        """
        values = _values_of(table)
        unsure = self._unsure(values, table.n_rows)
        shift = unsure @ rng.standard_normal((unsure.shape[1], n_draws))
        shift += np.sqrt(self._n_new(values, table.n_rows))[:, None] * _NEW_VALUE * rng.standard_normal(n_draws)
        logs = self._logs(values, table.n_rows)[:, None] + np.clip(shift, -8.0, 8.0)
        return np.exp(logs).mean(axis=0) * self._scale_draws(n, n_draws, rng)

    def _scale_draws(self, n: int, n_draws: int, rng: np.random.Generator) -> Floats:
        """The scale as other samples would have given it, and for *n* variants instead of many."""
        k = self.n_samples
        ratios, weights = self._ratios
        drawn = rng.multinomial(k, np.full(k, 1 / k), size=n_draws)
        deviations = np.log((drawn @ (ratios * weights)) / (drawn @ weights) / self.scale)
        # few samples do not know their own spread: Student's t in place of the normal
        deviations *= np.sqrt(k / rng.chisquare(k - 1, n_draws))
        own = math.sqrt(math.log1p(float(np.average((ratios / self.scale - 1) ** 2, weights=weights)) / n))
        return self.scale * np.exp(np.clip(deviations, -8.0, 8.0) + own * rng.standard_normal(n_draws) - own**2 / 2)

    def _logs(self, values: Mapping[str, Values], n_rows: int) -> Floats:
        """Add up what each distinct value contributes, which needs no matrix of all rows."""
        total = np.full(n_rows, self._ridge.level)
        if self._pairs is None:
            return total
        coefficients = _Parts(self._factors, self._pairs, self._ridge.coefficients)
        columns: list[Floats] = []
        codes: list[Codes] = []
        for factor, own in zip(self._factors, coefficients.own, strict=True):
            mine = values.get(factor.name, Values.absent(n_rows))
            columns.append(factor.columns(mine.numbers, mine.labels))
            codes.append(mine.codes)
            total += (columns[-1] @ own)[mine.codes]
        for (a, b), joint in zip(self._pairs, coefficients.joint, strict=True):
            left = columns[a][:, self._factors[a].paired] @ joint
            right = columns[b][:, self._factors[b].paired]
            if len(left) * len(right) <= n_rows:
                total += (left @ right.T)[codes[a], codes[b]]
            else:
                for one, other in zip(left.T, right.T, strict=True):
                    total += one[codes[a]] * other[codes[b]]
        return total

    def _unsure(self, values: Mapping[str, Values], n_rows: int) -> Floats:
        """How unsure the model is of the log cost of each row: independent parts, (n_rows, n_columns)."""
        if self._pairs is None:
            return np.zeros((n_rows, 0))
        own: list[Floats] = []
        for factor in self._factors:
            mine = values.get(factor.name, Values.absent(n_rows))
            own.append(factor.columns(mine.numbers, mine.labels)[mine.codes])
        return self._ridge.unsure(_matrix(self._factors, own, self._pairs), self.error)

    def _n_new(self, values: Mapping[str, Values], n_rows: int) -> NDArray[np.int64]:
        n = np.zeros(n_rows, dtype=np.int64)
        for factor in self._factors:
            mine = values.get(factor.name, Values.absent(n_rows))
            n += factor.is_new(mine.numbers, mine.labels)[mine.codes]
        return n


def _values_of(table: Table) -> dict[str, Values]:
    return {known.name: Values.of(table.columns[known.name]) for known in table.parameters if not known.derived}


def _matrix(factors: Sequence[Factor], own: Sequence[Floats], pairs: Pairs) -> Floats:
    """The columns of all factors, and the products of those in pairs, beside each other."""
    parts = list(own)
    for a, b in pairs:
        left, right = own[a][:, factors[a].paired], own[b][:, factors[b].paired]
        parts.append((left[:, :, None] * right[:, None, :]).reshape(len(left), -1))
    return np.concatenate(parts, axis=1)


class _Parts:
    """The coefficients of a matrix, split into those of factors and those of pairs."""

    def __init__(self, factors: Sequence[Factor], pairs: Pairs, coefficients: Floats) -> None:
        sizes = [len(factor.expected) for factor in factors]
        shapes = [(len(factors[a].paired), len(factors[b].paired)) for a, b in pairs]
        parts = np.split(coefficients, np.cumsum([*sizes, *map(math.prod, shapes)])[:-1])
        self.own = parts[: len(sizes)]
        self.joint = [part.reshape(shape) for part, shape in zip(parts[len(sizes) :], shapes, strict=True)]


@dataclass(slots=True, eq=False)
class _Fitter:
    """Fits models to some of the samples, and gives the best of three: the mean, parameters alone, and in pairs."""

    factors: tuple[Factor, ...]
    logs: Floats
    weights: Floats
    _own: list[Floats]
    _expected: Floats
    _matrices: dict[Pairs, Floats]

    @classmethod
    def of(cls, samples: Samples, logs: Floats) -> Self:
        """Look at the parameters; leave out those that say nothing."""
        looked = [Factor.of(name, samples.numbers[name], samples.labels[name]) for name in samples.numbers]
        factors = tuple(with_at_most(looked, _MOST_COLUMNS))
        own = [factor.columns(samples.numbers[factor.name], samples.labels[factor.name]) for factor in factors]
        expected = np.concatenate([np.zeros(0), *(factor.expected for factor in factors)])
        main = np.concatenate([np.zeros((len(logs), 0)), *own], axis=1)
        weights = robust_weights(main, logs, expected) if len(logs) >= _ROBUST_FROM else np.ones(len(logs))
        return cls(factors, logs, weights, own, expected, {(): main})

    def matrix(self, pairs: Pairs | None) -> Floats:
        """The columns of all samples."""
        if pairs is None:
            return np.zeros((len(self.logs), 0))
        if pairs not in self._matrices:
            self._matrices[pairs] = _matrix(self.factors, self._own, pairs)
        return self._matrices[pairs]

    def mean(self, rows: NDArray[np.int64]) -> Ridge:
        """The model that says the same of all variants."""
        return ridge(np.zeros((len(rows), 0)), self.logs[rows], self.weights[rows], np.zeros(0))

    def fit(self, rows: NDArray[np.int64]) -> tuple[Pairs | None, Ridge]:
        """The best model for these samples, and its pairs."""
        best: tuple[Pairs | None, Ridge] = None, self.mean(rows)
        if best[1].error <= 1e-12 or not len(self._expected):
            return best
        main = self._ridge((), rows)
        if main.error < _WORTH * best[1].error:
            best = (), main
        pairs = self._strongest_pairs(main, rows)
        if pairs:
            joint = self._ridge(pairs, rows)
            if joint.error < _WORTH * best[1].error:
                best = pairs, joint
        return best

    def _ridge(self, pairs: Pairs, rows: NDArray[np.int64]) -> Ridge:
        matrix = self.matrix(pairs)
        more = matrix.shape[1] - len(self._expected)
        expected = np.concatenate([self._expected, np.full(more, _EXPECTED_OF_PAIRS)])
        return ridge(matrix[rows], self.logs[rows], self.weights[rows], expected)

    def _strongest_pairs(self, main: Ridge, rows: NDArray[np.int64]) -> Pairs:
        strength = self._contributions((), main)[rows].std(axis=0)
        strongest = [k for k in np.argsort(-strength)[:_MOST_PAIRED].tolist() if strength[k] > 0]
        by_strength = sorted(
            combinations(sorted(strongest), 2), key=lambda pair: -float(strength[pair[0]] * strength[pair[1]])
        )
        pairs: list[tuple[int, int]] = []
        n_columns = 0
        for a, b in by_strength:
            n_columns += len(self.factors[a].paired) * len(self.factors[b].paired)
            if n_columns <= _MOST_PAIR_COLUMNS:
                pairs.append((a, b))
        return tuple(pairs)

    def _contributions(self, pairs: Pairs, model: Ridge) -> Floats:
        """What each factor contributes to each sample, half of a pair to either: (n, n_factors)."""
        parts = _Parts(self.factors, pairs, model.coefficients)
        found = np.stack([columns @ own for columns, own in zip(self._own, parts.own, strict=True)], axis=1)
        for (a, b), joint in zip(pairs, parts.joint, strict=True):
            left, right = self._own[a][:, self.factors[a].paired], self._own[b][:, self.factors[b].paired]
            both = np.einsum("ni,ij,nj->n", left, joint, right)
            found[:, a] += both / 2
            found[:, b] += both / 2
        return found

    def effects(self, pairs: Pairs | None, model: Ridge) -> tuple[Effect, ...]:
        """What each parameter does, the strongest first."""
        if pairs is None:
            return ()
        contributions = self._contributions(pairs, model)
        variances = contributions.var(axis=0)
        total = float(variances.sum())
        found: list[Effect] = []
        for k, factor in enumerate(self.factors):
            if variances[k] > 1e-6 * total:
                largest = float(np.exp(np.ptp(contributions[:, k])))
                exponent = _exponent(factor, self._own[k], contributions[:, k])
                found.append(Effect(factor.name, float(variances[k]) / total, largest, exponent))
        return tuple(sorted(found, key=lambda effect: -effect.share))


def _exponent(factor: Factor, columns: Floats, contribution: Floats) -> float | None:
    if factor.scale is None or not factor.scale.is_log or factor.seen_labels:
        return None
    logs = columns[:, 0] * factor.scale.half
    logs = logs - logs.mean()
    return float(logs @ contribution / (logs @ logs))


def _folds(n: int) -> Iterator[NDArray[np.int64]]:
    """Parts of the samples to leave out, in turn; every sample once."""
    order = np.random.Generator(np.random.Philox(n)).permutation(n)
    yield from np.array_split(order, n if n <= _ROBUST_FROM else 5)


def _explained(logs: Floats, expected: Floats, without: Floats) -> float:
    """How much of the variance a model explains; single outliers count as no more than large errors."""
    unexplained = logs - without
    most = 2 * float(np.quantile(np.abs(unexplained), 0.9)) or np.inf
    total = float((np.clip(unexplained, -most, most) ** 2).sum())
    if total <= len(logs) * 1e-12:
        return 0.0
    return max(0.0, 1.0 - float((np.clip(logs - expected, -most, most) ** 2).sum()) / total)
