"""Scatter, contour, surface, parallel coordinates, pairs and Pareto fronts."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from sciflow import plots
from sciflow.errors import ResultsError
from sciflow.space import Axis, Grid, Zip


def by_gid(figure, gid: str):
    return [one for axes in figure.axes for one in axes.findobj() if one.get_gid() == gid]


def note_of(figure) -> str:
    return " ".join(text.get_text() for text in by_gid(figure, "note")).replace("\n", " ")


def test_every_variant_is_a_point(flat) -> None:
    figure = plots.scatter(flat(Grid(a=[1, 2], b=[1, 2]), [1.0, 2.0, 3.0, 4.0]), "a", "value")

    (points,) = figure.axes[0].collections
    assert points.get_offsets().tolist() == [[1, 1], [1, 2], [2, 3], [2, 4]]


def test_a_metric_as_hue_has_a_scale_of_colours_with_its_unit(flat) -> None:
    dataset = flat(Grid(a=range(10)), np.arange(10.0), heat=np.geomspace(1e-4, 10, 10), units={"heat": "W"})

    figure = plots.scatter(dataset, "a", "value", hue="heat")

    (points,) = figure.axes[0].collections
    assert isinstance(points.norm, LogNorm)
    assert points.get_array().tolist() == pytest.approx(np.geomspace(1e-4, 10, 10).tolist())
    assert figure.axes[1].get_ylabel() == "heat [W]"


def test_points_of_a_category_lie_beside_each_other(flat) -> None:
    figure = plots.scatter(flat(Grid(kind=["x", "y"], replicate=range(30)), np.zeros(60)), "kind", "value")

    places = figure.axes[0].collections[0].get_offsets()[:, 0]
    assert np.round(places).tolist() == [0] * 30 + [1] * 30
    assert len(set(places.tolist())) == 60


def test_more_points_than_can_be_seen_are_counted(flat) -> None:
    space = Axis("a", np.linspace(0, 1, 300)) * Axis("b", np.arange(100))
    figure = plots.scatter(flat(space, np.random.default_rng(0).normal(size=30_000)), "a", "value")

    (hexagons,) = figure.axes[0].collections
    assert hexagons.get_array().sum() == 30_000
    assert figure.axes[1].get_ylabel() == "variants per hexagon"


def test_contours_of_a_grid_lie_where_the_metric_has_these_values(flat) -> None:
    space = Axis("a", np.linspace(0, 1, 11)) * Axis("b", np.linspace(0, 2, 21))
    values = np.array([v["a"] for v in space])

    figure = plots.contour(flat(space, values, units={"value": "J"}), "a", "b", "value")

    lines = next(one for one in figure.axes[0].collections if not one.get_array().size or one.filled is False)
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        if len(path.vertices):
            assert np.allclose(path.vertices[:, 0], level, atol=1e-9)
    assert figure.axes[1].get_ylabel() == "value [J]"


def test_scattered_points_are_joined_by_triangles_also_on_logarithmic_axes(flat) -> None:
    rng = np.random.default_rng(1)
    rate, share = 10 ** rng.uniform(-4, 0, 80), rng.uniform(0, 1, 80)
    dataset = flat(Zip(rate=rate.tolist(), share=share.tolist()), np.log10(rate))

    figure = plots.contour(dataset, "rate", "share", "value")

    assert figure.axes[0].get_xscale() == "log"
    (dots,) = by_gid(figure, "results")
    assert sorted(dots.get_offsets()[:, 0]) == pytest.approx(sorted(rate))
    assert note_of(figure) == "hatched: no result · dots: results"


def test_what_a_contour_does_not_know_is_hatched_and_failures_are_crossed(flat) -> None:
    values = np.arange(9.0)
    values[0] = np.nan
    status = ["failed", *["done"] * 8]

    figure = plots.contour(flat(Grid(a=[1, 2, 3], b=[1, 2, 3]), values, status=status), "a", "b", "value")

    (behind,) = by_gid(figure, "no result")
    assert behind.get_hatch()
    (crosses,) = by_gid(figure, "failed")
    assert crosses.get_xydata().tolist() == [[1, 1]]


def test_replicates_of_a_contour_are_averaged_and_it_is_said(flat) -> None:
    space = Grid(a=[1, 2, 3], b=[1, 2, 3], replicate=[0, 1])

    assert plots.contour(flat(space, np.arange(18.0)), "a", "b", "value").axes[0].get_title() == "mean over replicate"


def test_a_surface_is_as_high_as_the_metric_and_writes_powers_on_logarithmic_sides(flat) -> None:
    space = Grid(a=[0.01, 0.1, 1], b=[1, 2, 3])
    figure = plots.surface(flat(space, np.arange(9.0)), "a", "b", "value")
    figure.draw_without_rendering()

    axes = figure.axes[0]
    assert axes.get_zlabel() == "value"
    assert axes.get_zlim()[0] <= 0
    assert axes.get_zlim()[1] >= 8
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.1", "1"]


def test_a_line_goes_through_all_parameters_of_a_variant_to_its_metric(flat) -> None:
    dataset = flat(Grid(a=[1, 2], kind=["x", "y"], constant=[1]), [0.0, 10.0, 20.0, 30.0], units={"a": "K"})

    figure = plots.parallel(dataset, "value")

    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a [K]", "kind", "value"]
    (lines,) = by_gid(figure, "variants")
    ends = [segment[:, 1].tolist() for segment in lines.get_segments()]
    assert [end[-1] for end in ends] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [[round(place) for place in end[:2]] for end in ends] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert lines.get_array().tolist() == [0, 10, 20, 30]
    written = {text.get_text() for text in axes.texts}
    assert {"1", "2", "x", "y", "30"} <= written


def test_replicates_are_one_line(flat) -> None:
    dataset = flat(Grid(a=[1, 2], replicate=[0, 1, 2]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    figure = plots.parallel(dataset, "value")

    (lines,) = by_gid(figure, "variants")
    assert lines.get_array().tolist() == [2, 5]
    assert figure.axes[0].get_title() == "mean over replicate"


def test_of_very_many_lines_a_part_is_drawn_and_it_is_said(flat) -> None:
    dataset = flat(Axis("a", range(100)) * Axis("b", range(100)), np.arange(10_000.0))

    figure = plots.parallel(dataset, "value")

    (lines,) = by_gid(figure, "variants")
    assert len(lines.get_segments()) == 3000
    assert lines.get_array()[[0, -1]].tolist() == [0, 9999]
    assert "3,000 of 10,000 lines" in note_of(figure)


def test_pairs_label_the_outer_panels_alone(flat) -> None:
    dataset = flat(Grid(a=[1, 2, 3], kind=["x", "y"]), np.arange(6.0), units={"a": "K"})

    figure = plots.pairs(dataset, ["a", "kind", "value"])

    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 6
    assert [axes.get_xlabel() for axes in figure.axes[-3:]] == ["a [K]", "kind", "value"]
    assert [figure.axes[k].get_ylabel() for k in (3, 6)] == ["kind", "value"]
    counts, _, _ = figure.axes[4].patches[0].get_data()
    assert counts.tolist() == [3, 3]


def test_pairs_choose_metrics_and_what_varies_by_themselves(flat) -> None:
    dataset = flat(Grid(a=[1, 2, 3], one=[1], replicate=[0, 1]), np.arange(6.0), heat=np.arange(6.0))

    figure = plots.pairs(dataset)

    assert [axes.get_xlabel() for axes in figure.axes[-3:]] == ["a", "value", "heat"]
    with pytest.raises(ResultsError, match="needs 2 to 8 columns, not 1"):
        plots.pairs(dataset, ["value"])


def test_the_front_is_what_nothing_else_beats(flat) -> None:
    dataset = flat(Grid(a=range(5)), [1.0, 2.0, 3.0, 2.5, 0.5], cost=[1.0, 2.0, 5.0, 6.0, 3.0], units={"cost": "s"})

    figure = plots.pareto(dataset, {"value": "max", "cost": "min"}, label=True)

    (front,), (best,), (beaten,) = (by_gid(figure, gid) for gid in ("front", "best", "beaten"))
    assert best.get_offsets().tolist() == [[1, 1], [2, 2], [3, 5]]
    assert front.get_xydata().tolist() == [[1, 1], [2, 2], [3, 5]]
    assert sorted(beaten.get_offsets().tolist()) == [[0.5, 3], [2.5, 6]]
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("value  (→ better)", "cost [s]  (↓ better)")
    assert "3 of 5 on the front" in note_of(figure)
    assert {"a=0", "a=1", "a=2"} <= {text.get_text() for text in axes.texts}


def test_the_front_is_of_means_over_replicates_that_are_complete(flat) -> None:
    values = [1.0, 3.0, 9.0, np.nan]
    dataset = flat(Grid(a=[1, 2], replicate=[0, 1]), values, cost=[1.0, 3.0, 0.0, 0.0])

    figure = plots.pareto(dataset, {"value": "max", "cost": "min"})

    (best,) = by_gid(figure, "best")
    assert best.get_offsets().tolist() == [[2, 2]]
    assert figure.axes[0].get_title() == "mean over replicate"
