"""Bars, boxes, violins, histograms and cumulative distributions."""

from __future__ import annotations

import numpy as np
import pytest

from sciflow import plots
from sciflow.analysis.plots.style import CROSS, NO_RESULT, OKABE_ITO
from sciflow.space import Grid

SPACE = Grid(kind=["x", "y", "z"], replicate=range(12))


def by_gid(figure, gid: str):
    return [one for one in figure.axes[0].findobj() if one.get_gid() == gid]


def bars_of(figure):
    return [bar for group in figure.axes[0].containers for bar in group if not bar.get_hatch()]


def test_bars_go_from_zero_to_the_means(flat) -> None:
    values = np.repeat([1.0, -2.0, 4.0], 12) + np.tile([-0.5, 0.5], 18)

    figure = plots.bar(flat(SPACE, values, units={"value": "J"}), "kind", "value")

    assert [(bar.get_y(), bar.get_height()) for bar in bars_of(figure)] == [(0, 1), (0, -2), (0, 4)]
    assert figure.axes[0].get_title() == "mean over replicate; bars: 95 % CI of the mean"
    assert figure.axes[0].get_ylabel() == "value [J]"
    (dots,) = by_gid(figure, "values")
    assert sorted(dots.get_offsets()[:, 1]) == sorted(values)


def test_bars_of_a_hue_stand_side_by_side_in_its_colours(flat) -> None:
    figure = plots.bar(flat(Grid(a=[1, 2], kind=["x", "y"]), np.arange(4.0)), "a", "value", hue="kind")

    bars = bars_of(figure)
    assert [bar.get_height() for bar in bars] == [0, 2, 1, 3]
    assert [round(bar.get_center()[0], 3) for bar in bars] == [-0.2, 0.8, 0.2, 1.2]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["x", "y"]


def test_a_group_without_a_value_is_hatched(flat) -> None:
    values = np.repeat([1.0, np.nan, 4.0], 12)
    status = np.where(np.isnan(values), "failed", "done")

    figure = plots.bar(flat(SPACE, values, status=status), "kind", "value")

    (hatched,) = [bar for group in figure.axes[0].containers for bar in group if bar.get_hatch()]
    assert hatched.get_center()[0] == pytest.approx(1.0)
    assert np.allclose(hatched.get_facecolor()[:3], int(NO_RESULT[1:3], 16) / 255)
    (crosses,) = by_gid(figure, "failed")
    assert crosses.get_xdata().tolist() == [1.0]
    assert figure.axes[0].texts[0].get_text() == f"{CROSS} 12 of 36 failed · hatched: no result"


def test_a_box_is_between_the_quartiles_with_the_median_in_it(flat) -> None:
    values = np.concatenate([np.arange(12.0), np.arange(12.0) + 10, [*np.arange(11.0), 100.0]])

    figure = plots.box(flat(SPACE, values), "kind", "value")

    first, second, _ = bars_of(figure)
    assert (first.get_y(), first.get_height()) == (2.75, 5.5)
    assert second.get_y() == 12.75
    (medians,) = by_gid(figure, "medians")
    assert [segment[0][1] for segment in medians.get_segments()] == [5.5, 15.5, 5.5]
    (outliers,) = by_gid(figure, "outliers")
    assert outliers.get_xydata().tolist() == [[2, 100]]
    assert not by_gid(figure, "values")


@pytest.mark.parametrize("draw", [plots.box, plots.violin])
def test_few_values_are_shown_one_by_one(draw, flat) -> None:
    values = np.array([1.0, 2.0, 7.0, 3.0, 3.0, 3.0])

    figure = draw(flat(Grid(kind=["x", "y"], replicate=range(3)), values), "kind", "value")

    (dots,) = by_gid(figure, "values")
    assert dots.get_offsets()[:, 1].tolist() == values.tolist()


def test_a_violin_ends_at_the_extremes_and_shows_the_median(flat) -> None:
    values = np.concatenate([np.arange(12.0), np.full(12, 5.0), np.linspace(-1, 1, 12)])

    figure = plots.violin(flat(SPACE, values), "kind", "value")

    bodies = [one for one in figure.axes[0].collections if one.get_gid() != "values"]
    extents = [(one.get_paths()[0].vertices[:, 1].min(), one.get_paths()[0].vertices[:, 1].max()) for one in bodies]
    assert extents == [(0, 11), (-1, 1)]  # equal values have no density
    assert [one.get_ydata()[0] for one in by_gid(figure, "median")] == [5.5, 5.0, pytest.approx(0.0)]


def test_a_violin_of_very_many_values_keeps_their_distribution(flat) -> None:
    from sciflow.analysis.plots.box import _thinned

    values = np.random.default_rng(0).exponential(size=50_000)

    thinned = _thinned(values)

    assert len(thinned) == 2000
    places = [5, 25, 50, 75, 95]
    assert np.percentile(thinned, places) == pytest.approx(np.percentile(values, places), rel=0.01)


def test_a_histogram_counts_every_variant_once(flat) -> None:
    values = np.random.default_rng(0).normal(size=36)
    figure = plots.histogram(flat(SPACE, values), "value")

    filled = figure.axes[0].patches[0]
    counts, edges, _ = filled.get_data()
    assert counts.sum() == 36
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    assert figure.axes[0].get_ylabel() == "variants"


def test_whole_numbers_have_bins_of_their_own(flat) -> None:
    figure = plots.histogram(flat(SPACE, np.tile([1.0, 2.0, 2.0, 4.0], 9)), "value")

    counts, edges, _ = figure.axes[0].patches[0].get_data()
    assert edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert counts.tolist() == [9, 18, 0, 9]


def test_values_over_orders_have_bins_of_one_ratio(flat) -> None:
    figure = plots.histogram(flat(SPACE, np.geomspace(1e-6, 1, 36)), "value")

    _, edges, _ = figure.axes[0].patches[0].get_data()
    assert figure.axes[0].get_xscale() == "log"
    assert np.ptp(np.diff(np.log(edges))) == pytest.approx(0, abs=1e-9)


def test_an_outlier_does_not_make_thousands_of_bins(flat) -> None:
    values = np.random.default_rng(0).normal(size=36)
    values[0] = 1e9

    counts, _, _ = plots.histogram(flat(SPACE, values), "value").axes[0].patches[0].get_data()

    assert len(counts) <= 80


def test_a_cumulative_distribution_ends_at_one_for_each_colour(flat) -> None:
    values = np.arange(36.0)
    figure = plots.ecdf(flat(SPACE, values), "value", hue="kind")

    lines = figure.axes[0].lines
    assert [line.get_color() for line in lines] == list(OKABE_ITO[:3])
    assert [line.get_ydata()[-1] for line in lines] == [1.0, 1.0, 1.0]
    assert lines[1].get_xdata()[[0, -1]].tolist() == [12, 23]
    assert lines[1].get_ydata()[:3].tolist() == pytest.approx([0, 1 / 12, 2 / 12])
