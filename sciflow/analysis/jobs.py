"""Jobs of a sweep's workers, as the events of its session tell of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from sciflow.quantities import render_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.events import Event

_MOST_ENDED: Final = 100


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job that was submitted for workers.

    Attributes
    ----------
    how, words
        How it ended, in one word and in those of the batch system; ``finished`` when it was ended because nothing was
        left for it to do.
    log
        Where its output is.
    """

    job_id: str
    state: Literal["waiting", "running", "ended"]
    resource_class: str = ""
    node: str = ""
    since: float = 0.0
    how: str = ""
    words: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True)
class JobsStatus:
    """The jobs of the workers of a session.

    Attributes
    ----------
    reason
        Why jobs wait, as the batch system says.
    lost
        How jobs ended that did not end because we wanted it: word → number.
    refused
        What the batch system said when it last refused a job; empty once it has taken one.
    away
        What was said when the batch system could not be reached; empty when it can.
    jobs
        Those that there are, and the last that ended.
    """

    n_waiting: int
    n_running: int
    reason: str
    lost: Mapping[str, int]
    refused: str
    away: str
    jobs: tuple[JobStatus, ...]

    def __str__(self) -> str:
        words = [f"{self.n_running:,} running"]
        if self.n_waiting:
            words.append(f"{self.n_waiting:,} waiting" + (f" ({self.reason})" if self.reason else ""))
        text = f"jobs: {', '.join(words)}"
        if self.lost:
            text += f"; lost and replaced: {', '.join(f'{n:,} {how}' for how, n in sorted(self.lost.items()))}"
        for trouble in (self.refused, self.away):
            text += f"; {trouble}" if trouble else ""
        return text


@dataclass(slots=True)
class JobBook:
    """Keeps account of jobs from event to event."""

    _jobs: dict[str, JobStatus] = field(default_factory=dict[str, JobStatus])
    _ended: dict[str, JobStatus] = field(default_factory=dict[str, JobStatus])
    _lost: Counter[str] = field(default_factory=Counter[str])
    _reason: str = ""
    _refused: str = ""
    _away: str = ""

    def take(self, event: Event) -> None:
        """Note what an event says of jobs; others say nothing."""
        facts: Mapping[str, Any] = event.facts
        job_id = str(facts.get("job", ""))
        match event.name:
            case "job.submitted":
                self._refused = ""
                kind = str(facts.get("resource_class", ""))
                folder, slash, name = str(facts.get("log", "")).rpartition("/")
                log = f"{folder}{slash}{name.replace('%j', job_id)}"
                self._jobs[job_id] = JobStatus(job_id, "waiting", kind, since=event.time, log=log)
            case "job.started" if job_id in self._jobs:
                self._jobs[job_id] = replace(
                    self._jobs[job_id], state="running", node=str(facts.get("node", "")), since=event.time
                )
            case "job.waiting":
                self._reason = str(facts.get("reason", ""))
            case "job.ended":
                self._end(job_id, event)
            case "job.refused":
                self._refused = str(facts.get("words", ""))
            case "batch.away":
                self._away = str(facts.get("words", ""))
            case "batch.back":
                self._away = ""
            case "window.closed" | "sweep.finished" | "sweep.stopped":
                self._forget_what_was_ended()
            case _:
                pass

    def _end(self, job_id: str, event: Event) -> None:
        facts = event.facts
        before = self._jobs.pop(job_id, JobStatus(job_id, "ended"))
        how = str(facts.get("how", ""))
        if how != "finished":
            self._lost[how] += 1
        told = {name: str(facts[name]) for name in ("words", "node", "log") if facts.get(name)}
        self._ended[job_id] = replace(before, state="ended", since=event.time, how=how, **told)
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _forget_what_was_ended(self) -> None:
        """All jobs are ended with the workers; nothing is told of each."""
        self._jobs.clear()
        self._reason = ""

    def status(self) -> JobsStatus | None:
        """How the jobs are now; None when there were none."""
        if not self._jobs and not self._ended and not self._refused and not self._away:
            return None
        states = Counter(job.state for job in self._jobs.values())
        return JobsStatus(
            states["waiting"],
            states["running"],
            self._reason if states["waiting"] else "",
            dict(self._lost),
            self._refused,
            self._away,
            (*self._jobs.values(), *self._ended.values()),
        )


def describe_job_event(event: Event) -> str:
    """An event about jobs for people, in one line."""
    facts: Mapping[str, Any] = event.facts
    words = str(facts.get("words", ""))
    match event.name:
        case "job.ended":
            node = f" on {facts['node']}" if facts.get("node") else ""
            log = f"; log: {facts['log']}" if facts.get("log") else ""
            return f"job {facts.get('job')} ended{node}: {words or facts.get('how', '')}{log}"
        case "job.refused":
            return f"no job was taken: {words}"
        case "jobs.orphaned":
            return f"cancelled {len(facts.get('jobs', ())):,} jobs of a driver before this one"
        case "batch.away":
            return f"the batch system is away: {words}"
        case "batch.back":
            return f"the batch system is back after {render_seconds(facts.get('away_s', 0))}"
        case name:
            return f"{name}: job {facts.get('job', '')}"
