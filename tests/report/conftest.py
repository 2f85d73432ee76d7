from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sciflow.analysis.results import open_results
from sciflow.running.failure import Failure
from sciflow.space import Grid
from sciflow.testing.sweeps import known_outcome_sweep, record_outcomes
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sciflow.analysis.results import Results


@pytest.fixture(scope="session")
def pages() -> ModuleType:
    """What reads pages; tests are no package, so they do not import each other."""
    spec = importlib.util.spec_from_file_location("reading", Path(__file__).with_name("reading.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A small sweep in which everything occurs: replicates, failures, a missing variant, NaN, an array, a figure."""
    return open_results(known_outcome_sweep(tmp_path_factory.mktemp("known") / "known_sweep").path)


@pytest.fixture(scope="session")
def known_page(known: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return known.report(tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Results]:
    """Record what a function says of each variant of a space, and open it."""

    def record(space: Any, outcome_of: Callable[..., Any], *, name: str = "sweep", **more: Any) -> Results:
        workflow = ExperimentalWorkflow(name)
        workflow.add_task("work", lambda **parameters: parameters, units=more.pop("units", None))
        workflow.add_parameter_space(space)
        if criteria := more.pop("criteria", None):
            workflow.set_success_criteria(criteria)
        for figure, options in more.pop("figures", {}).items():
            workflow.add_visualization(figure, options)
        return open_results(record_outcomes(tmp_path / name, workflow, outcome_of, **more).path)

    return record


@pytest.fixture
def hostile(recorded: Callable[..., Results], pages: ModuleType) -> Results:
    """A sweep whose parameters, failures and names look like HTML and Markdown."""

    def outcome(variant: Any) -> Any:
        if variant["text"] == pages.MALICIOUS:
            return Failure.of(ValueError(pages.MALICIOUS), "work")
        return {"value": float(variant["x"])}

    return recorded(Grid(text=[pages.MALICIOUS, "# heading", "*bold*"], x=[1, 2, 3, 4]), outcome, name="hostile")
