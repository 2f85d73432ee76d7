"""Sweeps whose next variants an optimiser chooses: it is asked for a batch, the batch runs, it is told the results.

Each batch is a part of one ordinary sweep: the same directory, records, retries and resumption as of any other.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import numpy as np

from sciflow.analysis.grouping import group_by
from sciflow.analysis.objective import parse_maximize
from sciflow.analysis.variants import Variants
from sciflow.engine.engine import Engine
from sciflow.errors import ResultsError, SpaceError
from sciflow.space import Points
from sciflow.space.ranges import Choices, Range, parse_range
from sciflow.store.assemble import assemble
from sciflow.store.assembled import DONE, FAILED
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial

    from sciflow.analysis.results import Results
    from sciflow.space.table import Table
    from sciflow.workflow.workflow import ExperimentalWorkflow

Point: TypeAlias = "tuple[float, ...]"
"""One number per parameter: the value, or the place of a choice in its list."""

_MOST_REPEATS: Final = 200  # of points that are known, before the space counts as used up


def optimize(
    workflow: ExperimentalWorkflow,
    *,
    metric: str,
    space: Mapping[str, Any],
    n_variants: int,
    maximize: bool = True,
    batch: int = 8,
    engine: Engine | None = None,
    sampler: BaseSampler | Callable[[int], BaseSampler] | None = None,
) -> Results:
    """Run variants that Optuna chooses, batch by batch, and return the results.

    What is recorded already counts: after a kill the same call goes on, and a larger *n_variants* goes further. The
    points are added to the workflow's space, which may have further parameters, such as ``replicate``: each point runs
    with all their values, and its mean is what the optimiser is told. Variants that fail are told as failed.

    Parameters
    ----------
    metric
        Of the outputs, the one that is to be large, or small unless *maximize*.
    space
        Parameter to ``(0.0, 1.0)`` (an interval), ``Range(1, 64, integer=True)``, ``Range(1e-5, 1e-1, scale="log")``,
        or a list of choices, as of `LatinHypercube`.
    n_variants
        How many points there shall be in all, recorded ones included.
    batch
        How many are asked for at once, and run together. With as many as there are workers none of them waits; fewer
        learn more from each other.
    engine
        What runs them; ``Engine()`` unless given.
    sampler
        A sampler of Optuna, or a function that makes one from a seed. Unless given a `TPESampler`. A function, and the
        default, make a new one for each batch from the workflow's seed and the number of points so far: then a sweep
        that was interrupted goes on as if it had not been.

    Raises
    ------
    ResultsError
        Optuna is not installed (``pip install "sciflow[adaptive]"``), no variant has the metric, or *maximize* is no
        bool.
    SpaceError
        The space is not understood.

    Examples
    --------
    >>> from sciflow.adaptive import optimize
    >>> results = optimize(workflow, metric="loss", maximize=False, space={"x": (0.0, 1.0)}, n_variants=40)
    ... # doctest: +SKIP
    """
    for name, number in (("n_variants", n_variants), ("batch", batch)):
        if isinstance(cast("object", number), bool) or not isinstance(cast("object", number), int) or number < 1:
            raise SpaceError(f"{name}={number!r}: give a whole number of at least 1")
    maximize = parse_maximize(maximize)
    domain = Domain.parse(space)
    optimiser = Optimiser(domain, maximize=maximize, sampler=sampler, seed=workflow.seed)
    engine = engine or Engine()
    path = Path(engine.directory) / workflow.name
    plain = copy.copy(workflow)
    points = list(read_outcomes(path, domain, metric))
    results: Results | None = None
    try:
        while True:
            if points:
                running = copy.copy(plain)
                running.add_parameter_space(domain.points(points))
                # what an interrupted batch has left undone runs first
                results = engine.execute_parameter_sweep(running)
            n_left = n_variants - len(points)
            asked = optimiser.ask(read_outcomes(path, domain, metric), min(batch, n_left)) if n_left > 0 else []
            if not asked:
                break
            points += asked
    finally:
        if points:
            workflow.add_parameter_space(domain.points(points))
    assert results is not None  # of a new sweep at least one point is asked for
    return results


# ------------------------------------------------------------------------------------------------------------- domain


@dataclass(frozen=True, slots=True)
class Domain:
    """What the optimiser may choose from."""

    parts: Mapping[str, Range | Choices]

    @classmethod
    def parse(cls, space: Mapping[str, Any]) -> Domain:
        """What a user gave.

        Raises
        ------
        SpaceError
            It is not understood.
        """
        if not space:
            raise SpaceError("an optimiser needs a parameter at least, such as space={'x': (0.0, 1.0)}")
        return cls({name: parse_range(name, given) for name, given in space.items()})

    def points(self, points: Sequence[Point]) -> Points:
        """The points as a space of a sweep."""
        units = {name: part.unit for name, part in self.parts.items() if part.unit is not None}
        return Points([self.values(point) for point in points], units=units)

    def values(self, point: Point) -> dict[str, Any]:
        """The values of the parameters at a point."""
        return {
            name: part.axis.value(int(number)) if isinstance(part, Choices) else number
            for (name, part), number in zip(self.parts.items(), point, strict=True)
        }

    def point(self, values: Mapping[str, Any]) -> Point | None:
        """The point of these values; None where it is not one of the domain."""
        numbers = [_number(part, values[name]) if name in values else math.nan for name, part in self.parts.items()]
        return None if any(map(math.isnan, numbers)) else tuple(numbers)

    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws from."""
        from optuna.distributions import (  # noqa: PLC0415  an extra
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        found: dict[str, BaseDistribution] = {}
        for name, part in self.parts.items():
            if isinstance(part, Choices):
                found[name] = CategoricalDistribution(list(range(part.axis.n_variants)))
            elif part.integer:
                found[name] = IntDistribution(int(part.low), int(part.high), log=part.scale == "log")
            else:
                found[name] = FloatDistribution(part.low, part.high, log=part.scale == "log")
        return found


def _number(part: Range | Choices, value: object) -> float:
    number = part.drawn(value)
    if isinstance(part, Choices):
        return number
    if not part.low <= number <= part.high:  # NaN too
        return math.nan
    return int(number) if part.integer and number.is_integer() else math.nan if part.integer else number


# ----------------------------------------------------------------------------------------------------------- outcomes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a point: a value if all its variants are done, else whether one failed."""

    value: float = math.nan
    is_failed: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether variants of it have not run, or were lost."""
        return math.isnan(self.value) and not self.is_failed


def read_outcomes(path: Path, domain: Domain, metric: str) -> dict[Point, Outcome]:
    """What is known of each point of the sweep in the directory *path*, in the order in which they were asked for.

    Raises
    ------
    ResultsError
        Variants are done, and none has the metric.
    """
    if not (path / "sweep.json").exists():
        return {}
    variants = Variants(assemble(SweepDirectory.open(path)))
    table = variants.table
    if not set(domain.parts) <= set(table.columns):
        return {}
    values = variants.numbers(metric) if variants.done.any() else np.full(variants.n, np.nan)
    groups = group_by(table, domain.parts)
    n = len(groups.first)
    means = groups.average(values, np.arange(variants.n)).mean
    n_failed = np.bincount(groups.of_variant, variants.status == FAILED, minlength=n)
    n_done = np.bincount(groups.of_variant, variants.status == DONE, minlength=n)
    found: dict[Point, Outcome] = {}
    for row, values_of in enumerate(_first_variants(table, groups.first)):
        point = domain.point(values_of)
        if point is None:
            continue
        if n_failed[row]:
            found[point] = Outcome(is_failed=True)
        elif n_done[row] < groups.size[row]:
            found[point] = Outcome()
        else:  # a value that is no number tells an optimiser as little as a failure
            found[point] = Outcome(float(means[row])) if math.isfinite(means[row]) else Outcome(is_failed=True)
    return found


def _first_variants(table: Table, rows: Any) -> list[Mapping[str, Any]]:
    return list(table.take(rows).variants())


# ---------------------------------------------------------------------------------------------------------- optimiser


class Optimiser:
    """Optuna, told of points that others ran.

    Parameters
    ----------
    seed
        Of samplers that are made for each batch.

    Raises
    ------
    ResultsError
        Optuna is not installed.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        maximize: bool,
        sampler: BaseSampler | Callable[[int], BaseSampler] | None,
        seed: int,
    ) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # in a notebook it asks for progress bars that we do not show
                importlib.import_module("optuna")
        except ImportError as error:
            raise ResultsError(
                'an adaptive sweep needs the package optuna, which is not installed; pip install "sciflow[adaptive]"'
            ) from error
        self._domain, self._seed = domain, seed
        self._direction: Literal["maximize", "minimize"] = "maximize" if maximize else "minimize"
        self._make = _tree_of_parzen_estimators if sampler is None else sampler if callable(sampler) else None
        self._study = None if self._make is not None else self._new_study(cast("BaseSampler", sampler))
        self._asked: dict[Point, Trial] = {}
        self._told: set[Point] = set()

    def ask(self, outcomes: Mapping[Point, Outcome], n: int) -> list[Point]:
        """Up to *n* new points, given what became of all others; fewer where the space has no more."""
        with _quiet():
            study = self._study
            if study is None:
                assert self._make is not None
                seed = np.random.SeedSequence([self._seed, len(outcomes)]).generate_state(1)[0]
                study = self._new_study(self._make(int(seed)))
                self._asked, self._told = {}, set()
            self._tell(study, outcomes)
            return self._ask(study, outcomes, n)

    def _new_study(self, sampler: BaseSampler) -> Study:
        from optuna import create_study  # noqa: PLC0415  an extra

        with _quiet():
            return create_study(sampler=sampler, direction=self._direction)

    def _tell(self, study: Study, outcomes: Mapping[Point, Outcome]) -> None:
        from optuna.trial import TrialState, create_trial  # noqa: PLC0415  an extra

        distributions = self._domain.distributions()
        for point, outcome in outcomes.items():
            if outcome.is_pending or point in self._told:
                continue
            self._told.add(point)
            state = TrialState.FAIL if outcome.is_failed else TrialState.COMPLETE
            value = None if outcome.is_failed else outcome.value
            if point in self._asked:
                study.tell(self._asked.pop(point), value, state=state)
            else:
                params = dict(zip(distributions, point, strict=True))
                study.add_trial(create_trial(state=state, value=value, params=params, distributions=distributions))

    def _ask(self, study: Study, outcomes: Mapping[Point, Outcome], n: int) -> list[Point]:
        from optuna.trial import TrialState  # noqa: PLC0415  an extra

        found: list[Point] = []
        n_repeated = 0
        while len(found) < n and n_repeated < _MOST_REPEATS:
            trial = study.ask(self._domain.distributions())
            point = tuple(trial.params[name] for name in self._domain.parts)
            if point not in outcomes and point not in self._asked:
                found.append(point)
                self._asked[point] = trial
                continue
            n_repeated += 1
            known = outcomes.get(point, Outcome())
            if math.isnan(known.value):
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, known.value)
        return found


def _tree_of_parzen_estimators(seed: int) -> BaseSampler:
    from optuna.samplers import TPESampler  # noqa: PLC0415  an extra

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # to older releases what keeps a batch apart is an experiment
        return TPESampler(seed=seed, constant_liar=True)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Optuna without its lines about studies."""
    from optuna import logging  # noqa: PLC0415  an extra

    level = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(level)
