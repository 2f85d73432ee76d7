"""Reductions get the values along whole axes, labelled, and are brought up to date like any other result."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import sciflow
from sciflow.errors import WorkflowError


def workflow(reduce, *, over="replicate", n=4, simulate=None, space=None):
    def draw(a, context):
        return {"y": a + context.rng.normal(), "k": context.parameters["replicate"]}

    made = sciflow.ExperimentalWorkflow("w", seed=3)
    made.add_task("simulate", simulate or draw)
    made.add_task("reduce", reduce, ["simulate"], over=over)
    made.add_parameter_space(space or sciflow.Grid(a=[1.0, 2.0, 3.0]) * sciflow.Replicates(n))
    return made


def engine(directory, cluster="inline"):
    return sciflow.Engine(cluster, directory=directory, progress=False)


@pytest.mark.parametrize("cluster", ["inline", "local"])
def test_a_reduction_gets_the_values_of_the_whole_axis_labelled_and_has_no_such_axis_itself(tmp_path, cluster):
    def mean(y, a):
        assert isinstance(y, xr.DataArray)
        assert y.dims == ("replicate",)
        return {"mean": float(y.mean()), "labels": y.replicate.values, "given": a}

    results = engine(tmp_path, cluster).execute_parameter_sweep(workflow(mean))

    dataset = results.dataset
    assert dataset["mean"].dims == ("a",)
    np.testing.assert_allclose(dataset["mean"], dataset["y"].mean("replicate"))
    assert dataset["given"].values.tolist() == [1.0, 2.0, 3.0]
    assert dataset["labels"].values.tolist() == [[0, 1, 2, 3]] * 3


def test_an_argument_left_over_gets_everything_as_a_dataset(tmp_path):
    def count(everything):
        return {"n": int(everything.sizes["replicate"]), "names": ",".join(sorted(everything.data_vars))}

    dataset = engine(tmp_path).execute_parameter_sweep(workflow(count)).dataset

    assert dataset["n"].values.tolist() == [4, 4, 4]
    assert set(dataset["names"].values.tolist()) == {"k,y"}


def test_when_the_axis_grows_the_reduction_is_made_again_and_nothing_else(tmp_path):
    def count(y):
        return {"n": int(y.size)}

    assert engine(tmp_path).plan(workflow(count, n=4)).n_evaluations == {"simulate": 12, "reduce": 3}
    engine(tmp_path).execute_parameter_sweep(workflow(count, n=4))
    results = engine(tmp_path).execute_parameter_sweep(workflow(count, n=6))

    assert results.dataset["n"].values.tolist() == [6, 6, 6]
    assert int(results.dataset["attempt"].max()) == 1
    assert sciflow.open_results(tmp_path / "w").dataset["n"].values.tolist() == [6, 6, 6]


def test_a_reduction_over_failed_values_fails_where_they_are_and_says_how_many(tmp_path):
    def simulate(a, replicate):
        if a == 2.0 and replicate == 1:
            raise ValueError("no")
        return {"y": a}

    def mean(y):
        return {"mean": float(y.mean())}

    results = engine(tmp_path).execute_parameter_sweep(workflow(mean, simulate=simulate))

    assert np.isnan(results.dataset["mean"].sel(a=2.0))
    assert results.dataset["mean"].sel(a=3.0).item() == 3.0
    failures = sciflow.open_results(tmp_path / "w" / "reductions" / "reduce").failures()
    assert failures["cause"].tolist() == ["upstream"]
    assert "1 of 4 values along replicate" in failures["message"].iloc[0]


def test_a_reduction_over_two_axes_leaves_the_others(tmp_path):
    def best(y):
        assert set(y.dims) == {"b", "replicate"}
        return {"best": float(y.max())}

    space = sciflow.Grid(a=[1, 2], b=[10, 20]) * sciflow.Replicates(2)
    made = workflow(
        best, over=["b", "replicate"], simulate=lambda a, b, replicate: {"y": a * b + replicate}, space=space
    )

    assert engine(tmp_path).execute_parameter_sweep(made).dataset["best"].values.tolist() == [21.0, 41.0]


def test_an_axis_that_varies_together_with_another_cannot_be_reduced(tmp_path):
    made = workflow(
        lambda y: {"n": 1}, over="b", simulate=lambda a, b: {"y": a * b}, space=sciflow.Zip(a=[1, 2], b=[3, 4])
    )

    with pytest.raises(WorkflowError, match="over 'b', which varies together with a"):
        engine(tmp_path).execute_parameter_sweep(made)
