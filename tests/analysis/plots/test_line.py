from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from scipy import stats

from sciflow import plots
from sciflow.analysis.plots.style import CROSS, FAILED
from sciflow.space import Axis, Grid, Zip


def lines_of(figure):
    return [one for one in figure.axes[0].lines if not one.get_label().startswith("_failed")]


def bands_of(figure):
    return [one for one in figure.axes[0].collections if one.get_gid() == "band"]


def test_a_line_goes_through_the_means_and_the_band_is_their_confidence_interval(flat) -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0])  # two places, three replicates
    figure = plots.line(flat(Grid(a=[1, 2], replicate=[0, 1, 2]), values), "a", "value")

    (line,), (band,) = lines_of(figure), bands_of(figure)
    assert line.get_xydata().tolist() == [[1, pytest.approx(7 / 3)], [2, pytest.approx(17 / 3)]]
    low, high = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem(values[:3]))
    vertices = band.get_paths()[0].vertices
    at_one = vertices[vertices[:, 0] == 1][:, 1]
    assert [at_one.min(), at_one.max()] == pytest.approx([low, high])
    assert figure.axes[0].get_title() == "mean over replicate; band: 95 % CI of the mean"


@pytest.mark.parametrize(("band", "low", "high"), [("sd", 1.0, 3.0), ("range", 1.0, 3.0), ("none", None, None)])
def test_a_band_may_be_the_spread(flat, band, low, high) -> None:
    dataset = flat(Grid(a=[1, 2], replicate=[0, 1, 2]), [1.0, 2.0, 3.0] * 2)

    bands = bands_of(plots.line(dataset, "a", "value", band=band))

    heights = [vertex[1] for one in bands for vertex in one.get_paths()[0].vertices.tolist()]
    assert [min(heights), max(heights)] == [low, high] if bands else band == "none"


def test_without_replicates_there_is_no_band_and_no_mean(flat) -> None:
    figure = plots.line(flat(Grid(a=[1, 2, 3]), [1.0, 2.0, 3.0]), "a", "value")

    assert not bands_of(figure)
    assert figure.axes[0].get_title() == ""


def test_lines_of_a_number_darken_in_its_order_and_a_legend_names_it_with_its_unit(flat) -> None:
    dataset = flat(Grid(a=[1, 2], size=[32, 8, 16]), np.arange(6.0), units={"size": "nm"})

    figure = plots.line(dataset, "a", "value", hue="size")

    legend = figure.axes[0].get_legend()
    assert legend.get_title().get_text() == "size [nm]"
    assert [text.get_text() for text in legend.get_texts()] == ["8", "16", "32"]
    assert [line.get_ydata().tolist() for line in lines_of(figure)] == [[1, 4], [2, 5], [0, 3]]
    red_green_blue = [
        np.array(tuple(int(to_hex(one.get_color())[k : k + 2], 16) for k in (1, 3, 5))) for one in lines_of(figure)
    ]
    assert red_green_blue[0].sum() < red_green_blue[1].sum() < red_green_blue[2].sum()
    assert len({line.get_marker() for line in lines_of(figure)}) == 3


def test_crosses_stand_where_variants_failed(flat) -> None:
    status = ["done", "done", "failed", "done", "missing", "done"]
    figure = plots.line(
        flat(Grid(a=[1, 2, 3], replicate=[0, 1]), [1.0, 2.0, np.nan, 3.0, np.nan, 4.0], status=status), "a", "value"
    )

    (crosses,) = [one for one in figure.axes[0].lines if one.get_gid() == "failed"]
    assert (crosses.get_xdata().tolist(), crosses.get_color(), crosses.get_marker()) == ([2], FAILED, "x")
    (note,) = figure.axes[0].texts
    assert note.get_text().startswith(f"{CROSS} 1 of 6 failed · 1 of 6 not run yet · open: ")


def test_numbers_that_hardly_repeat_are_put_into_bins_and_it_is_said(flat) -> None:
    rng = np.random.default_rng(0)
    x = 10 ** rng.uniform(-4, 0, 400)
    space = Zip(rate=x.tolist(), share=rng.uniform(size=400).tolist())

    figure = plots.line(flat(space, np.log10(x)), "rate", "value")

    (line,) = lines_of(figure)
    assert len(line.get_xdata()) == 20
    assert line.get_ydata() == pytest.approx(np.log10(line.get_xdata()), abs=0.15)
    assert "rate in 20 bins; 95 % CI of the mean" in figure.axes[0].texts[0].get_text()


