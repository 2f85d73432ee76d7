"""How often a task that raised is tried again, and how long to wait before."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, cast

from sciflow.errors import QuantityError, WorkflowError
from sciflow.quantities import parse_seconds
from sciflow.workflow.spelling import did_you_mean

if TYPE_CHECKING:
    from tenacity.wait import wait_base

Backoff: TypeAlias = Literal["exponential", "linear", "fixed"]
BACKOFFS: Final[tuple[Backoff, ...]] = ("exponential", "linear", "fixed")
LEAST_OF_DELAY: Final = 0.5
"""With jitter a delay is drawn between this part of it and all of it."""


class Generator(Protocol):
    """What draws the jitter: a `random.Random` or a `numpy.random.Generator`."""

    def uniform(self, low: float, high: float, /) -> float:
        """A number between *low* and *high*."""
        ...


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a task again when it raises, after a delay that may grow.

    What is no fault of the task (a lost worker, a closing window) uses up no attempts.

    Parameters
    ----------
    attempts : int
        How often the task is tried in all: 3 is two more times after the first.
    backoff : {"exponential", "linear", "fixed"}
        The delay after attempt *n*: ``delay_s * 2**(n - 1)``, ``delay_s * n`` or ``delay_s``.
    delay_s : float or str
        Seconds after the first attempt, or a text such as ``"5 s"`` or ``"2 min"``.
    max_delay_s : float or str
        The longest delay, likewise.
    jitter : bool
        Draw each delay between half of it and all of it, so that tasks that failed together do not come back
        together.
    on : exception class, or several
        What is worth another attempt; anything else fails at once.

    Raises
    ------
    WorkflowError
        For a value of the wrong type or size.

    Examples
    --------
    >>> retry = Retry(attempts=4, delay_s="2 s", jitter=False, on=(OSError, TimeoutError))
    >>> [retry.delay(attempt) for attempt in (1, 2, 3)]
    [2.0, 4.0, 8.0]
    >>> retry.covers(FileNotFoundError("data.csv")), retry.covers(ValueError("rate"))
    (True, False)
    """

    attempts: int = 3
    backoff: Backoff = "exponential"
    delay_s: float = 1.0
    max_delay_s: float = 60.0
    jitter: bool = True
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"Retry: attempts must be a whole number of at least 1, not {self.attempts!r}")
        if self.backoff not in BACKOFFS:
            raise WorkflowError(
                f"Retry: backoff is one of {', '.join(map(repr, BACKOFFS))}, not {self.backoff!r}"
                + did_you_mean(str(self.backoff), BACKOFFS)
            )
        if not isinstance(self.jitter, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"Retry: jitter is True or False, not {self.jitter!r}")
        for name in ("delay_s", "max_delay_s"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        if self.delay_s > self.max_delay_s:
            raise WorkflowError(
                f"Retry: delay_s is {self.delay_s:g} s, longer than max_delay_s of {self.max_delay_s:g} s; raise "
                "max_delay_s too"
            )
        object.__setattr__(self, "on", _exceptions(self.on))

    def covers(self, error: BaseException) -> bool:
        """Whether *error* is worth another attempt."""
        return isinstance(error, self.on)

    def delay(self, attempt: int, rng: Generator | None = None) -> float:
        """Seconds to wait before the next attempt.

        Parameters
        ----------
        attempt
            How many there were, at least 1.
        rng
            Draws the jitter; without one it differs each time.
        """
        if self.delay_s == 0:
            return 0.0
        from tenacity import RetryCallState  # noqa: PLC0415  only where something failed: it loads asyncio

        # a state is made for what its attempt number says; nothing is called through it
        state = RetryCallState(cast("None", None), None, (), {})  # type: ignore[arg-type]
        state.attempt_number = attempt
        delay_s = float(self._wait()(state))
        if not self.jitter:
            return delay_s
        return float((rng or random).uniform(delay_s * LEAST_OF_DELAY, delay_s))

    def _wait(self) -> wait_base:
        from tenacity import wait_exponential, wait_fixed, wait_incrementing  # noqa: PLC0415  same

        match self.backoff:
            case "exponential":
                return wait_exponential(multiplier=self.delay_s, max=self.max_delay_s)
            case "linear":
                return wait_incrementing(start=self.delay_s, increment=self.delay_s, max=self.max_delay_s)
            case "fixed":
                return wait_fixed(self.delay_s)

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {
            "attempts": self.attempts,
            "backoff": self.backoff,
            "delay_s": self.delay_s,
            "max_delay_s": self.max_delay_s,
            "jitter": self.jitter,
            "on": [one.__qualname__ for one in self.on],
        }


def _seconds(name: str, given: object) -> float:
    try:
        return float(parse_seconds(cast("float", given)))
    except QuantityError as error:
        raise WorkflowError(f"Retry: {name}: {error}") from None


def _exceptions(given: object) -> tuple[type[Exception], ...]:
    several = isinstance(given, Iterable) and not isinstance(given, str | type)
    kinds = tuple(cast("Iterable[object]", given)) if several else (given,)
    wrong = [one for one in kinds if not (isinstance(one, type) and issubclass(one, Exception))]
    if wrong or not kinds:
        raise WorkflowError(
            "Retry: on lists classes of exceptions such as (OSError, TimeoutError), not "
            + (repr(wrong[0]) if wrong else "nothing")
        )
    return cast("tuple[type[Exception], ...]", kinds)
