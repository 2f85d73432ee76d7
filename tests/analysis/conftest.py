from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sciflow.analysis.results import open_results
from sciflow.testing.sweeps import known_outcome_sweep, record_outcomes
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.analysis.results import Results
    from sciflow.testing.sweeps import KnownSweep, Outcome


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> KnownSweep:
    return known_outcome_sweep(tmp_path_factory.mktemp("known") / "sweep")


@pytest.fixture
def results(known: KnownSweep) -> Results:
    return open_results(known.path)


@pytest.fixture
def recorded(tmp_path) -> Callable[..., Results]:
    """Record what a function says of each variant of a space, and open it."""

    def record(space, outcome_of: Callable[..., Outcome], *, name: str = "sweep", **more) -> Results:
        workflow = ExperimentalWorkflow(name)
        workflow.add_task("work", lambda **parameters: parameters, units=more.pop("units", None))
        workflow.add_parameter_space(space)
        for figure, options in more.pop("figures", {}).items():
            workflow.add_visualization(figure, options)
        return open_results(record_outcomes(tmp_path / name, workflow, outcome_of, **more).path)

    return record