def test_one_curve_of_many_points_is_drawn_as_it_is(flat) -> None:
    x = np.linspace(0, 10, 1000)

    (line,) = lines_of(plots.line(flat(Axis("a", x), np.sin(x)), "a", "value"))

    assert line.get_xydata().tolist() == np.stack([x, np.sin(x)], axis=1).tolist()
    assert line.get_marker() == ""


def test_an_array_for_each_variant_is_a_line_along_its_dimension() -> None:
    dataset = xr.Dataset(
        {"status": ("a", ["done", "done"]), "curve": (("a", "t"), [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])},
        coords={"a": [1, 2], "t": ("t", [0.0, 0.5, 1.0], {"units": "s"})},
    )

    figure = plots.line(dataset, "t", "curve")

    assert lines_of(figure)[0].get_xydata().tolist() == [[0, 2], [0.5, 3], [1, 4]]
    assert figure.axes[0].get_xlabel() == "t [s]"
    assert figure.axes[0].get_title().startswith("mean over a")


@pytest.mark.parametrize("draw", [plots.line, plots.bar])
def test_a_band_says_that_it_is_over_all_that_is_averaged(flat, draw) -> None:
    dataset = flat(Grid(a=[1, 2], zeta=[0.1, 0.2], replicate=[0, 1]), np.arange(8.0))

    title = draw(dataset, "a", "value").axes[0].get_title().replace("\n", " ")

    assert title.startswith("mean over zeta, replicate; ba")
    assert title.endswith(": 95 % CI of the mean")


@pytest.mark.parametrize("draw", [plots.line, plots.bar])
@pytest.mark.parametrize("title", ["T", ""])
def test_a_title_takes_the_place_of_the_automatic_one_whose_words_go_under_the_figure(flat, draw, title) -> None:
    figure = draw(flat(Grid(a=[1, 2], replicate=[0, 1]), np.arange(4.0)), "a", "value", title=title)

    assert figure.axes[0].get_title() == title
    (note,) = [text for text in figure.axes[0].texts if text.get_gid() == "note"]
    assert "mean over replicate" in note.get_text()


def test_a_heatmap_has_the_title_that_it_is_given_and_no_more(flat) -> None:
    dataset = flat(Grid(a=[1, 2], b=[1, 2], replicate=[0, 1]), np.arange(8.0))

    assert plots.heatmap(dataset, "a", "b", "value", title="T").get_suptitle() == "T"
    untitled = plots.heatmap(dataset, "a", "b", "value", title="")
    assert untitled.get_suptitle() == ""
    assert "mean over replicate" in untitled.get_supxlabel()


def test_of_arrays_variants_are_counted_and_a_mean_over_elements_says_so(flat) -> None:
    dataset = flat(Grid(a=[1, 2], b=[1, 2]), [1.0, 2.0, 3.0, np.nan], status=["done", "done", "done", "failed"])
    trace = dataset.value.expand_dims(time=5, axis=1).assign_coords(time=("time", np.arange(5.0), {"units": "s"}))
    dataset = dataset.assign(trace=trace)

    axes = plots.line(dataset, "time", "trace").axes[0]
    (note,) = [text.get_text() for text in axes.texts if text.get_gid() == "note"]
    assert "1 of 4 failed" in note
    assert axes.get_xlabel() == "time [s]"
    assert "mean over time" in plots.heatmap(dataset, "a", "b", "trace").get_suptitle()


def test_a_mean_of_which_variants_have_no_result_is_open_and_that_is_said(flat) -> None:
    dataset = flat(Grid(a=[1, 2, 3], replicate=[0, 1]), [1.0, 2.0, 3.0, np.nan, 5.0, 6.0])

    axes = plots.line(dataset, "a", "value").axes[0]
    (open_marks,) = [one for one in axes.lines if one.get_gid() == "partial"]
    assert open_marks.get_xydata().tolist() == [[2, 3]]
    (note,) = [text.get_text() for text in axes.texts if text.get_gid() == "note"]
    assert "open: some variants of the mean have no result" in note.replace("\n", " ")
