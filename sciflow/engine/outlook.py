"""Outlook: what the rest of a sweep will take, from what its directory holds of the variants that ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciflow.planning.forecast import Forecast, forecast, rows_to_look_at
from sciflow.store.timings import model_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from sciflow.engine.sweep import Sweep
    from sciflow.planning.cost import CostModel
    from sciflow.planning.plan import Plan
    from sciflow.store.directory import SweepDirectory

_LONG_ENOUGH_S = 60.0  # workers that were there for less say nothing of how busy they will be


def learn(sweep: Sweep, directory: SweepDirectory | None) -> CostModel:
    """What variants cost, by what is recorded of them: a driver that starts again does not learn again."""
    definition = sweep.definition
    footprints = {step.task.name: step.footprint for step in definition.steps}
    return model_of(
        sweep.snapshot.frames,
        definition.space.parameters,
        footprints,
        events=None if directory is None else directory.path / "events",
        generation=sweep.generation,
    )


def outlook(sweep: Sweep, plan: Plan, directory: SweepDirectory | None, n_slots: int) -> Forecast:
    """What the variants of a plan will take.

    Parameters
    ----------
    directory : where the sweep is; None while it is nowhere
    n_slots : how many variants run at a time
    """
    definition = sweep.definition
    return forecast(
        learn(sweep, directory),
        definition.space.take(rows_to_look_at(plan.rows)),
        plan.n_todo,
        n_slots=n_slots,
        evaluations=plan.n_evaluations,
        cores=max((one.cores for one in definition.resources.values()), default=1),
        utilisation=_utilisation([] if directory is None else directory.sessions()),
    )


def _utilisation(sessions: Iterable[Mapping[str, Any]]) -> float | None:
    """How busy workers were so far, as drivers said at their end; None where that is not known."""
    said = [one for one in sessions if one.get("worker_s")]
    worker_s = sum(float(one["worker_s"]) for one in said)
    return sum(float(one["busy_s"]) for one in said) / worker_s if worker_s >= _LONG_ENOUGH_S else None
