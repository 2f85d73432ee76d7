from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from sciflow.analysis.summary import COLUMNS, mean_interval
from sciflow.errors import ResultsError
from sciflow.space import Grid, Replicates


def test_a_summary_by_parameters_has_a_row_for_each_value_and_metric(recorded) -> None:
    results = recorded(Grid(b=["x", "y"], a=[2, 1]) * Replicates(3), lambda v: {"y": v["a"] * 10.0 + v["replicate"]})

    by_a = results.summary(by="a")
    by_both = results.summary(by=["b", "a"], metrics="y")

    assert by_a.index.tolist() == [(1, "y"), (1, "runtime_s"), (2, "y"), (2, "runtime_s")]
    assert tuple(by_a.columns) == COLUMNS
    assert by_a.loc[(1, "y"), ["n", "mean", "median", "min", "max"]].tolist() == [6, 11, 11, 10, 12]
    assert by_both.index.tolist() == [("x", 1, "y"), ("x", 2, "y"), ("y", 1, "y"), ("y", 2, "y")]
    assert by_both["sd"].tolist() == [1.0] * 4
    assert (by_both["ci_low"] < by_both["mean"]).all()
    assert (by_both["ci_high"] > by_both["mean"]).all()


def test_a_summary_agrees_with_pandas(recorded) -> None:
    rng = np.random.default_rng(1)
    drawn = rng.lognormal(size=50)
    results = recorded({"a": range(50)}, lambda v: {"y": float(drawn[v["a"]])})

    row = results.summary().loc["y"]

    expected = pd.Series(drawn).describe()
    assert row[["n", "mean", "sd", "min", "q25", "median", "q75", "max"]].tolist() == pytest.approx(
        expected[["count", "mean", "std", "min", "25%", "50%", "75%", "max"]].tolist()
    )


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(400, 30))  # true mean 1

    low, high = mean_interval(values.ravel(), np.repeat(np.arange(400), 30), 400, 0.9)

    assert 0.83 < ((low <= 1) & (high >= 1)).mean() < 0.95


def test_a_single_value_and_equal_values_have_no_made_up_interval() -> None:
    low, high = mean_interval(np.array([1.0, 2.0, 2.0, np.nan]), np.array([0, 1, 1, 2]), 4, 0.95)

    assert np.isnan(low[[0, 2, 3]]).all()
    assert (low[1], high[1]) == (2.0, 2.0)


def test_infinite_values_are_left_out_and_told(recorded) -> None:
    results = recorded({"a": [1, 2, 3]}, lambda v: {"y": math.inf if v["a"] == 1 else float(v["a"])})

    with pytest.warns(UserWarning, match="1 infinite values of y are left out"):
        summary = results.summary()
    assert summary.loc["y", ["n", "mean"]].tolist() == [2, 2.5]


def test_a_summary_of_nothing_has_the_metrics_that_there_would_be(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda v: None)

    assert results.summary().loc["runtime_s", "n"] == 0
    assert results.summary(by="a").empty


def test_what_cannot_be_summarised_is_told(results) -> None:
    with pytest.raises(ResultsError, match=r"no parameter 'layer'; .*did you mean 'layers'"):
        results.summary(by="layer")
    with pytest.raises(ResultsError, match="not numbers"):
        results.summary(metrics=["device"])
    with pytest.raises(ResultsError, match="confidence=95"):
        results.summary(confidence=95)
