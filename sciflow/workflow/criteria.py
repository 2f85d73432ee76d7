"""What must hold of a metric for a variant to count as a success."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from sciflow.errors import WorkflowError

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
BOUNDS = {"min": ">=", "max": "<="}
_CRITERION = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One comparison that a metric must pass, such as ``accuracy >= 0.9``."""

    metric: str
    relation: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether *value* passes; NaN never does."""
        return not math.isnan(value) and RELATIONS[self.relation](value, self.limit)

    def to_dict(self) -> dict[str, str | float]:
        """Plain data, for the stored definition."""
        return {"metric": self.metric, "relation": self.relation, "limit": self.limit}

    def __str__(self) -> str:
        return f"{self.metric} {self.relation} {self.limit:g}"


def parse_criteria(criteria: Mapping[str, object]) -> tuple[Criterion, ...]:
    """Read criteria as people write them.

    Parameters
    ----------
    criteria
        Per metric a comparison such as ``">= 0.9"``, or bounds such as ``{"min": 0.9, "max": 1.0}``.

    Raises
    ------
    WorkflowError
        For anything else.
    """
    if not isinstance(criteria, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise WorkflowError(f"success criteria are a mapping such as {{'accuracy': '>= 0.9'}}, not {criteria!r}")
    return tuple(one for metric, text in criteria.items() for one in _parse(metric, text))


def _parse(metric: str, text: object) -> list[Criterion]:
    if isinstance(text, str):
        match = _CRITERION.fullmatch(text)
        if match is None:
            raise WorkflowError(
                f"success criterion {text!r} of {metric!r} is not understood; "
                f"write one of {' '.join(RELATIONS)} and a number, such as '>= 0.9'"
            )
        return [Criterion(metric, match[1], _limit(metric, match[2]))]
    if isinstance(text, Mapping) and text and set(cast("Mapping[str, object]", text)) <= set(BOUNDS):
        bounds = cast("Mapping[str, object]", text)
        found = [Criterion(metric, BOUNDS[bound], _limit(metric, bounds[bound])) for bound in BOUNDS if bound in bounds]
        if len(found) == len(BOUNDS) and found[0].limit > found[1].limit:
            raise WorkflowError(f"success criterion of {metric!r}: min {found[0].limit:g} is above its max")
        return found
    raise WorkflowError(
        f"success criterion of {metric!r} must be a text such as '>= 0.9' "
        f"or bounds such as {{'min': 0.9, 'max': 1.0}}, not {text!r}"
    )


def _limit(metric: str, value: object) -> float:
    try:
        limit = math.nan if isinstance(value, bool) else float(cast("float", value))
    except (TypeError, ValueError):
        limit = math.nan
    if not math.isfinite(limit):
        raise WorkflowError(f"success criterion of {metric!r}: the limit must be a finite number, not {value!r}")
    return limit
