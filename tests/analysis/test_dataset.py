from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from sciflow.analysis.dataset import _inner_dims
from sciflow.analysis.results import open_results
from sciflow.errors import ResultsError
from sciflow.running.failure import Failure
from sciflow.space import Axis, Grid, Points, Zip
from sciflow.store import column
from sciflow.store import labels as store_labels
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.results_file import write_results
from sciflow.testing.sweeps import train
from sciflow.workflow.workflow import ExperimentalWorkflow


def test_a_product_of_axes_has_one_dimension_per_parameter(results) -> None:
    assert dict(results.dataset.sizes) == {"learning_rate": 3, "layers": 3, "replicate": 2, "loss_curve_dim_0": 4}
    assert results.dataset.learning_rate.values.tolist() == [0.001, 0.01, 0.1]


def test_values_stand_where_their_labels_say(results) -> None:
    dataset = results.dataset
    for place in np.ndindex(3, 3, 2):
        cell = dataset.isel(dict(zip(("learning_rate", "layers", "replicate"), place, strict=True)))
        parameters = {name: cell[name].item() for name in ("learning_rate", "layers", "replicate")}
        if cell.status.item() == "done":
            expected = train(**parameters)
            assert cell.energy.item() == expected["energy"]
            assert cell.accuracy.item() == expected["accuracy"] or math.isnan(expected["accuracy"])
            assert cell.loss_curve.values.tolist() == expected["loss_curve"].tolist()
        else:
            assert math.isnan(cell.energy.item())


def test_status_is_told_in_words_and_is_not_nan(results) -> None:
    values, counts = np.unique(results.dataset.status.values, return_counts=True)

    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {"done": 14, "failed": 3, "missing": 1}
    nan = results.dataset.accuracy.sel(learning_rate=0.1, layers=1, replicate=1)
    assert math.isnan(nan.item())
    assert results.dataset.status.sel(learning_rate=0.1, layers=1, replicate=1).item() == "done"


def test_facts_of_each_variant_are_variables_too(results) -> None:
    failed = results.dataset.sel(learning_rate=0.1, layers=3, replicate=0)
    missing = results.dataset.sel(learning_rate=0.001, layers=1, replicate=1)

    assert failed.failure.item() == "train: FloatingPointError: the loss is not finite"
    assert (failed.attempt.item(), missing.attempt.item()) == (1, 0)
    assert failed.runtime_s.item() == 0.25
    assert math.isnan(missing.runtime_s.item())
    assert missing.failure.item() == ""


def test_whole_numbers_and_bools_with_gaps_become_floats_and_without_keep_their_type(recorded) -> None:
    def outcome(variant):
        outputs = {"n": variant["a"], "ok": variant["a"] > 1, "label": str(variant["a"])}
        return None if variant["b"] == 2 and variant["a"] == 2 else outputs

    gaps = recorded({"a": [1, 2], "b": [1, 2]}, outcome, name="gaps").dataset
    full = recorded({"a": [1, 2], "b": [1]}, outcome, name="full").dataset

    assert (gaps.n.dtype, gaps.ok.dtype) == (np.float64, np.float64)
    assert (full.n.dtype, full.ok.dtype) == (np.int64, np.bool_)
    assert full.label.dtype.kind == "U"


def test_units_of_parameters_and_outputs_are_attributes(results) -> None:
    dataset = results.dataset

    assert dataset.learning_rate.attrs["units"] == "1/s"
    assert dataset.energy.attrs["units"] == "J"
    assert dataset.runtime_s.attrs["units"] == "s"


def test_both_layouts_can_be_asked_for(results) -> None:
    flat = results.to_dataset("flat")
    assert flat.attrs == results.dataset.attrs
    assert flat.attrs["sweep"]

    assert dict(flat.sizes) == {"variant": 18, "loss_curve_dim_0": 4}
    assert results.to_dataset("dense") is results.dataset
    assert np.array_equal(flat.accuracy.values, results.dataset.accuracy.values.ravel(), equal_nan=True)
    assert flat.variant.values[0] == results.to_dataframe().index[0]
    with pytest.raises(ResultsError, match="'dense' or 'flat'"):
        results.to_dataset("long")


