from __future__ import annotations

import numpy as np
import pytest

from sciflow.running.failure import Failure
from sciflow.space import Grid
from sciflow.testing.sweeps import RUNTIME_S, START

SPACE = Grid(a=[1, 2, 3], b=[1, 2])


@pytest.fixture
def results(recorded):
    def outcome(variant):
        if variant["a"] == 3:
            return Failure.of(ValueError("bad"), "work")
        return {"value": 1.0} if variant["b"] == 1 else None

    return recorded(SPACE, outcome)


def test_runs_are_what_was_recorded_with_when_and_where(results):
    runs = results.runs()

    assert dict(runs.sizes) == {"run": 4}
    assert sorted(runs.status.values.tolist()) == ["done", "done", "failed", "failed"]
    assert set(runs.worker.values.tolist()) == {"testhost:1"}
    assert set(runs.session.values.tolist()) == {1}
    assert runs.runtime_s.values == pytest.approx(RUNTIME_S)
    # rows 0 and 2 are done, 4 and 5 failed; each starts so many runtimes after the first
    assert sorted(runs.start_s.values.tolist()) == pytest.approx([START + RUNTIME_S * row for row in (0, 2, 4, 5)])
    assert runs.attrs["workflow"] == "sweep"
    assert runs.attrs["sweep"]


def test_costs_are_the_dataset_with_memory_where_it_was_measured(results):
    costs = results.costs()

    assert costs.peak_bytes.dims == costs.status.dims
    assert np.isnan(costs.peak_bytes.values).all(), "these records say nothing of it"
    assert costs.runtime_s.identical(results.dataset.runtime_s)


@pytest.mark.parametrize("kind", ["failure_map", "timeline", "utilisation", "runtime"])
def test_figures_of_the_run_are_drawn_by_their_type(results, kind):
    figure = results.plot({"type": kind})

    figure.draw_without_rendering()
    assert figure.axes
