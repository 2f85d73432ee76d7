"""What the chain of jobs that a controller is decides: pure, from what earlier jobs left and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sciflow.quantities import render_seconds
from sciflow.scheduling.opening import Opening
from sciflow.scheduling.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sciflow.scheduling.opening import Conditions
    from sciflow.store.submissions import Generation

MOST: Final = 1000
"""So many jobs, and the chain ends."""

BARREN: Final = 3
"""So many jobs in a row without any progress, and the chain ends."""

WORTHWHILE: Final = timedelta(minutes=2)
"""A window that opens later than this is waited for in the queue, and not by a job that holds cores."""

_PROGRESS: Final = ("segments", "checkpoints", "intermediates")


def mark_of(path: Path) -> dict[str, list[int]]:
    """What grows in a sweep directory while there is progress: bytes of results, and the newest of what is kept."""
    marks: dict[str, list[int]] = {}
    for name in _PROGRESS:
        facts = [one.stat() for one in (path / name).rglob("*") if one.is_file()] if (path / name).is_dir() else []
        newest = max((one.st_mtime_ns for one in facts), default=0) if name != "segments" else 0
        marks[name] = [sum(one.st_size for one in facts), newest]
    return marks


def why_give_up(earlier: Sequence[Generation], mark: Mapping[str, Any], *, is_alone: bool, walltime_s: int) -> str:
    """Why no further job should work on the sweep; empty when one should.

    Parameters
    ----------
    earlier
        The jobs before, oldest first.
    mark
        What the sweep looks like now.
    is_alone
        Whether the work is done in the controller's job too; where it is not, workers may wait in the queue for days.
    """
    if len(earlier) >= MOST:
        return f"{len(earlier):,} jobs have had the sweep in hand, which is more than a sweep should need"
    marks = [*(one.facts.get("mark") for one in earlier), mark][1:]
    barren: list[str] = []
    for one, after in zip(reversed(earlier), reversed(marks), strict=True):
        how = "died" if one.end is None else str(one.end["how"])
        if how == "window" or (how == "handed_over" and not is_alone):
            continue
        if one.facts.get("mark") != after:
            break
        barren.append(how)
    if len(barren) < BARREN:
        return ""
    if set(barren) == {"handed_over"}:
        return (
            f"its last {len(barren)} jobs of {render_seconds(walltime_s)} finished nothing: a variant takes longer "
            "than a job; submit it with a longer walltime, or let the task keep a checkpoint"
        )
    return f"its last {len(barren)} jobs died without any progress"


def begin_of(opening: Opening, now: datetime, start_by: datetime | None) -> datetime | None:
    """When the next job should begin while the window is shut; None when this one should work, or wait, itself."""
    if opening.may_start or opening.next_open is None:
        return None
    begin = opening.next_open if start_by is None else min(opening.next_open, max(start_by, now))
    return begin if begin - now > WORTHWHILE else None


@dataclass(frozen=True, slots=True)
class EndOfJob(Policy):
    """Work until the job that the driver runs in is about to end.

    Attributes
    ----------
    until
        When work must have stopped (aware).
    """

    until: datetime

    def opening(self, conditions: Conditions) -> Opening:
        """Open until then, and never again."""
        return Opening(may_start=True, until=self.until) if conditions.now < self.until else Opening(may_start=False)

    def reason(self, conditions: Conditions) -> str:
        """A few words."""
        return "the job's time is over" if conditions.now >= self.until else "work may start in this job"

    def explain(self, conditions: Conditions) -> str:
        """One sentence."""
        over = conditions.now >= self.until
        return "the job's time is over; the next one goes on" if over else self.reason(conditions)

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"name": "end_of_job", "until": self.until.isoformat()}
