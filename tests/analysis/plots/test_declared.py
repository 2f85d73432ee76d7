"""Figures that a workflow asks for, and those that a sweep gets when it asks for none."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from sciflow.analysis.results import open_results
from sciflow.errors import ResultsError
from sciflow.figures import TYPES
from sciflow.running.failure import Failure
from sciflow.space import Grid, Range, Replicates, Sobol

SPACE = Grid(size=[8, 16], temperature=[1.0, 2.0, 3.0]) * Replicates(3)
OPTIONS = {"x": "temperature", "y": "energy", "value": "energy", "objectives": {"energy": "min", "heat": "max"}}
SPECIAL = {
    "heatmap": {"y": "size"},
    "contour": {"y": "size"},
    "surface": {"y": "size"},
    "histogram": {"x": "energy"},
    "ecdf": {"x": "energy"},
    "interaction": {"hue": "size"},
}


def options_of(kind: str) -> dict:
    needed = {key: OPTIONS.get(key) for key, one in TYPES[kind].items() if one.required}
    return {"type": kind, **needed, **SPECIAL.get(kind, {})}


def measure(variant) -> dict[str, float]:
    t, size, k = variant["temperature"], variant["size"], variant["replicate"]
    return {"energy": t * t + 1 / size + 0.01 * k, "heat": 2 * t - 0.02 * k}


@pytest.fixture
def declared(recorded):
    return recorded(SPACE, measure, figures={kind: options_of(kind) for kind in TYPES}, units={"energy": "J"})


def test_every_type_can_be_asked_for_and_is_drawn_from_what_was_stored(declared) -> None:
    again = open_results(declared.directory)
    of_the_run = {"timeline", "utilisation", "memory", "failure_map"}  # these were recorded, not run, and none failed

    for kind in sorted(TYPES.keys() - of_the_run):
        assert isinstance(again.plot(kind), Figure), kind


def test_of_those_that_were_asked_for_the_ones_that_can_be_drawn_are(recorded) -> None:
    figures = {"curve": options_of("line"), "wrong": {"type": "bar", "x": "size", "y": "loss"}}
    results = recorded(SPACE, measure, figures=figures)

    with pytest.warns(UserWarning, match="left out: figure 'wrong': there is no metric 'loss'") as told:
        assert list(results.visualize()) == ["curve"]
    assert told[0].filename == __file__
    with pytest.raises(ResultsError, match="figure 'wrong'"):
        recorded(SPACE, measure, figures={"wrong": figures["wrong"]}, name="other").visualize()


def test_a_figure_may_have_a_style_and_axes(declared) -> None:
    own = Figure()

    assert declared.plot("line", style="paper").get_figwidth() == 3.4
    assert declared.plot("line", ax=own.add_subplot()) is own
    assert own.axes[0].get_ylabel() == "energy [J]"


def test_an_error_says_which_figure_it_is_about(declared) -> None:
    with pytest.raises(ResultsError, match=r"figure 'figure': there is no metric 'enrgy'; .*did you mean 'energy'"):
        declared.plot({"type": "bar", "x": "size", "y": "enrgy"})


def test_a_sweep_that_asks_for_nothing_gets_what_suits_it(recorded) -> None:
    results = recorded(SPACE, measure)

    figures = results.visualize()

    assert list(figures) == [
        "energy_by_temperature_and_size",
        "energy_by_temperature",
        "energy_by_size",
        "heat_against_energy",
        "heat_by_temperature",
    ]
    line = figures["energy_by_temperature"].axes[0]
    assert line.get_title() == "mean over replicate; band: 95 % CI of the mean"
    assert [text.get_text() for text in line.get_legend().get_texts()] == ["8", "16"]


def test_metrics_of_the_success_criteria_come_first(tmp_path) -> None:
    from sciflow.testing.sweeps import record_outcomes
    from sciflow.workflow.workflow import ExperimentalWorkflow

    workflow = ExperimentalWorkflow("judged")
    workflow.add_task("measure", lambda temperature: {"energy": temperature, "heat": temperature})
    workflow.add_parameter_space({"temperature": [1.0, 2.0]})
    workflow.set_success_criteria({"heat": ">= 0"})
    record_outcomes(tmp_path, workflow, lambda v: {"energy": v["temperature"], "heat": 1.0})

    assert list(open_results(tmp_path).visualize()) == ["heat_by_temperature", "energy_by_temperature"]


def test_a_random_design_gets_points_and_contours(recorded) -> None:
    space = Sobol({"a": Range(0.0, 1.0), "b": Range(1e-4, 1.0, scale="log")}, n=128, seed=1)

    figures = recorded(space, lambda v: {"loss": v["a"]}).visualize()

    assert list(figures) == ["loss_by_a", "loss_by_b", "loss_by_a_and_b"]
    assert figures["loss_by_b"].axes[0].get_xscale() == "log"


def test_a_sweep_of_which_nothing_was_recorded_gets_no_figure(recorded) -> None:
    assert recorded(SPACE, lambda _: None).visualize() == {}
    assert (
        recorded(
            SPACE, lambda _: Failure("exception", "measure", "ValueError", "no", "", "f"), name="failed"
        ).visualize()
        == {}
    )


def test_a_chosen_figure_that_cannot_be_drawn_is_told_and_the_others_are_drawn(recorded) -> None:
    space = Sobol({"a": Range(0.0, 1.0), "b": Range(0.0, 1.0)}, n=64, seed=1)
    results = recorded(space, lambda v: {"loss": 1.0} if v["a"] < 0.02 else None)

    with pytest.warns(UserWarning, match="left out: figure 'loss_by_a_and_b': .* span no area"):
        figures = results.visualize()

    assert list(figures) == ["loss_by_a", "loss_by_b"]
