"""What surrounds a run of a task: its condition, further attempts, what stands in for it, and how it is undone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import BindingError
from sciflow.running.failure import Failure, HandedBackError
from sciflow.running.shared import SharedRunError
from sciflow.workflow.binding import Skip, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.running.calls import Call, Compiler, Slots
    from sciflow.workflow.binding import Step


class _Skipped:
    """There is one, in every process and in every copy of what holds it."""

    def __repr__(self) -> str:
        return "SKIPPED"

    def __reduce__(self) -> str:
        return "SKIPPED"


SKIPPED: Final = _Skipped()
"""Stands for the value of a task that did not run, by its condition or because it is not critical and failed."""

_NAP_S = 0.2  # how often a run that waits for its next attempt looks whether the worker is to stop


@dataclass(slots=True)
class Trail:
    """What happened on the way to a variant's outcome, beyond what it returned.

    Attributes
    ----------
    n_retries
        Attempts beyond the first, of the task that needed most.
    recovered
        The last failure that did not cost the variant its result.
    replaced
        Tasks for which a fallback stood in.
    """

    n_retries: int = 0
    recovered: Failure | None = None
    replaced: set[str] = field(default_factory=set[str])

    def clear(self) -> None:
        """Begin with the next variant."""
        self.n_retries, self.recovered = 0, None
        self.replaced.clear()


@dataclass(slots=True)
class Guarded:
    """The call of a task that has a condition, retries or a fallback, or depends on one that may be skipped.

    Parameters
    ----------
    step : the task
    call : runs it once
    compiler : for its condition and its fallback
    trail : told what happened
    stopping : whether the worker is to stop
    sleep : waits so many seconds
    """

    step: Step
    call: Call
    compiler: Compiler
    trail: Trail
    stopping: Callable[[], bool]
    sleep: Callable[[float], None] = time.sleep
    _condition: Call | None = field(init=False)
    _fallback: Call | None = field(init=False)
    _depends_on: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        step = self.step
        self._condition = None if step.condition is None else self.compiler.call(step.condition)
        self._fallback = _fallback(step, self.compiler)
        self._depends_on = tuple(self.compiler.slot_of[task] for task in step.task.depends_on)

    def __call__(self, slots: Slots) -> Any:
        """Run the task for these slots, or what stands in for it; `SKIPPED` when it does not run."""
        if any(slots[at] is SKIPPED for at in self._depends_on):
            return SKIPPED
        if self._condition is not None and not self._condition(slots):
            return SKIPPED
        try:
            return self._attempts(slots)
        except (HandedBackError, SharedRunError, KeyboardInterrupt):
            raise
        except Exception as error:
            # a definition that cannot work is not what a fallback is for
            if self._fallback is None or isinstance(error, BindingError):
                raise
            self.trail.recovered = Failure.of(error, self.step.task.name)
            self.trail.replaced.add(self.step.task.name)
            return self._fallback(slots)

    def _attempts(self, slots: Slots) -> Any:
        retry = self.step.task.retry
        if retry is None:
            return self.call(slots)
        first = self.compiler.attempt
        try:
            for k in range(1, retry.attempts):
                try:
                    return self.call(slots)
                except Exception as error:
                    if isinstance(error, HandedBackError | SharedRunError) or not retry.covers(error):
                        raise
                    self.trail.n_retries = max(self.trail.n_retries, k)
                    self._wait(retry.delay(k))
                    self.compiler.attempt = first + k
            return self.call(slots)
        finally:
            self.compiler.attempt = first

    def _wait(self, delay_s: float) -> None:
        until = time.monotonic() + delay_s
        while (left := until - time.monotonic()) > 0:
            if self.stopping():
                raise HandedBackError
            self.sleep(min(left, _NAP_S))


def _fallback(step: Step, compiler: Compiler) -> Call | None:
    match step.fallback:
        case None:
            return None
        case Skip():
            return lambda _: SKIPPED
        case Value(value=value):
            return lambda _: value
        case function:
            return compiler.call(function)
