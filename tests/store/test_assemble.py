"""Assembling: one result per variant out of many frames."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciflow.canonical import Named
from sciflow.errors import ResultsError
from sciflow.space.axis import Axis
from sciflow.space.product import Grid
from sciflow.store import assembled as results
from sciflow.store import cells, column
from sciflow.store.assemble import assemble
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame


@pytest.fixture
def sweep(tmp_path):
    return SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)


def define(sweep, space):
    return sweep.add_definition({"space": space.describe()})


def record(sweep, space, rows, *, session=1, writer=None, failures=None, parameters=None, **outputs):
    """Commit what a worker would for some rows of a space; outputs are lists, or columns."""
    rows = np.asarray(rows, dtype=np.int64)
    table = space.take(rows)
    columns = {
        known.name: column.category(table.columns[known.name].pool, table.columns[known.name].codes, kind="parameter")
        for known in table.parameters
    }
    columns |= column.variant_facts(
        table.id_bytes(), np.zeros(len(rows)), np.full(len(rows), 0.25), rows=rows, failures=failures
    )
    for name, values in outputs.items():
        columns[name] = values if isinstance(values, column.ColumnData) else column.outputs(values)
    header = {
        "revision": sweep.newest_revision(),
        "status": "failed" if failures else "done",
        "attempt": session,
        "t0": 0.0,
        "generation": f"g{session}",
    }
    with sweep.segment_writer(session) as segment:
        segment.commit([Frame({**header, **(parameters or {})}, columns)])


GRID = Grid(a=[1, 2, 3], b=["x", "y"])


def test_a_product_is_dense_with_its_parameters_as_dimensions(sweep):
    define(sweep, GRID)
    record(sweep, GRID, [5, 0], y=[5.0, 0.0])

    found = assemble(sweep)

    assert found.layout == "dense"
    assert found.dims == ("a", "b")
    assert found.shape == (3, 2)
    assert found.coords["a"].values.tolist() == [1, 2, 3]
    assert found.coords["b"].values.tolist() == ["x", "y"]
    assert found.status.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert found.attempt.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert found.outputs["y"].values[2, 1] == 5.0
    assert np.isnan(found.outputs["y"].values[1]).all()
    assert found.runtime_s.dtype == np.float32
    assert np.isnan(found.runtime_s).sum() == 4


def test_the_flat_layout_has_the_parameters_as_coordinates(sweep):
    define(sweep, GRID)
    record(sweep, GRID, [5, 0], y=[5.0, 0.0])

    found = assemble(sweep, "flat")

    assert found.dims == ("variant",)
    assert found.coords["b"].values.tolist() == ["x", "y"] * 3
    assert found.outputs["y"].values[[0, 5]].tolist() == [0.0, 5.0]
    assert found.table(np.array([5])).lists() == [[3], ["y"]]


def test_a_space_that_is_no_product_is_flat_and_conditional_parameters_are_missing(sweep):
    space = Grid(opt=["sgd"], momentum=[0.5, 0.9]) | Grid(opt=["adam"], beta=[1, 2], when=[dt.date(2020, 1, 2)])
    define(sweep, space)
    record(sweep, space, range(4), y=[0, 1, 2, 3])

    found = assemble(sweep)

    assert found.layout == "flat"
    assert found.coords["momentum"].values.tolist()[:2] == [0.5, 0.9]
    assert np.isnan(found.coords["momentum"].values[2:]).all()
    assert np.isnan(found.coords["beta"].values[:2]).all()
    assert np.isnat(found.coords["when"].values).tolist() == [True, True, False, False]
    assert found.outputs["y"].values.dtype == np.int64
    with pytest.raises(ResultsError, match=r"lack .*momentum.*; use the flat layout"):
        assemble(sweep, "dense")


def test_any_space_with_all_parameters_can_be_made_dense(sweep):
    space = GRID.where("a != 2")
    define(sweep, space)
    record(sweep, space, range(4), y=[10, 11, 12, 13])

    found = assemble(sweep, "dense")

    assert found.shape == (2, 2)
    assert found.coords["a"].values.tolist() == [1, 3]
    assert found.outputs["y"].values.tolist() == [[10, 11], [12, 13]]


def test_a_dense_layout_that_is_mostly_empty_is_refused(sweep, monkeypatch):
    monkeypatch.setattr(cells, "MOST_CELLS", 10)
    from sciflow.space.listed import Zip

    space = Zip(a=list(range(9)), b=list(range(9)))
    define(sweep, space)
    with pytest.raises(ResultsError, match="81 places for 9 variants"):
        assemble(sweep, "dense")


def test_of_a_space_too_large_to_list_only_what_is_recorded_is_there(sweep):
    space = Grid(a=range(10**6), b=range(10**6))
    define(sweep, space)
    record(sweep, space, [7, 3 * 10**6 + 1], y=[1.0, 2.0])

    found = assemble(sweep)

    assert found.rows.tolist() == [7, 3 * 10**6 + 1]
    assert found.coords["a"].values.tolist() == [0, 3]
    assert found.coords["b"].values.tolist() == [7, 1]
    assert found.outputs["y"].values.tolist() == [1.0, 2.0]
    assert found.table(np.array([1])).lists() == [[3], [1]]
    with pytest.raises(ResultsError, match="no dense layout"):
        assemble(sweep, "dense")


def test_success_beats_failure_and_of_equals_the_newest_counts(sweep):
    define(sweep, GRID)
    record(sweep, GRID, [0, 1, 2], session=1, y=[1.0, 1.0, 1.0])
    record(sweep, GRID, [1, 3], session=2, failures=['{"type": "E"}'] * 2)
    record(sweep, GRID, [2], session=3, y=[3.0])
    record(sweep, GRID, [3], session=4, failures=['{"type": "F"}'])

    found = assemble(sweep, "flat")

    assert found.status.tolist() == [1, 1, 1, 2, 0, 0]
    assert found.outputs["y"].values[:3].tolist() == [1.0, 1.0, 3.0]
    assert found.failure.tolist() == [0, 0, 0, 2, 0, 0]
    assert found.messages[1] == {"type": "F"}
    assert found.attempt.tolist() == [1, 1, 3, 4, 0, 0]
    assert found.n_superseded == 3
    codes, generations = found.facts("generation")
    assert [generations[code] if code >= 0 else None for code in codes] == ["g1", "g1", "g3", "g4", None, None]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 5), min_size=1, max_size=4)), max_size=6))
def test_the_reduction_agrees_with_a_dictionary(tmp_path_factory, commits):
    sweep = SweepDirectory.create_or_open(tmp_path_factory.mktemp("s"), "w", seed=0)
    define(sweep, GRID)
    model = {}
    for session, (success, rows) in enumerate(commits, 1):
        values = [100.0 * session + k for k in range(len(rows))]
        if success:
            record(sweep, GRID, rows, session=session, y=values)
        else:
            record(sweep, GRID, rows, session=session, failures=["{}"] * len(rows))
        for row, value in zip(rows, values, strict=True):
            if success or model.get(row, ("failed", None))[0] == "failed":
                model[row] = ("done", value) if success else ("failed", None)

    found = assemble(sweep, "flat")

    y = found.outputs["y"].values if "y" in found.outputs else np.full(6, np.nan)
    names = [results.STATUS_MEANINGS[code] for code in found.status]
    for row in range(6):
        status, value = model.get(row, ("missing", None))
        assert names[row] == status
        assert np.isnan(y[row]) if value is None else y[row] == value


def test_records_of_an_older_definition_find_their_place_in_the_new_one(sweep):
    define(sweep, GRID)
    record(sweep, GRID, range(6), y=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    extended = Grid(b=["z", "y", "x"], a=[3, 1], c=Axis("c", [0, 1], default=0))
    define(sweep, extended)
    record(sweep, extended, [0], y=[100.0])

    found = assemble(sweep)

    assert found.dims == ("b", "a", "c")
    y = found.outputs["y"].values
    assert y[0, 0, 0] == 100.0
    assert y[1, 0, 0] == 5.0  # b = y, a = 3
    assert y[2, 1, 0] == 0.0  # b = x, a = 1
    assert np.isnan(y[:, :, 1]).all()
    assert found.status.sum() == 5


def test_a_revision_with_the_same_space_keeps_its_rows(sweep):
    define(sweep, GRID)
    record(sweep, GRID, range(6), y=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    sweep.add_definition({"space": GRID.describe(), "resources": "more"})

    assert assemble(sweep, "flat").outputs["y"].values.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_space_that_a_function_decides_falls_back_on_what_is_recorded(sweep):
    space = GRID.where(lambda a: a != 2)
    define(sweep, space)
    record(sweep, space, [3, 1], session=1, y=[3.0, 1.0])
    record(sweep, space, [1], session=2, y=[9.0])

    found = assemble(sweep)

    assert found.space is None
    assert found.table(np.array([0])) is None
    assert found.coords["a"].values.tolist() == [1, 3]
    assert found.coords["b"].values.tolist() == ["y", "y"]
    assert found.outputs["y"].values.tolist() == [9.0, 3.0]
    with pytest.raises(ResultsError, match="cannot be rebuilt"):
        assemble(sweep, "dense")


def test_a_sweep_without_a_record_is_all_missing(sweep):
    empty = assemble(sweep)
    define(sweep, GRID)
    defined = assemble(sweep)

    assert empty.shape == (0,)
    assert defined.shape == (3, 2)
    assert not defined.status.any()
    assert defined.facts("generation")[0].tolist() == [[-1, -1]] * 3


def test_values_without_a_type_of_their_own_become_labels(sweep):
    space = Grid(
        act=[Named("relu"), Named("tanh")], layers=[(1, 2), (3,)], path=[PurePosixPath("a/b")], mixed=["auto", 1, None]
    )
    define(sweep, space)

    coords = assemble(sweep).coords

    assert coords["act"].values.tolist() == ["relu", "tanh"]
    assert coords["layers"].values.tolist() == ["[1,2]", "[3]"]
    assert coords["path"].values.tolist() == ["a/b"]
    assert coords["mixed"].values.tolist() == ["auto", "1", "None"]
    assert coords["mixed"].plain == ("auto", 1, None)


def test_labels_that_would_coincide_are_spelled_out(sweep):
    define(sweep, Grid(mixed=["1", 1]))

    assert assemble(sweep).coords["mixed"].values.tolist() == ['"1"', "1"]


def test_dates_are_moments(sweep):
    define(sweep, Grid(day=[dt.date(2020, 1, 2)], old=[dt.datetime(1500, 1, 1)]))  # noqa: DTZ001  a naive parameter

    coords = assemble(sweep).coords

    assert coords["day"].values.dtype == "datetime64[ns]"
    assert coords["old"].values.dtype == "datetime64[us]"


def test_units_of_parameters_and_outputs_are_kept(sweep):
    space = Grid(t=Axis("t", [1.0], unit="K"))
    define(sweep, space)
    record(sweep, space, [0], y=column.outputs([1.0], units="eV"))

    found = assemble(sweep)

    assert found.coords["t"].unit == "K"
    assert found.outputs["y"].attributes == {"units": "eV"}


@pytest.mark.parametrize(
    ("first", "second", "dtype", "values"),
    [
        ([1, 2], [3], np.int64, [1, 2, 3]),
        ([1, 2], [0.5], np.float64, [1.0, 2.0, 0.5]),
        ([True, False], [True], np.bool_, [True, False, True]),
        ([True, False], [2], np.int64, [1, 0, 2]),
        ([1, 2], [None], np.float64, [1.0, 2.0, np.nan]),
        ([True, None], [False], np.float64, [1.0, np.nan, 0.0]),
        (["a", "b"], ["c"], object, ["a", "b", "c"]),
        (["a", "a"], [None], object, ["a", "a", None]),
        ([1, 2], ["c"], object, [1, 2, "c"]),
        ([1j, 2], [1.0], np.complex128, [1j, 2, 1]),
        ([None, None], [None], np.float64, [np.nan] * 3),
        ([np.float32(1), np.float32(2)], [np.float32(3)], np.float32, [1, 2, 3]),
    ],
)
def test_what_several_frames_say_of_an_output_gets_one_type(sweep, first, second, dtype, values):
    space = Grid(a=[1, 2, 3])
    define(sweep, space)
    record(sweep, space, [0, 1], y=first)
    record(sweep, space, [2], y=second)

    found = assemble(sweep).outputs["y"].values

    assert found.dtype == dtype
    if found.dtype == object:
        assert found.tolist() == values
    else:
        np.testing.assert_array_equal(found, values)


def test_outputs_that_only_some_variants_have_are_missing_in_the_others(sweep):
    space = Grid(a=[1, 2, 3])
    define(sweep, space)
    record(sweep, space, [0], y=[1], z=["t"])
    record(sweep, space, [1, 2], y=[2, 3])

    found = assemble(sweep).outputs

    assert found["y"].values.dtype == np.int64
    assert found["z"].values.tolist() == ["t", None, None]


def test_arrays_are_read_when_asked_for(sweep):
    space = Grid(a=[1, 2, 3, 4])
    define(sweep, space)
    arrays = [np.full((2, 3), k) for k in range(3)]
    described = {"dims": ["time", "place"], "coords": {"time": [0.0, 0.5]}, "units": "m"}
    record(sweep, space, [2, 0], y=column.outputs(arrays[:2], **described))
    record(sweep, space, [1], y=column.outputs(arrays[2:], **described))

    y = assemble(sweep).outputs["y"]

    assert isinstance(y, results.ArrayOutput)
    assert (y.dtype, y.shape, y.dims) == (np.float64, (2, 3), ("time", "place"))
    assert y.coords == {"time": [0.0, 0.5]}
    assert y.attributes == {"units": "m"}
    gathered = y.gather(np.array([1, 3, 2, 2]))
    assert gathered[0].tolist() == [[2.0] * 3] * 2
    assert np.isnan(gathered[1]).all()
    assert gathered[2:].tolist() == [[[0.0] * 3] * 2] * 2


def test_arrays_keep_their_integers_when_every_variant_has_one(sweep):
    space = Grid(a=[1, 2])
    define(sweep, space)
    record(sweep, space, [0, 1], y=[np.arange(3), np.arange(3)])

    y = assemble(sweep).outputs["y"]

    assert y.gather(np.arange(2)).dtype == np.int64
    assert y.dims == ("y_dim_0",)


def test_none_among_arrays_is_missing(sweep):
    space = Grid(a=[1, 2, 3])
    define(sweep, space)
    record(sweep, space, [0, 1], y=[np.arange(3), None])
    record(sweep, space, [2], y=[None])

    found = assemble(sweep).outputs["y"].gather(np.arange(3))

    assert found[0].tolist() == [0.0, 1.0, 2.0]
    assert np.isnan(found[1:]).all()


def test_arrays_of_different_shapes_come_as_objects(sweep):
    space = Grid(a=[1, 2, 3, 4, 5])
    define(sweep, space)
    record(sweep, space, [0, 1], y=[np.arange(3), np.arange(6).reshape(2, 3)])
    record(sweep, space, [2], y=[np.arange(2)])
    record(sweep, space, [3], y=[7])

    y = assemble(sweep).outputs["y"]
    found = y.gather(np.arange(5))

    assert y.shape is None
    assert y.extent == (2, 3)
    assert [a.tolist() for a in found[:4]] == [[0, 1, 2], [[0, 1, 2], [3, 4, 5]], [0, 1], 7]
    assert found[4] is None


def test_few_of_many_large_arrays_are_read_alone(sweep):
    space = Grid(a=list(range(20)))
    define(sweep, space)
    arrays = np.arange(20 * 40_000, dtype=float).reshape(20, 40_000)
    record(sweep, space, range(20), y=column.fixed(arrays))

    y = assemble(sweep).outputs["y"]

    assert (y.gather(np.array([3, 17])) == arrays[[3, 17]]).all()
    assert (y.gather(np.arange(20)) == arrays).all()


def test_the_golden_rule_of_speed_a_million_variants_in_under_a_second(sweep):
    # assembling is O(variants) with a constant of about 0.1 µs; measured at 2 * 10^5 to keep the test short
    space = Grid(a=list(range(200)), b=list(range(1000)))
    define(sweep, space)
    n = 20_000
    for first in range(0, 200_000, n):
        rows = np.arange(first, first + n)
        record(sweep, space, rows, y=column.fixed(rows.astype(float)), z=column.fixed(rows))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        found = assemble(sweep)
        times.append(time.perf_counter() - start)

    assert (found.outputs["z"].values.ravel() == np.arange(200_000)).all()
    assert min(times) < 0.5


@pytest.mark.parametrize("again", [[0, 1], []])
def test_where_a_function_decides_what_was_recorded_before_a_parameter_is_at_its_default(sweep, again):
    space = Grid(a=[1, 2])
    sweep.add_definition({"space": space.where(lambda a: a > 0).describe()})
    record(sweep, space, [0, 1], y=[1, 2])
    later = space * Axis("p", [5.0, 7], default=5)
    sweep.add_definition({"space": later.where(lambda a: a > 0).describe(), "defaults": {"p": 5}})
    record(sweep, later, [2 * row + 1 for row in again], y=[3, 4][: len(again)])

    got = assemble(sweep)

    values = got.coords["p"].values.tolist()
    assert dict(
        zip(zip(got.coords["a"].values.tolist(), values, strict=True), got.outputs["y"].values, strict=True)
    ) == {
        (1, 5): 1,
        (2, 5): 2,
        **({(1, 7): 3, (2, 7): 4} if again else {}),
    }