def test_variants_that_share_no_grid_lie_along_one_dimension(recorded) -> None:
    results = recorded(Zip(a=[1, 2, 3], b=["x", "y", "z"]), lambda v: {"y": v["a"] * 2.0})

    assert dict(results.dataset.sizes) == {"variant": 3}
    assert results.dataset.b.values.tolist() == ["x", "y", "z"]
    assert results.dataset.y.values.tolist() == [2.0, 4.0, 6.0]


def test_a_parameter_that_some_variants_lack_is_nan_or_empty_there(recorded) -> None:
    space = Grid(opt=["sgd"], momentum=[0.1, 0.9]) | Grid(opt=["adam"], beta=[1, 2], name=["p"])
    results = recorded(space, lambda _: {"y": 1.0})
    table = results.to_dataframe()

    assert np.isnan(results.dataset.momentum.values).tolist() == [False, False, True, True]
    assert table.momentum.isna().tolist() == [False, False, True, True]
    assert table.beta.isna().tolist() == [True, True, False, False]
    assert table.name.isna().tolist() == [True, True, False, False]


def test_arrays_are_read_when_they_are_computed(results) -> None:
    curve = results.dataset.loss_curve

    assert isinstance(curve.data, da.Array)
    assert results.dataset.loss_curve.sel(learning_rate=0.01, layers=2, replicate=1, loss_curve_dim_0=3).values == 2.03
    assert np.isnan(curve.sel(learning_rate=0.1, layers=3).values).all()


def test_any_part_of_a_lazy_array_is_the_part_of_the_whole(recorded) -> None:
    space = {"a": list(range(5)), "b": list(range(4))}
    results = recorded(space, lambda v: {"field": np.arange(6.0).reshape(2, 3) + 100 * v["a"] + 10 * v["b"]})
    field = results.dataset.field
    whole = field.values

    for key in [(slice(1, 3), 2, slice(None), 1), (4, slice(None, None, 2), 0, slice(1, 3)), (0, 0, 0, 0)]:
        assert np.array_equal(field[key].values, whole[key])
    assert whole[3, 2].tolist() == (np.arange(6.0).reshape(2, 3) + 320).tolist()


def test_arrays_of_different_shapes_are_filled_up_with_nan(recorded) -> None:
    def outcome(variant):
        return None if variant["n"] == 2 else {"spectrum": np.arange(variant["n"], dtype=np.int64)}

    spectrum = recorded({"n": [1, 2, 3]}, outcome).dataset.spectrum.values

    assert spectrum.dtype == np.float64
    assert np.array_equal(spectrum, [[0, np.nan, np.nan], [np.nan] * 3, [0, 1, 2]], equal_nan=True)


def test_large_arrays_are_cut_into_pieces_of_some_variants(recorded) -> None:
    results = recorded({"a": [1, 2, 3]}, lambda v: {"big": np.full((2048, 2048), float(v["a"]))})

    assert results.dataset.big.chunks[0] == (2, 1)
    assert results.dataset.big[2, 5, 5].compute().item() == 3.0


def test_inner_dimensions_of_one_name_and_other_labels_are_kept_apart() -> None:
    @dataclass
    class Output:
        name: str
        dims: tuple[str, ...]
        extent: tuple[int, ...]
        coords: dict
        coord_attributes: dict = field(default_factory=dict)

    taken = {
        "a": (("variant",), np.zeros(3), {}),
        "first": (("variant", "time"), np.zeros((3, 5)), {}),
        "time": (("time",), np.arange(5)),
    }

    assert _inner_dims(Output("same", ("time",), (5,), {"time": [0, 1, 2, 3, 4]}), taken)[0] == ("time",)
    assert _inner_dims(Output("longer", ("time",), (9,), {}), taken)[0] == ("longer_time",)
    names, labels = _inner_dims(Output("other", ("time",), (5,), {"time": [5, 6, 7, 8, 9]}), taken)
    assert names == ("other_time",)
    assert labels["other_time"][1].tolist() == [5, 6, 7, 8, 9]
    assert _inner_dims(Output("odd", ("a",), (3,), {}), taken)[0] == ("odd_a",)


# ---------------------------------------------------------------------------------- labelled outputs that differ


