from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
import xarray as xr

from sciflow.engine.recorder import Recorder, Runs
from sciflow.errors import OutputError
from sciflow.running.failure import Failure
from sciflow.space import Grid
from sciflow.store.column import FAILURE, ID
from sciflow.store.segment import SegmentWriter, scan_segment

SPACE = Grid(a=[1, 2, 3, 4, 5, 6])


class Unreadable(float):
    def __float__(self):
        raise ValueError("not to be read")


class Lazy(Mapping):
    """A mapping that computes what it holds when it is asked."""

    def __iter__(self):
        return iter(["x"])

    def __len__(self):
        return 1

    def __getitem__(self, name):
        raise ValueError("not to be read")


def record(tmp_path, outcomes, units=None):
    recorder = Recorder({"revision": 1, "session": 1, "generation": "g"}, units or {}, lambda _: "f", ["a"])
    rows = np.arange(len(outcomes))
    frames, failures = recorder.frames(
        Runs(SPACE.take(rows), rows, outcomes, 100.0, [100.0 + k for k in range(1, len(outcomes) + 1)], 1)
    )
    writer = SegmentWriter(tmp_path, 1)
    writer.commit(frames)
    writer.close()
    return scan_segment(writer.path).frames, failures


def test_uniform_scalars_become_one_frame_of_typed_columns(tmp_path):
    (frame,), failures = record(
        tmp_path,
        [{"x": 1.5, "n": 2, "ok": True, "s": "left"}, {"x": 2.5, "n": 3, "ok": False, "s": "right"}],
        {"x": "eV"},
    )

    table = frame.table()
    assert frame.header["rows"] == [0, 2]
    assert frame.header["status"] == "done"
    assert table["x"].dtype == np.float64
    assert table["n"].dtype == np.int64
    assert table["ok"].dtype == np.bool_
    assert frame.column("x")["units"] == "eV"
    assert table[ID].tobytes() == SPACE.take(np.arange(2)).id_bytes()
    assert failures == []


def test_failures_get_a_frame_of_their_own_that_says_why(tmp_path):
    failure = Failure.of(ValueError("no"), "f")
    frames, failures = record(tmp_path, [{"x": 1.0}, failure, {"x": 3.0}])

    by_status = {frame.header["status"]: frame for frame in frames}
    assert by_status["failed"].header["rows"] == [1, 2]
    assert json.loads(by_status["failed"].table()[FAILURE][0])["message"] == "no"
    assert by_status["done"].table()["x"].tolist() == [1.0, 3.0]
    assert failures == [failure]


def test_outputs_of_different_names_or_types_stand_in_different_frames(tmp_path):
    frames, _ = record(tmp_path, [{"x": 1.0}, {"x": 2}, {"y": 1.0}, {"x": 3.0}])

    assert sorted(frame.n for frame in frames) == [1, 1, 2]


def test_none_is_a_result_without_a_value(tmp_path):
    frames, failures = record(tmp_path, [{"x": 1.0, "note": None}, {"x": 2.0, "note": None}])

    assert sum(frame.n for frame in frames) == 2
    assert failures == []


def test_numpy_scalars_and_arrays_are_recorded_with_their_types(tmp_path):
    (frame,), _ = record(tmp_path, [{"x": np.float32(1), "v": np.arange(3)}, {"x": np.float32(2), "v": np.arange(3)}])

    assert frame.table()["x"].dtype == np.float32
    assert frame.table()["v"].shape == (2, 3)


def test_labelled_arrays_keep_their_dims_coordinates_and_unit(tmp_path):
    curve = xr.DataArray([1.0, 2.0], dims="t", coords={"t": [0.5, 1.5]}, attrs={"units": "K"})
    (frame,), _ = record(tmp_path, [{"curve": curve}, {"curve": curve * 2}])

    column = frame.column("curve")
    assert column["dims"] == ["t"]
    assert column["coords"] == {"t": [0.5, 1.5]}


def test_a_labelled_dataset_is_spread_into_its_variables(tmp_path):
    data = xr.Dataset({"u": ("t", [1.0]), "v": ("t", [2.0])})
    (frame,), _ = record(tmp_path, [{"data": data}])

    assert {"u", "v"} <= set(frame.names)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"x": object()}, "of type object"),
        ({"x": 2**70}, "64 bits with a sign"),
        ({"a": 1.0}, "named 'a'"),
        ({"status": 1.0}, "named 'status'"),
        ({3: 1.0}, "named 3"),
        ({"x": np.array([object()])}, "ndarray of object"),
        ({"x": Unreadable(1.0)}, "ValueError: not to be read"),
        (Lazy(), "ValueError: not to be read"),
    ],
)
def test_what_cannot_be_recorded_fails_that_variant_alone_and_names_task_output_and_type(tmp_path, outcome, said):
    frames, failures = record(tmp_path, [{"x": 1.0}, outcome])

    assert {frame.header["status"]: frame.n for frame in frames} == {"done": 1, "failed": 1}
    assert failures[0].type == OutputError.__name__
    assert said in failures[0].message
    assert "'f'" in failures[0].message


def test_a_number_of_more_digits_keeps_them_and_harms_no_other(tmp_path):
    frames, failures = record(tmp_path, [{"x": 0.5}, {"x": np.longdouble(1) / 3}, {"x": 2.5}])

    assert failures == []
    assert sorted(frame.table()["x"].tolist() for frame in frames) == [[np.longdouble(1) / 3], [0.5, 2.5]]


def test_what_lies_under_a_mask_is_not_recorded(tmp_path):
    (frame,), _ = record(
        tmp_path,
        [{"v": np.ma.masked_array([1.0, 99.0], [False, True]), "n": np.ma.masked_array([1, 99], [False, True])}],
    )

    assert np.array_equal(frame.table()["v"], [[1.0, np.nan]], equal_nan=True)
    assert np.array_equal(frame.table()["n"], [[1.0, np.nan]], equal_nan=True)


def test_coordinates_besides_the_labels_of_dims_are_recorded_as_variables(tmp_path):
    field = xr.DataArray(
        [[1.0, 2.0]], dims=("x", "z"), coords={"x": [5], "lat": (("x", "z"), [[50.0, 51.0]]), "t": 3.5}
    )
    (frame,), failures = record(tmp_path, [{"field": field}])

    assert failures == []
    assert frame.table()["lat"].tolist() == [[[50.0, 51.0]]]
    assert float(frame.table()["t"].ravel()[0]) == 3.5
    assert frame.column("field")["coords"] == {"x": [5]}


def test_an_exception_that_cannot_say_what_it_is_is_a_failure_like_others():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    failure = Failure.of(MuteError(), "f")

    assert failure.type == "MuteError"
    assert "cannot be read" in failure.message
