"""What can never end is refused before it is begun: variants that take longer than any window, or any job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciflow.engine.outlook import learn
from sciflow.errors import BatchError, PolicyError
from sciflow.planning.cost import WALL_S
from sciflow.planning.fit import FEWEST_TIMED, excess, stretches
from sciflow.planning.forecast import rows_to_look_at
from sciflow.quantities import render_seconds
from sciflow.scheduling.opening import Conditions
from sciflow.scheduling.span import longest_window

if TYPE_CHECKING:
    from datetime import datetime

    from sciflow.clusters.protocol import Cluster
    from sciflow.engine.sweep import Sweep
    from sciflow.planning.classes import ResourceClass
    from sciflow.planning.fit import Excess, Stretch
    from sciflow.planning.plan import Plan
    from sciflow.scheduling.policy import Policy
    from sciflow.store.directory import SweepDirectory

_LONGEST = 150  # characters of a variant in a message
_SAVE = "have it save its state and go on later (context.checkpoint, context.should_stop() and context.defer())"


@dataclass(frozen=True, slots=True)
class Bound:
    """How long a run may take, what sets that, and what to do about it."""

    seconds: float
    words: str
    remedy: str


def refuse_endless(
    sweep: Sweep, plan: Plan, directory: SweepDirectory | None, *, policy: Policy, cluster: Cluster, now: datetime
) -> None:
    """Return when, as far as is known, each variant to run may end.

    Raises
    ------
    PolicyError
        Some take longer than the longest window of the policy, or than the longest job.
    """
    if directory is None or not plan.n_todo or not sweep.snapshot.frames:
        return
    window = _bound_of(policy, now)
    if window is None and not cluster.has_jobs:
        return
    if next((directory.path / "checkpoints").glob("*"), None) is not None:  # they go on where they were
        return
    model = learn(sweep, directory)
    if model.n_seen(WALL_S) < FEWEST_TIMED:
        return
    definition, sharing = sweep.definition, plan.sharing
    rows = rows_to_look_at(plan.rows)
    sample = definition.space.take(rows)
    for stretch in stretches(definition, sharing):
        kind = next(one for one in sharing.classes.all if one.name == stretch.resource_class)
        for bound in (window, _walltime_of(cluster, kind)):
            if bound is None:
                continue
            found = excess(stretch, model, sample, bound.seconds, is_all=len(definition.steps) == 1)
            if found is not None:
                raise PolicyError(_sentence(stretch, found, bound, _words_of(definition.space[int(rows[found.place])])))


def _bound_of(policy: Policy, now: datetime) -> Bound | None:
    """The longest window of the coming weeks."""
    window = longest_window(policy, Conditions(now, asked_at=now))
    if window is None:
        return None
    seconds = window.length.total_seconds()
    return Bound(
        seconds,
        f"the longest window of {policy!r} in the coming weeks lasts {render_seconds(seconds)}",
        "allow more hours or spill_minutes, or run at any hour: sciflow run --now, or Engine(policy='immediate')",
    )


def _walltime_of(cluster: Cluster, kind: ResourceClass) -> Bound | None:
    """The longest job that the batch system allows, as far as it can be asked now."""
    if not cluster.has_jobs:
        return None
    from sciflow.clusters.batch import BatchCluster  # noqa: PLC0415  where there are jobs

    if not isinstance(cluster, BatchCluster):
        return None
    try:
        site = cluster.site()
        (queue,) = cluster.queues_of([kind], site)
        seconds = site.batch_system().limits(queue).walltime_s
    except BatchError:
        return None
    if seconds is None:
        return None
    where = "the default queue" if queue is None else f"the queue {queue!r}"
    return Bound(seconds, f"{where} ends every job after {render_seconds(seconds)}", "choose a queue for longer jobs")


def _words_of(variant: object) -> str:
    text = str(variant)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _sentence(stretch: Stretch, found: Excess, bound: Bound, variant: str) -> str:
    many = "all" if found.share == 1 else f"{found.share:.0%}" if found.share >= 0.01 else "some"
    return (
        f"{stretch.names} would be started again and again and never end: {bound.words}, and {variant} takes "
        f"{render_seconds(found.seconds)} (at least {render_seconds(found.least_s)}, as {found.n_timed:,} timed runs "
        f"tell; {many} of the variants to run take too long); {_SAVE}, or {bound.remedy}"
    )
