from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from sciflow import plots
from sciflow.analysis.plots.costs import memory, runtime
from sciflow.analysis.plots.failure_map import SHARE, failure_map, telling_parameters
from sciflow.analysis.plots.run import (
    MOST_BARS,
    MOST_ROWS,
    busy_over_time,
    busy_until,
    course_of,
    timeline,
    utilisation,
)
from sciflow.analysis.plots.values import parameter_names, read_rows
from sciflow.errors import ResultsError
from sciflow.space import Grid

FIRST = 1_700_000_000.0


def runs_of(*told: tuple[Any, ...]) -> xr.Dataset:
    """Runs: start, seconds, worker, and session and status if they are not 1 and done."""
    filled = [(*one, *(1, "done")[len(one) - 3 :]) for one in told]
    start, seconds, worker, session, status = zip(*filled, strict=True) if filled else ((),) * 5
    return xr.Dataset(
        {
            "start_s": ("run", FIRST + np.array(start, dtype=float)),
            "runtime_s": ("run", np.array(seconds, dtype=float)),
            "worker": ("run", np.array(worker, dtype=object)),
            "session": ("run", np.array(session, dtype=int)),
            "status": ("run", np.array(status, dtype=object)),
        },
        attrs={"workflow": "study"},
    )


def note_of(figure) -> str:
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " ".join([*texts, figure.get_supxlabel()]).replace("\n", " ")


def bars_of(figure, gid: str) -> list[tuple[float, float, float]]:
    """Row, beginning and end of each bar."""
    bars = [bar for bar in figure.axes[0].patches if bar.get_gid() == gid]
    return [(bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]


spans = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), min_size=1, max_size=30)


@given(spans, st.lists(st.floats(-10, 200), min_size=1, max_size=10))
def test_busy_time_is_the_sum_over_runs_of_what_lies_before(told, edges) -> None:
    start, length = np.array(told).T
    expected = [np.clip(edge - start, 0, length).sum() for edge in edges]

    assert busy_until(np.array(edges), start, start + length) == pytest.approx(expected, abs=1e-6)


@given(spans, st.integers(0, 29), st.floats(1e3, 1e6))
def test_leaving_pauses_out_keeps_lengths_order_and_what_overlaps(told, at, pause) -> None:
    first = sorted(told)
    later = [(start + pause, length) for start, length in first[: 1 + at % len(first)]]
    course = course_of(runs_of(*[(*one, "a:1") for one in first], *[(*one, "a:1", 2) for one in later]))

    factor = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}[course.unit]
    lengths = np.array([length for _, length in [*first, *later]])
    assert (course.end - course.start) * factor == pytest.approx(lengths, abs=1e-3)
    assert (np.diff(course.start) >= -1e-9).all()
    assert course.length * factor + course.left_out_s == pytest.approx(
        max(start + length for start, length in [*first, *later]) - first[0][0], abs=1e-2
    )


def test_each_run_is_a_bar_in_the_row_of_its_worker() -> None:
    figure = timeline(runs_of((0, 10, "a:1"), (10, 5, "a:1"), (2, 20, "a:2", 1, "failed")))

    assert bars_of(figure, "done") == [(0, 0, 10), (0, 10, 15)]
    assert bars_of(figure, "failed") == [(1, 2, 22)]
    assert "1 failed" in note_of(figure)
    crosses = next(line for line in figure.axes[0].lines if line.get_gid() == "crosses")
    assert (crosses.get_xdata().tolist(), crosses.get_ydata().tolist()) == ([12.0], [1])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["1", "2"]
    assert figure.axes[0].get_ylabel() == "worker on a"


def test_a_night_between_two_sessions_is_left_out_and_said() -> None:
    figure = timeline(runs_of((0, 60, "a:1"), (12 * 3600, 60, "b:1", 2)))

    (first, second) = sorted(bars_of(figure, "done"), key=lambda one: one[1])
    assert second[1] - first[2] < 0.2 * first[2]
    assert [line.get_gid() for line in figure.axes[0].lines] == ["pause"]
    assert "pauses left out, 11 h 59 min together" in note_of(figure)


def test_many_runs_are_drawn_as_how_busy_each_worker_was() -> None:
    n = MOST_BARS + 200
    told = [(float(k), 0.5, "a:1") for k in range(n)] + [(float(k), 1.0, "a:2") for k in range(n)]

    figure = timeline(runs_of(*told))

    (image,) = figure.axes[0].images
    shares = np.asarray(image.get_array())
    assert shares.shape[0] == 2
    assert shares[0, :-1] == pytest.approx(0.5, abs=0.1)
    assert shares[1, :-1] == pytest.approx(1.0, abs=0.01)
    assert f"{2 * n:,} runs" in note_of(figure)