@pytest.fixture
def labelled(tmp_path):
    """Commit one labelled array per variant, each in a frame of its own or all in one, and open the results."""

    def record(arrays, *, together):
        workflow = ExperimentalWorkflow("labelled")
        workflow.add_task("f", lambda n: {})
        workflow.add_parameter_space({"n": list(range(len(arrays)))})
        definition = workflow.validate()
        sweep = SweepDirectory.create_or_open(tmp_path / f"labelled-{together}", "labelled", seed=0)
        sweep.add_definition(definition.to_dict())
        groups = [range(len(arrays))] if together else [range(k, k + 1) for k in range(len(arrays))]
        with sweep.segment_writer(1) as writer:
            for rows in groups:
                table = definition.space.take(np.array(rows))
                facts = column.variant_facts(table.id_bytes(), np.zeros(len(rows)), np.zeros(len(rows)))
                header = {"revision": 1, "status": "done", "rows": [rows.start, rows.stop], "session": 1}
                outputs = store_labels.labelled("curve", [arrays[k] for k in rows])
                writer.commit([Frame(header, {**facts, **outputs})])
        return open_results(sweep.path)

    return record


TOGETHER = pytest.mark.parametrize("together", [True, False])


def curve(values, **labels):
    return xr.DataArray(np.array(values), dims=list(labels), coords={k: v for k, v in labels.items() if v is not None})


@TOGETHER
def test_labels_that_differ_between_variants_are_kept_for_each(labelled, together) -> None:
    results = labelled([curve([1.0, 2.0], time=[0.0, 0.5]), curve([3.0, 4.0], time=[0.0, 0.25])], together=together)
    dataset = results.dataset

    assert "time" not in dataset.coords
    assert isinstance(dataset.curve_time.data, da.Array)
    assert dataset.curve_time.dims == ("n", "time")
    assert dataset.curve_time.values.tolist() == [[0.0, 0.5], [0.0, 0.25]]
    one = dataset.curve.sel(n=1).compute()
    assert one.where(one.curve_time == 0.25, drop=True).values.tolist() == [4.0]
    in_file = opened_file(results)
    assert in_file.curve_time.values.tolist() == [[0.0, 0.5], [0.0, 0.25]]
    assert "curve_time" in in_file.coords


@TOGETHER
def test_labels_that_are_equal_label_the_dimension(labelled, together) -> None:
    dataset = labelled([curve([1.0, 2.0], time=[0.0, 0.5])] * 2, together=together).dataset

    assert dataset.time.values.tolist() == [0.0, 0.5]
    assert not any(name.startswith("curve_") for name in dataset.coords)


@TOGETHER
@pytest.mark.parametrize("times", [[[0.0, 0.5], [0.0, 0.5]], [[0.0, 0.5], [0.0, 0.25]]])
def test_what_all_variants_say_of_a_coordinate_is_kept(labelled, together, times, tmp_path) -> None:
    curves = [
        curve([1.0, 2.0], time=("time", of, {"units": "s", "long_name": f"time {k}"})) for k, of in enumerate(times)
    ]
    results = labelled(curves, together=together)
    name = "time" if times[0] == times[1] else "curve_time"

    for dataset in (results.dataset, opened_file(results), xr.open_dataset(results.export(tmp_path / "of.nc"))):
        assert dataset[name].attrs["units"] == "s"
        assert not dataset[name].attrs.get("long_name", "").startswith("time")  # they do not agree on it


@TOGETHER
def test_labels_of_arrays_of_different_lengths_are_filled_up_like_these(labelled, together) -> None:
    results = labelled(
        [curve([1, 2], time=["a", "b"]), curve([3], time=["c"]), curve([5], time=None)], together=together
    )
    dataset = results.dataset

    assert dataset.curve_time.values.tolist() == [["a", "b"], ["c", ""], ["", ""]]
    assert np.array_equal(dataset.curve.values, [[1, 2], [3, np.nan], [5, np.nan]], equal_nan=True)
    assert [list(map(str, row)) for row in opened_file(results).curve_time.values] == [["a", "b"], ["c", ""], ["", ""]]


