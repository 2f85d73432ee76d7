"""Fit: whether what variants take, as learnt from those that ran, can ever end within a given time; pure."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.planning.cost import WALL_S, task_measure
from sciflow.planning.forecast import COVERAGE
from sciflow.workflow.binding import FromContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sciflow.planning.cost import CostModel
    from sciflow.planning.sharing import Sharing
    from sciflow.space.table import Table
    from sciflow.workflow.binding import Definition, Step

FEWEST_TIMED: Final = 8
"""With fewer timed runs of a task nothing is refused."""

_SAVING: Final = frozenset({"checkpoint", "should_stop", "defer"})


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tasks that one worker runs one after another for a variant: nothing is kept before the last has ended.

    Attributes
    ----------
    steps
        The tasks.
    resource_class
        Of the worker.
    """

    steps: tuple[Step, ...]
    resource_class: str

    @property
    def names(self) -> str:
        """For messages."""
        names = " and ".join(repr(step.task.name) for step in self.steps)
        return f"tasks {names}" if len(self.steps) > 1 else f"task {names}"


@dataclass(frozen=True, slots=True)
class Excess:
    """A stretch that takes longer than there is time, for one of the variants to run.

    Attributes
    ----------
    place
        Which of the variants that were looked at: the one that takes longest.
    seconds, least_s
        What it takes, and at least, with the probability of an interval.
    n_timed
        From how many runs that is known.
    share
        Of the variants that were looked at, those that take too long for certain, in (0, 1].
    """

    stretch: Stretch
    place: int
    seconds: float
    least_s: float
    n_timed: int
    share: float


def stretches(definition: Definition, sharing: Sharing) -> Iterator[Stretch]:
    """The stretches of a workflow that may grow too long; not those with a task that may save its state."""
    classes = sharing.classes
    apart = {task.name for task in sharing.tasks}
    together: list[Step] = []
    for step in definition.steps:
        name = step.task.name
        kind = classes.of_task(name)
        if name in apart or kind != classes.final:
            if not may_save(step):
                yield Stretch((step,), kind)
        else:
            together.append(step)
    if together and not any(map(may_save, together)):
        yield Stretch(tuple(together), classes.final)


def excess(stretch: Stretch, model: CostModel, sample: Table, most_s: float, *, is_all: bool) -> Excess | None:
    """Say that some variants take longer than *most_s* for certain, or None while nothing speaks for that.

    Parameters
    ----------
    sample : parameters of the variants to run
    is_all : whether the stretch is all that a variant runs, so that the time of whole variants is its time
    """
    expected, least = np.zeros(sample.n_rows), np.zeros(sample.n_rows)
    known = np.ones(sample.n_rows, dtype=bool)
    n_timed = 0
    for step in stretch.steps:
        measure = WALL_S if is_all and len(stretch.steps) == 1 else task_measure(step.task.name)
        fit = model.fit(measure)
        if fit is None or fit.n_samples < FEWEST_TIMED:
            return None
        limit_s = np.inf if step.timeout_s is None else step.timeout_s
        expected += np.minimum(fit.predict(sample), limit_s)
        least += np.minimum(fit.interval(sample, COVERAGE)[0], limit_s)
        known &= fit.n_new(sample) == 0
        n_timed = min(n_timed or fit.n_samples, fit.n_samples)
    late = known & (least > most_s)
    if not late.any():
        return None
    place = int(np.argmax(np.where(late, expected, 0.0)))
    return Excess(stretch, place, float(expected[place]), float(least[place]), n_timed, float(late.mean()))


def may_save(step: Step) -> bool:
    """Whether the task may save its state and go on from there: as far as its code tells, rather yes than no."""
    names = {argument.name for argument in step.arguments if isinstance(argument.source, FromContext)}
    if not names:
        return False
    code = getattr(inspect.unwrap(step.task.function), "__code__", None)
    if code is None:
        return True
    import dis  # noqa: PLC0415  only for tasks that take a context

    if _SAVING & set(code.co_names) or names & set(code.co_cellvars):
        return True
    instructions = list(dis.get_instructions(code))
    for this, following in pairwise(instructions):
        loaded = this.argval if isinstance(this.argval, tuple) else (this.argval,)
        if this.opname.startswith("LOAD_FAST") and names & set(map(str, loaded)):
            is_asked = following.opname in {"LOAD_ATTR", "LOAD_METHOD"} and not names & set(map(str, loaded[:-1]))
            if not is_asked:  # it goes elsewhere
                return True
    return False
