"""What must run and why: pure arithmetic on the rows of a space and what the store already knows of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from sciflow.planning.rows import RowSet
from sciflow.quantities import render_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.planning.forecast import Forecast
    from sciflow.planning.sharing import Sharing
    from sciflow.workflow.resources import Resources

Reason = Literal["missing", "failed", "stale", "forced"]
"""Why a variant must run; a closed set."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What the store says of the rows of the current definition.

    Parameters
    ----------
    done, failed : RowSet
        Recorded as done, or only as failed, by today's code.
    stale, stale_failed : RowSet
        Done, or only failed, by other code than today's, and not settled by today's.
    attempts : Mapping of int to RowSet
        Attempt number → rows that have a record with it.
    n_foreign : int
        Recorded variants that are no longer part of the space; they stay on disk.
    causes : Mapping of str to RowSet
        Cause → rows that have failed so and never succeeded.
    """

    done: RowSet
    failed: RowSet
    stale: RowSet
    stale_failed: RowSet
    attempts: Mapping[int, RowSet]
    n_foreign: int = 0
    causes: Mapping[str, RowSet] = field(default_factory=dict[str, RowSet])

    @property
    def n_failed(self) -> int:
        """Variants that have failed and never succeeded."""
        return len(self.failed) + len(self.stale_failed)

    def by_attempt(self, rows: RowSet) -> dict[int, RowSet]:
        """Split *rows* by the number of the attempt that comes next for them."""
        split: dict[int, RowSet] = {}
        for attempt, tried in sorted(self.attempts.items(), reverse=True):
            mine = rows & tried
            if len(mine):
                split[attempt + 1] = mine
                rows = rows - mine
        if len(rows):
            split[1] = rows
        return dict(sorted(split.items()))


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """The workers of one resource class, where workers come with jobs.

    Attributes
    ----------
    name
        Of the class.
    tasks
        What they run.
    n_evaluations
        How often those will be called.
    resources
        What each worker asks for.
    most_jobs
        Jobs of this class at the same time, at most.
    """

    name: str
    tasks: tuple[str, ...]
    n_evaluations: int
    resources: Resources
    most_jobs: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "tasks": list(self.tasks),
            "evaluations": self.n_evaluations,
            **self.resources.to_dict(),
            "most_jobs": self.most_jobs,
        }

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        jobs = "1 job" if self.most_jobs == 1 else f"{self.most_jobs:,} jobs"
        n = render_count(self.n_evaluations, "evaluation")
        return f"workers for {', '.join(self.tasks)}{name}: {n}, {self.resources}; at most {jobs}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would run, without running it.

    Parameters
    ----------
    workflow : name of the workflow
    n_variants : size of the space
    progress : what is recorded
    todo : rows to run, by reason
    n_evaluations : task name → how often it will be called: variants that share a run count once
    sharing : what variants share, and the order in which they run
    forecast : core-hours and end, as far as recorded times tell; None where nobody asked
    classes : the workers of each resource class, where they come with jobs
    obstacles : what keeps it from being run now, a line each: metadata, requirements, a closed window
    """

    workflow: str
    n_variants: int
    progress: Progress
    todo: Mapping[Reason, RowSet]
    n_evaluations: Mapping[str, int]
    sharing: Sharing
    forecast: Forecast | None = None
    classes: tuple[ClassPlan, ...] = ()
    obstacles: tuple[str, ...] = ()

    @property
    def rows(self) -> RowSet:
        """All rows to run."""
        union = RowSet.empty()
        for rows in self.todo.values():
            union = union | rows
        return union

    @property
    def n_todo(self) -> int:
        """Number of variants to run."""
        return sum(len(rows) for rows in self.todo.values())

    def without(self, rows: RowSet) -> Plan:
        """The plan without these rows; evaluations are those of the whole."""
        todo = {reason: chosen - rows for reason, chosen in self.todo.items()}
        return replace(self, todo={reason: chosen for reason, chosen in todo.items() if len(chosen)})

    def classes_of(self, most_jobs: int) -> tuple[ClassPlan, ...]:
        """The workers of each resource class that has something to do, with at most so many jobs of each."""
        classes = self.sharing.classes
        tasks: dict[str, list[str]] = {one.name: [] for one in classes.all}
        for task in self.n_evaluations:
            tasks[classes.of_task(task)].append(task)
        return tuple(
            ClassPlan(
                one.name,
                tuple(tasks[one.name]),
                n := sum(self.n_evaluations[task] for task in tasks[one.name]),
                one.resources,
                min(most_jobs, max(n, 1)),
            )
            for one in classes.all
            if tasks[one.name]
        )

    def to_dict(self) -> dict[str, Any]:
        """Counts as plain data, for ``sciflow plan --json``."""
        return {
            "workflow": self.workflow,
            "variants": self.n_variants,
            "done": len(self.progress.done),
            "failed": self.progress.n_failed,
            "stale": len(self.progress.stale),
            "not_in_space": self.progress.n_foreign,
            "todo": {reason: len(rows) for reason, rows in self.todo.items()},
            "evaluations": dict(self.n_evaluations),
            **({"classes": [one.to_dict() for one in self.classes]} if self.classes else {}),
            **({"forecast": self.forecast.to_dict()} if self.forecast is not None else {}),
            **({"obstacles": list(self.obstacles)} if self.obstacles else {}),
        }

    def __str__(self) -> str:
        why = ", ".join(f"{len(rows):,} {reason}" for reason, rows in self.todo.items()) or "nothing"
        stale = f", {len(self.progress.stale):,} stale" if len(self.progress.stale) else ""
        n = render_count(self.n_variants, "variant")
        lines = [
            f"{self.workflow}: {n}, {len(self.progress.done):,} done{stale}, to run: {why}",
            *(f"  {task}: {render_count(n, 'evaluation')}" for task, n in self.n_evaluations.items()),
            *(f"  {one}" for one in self.classes if self.n_todo),
            *(f"  {one}" for one in self.obstacles),
        ]
        n_stale = len(self.progress.stale - self.rows)
        if n_stale:
            lines.append(f"  {n_stale:,} results were made by other code; on_stale says whether they stay or run again")
        n_failed = len((self.progress.failed | self.progress.stale_failed) - self.rows)
        if n_failed:
            lines.append(f"  {n_failed:,} failed before; retry_failed runs them again")
        if self.progress.n_foreign:
            n = self.progress.n_foreign
            lines.append(f"  {n:,} recorded variants are not part of this space; they stay on disk")
        if self.forecast is not None and self.n_todo:
            lines.append(str(self.forecast))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Request:
    """What a call asks for beyond the variants that are missing.

    Parameters
    ----------
    retry_failed : variants that failed in user code run again
    only : a condition on the parameters; other variants are left as they are
    force : everything runs again
    rerun_stale : results of other code are computed again; otherwise they are kept and count as done
    causes : of the failed variants only those that failed so run again; all of them if empty
    pilot : only so many of the variants run, spread over the space
    """

    retry_failed: bool = False
    only: str | None = None
    force: bool = False
    rerun_stale: bool = False
    causes: frozenset[str] = frozenset()
    pilot: int | None = None


def choose(progress: Progress, request: Request, rows: RowSet) -> dict[Reason, RowSet]:
    """Which of *rows* run, and why (each row under its first reason)."""
    if request.force:
        return {"forced": rows} if len(rows) else {}
    known = progress.done | progress.failed | progress.stale | progress.stale_failed
    # a failure of other code than today's is tried again: the code changed, so the reason may be gone
    failed = progress.stale_failed | progress.failed if request.retry_failed else progress.stale_failed
    if request.causes:
        asked = RowSet.empty()
        for cause in request.causes:
            asked = asked | progress.causes.get(cause, RowSet.empty())
        failed = failed & asked
    todo: dict[Reason, RowSet] = {
        "missing": rows - known,
        "failed": rows & failed,
        "stale": rows & progress.stale if request.rerun_stale else RowSet.empty(),
    }
    return {reason: chosen for reason, chosen in todo.items() if len(chosen)}
