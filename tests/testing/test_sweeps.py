from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciflow.space import Variant
from sciflow.store.assemble import assemble
from sciflow.store.directory import SweepDirectory
from sciflow.testing.sweeps import known_outcome, known_outcome_sweep, known_outcome_workflow, train

if TYPE_CHECKING:
    from pathlib import Path


def test_a_known_sweep_is_what_it_says(tmp_path: Path) -> None:
    known = known_outcome_sweep(tmp_path / "s")
    assembled = assemble(SweepDirectory.open(known.path))

    counts = np.bincount(assembled.status.ravel(), minlength=3).tolist()
    assert counts == [known.n_missing, known.n_done, known.n_failed]
    mean = np.nanmean([train(**known.best, replicate=k)["accuracy"] for k in (0, 1)])
    assert mean == known.best_accuracy
    assert known_outcome(Variant({**known.unfinished, "replicate": 1})) is None


def test_its_workflow_is_one_that_can_run() -> None:
    definition = known_outcome_workflow().validate()

    assert definition.space.n_variants == 18
    assert definition.units == {"learning_rate": "1/s", "accuracy": "1", "energy": "J"}
