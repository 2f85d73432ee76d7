"""Whatever a sweep may hold: every type of figure draws something honest, or says what to do instead."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from matplotlib.figure import Figure

from sciflow import plots
from sciflow.analysis.plots.registry import PLOTS, _dataset
from sciflow.analysis.plots.style import CROSS
from sciflow.errors import ResultsError
from sciflow.figures import TYPES
from sciflow.figures.keys import GOALS
from sciflow.space import Axis, Grid

OPTIONS = {
    "heatmap": {"x": "a", "y": "b", "value": "value"},
    "line": {"x": "a", "y": "value", "hue": "b"},
    "scatter": {"x": "a", "y": "value"},
    "bar": {"x": "a", "y": "value"},
    "box": {"x": "a", "y": "value"},
    "violin": {"x": "a", "y": "value", "hue": "b"},
    "histogram": {"x": "value"},
    "ecdf": {"x": "value", "hue": "b"},
    "contour": {"x": "a", "y": "b", "value": "value"},
    "surface": {"x": "a", "y": "b", "value": "value"},
    "parallel": {"value": "value"},
    "pairs": {"columns": ["a", "value"]},
    "pareto": {"objectives": {"value": "max", "runtime_s": "min"}},
}
OF_DATASETS = [kind for kind, plot in PLOTS.items() if plot.source is _dataset and kind in OPTIONS]
GRID = Grid(a=[1, 2, 4], b=[0.1, 0.2, 0.3], replicate=[0, 1])


def draw(kind: str, dataset, **more) -> Figure:
    figure = PLOTS[kind].draw(dataset, **{**OPTIONS[kind], **more})
    figure.draw_without_rendering()
    return figure


def with_runtime(make, space, values, **more):
    return make(space, values, runtime_s=np.linspace(1, 2, space.n_variants), **more)


def text_of(figure: Figure) -> str:
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return " ".join([*(text.get_text() for text in texts), figure.get_supxlabel()]).replace("\n", " ")


def test_every_type_that_draws_a_dataset_is_tested_here() -> None:
    assert set(OPTIONS) <= set(TYPES)
    assert set(OF_DATASETS) == set(OPTIONS)


@pytest.mark.parametrize("kind", PLOTS)
def test_the_options_of_a_type_are_the_keywords_of_its_function(kind: str) -> None:
    taken = list(inspect.signature(PLOTS[kind].draw).parameters.values())[1:]

    assert {one.name for one in taken} == {*TYPES[kind], "title", "style", "ax"}
    needed = {one.name for one in taken if one.default is inspect.Parameter.empty}
    assert needed == {key for key, one in TYPES[kind].items() if one.required}


def test_every_type_is_drawn_and_every_function_is_public() -> None:
    assert set(PLOTS) == set(TYPES)
    for kind in OPTIONS:
        assert getattr(plots, kind) is PLOTS[kind].draw


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_a_figure_goes_onto_the_axes_that_are_given(kind: str, flat) -> None:
    own = Figure()
    axes = own.add_subplot(projection="3d" if kind == "surface" else None)
    dataset = with_runtime(flat, GRID, np.arange(18.0))

    if kind == "pairs":
        with pytest.raises(ResultsError, match="so it takes no ax="):
            draw(kind, dataset, ax=axes)
    else:
        assert draw(kind, dataset, ax=axes, title="mine") is own
        assert axes.get_title().startswith("mine")


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_dense_and_flat_datasets_look_alike(kind: str, flat, dense) -> None:
    values = np.arange(18.0) ** 1.5
    values[4] = np.nan
    figures = [draw(kind, with_runtime(make, GRID, values, units={"value": "J"})) for make in (flat, dense)]

    labels = [[(axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) for axes in one.axes] for one in figures]
    assert labels[0] == labels[1]
    assert text_of(figures[0]) == text_of(figures[1])


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_failures_and_what_has_not_run_are_told(kind: str, flat) -> None:
    values = np.arange(18.0)
    status = np.full(18, "done", dtype="<U7")
    status[[0, 1, 5]], status[[8]] = "failed", "missing"
    values[[0, 1, 5, 8]] = np.nan

    figure = draw(kind, with_runtime(flat, GRID, values, status=status))

    words = text_of(figure)
    if kind == "heatmap":
        assert f"{CROSS}: failed" in words
        assert "dot: some variants of the mean have no result" in words
    else:
        assert "3 of 18 failed" in words
        assert "1 of 18 not run yet" in words


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_where_all_failed_it_says_how_to_find_out_why(kind: str, flat) -> None:
    dataset = with_runtime(flat, GRID, np.full(18, np.nan), status=np.full(18, "failed"))

    if kind == "heatmap":  # which it was is seen
        axes = draw(kind, dataset).axes[0]
        (hatched,) = [one for one in axes.collections if one.get_gid() == "no result"]
        assert len(hatched.get_paths()) == 9
    else:
        with pytest.raises(ResultsError, match=r"all variants failed; results\.failures\(\) says why"):
            draw(kind, dataset)


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_where_nothing_has_finished_it_says_to_look_again(kind: str, flat) -> None:
    dataset = with_runtime(flat, GRID, np.full(18, np.nan))

    if kind == "heatmap":
        assert "hatched: no result" in text_of(draw(kind, dataset))
    else:
        with pytest.raises(ResultsError, match=r"no variant is done yet; results\.refresh\(\) looks again"):
            draw(kind, dataset)


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_values_that_are_infinite_or_nan_are_left_out_and_counted(kind: str, flat) -> None:
    values = np.arange(18.0)
    values[3], values[4], values[11] = np.inf, -np.inf, np.nan
    dataset = with_runtime(flat, GRID, values, status=np.full(18, "done"))

    assert "3 values of value NaN or infinite" in text_of(draw(kind, dataset))


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_values_none_of_which_is_finite_are_an_error_or_hatched(kind: str, flat) -> None:
    dataset = with_runtime(flat, GRID, np.full(18, np.inf), status=np.full(18, "done"))

    if kind == "heatmap":
        assert "18 values of value NaN or infinite" in text_of(draw(kind, dataset))
    else:
        with pytest.raises(ResultsError, match=r"a value of value that is NaN or infinite; results.query"):
            draw(kind, dataset)


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_one_value_of_each_is_drawn_or_refused_with_a_remedy(kind: str, flat) -> None:
    dataset = with_runtime(flat, Grid(a=[2], b=[0.1]), [3.0])

    if kind in {"contour", "surface"}:
        with pytest.raises(ResultsError, match=r"a has one value, so there is no area .* a line shows the other"):
            draw(kind, dataset)
    elif kind == "parallel":
        with pytest.raises(ResultsError, match=r"need 1 to 11 parameters"):
            draw(kind, dataset)
    else:
        assert draw(kind, dataset)._repr_png_()


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_equal_values_everywhere_are_drawn(kind: str, flat) -> None:
    assert draw(kind, with_runtime(flat, GRID, np.full(18, 7.0)))._repr_png_()


@pytest.mark.parametrize("pool", [["x", "y", "z"], [True, False, None], [None, 1, "x"], [1, 2.5, 3]])
@pytest.mark.parametrize("kind", OF_DATASETS)
def test_texts_truths_none_and_mixtures_have_places_or_are_refused(kind: str, pool, recorded) -> None:
    results = recorded(
        {"a": pool, "b": [0.1, 0.2, 0.3], "replicate": [0, 1]}, lambda v: {"value": v["b"] + v["replicate"]}
    )

    if kind in {"contour", "surface"} and not all(isinstance(one, int | float) for one in pool):
        with pytest.raises(ResultsError, match=r"a is no number .* a heatmap takes it"):
            draw(kind, results.dataset)
        return
    figure = draw(kind, results.dataset)
    if kind in {"bar", "box", "violin", "heatmap"}:
        shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        assert sorted(map(str.casefold, shown)) == sorted(str(one).casefold() for one in pool)


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_a_metric_that_is_text_is_refused_with_an_example(kind: str, flat) -> None:
    dataset = with_runtime(flat, GRID, np.zeros(18)).assign(value=("variant", np.array(["cpu", "gpu"] * 9, object)))

    with pytest.raises(ResultsError, match=r"the values of 'value' are not numbers \('cpu'\).*record a number"):
        draw(kind, dataset)


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_numbers_and_texts_under_one_name_are_refused_too(kind: str, recorded) -> None:
    results = recorded(
        {"a": [1, 2], "b": [1, 2], "replicate": [0, 1]}, lambda v: {"value": 1.5 if v["a"] == 1 else "diverged"}
    )

    with pytest.raises(ResultsError, match=r"are not numbers \('diverged'\)"):
        draw(kind, results.dataset)


@pytest.mark.parametrize(("kind", "options"), OPTIONS.items())
def test_what_is_not_there_is_an_error_that_names_what_is(kind: str, options, flat) -> None:
    dataset = with_runtime(flat, GRID, np.arange(18.0))
    for key in options:
        named = TYPES[kind][key].names
        if key == "columns":
            wrong = ["valu", "a"]
        elif key == "objectives":
            wrong = {"valu": "max", "runtime_s": "min"}
        else:
            wrong = "valu" if named != "parameter" else "A"
        with pytest.raises(ResultsError, match=r"there is no (parameter|metric|parameter or metric) '") as told:
            draw(kind, dataset, **{key: wrong})
        assert "did you mean 'value'?" in str(told.value) or "there are a, b, replicate" in str(told.value)


@pytest.mark.parametrize("kind", OF_DATASETS)
def test_a_hundred_thousand_variants_are_drawn_or_refused_with_a_remedy(kind: str, flat) -> None:
    space = Axis("a", np.arange(400)) * Axis("b", np.arange(250))
    values = np.sin(np.arange(100_000) / 5e3)
    options = {"hue": None} if "hue" in OPTIONS[kind] else {}
    dataset = with_runtime(flat, space, values)

    if kind in {"bar", "box", "violin"}:
        with pytest.raises(ResultsError, match=r"400 groups side by side; .* draw a line or a scatter over a"):
            draw(kind, dataset, **options)
    else:
        figure = draw(kind, dataset, **options)
        n_artists = sum(len(axes.get_children()) for axes in figure.axes)
        assert n_artists < 200


def test_more_colours_than_can_be_told_apart_are_refused(flat) -> None:
    dataset = flat(Axis("a", range(3)) * Axis("b", range(50)), np.arange(150.0))

    with pytest.raises(ResultsError, match=r"b has 50 values, and at most 12 .* dataset\.sel\(b=\[\.\.\.\]\)"):
        plots.line(dataset, "a", "value", hue="b")


def test_goals_other_than_two_are_refused(flat) -> None:
    dataset = flat(GRID, np.arange(18.0))

    assert GOALS.read({"value": "max"})
    for goals in ({"value": "max"}, {"value": "up", "a": "min"}):
        with pytest.raises(ResultsError, match="a Pareto front is drawn of two metrics"):
            plots.pareto(dataset, goals)


def test_a_surface_needs_axes_with_depth(flat) -> None:
    with pytest.raises(ResultsError, match='projection="3d"'):
        draw("surface", flat(GRID, np.arange(18.0)), ax=Figure().add_subplot())


def test_points_on_a_line_span_no_area(flat) -> None:
    from sciflow.space import Zip

    with pytest.raises(ResultsError, match="lie on a line or are fewer than three"):
        draw("contour", flat(Zip(a=[1, 2, 3, 4], b=[1, 2, 3, 4]), np.arange(4.0)))
