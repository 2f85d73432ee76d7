"""What makes one variant better than another: a metric, a weighted sum of several, or one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np

from sciflow.errors import ResultsError

DIRECTIONS: Final = {"max": True, "min": False}

Metric: TypeAlias = "str | Mapping[str, float] | Sequence[str | tuple[Any, ...]]"
"""How users say it: a name; weights; or names, each alone or with a direction and a tolerance."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One metric, which way is better, and which differences do not matter."""

    metric: str
    maximize: bool = True
    tolerance: float = 0.0

    def __str__(self) -> str:
        within = f" within {self.tolerance:g}" if self.tolerance else ""
        return f"{'max' if self.maximize else 'min'} {self.metric}{within}"


@dataclass(frozen=True, slots=True)
class Weighted:
    """The sum of several metrics, each scaled to 0 for its smallest mean and 1 for its largest, times a weight."""

    weights: tuple[tuple[str, float], ...]
    maximize: bool = True

    def __str__(self) -> str:
        terms = " ".join(f"{'-' if weight < 0 else '+'} {abs(weight):g}·{name}" for name, weight in self.weights)
        return terms.removeprefix("+ ")


Objective: TypeAlias = "tuple[Goal, ...] | Weighted"
"""Goals in the order in which they count, or a weighted sum."""


def parse_objective(metric: Metric, *, maximize: bool) -> Objective:
    """Read what users give as metric.

    Parameters
    ----------
    metric
        A name; a mapping of names to weights (a negative one: less is better); or a sequence that is ranked by its
        first entry, and where that is equal by the next: names, or ``(name, "max" | "min")``, or
        ``(name, "max" | "min", tolerance)``.
    maximize
        Which way is better, where nothing else is said.

    Raises
    ------
    ResultsError
        It is none of these.
    """
    maximize = parse_maximize(maximize)
    if isinstance(metric, str):
        return (Goal(metric, maximize),)
    if not metric:
        raise ResultsError("metric is empty: name what is to be ranked")
    if isinstance(metric, Mapping):
        return Weighted(tuple((name, _weight(name, weight)) for name, weight in metric.items()), maximize)
    return tuple(_goal(entry, maximize=maximize) for entry in metric)


def parse_maximize(given: object) -> bool:
    """Read which way is better, as users say it.

    Raises
    ------
    ResultsError
        It is neither True nor False: ``"min"`` counts as true in Python, and the largest would be taken.
    """
    if isinstance(given, bool | np.bool_):
        return bool(given)
    hint = ""
    if isinstance(given, str) and given.lower().startswith(("min", "max")):
        hint = f"; write maximize={given.lower().startswith('max')}"
    raise ResultsError(f"maximize={given!r} is neither True nor False{hint}")


def metrics_of(objective: Objective) -> list[str]:
    """The metrics that count."""
    return [name for name, _ in objective.weights] if isinstance(objective, Weighted) else [g.metric for g in objective]


def parse_goals(directions: Mapping[str, str]) -> tuple[Goal, ...]:
    """Read metrics with a direction each, such as ``{"accuracy": "max", "runtime_s": "min"}``.

    Raises
    ------
    ResultsError
        It is no such mapping.
    """
    if not isinstance(directions, Mapping) or not directions:  # pyright: ignore[reportUnnecessaryIsInstance]  # users
        raise ResultsError(
            "metrics are a mapping such as {'accuracy': 'max', 'runtime_s': 'min'}, "
            f"not {directions!r}{_written(directions)}"
        )
    return tuple(Goal(name, _direction(name, direction)) for name, direction in directions.items())


def _written(given: object) -> str:
    """How to write what names metrics without directions."""
    names: list[object] = [given] if isinstance(given, str) else list(cast("Any", given)) if _is_list(given) else []
    if not names or not all(isinstance(name, str) for name in names):
        return ""
    each = ", ".join(f"{name!r}: 'max'" for name in names)
    return f"; write {{{each}}}, or 'min' where less is better"


def _is_list(given: object) -> bool:
    return isinstance(given, list | tuple | set | frozenset)


def _goal(entry: Any, *, maximize: bool) -> Goal:
    if isinstance(entry, str):
        return Goal(entry, maximize)
    parts: tuple[Any, ...] = tuple(entry) if isinstance(entry, Sequence) else ()
    if len(parts) not in {2, 3} or not isinstance(parts[0], str):
        raise ResultsError(
            f"{entry!r} is no goal; give a metric, (metric, 'max' or 'min'), or with a tolerance (metric, 'max', 0.01)"
        )
    name, direction = parts[:2]
    tolerance: Any = parts[2] if len(parts) == 3 else 0.0
    if not _is_number(tolerance) or tolerance < 0:
        raise ResultsError(f"the tolerance of {name!r} is a number from 0 on, not {tolerance!r}")
    return Goal(name, _direction(name, direction), float(tolerance))


def _direction(name: str, direction: object) -> bool:
    if direction not in DIRECTIONS:
        raise ResultsError(f"the direction of {name!r} is 'max' or 'min', not {direction!r}")
    return DIRECTIONS[cast("str", direction)]


def _weight(name: str, weight: object) -> float:
    if not _is_number(weight) or weight == 0:
        hint = (
            f"; [({name!r}, {weight!r}), ...] ranks by one metric after the other, and pareto_front takes directions"
            if isinstance(weight, str)
            else ""
        )
        raise ResultsError(f"the weight of {name!r} is a number other than 0, not {weight!r}{hint}")
    return float(cast("float", weight))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
