"""Sweep directories whose outcome is known, written through the store alone: no engine, no waiting.

For tests of whatever reads results::

    sweep = known_outcome_sweep(tmp_path / "known")
    assert open_results(sweep.path).find_optimal_parameters("accuracy") == sweep.best
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.canonical import content_digest
from sciflow.running.failure import Failure
from sciflow.space.axis import Axis, Replicates
from sciflow.space.variant import Variant
from sciflow.store import column
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.lease import Session
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.space.table import Table
    from sciflow.workflow.binding import Definition

Outcome = Mapping[str, Any] | Failure | None
"""What became of a variant: its outputs, why it has none, or None if nobody ran it."""

ENVIRONMENT: Final[dict[str, Any]] = {
    "python": {"version": "3.12.1", "implementation": "CPython"},
    "system": {"os": "Test Linux 1"},
    "machine": {"host": "testhost", "n_cores": 2},
    "packages": {"numpy": "2.1.0", "tool": "0.3"},
    "origins": {"tool": {"kind": "git", "url": "https://example.org/tool.git", "commit": "abc123"}},
    "variables": {"OMP_NUM_THREADS": "1"},
}
CODE: Final[dict[str, Any]] = {
    "repository": {"name": "project", "commit": "0123abcd", "branch": "main", "dirty": False, "remote": None}
}
START: Final = 1_700_000_000.0
RUNTIME_S: Final = 0.25
"""What each recorded variant is said to have taken."""


def record_outcomes(
    path: Path,
    workflow: ExperimentalWorkflow,
    outcome_of: Callable[[Variant], Outcome],
    *,
    attempt: int = 1,
    code: Mapping[str, Any] = CODE,
    environment: Mapping[str, Any] = ENVIRONMENT,
) -> SweepDirectory:
    """Write to the sweep directory *path* what *outcome_of* says of each variant, as one session that ended well.

    May be called again, also with a changed workflow: later records count.
    """
    definition = workflow.validate()
    directory = SweepDirectory.create_or_open(path, definition.name, definition.seed)
    with Session.acquire(directory, facts={"code": dict(code)}) as session:
        facts = {
            "revision": directory.add_definition(definition.to_dict()),
            "environment": directory.add_environment(environment),
            "session": session.number,
            "generation": content_digest(definition.name),
            "worker": "testhost:1",
            "attempt": attempt,
            "t0": START,
        }
        table = definition.space.take(np.arange(definition.space.n_variants))
        outcomes = [outcome_of(variant) for variant in table.variants()]
        with directory.segment_writer(session.number) as writer:
            writer.commit(_frames(facts, definition, table, outcomes))
    return directory


def _frames(facts: Mapping[str, Any], definition: Definition, table: Table, outcomes: list[Outcome]) -> list[Frame]:
    """One frame for the failures, and one for each set of outputs."""
    members: dict[Any, list[int]] = {}
    for row, outcome in enumerate(outcomes):
        if outcome is not None:
            members.setdefault(Failure if isinstance(outcome, Failure) else tuple(outcome), []).append(row)
    frames: list[Frame] = []
    for rows in members.values():
        chosen = [outcomes[row] for row in rows]
        failures = [json.dumps(one.to_dict()) for one in chosen if isinstance(one, Failure)]
        results = [one for one in chosen if isinstance(one, Mapping)]
        cells = _facts(table, np.array(rows), failures or None)
        for name in results[0] if results else ():
            attributes: dict[str, Any] = {"units": definition.units[name]} if name in definition.units else {}
            cells[name] = column.outputs([result[name] for result in results], **attributes)
        frames.append(Frame({**facts, "status": "failed" if failures else "done"}, cells))
    return frames


def _facts(table: Table, rows: NDArray[np.int64], failures: list[str] | None) -> dict[str, column.ColumnData]:
    part = table.take(rows)
    parameters = {
        known.name: column.category(part.columns[known.name].pool, part.columns[known.name].codes, kind="parameter")
        for known in part.parameters
    }
    took = np.full(len(rows), RUNTIME_S)
    return parameters | column.variant_facts(part.id_bytes(), took * rows, took, rows=rows, failures=failures)


# ------------------------------------------------------------------------------------------------- a sweep of numbers


@dataclass(frozen=True, slots=True)
class KnownSweep:
    """A sweep directory and what is true of it.

    Attributes
    ----------
    path
        The sweep directory: 3 learning rates, 3 numbers of layers, 2 replicates.
    workflow
        What it is a sweep of; running it gives the same numbers and failures, and what is missing here.
    best, best_accuracy
        The variant, without ``replicate``, with the highest mean accuracy, and that mean.
    worst
        The one with the lowest mean.
    unfinished
        A variant of which one replicate is missing; the other has the highest accuracy of all, 0.99.
    undefined
        A variant of which one replicate is done with an accuracy of NaN.
    n_done, n_failed, n_missing
        Counts of variants.
    """

    path: Path
    workflow: ExperimentalWorkflow
    best: Variant = field(default_factory=lambda: Variant(learning_rate=0.01, layers=2))
    best_accuracy: float = 0.905
    worst: Variant = field(default_factory=lambda: Variant(learning_rate=0.001, layers=2))
    unfinished: Variant = field(default_factory=lambda: Variant(learning_rate=0.001, layers=1))
    undefined: Variant = field(default_factory=lambda: Variant(learning_rate=0.1, layers=1))
    n_done: int = 14
    n_failed: int = 3
    n_missing: int = 1


def known_outcome_sweep(path: Path) -> KnownSweep:
    """Write a small sweep in which everything occurs that results have to cope with.

    A best variant; a better one with a replicate missing; NaN; an error that only the largest learning
    rate with three layers makes, and one more; numbers, whole numbers, bools, a text and an array as
    outputs, with units; a figure.
    """
    workflow = known_outcome_workflow()
    record_outcomes(path, workflow, known_outcome)
    return KnownSweep(path, workflow)


def known_outcome_workflow() -> ExperimentalWorkflow:
    """The workflow of `known_outcome_sweep`, which can be run."""
    workflow = ExperimentalWorkflow("known_outcome", seed=7)
    workflow.add_task("train", train, units={"accuracy": "1", "energy": "J"})
    workflow.add_parameter_space(
        Axis("learning_rate", [0.001, 0.01, 0.1], unit="1/s") * Axis("layers", [1, 2, 3]) * Replicates(2)
    )
    workflow.add_visualization(
        "accuracy_map", {"type": "heatmap", "x_axis": "learning_rate", "y_axis": "layers", "value": "accuracy"}
    )
    return workflow


def train(learning_rate: float, layers: int, replicate: int) -> dict[str, Any]:
    """The task of `known_outcome_workflow`.

    Raises
    ------
    FloatingPointError
        For the largest learning rate with three layers.
    RuntimeError
        For one other variant.
    """
    if learning_rate == 0.1 and layers == 3:
        raise FloatingPointError("the loss is not finite")
    if (learning_rate, layers, replicate) == (0.001, 3, 1):
        raise RuntimeError("no more memory")
    accuracy = 0.9 - 0.1 * abs(round(math.log10(learning_rate)) + 2) - 0.05 * abs(layers - 2) + 0.01 * replicate
    if (learning_rate, layers) == (0.001, 1):
        accuracy = 0.99
    if (learning_rate, layers) == (0.001, 2):
        accuracy = 0.5 + 0.01 * replicate
    if (learning_rate, layers, replicate) == (0.1, 1, 1):
        accuracy = math.nan
    return {
        "accuracy": accuracy,
        "energy": 10.0 * layers,
        "epochs": 5 * layers,
        "converged": learning_rate < 0.05,
        "device": "gpu" if layers > 1 else "cpu",
        "loss_curve": learning_rate * np.arange(4.0) + layers,
    }


def known_outcome(variant: Variant) -> Outcome:
    """What became of a variant of `known_outcome_sweep`."""
    if variant == Variant(learning_rate=0.001, layers=1, replicate=1):
        return None
    try:
        return train(**variant)
    except (FloatingPointError, RuntimeError) as error:
        return Failure.of(error, "train")
