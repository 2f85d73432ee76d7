"""What must run and why: pure arithmetic on the rows of a space and what the store already knows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sciflow.planning.rows import RowSet

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """

    done: RowSet
    failed: RowSet
    stale: RowSet
    stale_failed: RowSet
    attempts: Mapping[int, RowSet]
    n_foreign: int = 0

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
class Plan:
    """What a call would run, without running it.

    Parameters
    ----------
    workflow : name of the workflow
    n_variants : size of the space
    progress : what is recorded
    todo : rows to run, by reason
    n_evaluations : task name → how often it will be called
    """

    workflow: str
    n_variants: int
    progress: Progress
    todo: Mapping[Reason, RowSet]
    n_evaluations: Mapping[str, int]

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
        }

    def __str__(self) -> str:
        why = ", ".join(f"{len(rows):,} {reason}" for reason, rows in self.todo.items()) or "nothing"
        lines = [
            f"{self.workflow}: {self.n_variants:,} variants, {len(self.progress.done):,} done, to run: {why}",
            *(f"  {task}: {n:,} evaluations" for task, n in self.n_evaluations.items()),
        ]
        if self.progress.n_foreign:
            lines.append(
                f"  {self.progress.n_foreign:,} recorded variants are not part of this space; they stay on disk"
            )
        return "\n".join(lines)


def choose(
    n_variants: int, progress: Progress, *, rerun_stale: bool, retry_failed: bool, force: bool, only: RowSet | None
) -> dict[Reason, RowSet]:
    """Which rows run, and why (each row under its first reason).

    Parameters
    ----------
    rerun_stale : results of other code are computed again; otherwise they are kept and count as done
    retry_failed : variants that failed in user code run again
    force : everything runs again
    only : rows to look at; None means all
    """
    everything = RowSet.span(0, n_variants) if only is None else only
    if force:
        return {"forced": everything} if len(everything) else {}
    known = progress.done | progress.failed | progress.stale | progress.stale_failed
    todo: dict[Reason, RowSet] = {
        "missing": everything - known,
        # a failure of other code than today's is tried again: the code changed, so the reason may be gone
        "failed": everything & (progress.failed | progress.stale_failed if retry_failed else progress.stale_failed),
        "stale": everything & progress.stale if rerun_stale else RowSet.empty(),
    }
    return {reason: rows for reason, rows in todo.items() if len(rows)}