def test_dims_in_another_order_are_turned_round_and_labels_go_along(labelled) -> None:
    first = curve([[1, 2, 3], [4, 5, 6]], x=[10, 20], t=[0.0, 0.5, 1.0])
    results = labelled([first, first.T, first.isel(x=0, drop=True)], together=False)
    dataset = results.dataset

    assert dataset.curve.dims == ("n", "x", "t")
    assert dataset.curve.values[0].tolist() == dataset.curve.values[1].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.array_equal(dataset.curve.values[2], [[1, 2, 3], [np.nan] * 3], equal_nan=True)
    assert dataset.t.values.tolist() == [0.0, 0.5, 1.0]
    assert np.array_equal(opened_file(results).curve.values, dataset.curve.values, equal_nan=True)


def test_square_arrays_with_their_dims_in_another_order_are_not_mixed_up(labelled) -> None:
    first = curve([[1.0, 2.0], [3.0, 4.0]], x=None, t=None)
    dataset = labelled([first, first.T], together=False).dataset

    assert dataset.curve.values[0].tolist() == dataset.curve.values[1].tolist()


def test_dims_that_do_not_fit_together_are_told_and_not_guessed(labelled) -> None:
    results = labelled([curve([1, 2], x=[1, 2]), curve([3, 4], t=[0.0, 0.5])], together=False)

    with pytest.warns(UserWarning, match=r"'curve'.*\(x\) or \(t\).*by position"):
        dataset = results.dataset
    assert dataset.curve.dims == ("n", "curve_dim_0")
    assert dataset.curve.values.tolist() == [[1, 2], [3, 4]]
    assert {"x", "t"}.isdisjoint(dataset.coords)


def opened_file(results):
    write_results(SweepDirectory.open(results.directory))
    with xr.open_dataset(results.results_file, engine="h5netcdf") as dataset:
        return dataset.load()


def test_moments_that_some_variants_lack_are_nat(recorded) -> None:
    space = Points([{"at": dt.datetime(2024, 1, 2, 3)}, {"other": 1}])  # noqa: DTZ001  naive moments are allowed
    results = recorded(space, lambda _: {"y": 1.0})

    assert results.to_dataframe()["at"].isna().tolist() == [False, True]
    assert np.isnat(results.dataset["at"].to_numpy()).tolist() == [False, True]
    with pytest.warns(UserWarning, match="2 variants share"):
        assert results.find_optimal_parameters("y") == {"at": dt.datetime(2024, 1, 2, 3)}  # noqa: DTZ001  same


def test_a_sweep_without_results_has_a_dataset_in_which_all_is_missing(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda _: None)

    assert results.dataset.status.values.tolist() == ["missing", "missing"]
    assert results.status() == {"done": 0, "failed": 0, "missing": 2}


def test_values_of_any_kind_label_the_variants(recorded) -> None:
    space = Points([{"x": (1, 2), "day": dt.date(2024, 1, 2)}, {"x": None, "day": dt.date(2024, 1, 3)}])
    results = recorded(space, lambda v: {"y": 1.0 if v["x"] is None else 2.0})

    assert isinstance(results.dataset, xr.Dataset)
    assert results.get_metric({"x": [1, 2]}, "y") == 2.0
    assert results.find_optimal_parameters("y", maximize=False)["x"] is None
    assert results.find_optimal_parameters("y")["day"] == dt.date(2024, 1, 2)


def test_a_sweep_whose_space_was_a_function_shows_what_is_recorded(recorded) -> None:
    space = (Axis("a", [1, 2, 3], default=1) * Axis("b", [1, 2], unit="m")).where(lambda a, b: a != b)
    space = space.derive(c=lambda a, b: a + b)

    def outcome(variant):
        if variant["a"] == 3:
            return Failure.of(ValueError("no"), "work") if variant["b"] == 1 else None
        return {"y": float(variant["c"])}

    results = recorded(space, outcome)
    table = results.to_dataframe()

    assert results.status() == {"done": 2, "failed": 1, "missing": 0}
    assert table.c.tolist() == [3, 3, 4]
    assert results.dataset.b.attrs == {}
    best = results.find_optimal_parameters("y", where="b == 1")
    assert best == {"a": 2, "b": 1}
    assert best.id == table.query("a == 2").index[0]
    assert results.get_metric({"b": 2}, "y") == 3.0
