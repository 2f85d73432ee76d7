from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.planning.cost import WALL_S, CostModel, task_measure
from sciflow.planning.dispatch import longest_first, order_of_dispatch, pays, segments
from sciflow.planning.forecast import forecast, rows_to_look_at
from sciflow.planning.pilot import pilot_rows
from sciflow.planning.rows import RowSet
from sciflow.space import Grid, Points, Random, Range

SPACE = Grid(size=[16, 32, 64, 128, 256], dataset=["a", "b"], seed=range(40))
EVERYTHING = RowSet.span(0, SPACE.n_variants)


def seconds(rows, *, noise=0.0, seed=0):
    values = SPACE.take(rows).arrays()
    rng = np.random.default_rng(seed)
    errors = np.exp(noise * rng.standard_normal(len(rows)))
    return 1e-3 * values["size"] ** 1.5 * np.where(values["dataset"] == "a", 1, 3) * errors


def learnt(rows, **kwargs):
    model = CostModel(SPACE.parameters)
    model.observe(SPACE.take(rows), {WALL_S: seconds(rows, **kwargs)})
    return model


def of_all_but(model, rows, **more):
    todo = EVERYTHING - RowSet.from_rows(rows)
    return forecast(model, SPACE.take(rows_to_look_at(todo)), len(todo), **{"n_slots": 4, **more}), todo


# --------------------------------------------------------------------------------------------------- what it will take


@pytest.mark.parametrize("n_pilot", [8, 16, 64])
def test_the_truth_lies_in_the_interval_after_a_pilot_as_often_as_it_says(n_pilot):
    rows = pilot_rows(SPACE, EVERYTHING, n_pilot).rows()
    hits = []
    for seed in range(40):
        found, todo = of_all_but(learnt(rows, noise=0.3, seed=seed), rows)
        truth = seconds(EVERYTHING.rows(), noise=0.3, seed=seed)[todo.rows()].sum()
        hits.append(found.busy_s.low <= truth <= found.busy_s.high)

    assert np.mean(hits) >= 0.8


def test_more_samples_make_it_surer():
    widths = []
    for n in (8, 32, 128):
        rows = pilot_rows(SPACE, EVERYTHING, n).rows()
        found, _ = of_all_but(learnt(rows, noise=0.2), rows)
        widths.append(found.busy_s.high / found.busy_s.low)

    assert widths[0] > widths[1] > widths[2]
    assert widths[2] < 1.25


def test_core_hours_and_time_follow_from_seconds_cores_workers_and_use():
    rows = pilot_rows(SPACE, EVERYTHING, 64).rows()
    model = learnt(rows)

    one, _ = of_all_but(model, rows, n_slots=1)
    many, _ = of_all_but(model, rows, n_slots=4, cores=2, utilisation=0.5)

    assert one.busy_s.value == pytest.approx(seconds((EVERYTHING - RowSet.from_rows(rows)).rows()).sum(), rel=0.05)
    assert one.core_hours.value == pytest.approx(one.busy_s.value / 3600)
    assert many.core_hours.value == pytest.approx(2 * one.core_hours.value)
    assert one.wall_s.value == pytest.approx(one.busy_s.value)
    assert many.wall_s.value == pytest.approx(one.busy_s.value / 4 / 0.5)
    assert many.ends(1000.0).high == 1000.0 + many.wall_s.high


def test_a_sweep_does_not_end_before_its_longest_variant():
    rows = np.arange(SPACE.n_variants)
    found = forecast(learnt(rows), SPACE.take(rows[-3:]), 3, n_slots=64)

    assert found.wall_s.value >= seconds(rows).max() * 0.9


def test_shared_runs_count_as_often_as_they_happen():
    rows = np.arange(0, SPACE.n_variants, 5)
    model = CostModel(SPACE.parameters, {"load": ["dataset"], "train": ["size", "dataset", "seed"]})
    load = np.full(len(rows), np.nan)
    load[[0, 40]] = [30.0, 50.0]
    costs = {
        WALL_S: seconds(rows) + np.nan_to_num(load),
        task_measure("load"): load,
        task_measure("train"): seconds(rows),
    }
    model.observe(SPACE.take(rows), costs)

    found = forecast(model, SPACE.take(EVERYTHING.rows()), 400, n_slots=2, evaluations={"load": 2, "train": 400})

    assert list(found.tasks) == ["load", "train"]
    assert found.tasks["load"].value == pytest.approx(80.0, rel=0.2)
    assert found.tasks["train"].value == pytest.approx(seconds(EVERYTHING.rows()).sum(), rel=0.1)
    assert found.busy_s.value == pytest.approx(sum(one.value for one in found.tasks.values()), rel=0.1)
    assert "load: " in str(found)


