"""Are two results the same number? Per metric: identical, within tolerance, different, or missing; pure.

Identical is equal, NaN being NaN. Otherwise numbers agree when they differ by at most ``atol + rtol * scale``, where
the scale is the recorded value, of an array its largest: an element near zero carries the rounding of its neighbours.
Without a declared tolerance floating-point numbers may differ as they do between machines: 1e-9 of the scale, and no
less than 64 units in the last place, which is what single precision needs (NumPy accepts 4 for one function, and a
result is made of many). Whole numbers, bools, texts and moments are to be equal.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from sciflow.store.assembled import FLAGS
from sciflow.workflow.tolerance import Tolerance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Verdict = Literal["identical", "within tolerance", "different", "missing"]

VERDICTS: Final[tuple[Verdict, ...]] = ("identical", "within tolerance", "different", "missing")
"""From the best to the worst."""

DEFAULT_RTOL: Final = 1e-9
DEFAULT_ULPS: Final = 64
NEVER_COMPARED: Final = frozenset({"runtime_s", "attempt", "status", "failure", *FLAGS})
"""What is known of each variant besides its outputs: of the machine and the moment, not of the experiment."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of one value.

    Attributes
    ----------
    max_abs, max_rel
        The largest difference, and relative to the scale; None where there is none to tell (equal, texts, shapes).
    words
        What the two are, in short.
    """

    verdict: Verdict
    max_abs: float | None = None
    max_rel: float | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """What became of one metric over all variants that were computed again.

    Attributes
    ----------
    verdict
        The worst one of any variant.
    n_identical, n_within, n_different, n_missing
        Counts of variants.
    max_abs, max_rel
        The largest differences.
    worst
        The variant with the worst verdict and the largest difference; None when all are identical.
    words
        What the two values of that variant are.
    rtol, atol
        What was allowed: the declared tolerance; None for the default.
    """

    metric: str
    verdict: Verdict
    n_identical: int
    n_within: int
    n_different: int
    n_missing: int
    max_abs: float | None
    max_rel: float | None
    worst: str | None
    words: str
    rtol: float | None
    atol: float | None

    @property
    def is_declared(self) -> bool:
        """Whether the author said how much it may differ."""
        return self.rtol is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        n = self.n_identical + self.n_within + self.n_different + self.n_missing
        counts = {
            "identical": self.n_identical,
            "within tolerance": self.n_within,
            "different": self.n_different,
            "missing": self.n_missing,
        }
        told = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items() if count)
        allowed = f"rtol {self.rtol:g}, atol {self.atol:g}" if self.rtol is not None else "default tolerance"
        off = f"; off by at most {self.max_abs:.3g} ({self.max_rel or 0.0:.3g} relative)" if self.max_abs else ""
        is_bad = self.verdict in {"different", "missing"}
        where = f"; {self.worst}: {self.words}" if is_bad else ""
        verdict = self.verdict.upper() if is_bad else self.verdict
        return f"{self.metric}: {verdict} ({told} of {n:,}; {allowed}{off}{where})"


def compare_metric(
    metric: str, pairs: Mapping[str, tuple[object, object]], tolerance: Tolerance | None
) -> MetricComparison:
    """Compare a metric: variant to its recorded value and the new one; None is no value."""
    compared = {variant: compare_values(old, new, tolerance) for variant, (old, new) in pairs.items()}
    counts = {verdict: sum(one.verdict == verdict for one in compared.values()) for verdict in VERDICTS}

    def badness(variant: str) -> tuple[int, float]:
        one = compared[variant]
        return VERDICTS.index(one.verdict), one.max_rel if one.max_rel is not None else -1.0

    worst = max(compared, key=badness, default=None)
    verdict: Verdict = "identical" if worst is None else compared[worst].verdict
    return MetricComparison(
        metric,
        verdict,
        counts["identical"],
        counts["within tolerance"],
        counts["different"],
        counts["missing"],
        _largest([one.max_abs for one in compared.values()]),
        _largest([one.max_rel for one in compared.values()]),
        None if worst is None or verdict == "identical" else worst,
        "" if worst is None else compared[worst].words,
        None if tolerance is None else tolerance.rtol,
        None if tolerance is None else tolerance.atol,
    )


def _largest(values: Sequence[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def compare_values(old: object, new: object, tolerance: Tolerance | None = None) -> Comparison:
    """Compare a recorded value, a scalar or an array, with a new one."""
    if old is None and new is None:
        return Comparison("identical")
    if new is None:
        return Comparison("missing", words=f"{_short(old)} recorded, nothing now")
    if old is None:
        return Comparison("different", words=f"nothing recorded, {_short(new)} now")
    left, right = np.asarray(old), np.asarray(new)
    if left.shape != right.shape:
        return Comparison("different", words=f"shape {left.shape} recorded, {right.shape} now")
    if left.dtype.kind not in "biufc" or right.dtype.kind not in "biufc":
        return _compare_plain(left, right)
    return _compare_numbers(left, right, tolerance)


def _compare_plain(left: NDArray[Any], right: NDArray[Any]) -> Comparison:
    """Texts, moments and the like: equal or not."""
    if left.dtype.kind in "mM" and right.dtype.kind == left.dtype.kind:
        same = bool(_equal(left, right).all())
    else:
        same = left.tolist() == right.tolist()
    return Comparison("identical") if same else Comparison("different", words=_both(left, right))


def _compare_numbers(left: NDArray[Any], right: NDArray[Any], tolerance: Tolerance | None) -> Comparison:
    with np.errstate(all="ignore"):
        equal = _equal(left, right)
        if equal.all():
            return Comparison("identical")
        is_exact = left.dtype.kind in "biu" and right.dtype.kind in "biu"
        wide = np.complex128 if "c" in left.dtype.kind + right.dtype.kind else np.float64
        a, b = left.astype(wide), right.astype(wide)
        errors = np.where(equal, 0.0, np.abs(a - b))  # NaN where only one of the two is NaN, or infinite
        if is_exact:  # beyond 2^53 a float no longer tells neighbours apart
            errors[~equal] = np.abs(left[~equal].astype(object) - right[~equal].astype(object)).astype(float)
        finite = np.abs(a[np.isfinite(a)])
        scale = float(finite.max()) if finite.size else 0.0
        worst = float(errors.max()) if np.isfinite(errors).all() else math.inf
    if tolerance is None and is_exact:
        limit = 0.0
    else:
        allowed = tolerance or Tolerance(_default_rtol(left, right), 0.0)
        limit = allowed.atol + allowed.rtol * scale
    relative = worst / scale if scale else math.inf
    verdict: Verdict = "within tolerance" if worst <= limit else "different"
    return Comparison(verdict, worst, relative, _both(left, right) if verdict == "different" else "")


def _default_rtol(left: NDArray[Any], right: NDArray[Any]) -> float:
    precisions = [np.finfo(one.dtype).eps for one in (left, right) if one.dtype.kind in "fc"]
    return max(DEFAULT_RTOL, DEFAULT_ULPS * float(max(precisions, default=0.0)))


def _both(left: NDArray[Any], right: NDArray[Any]) -> str:
    if left.ndim == 0:
        return f"{_short(left.item())} recorded, {_short(right.item())} now"
    equal = _equal(left, right)
    n = int(equal.size - np.count_nonzero(equal))
    first = tuple(int(k) for k in np.argwhere(~equal)[0]) if n else ()
    at = ", ".join(map(str, first))
    return f"{n:,} of {equal.size:,} elements; at [{at}] {_short(left[first])} recorded, {_short(right[first])} now"


def _equal(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Element by element; NaN and NaT, which differ from themselves, are equal to their like."""
    return (left == right) | ((left != left) & (right != right))  # noqa: PLR0124  see above


def _short(value: object) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
