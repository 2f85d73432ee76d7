from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from sciflow.analysis.plots.statistics import summarise
from sciflow.analysis.plots.values import levels_of, read_rows
from sciflow.errors import ResultsError
from sciflow.space import Grid, Zip


def test_a_dense_dataset_has_one_entry_per_variant(dense) -> None:
    rows = read_rows(dense(Grid(a=[1, 2], b=["x", "y", "z"]), np.arange(6.0)), parameters=("a",), metrics=("value",))

    assert rows.n == 6
    assert rows["a"].values.tolist() == [1, 1, 1, 2, 2, 2]
    assert rows["value"].values.tolist() == list(range(6))
    assert list(rows.others) == ["b"]


def test_the_runtime_of_a_failed_variant_is_no_result(flat) -> None:
    dataset = flat(
        Grid(a=[1, 2]), [1.0, np.nan], status=["done", "failed"], runtime_s=[3.0, 4.0], units={"runtime_s": "s"}
    )

    rows = read_rows(dataset, metrics=("runtime_s",))

    assert rows["runtime_s"].values.tolist()[0] == 3.0
    assert np.isnan(rows["runtime_s"].values[1])
    assert rows["runtime_s"].label == "runtime_s [s]"
    assert (rows.done.tolist(), rows.failed.tolist()) == ([True, False], [False, True])


def test_a_dataset_whose_status_was_averaged_away_counts_as_done(dense) -> None:
    dataset = dense(Grid(a=[1, 2], replicate=[0, 1]), np.arange(4.0))

    rows = read_rows(dataset[["value"]].mean("replicate"), parameters=("a",), metrics=("value",))

    assert rows["value"].values.tolist() == [0.5, 2.5]
    assert rows.done.all()


def test_a_dimension_of_arrays_can_be_read_beside_the_parameters() -> None:
    dataset = xr.Dataset(
        {"status": ("a", ["done", "done"]), "curve": (("a", "step"), np.arange(6.0).reshape(2, 3))},
        coords={"a": [1, 2]},
    )

    rows = read_rows(dataset, columns=("step",), parameters=("a",), metrics=("curve",))

    assert rows["step"].values.tolist() == [0, 1, 2, 0, 1, 2]
    assert rows["a"].values.tolist() == [1, 1, 1, 2, 2, 2]
    assert rows["curve"].values.tolist() == [0, 1, 2, 3, 4, 5]


def test_parameters_that_others_determine_are_not_said_to_be_averaged_over(flat) -> None:
    space = Grid(a=[1, 2]) * Zip(b=[1, 2, 3], same=["x", "y", "z"])
    rows = read_rows(flat(space, np.arange(6.0)), parameters=("a",), metrics=("value",))

    assert rows.averaged(rows["a"].levels.codes, np.ones(6, np.bool_)) == ("b",)


def test_parameters_that_are_drawn_at_random_are_all_averaged_over(flat) -> None:
    space = Grid(a=[1, 2]) * Zip(b=list(range(50)), c=list(range(50, 0, -1)))
    rows = read_rows(flat(space, np.arange(100.0)).isel(variant=slice(0, 60)), parameters=("a",), metrics=("value",))

    assert rows.averaged(rows["a"].levels.codes, np.ones(60, np.bool_)) == ("b", "c")


def test_names_are_looked_for_where_they_belong(flat) -> None:
    dataset = flat(Grid(temperature=[1, 2]), [1.0, 2.0])

    with pytest.raises(ResultsError, match="no parameter 'temprature'; there are temperature; did you mean"):
        read_rows(dataset, parameters=("temprature",))
    with pytest.raises(ResultsError, match="no metric 'temperature'; there are value"):
        read_rows(dataset, metrics=("temperature",))
    with pytest.raises(ResultsError, match="no parameter or metric 'vale'; there are temperature, value; did you mean"):
        read_rows(dataset, columns=("vale",))


def test_numbers_and_dates_ascend_and_other_values_keep_their_order() -> None:
    days = np.array(["2026-02-01", "2026-01-01"], dtype="datetime64[us]")

    assert levels_of(np.array([3.0, 1.0, np.nan])).values == (1.0, 3.0)
    assert levels_of(np.array([3.0, 1.0, np.nan])).codes.tolist() == [1, 0, -1]
    assert levels_of(np.array(["low", "high", None], object)).values == ("low", "high")
    assert levels_of(days).values == (dt.datetime(2026, 1, 1), dt.datetime(2026, 2, 1))  # noqa: DTZ001  as stored
    assert [levels_of(np.array(one)).is_numeric for one in ([1], [0.5], [True], ["x"])] == [True, True, False, False]


finite = st.floats(-1e6, 1e6)


@given(npst.arrays(np.float64, st.integers(2, 30), elements=finite))
def test_the_interval_of_a_mean_is_students(values) -> None:
    found = summarise(np.zeros(len(values), np.int64), 1, values, "ci")

    spread = stats.sem(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=spread) if spread else values[:1]
    assert found.mean[0] == pytest.approx(values.mean(), abs=1e-9)
    assert found.low[0] == pytest.approx(expected[0], rel=1e-6, abs=1e-6)
    assert found.high[0] == pytest.approx(expected[-1], rel=1e-6, abs=1e-6)


def test_groups_are_summarised_apart_and_lacks_are_counted() -> None:
    groups, values = np.array([0, 0, 1, 1, 2, -1]), np.array([1.0, 3.0, 5.0, np.nan, np.nan, 9.0])

    found = summarise(groups, 3, values, "range")

    assert found.mean.tolist()[:2] == [2.0, 5.0]
    assert np.isnan(found.mean[2])
    assert (found.n.tolist(), found.n_variants.tolist()) == ([2, 1, 0], [2, 2, 1])
    assert (found.low[0], found.high[0]) == (1.0, 3.0)
    assert np.isnan(found.low[1:]).all()  # one value has no spread
    assert found.is_partial.tolist() == [False, True, False]
    assert summarise(groups, 3, values, "sd").high[0] == pytest.approx(2 + np.sqrt(2))
    assert not summarise(groups, 3, values, "none").has_band


def test_an_unknown_band_is_told() -> None:
    with pytest.raises(ResultsError, match="band 'se' is unknown; it is one of 'ci', 'sd', 'range', 'none'"):
        summarise(np.zeros(1, np.int64), 1, np.zeros(1), "se")