def test_more_workers_than_rows_share_them() -> None:
    n = 2 * MOST_ROWS + 1
    told = [(float(k), 1.0, f"a:{worker}") for worker in range(n) for k in range(10)]

    figure = timeline(runs_of(*told))

    (image,) = figure.axes[0].images
    assert np.asarray(image.get_array()).shape[0] == -(-n // 3)
    assert np.asarray(image.get_array())[:, :-1] == pytest.approx(1.0, abs=0.01), "shares of the workers of a row"
    assert f"each row: 3 of {n} workers" in note_of(figure)
    assert figure.axes[0].get_ylim() == (-(-n // 3) - 0.5, -0.5)


def test_utilisation_counts_workers_that_are_busy_and_those_that_are_there() -> None:
    figure = utilisation(runs_of((0, 100, "a:1"), (0, 20, "a:2"), (80, 20, "a:2")))

    steps = busy_over_time(runs_of((0, 100, "a:1"), (0, 20, "a:2"), (80, 20, "a:2")))
    middle = steps[(steps["from_s"] > 21) & (steps["until_s"] < 79)]
    assert middle["busy"].to_numpy() == pytest.approx(1.0)
    assert middle["there"].to_numpy() == pytest.approx(2.0)
    assert "70% of their time" in note_of(figure)


def test_a_worker_of_an_earlier_session_is_not_there_in_the_pause() -> None:
    steps = busy_over_time(runs_of((0, 10, "a:1", 1), (11, 10, "a:1", 2)))

    pause = steps[(steps["from_s"] > 10.1) & (steps["until_s"] < 10.9)]
    assert len(pause)
    assert pause["there"].to_numpy() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("draw", [timeline, utilisation])
def test_before_the_first_run_there_is_nothing_to_draw(draw) -> None:
    with pytest.raises(ResultsError, match="no run is recorded yet"):
        draw(runs_of())


@pytest.mark.parametrize("draw", [timeline, utilisation])
def test_a_single_run_of_no_length_is_drawn(draw) -> None:
    draw(runs_of((0, 0, "a:1"))).draw_without_rendering()


# ------------------------------------------------------------------------------------------------------- failures

SPACE = Grid(a=[1, 2, 3], b=["x", "y"], c=[0.1, 0.2, 0.3, 0.4], replicate=[0, 1])


def failing_where(make, condition) -> xr.Dataset:
    rows = [dict(one) for one in SPACE]
    failed = np.array([condition(one) for one in rows])
    return make(SPACE, np.where(failed, np.nan, 1.0), status=np.where(failed, "failed", "done"))


@pytest.mark.parametrize("layout", ["flat", "dense"])
def test_the_map_shows_the_parameters_that_tell_what_failed(request, layout) -> None:
    make = request.getfixturevalue(layout)
    dataset = failing_where(make, lambda one: one["a"] == 3 and one["c"] > 0.25)

    figure = failure_map(dataset)

    assert {figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()} == {"a", "c"}
    shares = np.asarray(figure.axes[0].images[0].get_array())
    assert sorted(shares.ravel().tolist()) == [0.0] * 10 + [1.0] * 2
    rows = read_rows(dataset, parameters=parameter_names(dataset))
    assert "replicate" not in telling_parameters(rows)


def test_the_map_is_over_the_parameters_that_are_named(flat) -> None:
    dataset = failing_where(flat, lambda one: one["a"] == 3)

    figure = failure_map(dataset, x="b", y="c")

    shares = np.asarray(figure.axes[0].images[0].get_array())
    assert shares == pytest.approx(1 / 3)


def test_over_a_single_parameter_shares_are_bars(flat) -> None:
    space = Grid(a=[1, 2, 3, 4])
    dataset = flat(space, [1, 1, np.nan, np.nan], status=["done", "done", "failed", "missing"])

    figure = failure_map(dataset)

    heights = [bar.get_height() for bar in figure.axes[0].patches if bar.get_gid() != "no result"]
    assert figure.axes[0].get_ylabel() == SHARE
    assert [one for one in heights if np.isfinite(one)] == [0.0, 0.0, 1.0], "what has not run counts neither way"


def test_without_failures_there_is_no_map(flat) -> None:
    with pytest.raises(ResultsError, match="no variant failed"):
        failure_map(failing_where(flat, lambda _: False))


# ---------------------------------------------------------------------------------------------------------- costs


def test_the_parameter_that_tells_most_of_the_time_comes_first(flat) -> None:
    runtime_s = [0.5 * one["a"] ** 2 * (1 + 5 * one["c"]) for one in SPACE]
    dataset = flat(SPACE, np.ones(48), runtime_s=runtime_s)

    figure = runtime(dataset)

    assert [axes.get_xlabel() for axes in figure.axes if axes.get_visible()] == ["a", "c", "b"]
    line = next(line for line in figure.axes[0].lines if line.get_gid() == "median")
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata() == pytest.approx([1.125, 4.5, 10.125])


def test_memory_is_in_a_unit_that_suits(flat) -> None:
    dataset = flat(SPACE, np.ones(48), peak_bytes=[one["a"] * 2.0**30 for one in SPACE])

    figure = memory(dataset, "a")

    assert figure.axes[0].get_ylabel() == "memory [GiB]"
    line = next(line for line in figure.axes[0].lines if line.get_gid() == "median")
    assert line.get_ydata() == pytest.approx([1, 2, 3])


def test_many_values_of_a_parameter_are_put_into_intervals(flat) -> None:
    space = Grid(x=np.linspace(0, 1, 500))
    dataset = flat(space, np.ones(500), runtime_s=np.linspace(1, 2, 500))

    (line,) = [line for line in runtime(dataset).axes[0].lines if line.get_gid() == "median"]

    assert 10 <= len(line.get_xdata()) <= 40
    assert line.get_ydata() == pytest.approx(1 + np.asarray(line.get_xdata()), abs=0.01)


def test_costs_that_are_not_there_are_told_with_what_to_do(flat) -> None:
    with pytest.raises(ResultsError, match=r"no peak_bytes; take results.costs\(\)"):
        memory(flat(SPACE, np.ones(48)))
    with pytest.raises(ResultsError, match="no variant that is done"):
        runtime(flat(SPACE, np.full(48, np.nan), runtime_s=np.ones(48)))
    with pytest.raises(ResultsError, match="same parameters"):
        runtime(flat(Grid(a=[1]), [1.0], runtime_s=[1.0]))


def test_figures_of_the_run_are_public() -> None:
    for draw in (timeline, utilisation, failure_map, runtime, memory):
        assert getattr(plots, draw.__name__) is draw