def test_a_task_that_was_never_timed_leaves_the_variants_as_a_whole():
    rows = np.arange(0, 400, 7)
    found, todo = of_all_but(learnt(rows), rows, evaluations={"load": 2, "train": 400})

    assert dict(found.tasks) == {}
    assert found.busy_s.value == pytest.approx(seconds(todo.rows()).sum(), rel=0.1)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_without_timings_it_says_so_and_what_to_do(n):
    found, _ = of_all_but(learnt(np.arange(n)) if n else CostModel(SPACE.parameters), np.arange(n))

    assert found.busy_s is None
    assert found.core_hours is None
    assert found.ends(0.0) is None
    assert "unknown; to find out: sciflow plan --pilot 8" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["core_hours"] is None


def test_it_says_how_many_variants_have_values_that_nobody_timed():
    rows = np.arange(0, 40)  # one size, one dataset
    found, _ = of_all_but(learnt(rows, noise=0.1), rows)

    assert found.share_new == 1.0
    assert found.busy_s.high / found.busy_s.low > 3
    assert "100% of the variants have values of which nothing is known" in str(found)


def test_the_text_says_what_was_learnt_from_what():
    rows = pilot_rows(SPACE, EVERYTHING, 64).rows()
    found, _ = of_all_but(learnt(rows, noise=0.1), rows)

    first, last = str(found).splitlines()

    assert first.startswith("forecast for 336 variants: ")
    assert "with 4 workers" in first
    assert "from 64 timed variants" in last
    assert json.loads(json.dumps(found.to_dict()))["samples"] == 64


def test_nothing_to_run_takes_nothing():
    found = forecast(learnt(np.arange(20)), SPACE.take(np.zeros(0, dtype=np.int64)), 0, n_slots=2)

    assert str(found) == "forecast: nothing to run"


@given(st.integers(1, 10**18), st.integers(1, 500))
def test_what_is_looked_at_is_spread_evenly_over_what_is_to_run(n, most):
    rows = RowSet.span(7, 7 + n)

    looked_at = rows_to_look_at(rows, most)

    assert len(looked_at) == min(n, most)
    assert (np.diff(looked_at) > 0).all()
    assert all(row in rows for row in looked_at.tolist()[:20])
    if n >= 4 * most >= 16:
        assert (np.diff(looked_at).astype(float) <= 2 * n / most + 2).all()


@given(st.sets(st.integers(0, 200), min_size=1))
def test_rows_are_found_by_their_rank(members):
    rows = RowSet.from_rows(sorted(members))

    assert rows.at(np.arange(len(rows))).tolist() == sorted(members)


# --------------------------------------------------------------------------------------------------------------- pilot


@given(st.sets(st.integers(0, SPACE.n_variants - 1), min_size=1), st.integers(1, 40))
def test_a_pilot_is_some_of_what_is_to_run(members, n):
    rows = RowSet.from_rows(sorted(members))

    chosen = pilot_rows(SPACE, rows, n)

    assert chosen - rows == RowSet.empty()
    assert len(chosen) == min(n, len(rows))
    assert chosen == pilot_rows(SPACE, rows, n)


@pytest.mark.parametrize("n", [4, 8, 20])
def test_a_pilot_has_the_ends_of_each_axis_and_every_label(n):
    space = Grid(a=[5, 1, 9, 3], b=np.logspace(-4, 0, 50), c=range(1000), kind=["x", "y", "z"])

    table = space.take(pilot_rows(space, RowSet.span(0, space.n_variants), n).rows()).arrays()

    for name, ends in {"a": (1, 9), "b": (1e-4, 1.0), "c": (0, 999)}.items():
        assert (table[name].min(), table[name].max()) == ends
    assert set(table["kind"]) == {"x", "y", "z"}


def test_a_pilot_fills_the_middle_of_each_axis_too():
    space = Grid(a=range(100), b=range(100), c=range(100))
    values = space.take(pilot_rows(space, RowSet.span(0, space.n_variants), 8).rows()).arrays()

    for name in space.names:
        assert np.diff(np.sort(values[name])).max() < 40


