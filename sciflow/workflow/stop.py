"""When a sweep that goes wrong is to stop before its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciflow.errors import WorkflowError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class StopAfter:
    """Stop a sweep that is doomed; what is done stays, and a later call goes on.

    Parameters
    ----------
    same_failure : int, optional
        Stop when this many variants failed in the same way: the same exception from the same place.
    failure_rate : float, optional
        Stop when at least this part of the finished variants failed, from above 0 to 1.
    min_variants : int
        How many variants must have finished before the rate counts.

    Raises
    ------
    WorkflowError
        For a value of the wrong type or size, and when there is nothing to stop for.

    Examples
    --------
    >>> StopAfter(same_failure=20, failure_rate=0.5).decide(n_done=10, n_failed=30, by_fingerprint={"a1": 12})
    '30 of 40 variants failed (75 %), and stop_after allows less than 50 %'
    """

    same_failure: int | None = None
    failure_rate: float | None = None
    min_variants: int = 20

    def __post_init__(self) -> None:
        if self.same_failure is None and self.failure_rate is None:
            raise WorkflowError("StopAfter needs same_failure=20, failure_rate=0.5, or both")
        for name in ("same_failure", "min_variants"):
            value: object = getattr(self, name)
            if value is None and name == "same_failure":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise WorkflowError(f"StopAfter: {name} must be a whole number of at least 1, not {value!r}")
        if self.failure_rate is None:
            return
        rate: object = self.failure_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"StopAfter: failure_rate must be above 0 and at most 1, such as 0.5, not {rate!r}")

    def decide(self, n_done: int, n_failed: int, by_fingerprint: Mapping[str, int]) -> str | None:
        """Say why to stop, or None to go on.

        Parameters
        ----------
        n_done
            Variants that have results.
        n_failed
            Variants that failed.
        by_fingerprint
            How many failed in each way.
        """
        most = max(by_fingerprint.values(), default=0)
        if self.same_failure is not None and most >= self.same_failure:
            fingerprint = max(by_fingerprint, key=lambda one: by_fingerprint[one])
            return (
                f"{most} variants failed in the same way ({fingerprint}), and stop_after allows less than "
                f"{self.same_failure}"
            )
        n_finished = n_done + n_failed
        if self.failure_rate is None or n_finished < self.min_variants or not n_failed:
            return None
        if n_failed < self.failure_rate * n_finished:
            return None
        return (
            f"{n_failed} of {n_finished} variants failed ({100 * n_failed / n_finished:.3g} %), and stop_after allows "
            f"less than {100 * self.failure_rate:.3g} %"
        )

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {
            "same_failure": self.same_failure,
            "failure_rate": self.failure_rate,
            "min_variants": self.min_variants,
        }
