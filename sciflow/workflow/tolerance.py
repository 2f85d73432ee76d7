"""How much a number may differ when a variant is computed again, and still be the same result."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sciflow.errors import WorkflowError


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two values agree when they differ by at most ``atol + rtol * scale``.

    Attributes
    ----------
    rtol
        Relative to the scale: the recorded value, of an array its largest.
    atol
        In the unit of the metric.
    """

    rtol: float
    atol: float

    def to_dict(self) -> dict[str, float]:
        """Plain data, for the stored definition."""
        return {"rtol": self.rtol, "atol": self.atol}


def parse_tolerance(metric: object, rtol: object, atol: object) -> Tolerance:
    """Read a tolerance as people write it.

    Raises
    ------
    WorkflowError
        It is of no metric, or not two numbers of at least 0.
    """
    if not isinstance(metric, str) or not metric:
        raise WorkflowError(f"a tolerance is of a metric, named by a text, not {metric!r}")
    return Tolerance(_number(metric, "rtol", rtol), _number(metric, "atol", atol))


def _number(metric: str, name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise WorkflowError(f"{name} of the tolerance of {metric!r} is a number of at least 0, not {value!r}")
    return float(value)