def test_a_pilot_of_a_space_without_end_looks_at_a_few_of_its_variants():
    space = Grid({f"p{k}": range(1000) for k in range(6)}).derive(total="p0 + p1")

    rows = pilot_rows(space, RowSet.span(0, 10**18), 8)

    assert len(rows) == 8
    assert {0, 10**18 - 1} <= set(rows.rows().tolist())


@pytest.mark.parametrize(
    "space",
    [
        Random({"x": Range(1, 1000, scale="log"), "y": (0.0, 1.0)}, n=5000, seed=3),
        Grid(x=range(1, 101), y=[k / 100 for k in range(100)]).where("x + y > 3"),
        Points([{"x": k, "y": (k * 7 % 100) / 100} for k in range(1, 3000)]),
    ],
)
def test_a_pilot_of_a_space_without_axes_comes_near_the_ends(space):
    n = space.n_variants
    everything = space.take(np.arange(n)).arrays()
    chosen = space.take(pilot_rows(space, RowSet.span(0, n), 8).rows()).arrays()

    for name, values in everything.items():
        low, high = np.quantile(values, [0.1, 0.9])
        assert chosen[name].min() <= low
        assert chosen[name].max() >= high


# ------------------------------------------------------------------------------------------------------------ dispatch


@given(st.lists(st.floats(1e-6, 1e6), max_size=40))
def test_longest_first_is_an_order_in_which_nothing_much_longer_comes_later(costs):
    order = longest_first(costs)

    assert sorted(order) == list(range(len(costs)))
    sorted_costs = [costs[k] for k in order]
    assert all(max(sorted_costs[k:]) <= 1.26 * sorted_costs[k] for k in range(len(costs)))


def test_segments_that_are_alike_stay_neighbours():
    assert longest_first([1.0, 1.01, 1.02, 30.0, 30.5, 1.03]) == [3, 4, 0, 1, 2, 5]


@given(st.sets(st.integers(0, 500)), st.integers(1, 20), st.integers(1, 30))
def test_segments_are_the_rows_cut_where_shared_runs_end(members, most, block):
    rows = RowSet.from_rows(sorted(members))

    parts = segments(rows, most, block=block)

    assert len(parts) <= most
    assert [row for part in parts for row in part.rows().tolist()] == sorted(members)
    assert all(int(part.stops[-1]) - 1 < int(after.starts[0]) for part, after in pairwise(parts))
    cut_blocks = [set((part.rows() // block).tolist()) for part in parts]
    assert all(not one & other for one, other in pairwise(cut_blocks))


def test_the_order_of_dispatch_has_the_longest_variants_first_and_each_once():
    def of(rows):
        return np.where(rows < 300, 1.0, 50.0)

    order = order_of_dispatch(RowSet.span(0, 320), of, 8, block=10)

    assert [row for part in order[:3] for row in part.rows().tolist()][:20] == list(range(300, 320))
    assert sorted(row for part in order for row in part.rows().tolist()) == list(range(320))


def test_where_order_does_not_matter_variants_stay_together():
    rows = RowSet.span(0, 10**6)

    assert order_of_dispatch(rows, lambda some: np.where(some < 500_000, 0.1, 1.0), 8) == [rows]
    assert order_of_dispatch(rows, lambda some: np.ones(len(some)), 8) == [rows]
    assert order_of_dispatch(RowSet.empty(), lambda some: np.ones(len(some)), 8) == []


def test_longest_first_pays_with_long_variants_and_several_workers_only():
    assert pays(total_s=1000, longest_s=100, median_s=1, n_slots=4)
    assert not pays(total_s=1000, longest_s=100, median_s=1, n_slots=1)
    assert not pays(total_s=1000, longest_s=0.01, median_s=0.001, n_slots=4)
    assert not pays(total_s=1000, longest_s=10, median_s=9, n_slots=4)


def test_longest_first_ends_earlier_where_it_says_that_it_pays():
    costs = np.r_[np.ones(200), np.full(4, 60.0)]
    rows = RowSet.span(0, 204)
    order = order_of_dispatch(rows, lambda some: costs[some], 4)

    def makespan(sequence):
        free = np.zeros(4)
        for row in sequence:
            free[free.argmin()] += costs[row]
        return free.max()

    as_it_is = makespan(rows.rows())
    reordered = makespan(row for part in order for row in part.rows())

    assert reordered == pytest.approx(costs.sum() / 4)
    assert as_it_is == pytest.approx(50 + 60)
