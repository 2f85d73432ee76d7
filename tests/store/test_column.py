"""Columns: what goes in comes out, with its type."""

from __future__ import annotations

import datetime as dt
import math
import time
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sciflow.canonical import Named
from sciflow.store import column
from sciflow.store.column import Category, ColumnData, decode


def restored(data: ColumnData):
    return decode(
        {"encoding": data.encoding, **data.description},
        data.n,
        [memoryview(b"".join(column.pieces_of(b))) for b in data.buffers],
    )


def as_list(data: ColumnData):
    values = restored(data)
    return values.values() if isinstance(values, Category) else values.tolist() if hasattr(values, "tolist") else values


numbers = hnp.arrays(
    st.sampled_from(["<f8", "<f4", "<f2", "<i8", "<i2", "<u8", "|u1", "|b1", "<c16", "<M8[us]", "<U3", "|S4"]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5)


@given(numbers)
def test_an_array_comes_back_as_it_was(values):
    back = restored(column.fixed(values))

    assert back.dtype == values.dtype
    assert back.tobytes() == values.tobytes()
    assert back.shape == values.shape


def test_big_endian_arrays_are_stored_little_endian():
    back = restored(column.fixed(np.array([1, 2, 3], dtype=">i4")))

    assert back.dtype.str == "<i4"
    assert back.tolist() == [1, 2, 3]


def test_a_masked_column_keeps_which_values_are_there():
    back = restored(column.masked(np.zeros((3, 2)), np.array([True, False, True])))

    assert np.ma.getmaskarray(back).tolist() == [[False, False], [True, True], [False, False]]


@given(st.lists(st.none() | st.text(st.characters(), max_size=8)))
def test_texts_come_back_and_none_is_not_the_empty_text(values):
    assert as_list(column.text(values)) == values


@given(st.lists(scalars, min_size=1))
def test_scalars_of_any_kind_come_back_with_their_types(values):
    back = as_list(column.outputs(values))

    unified = {int, float} in ({type(v) for v in values}, {type(v) for v in values} - {type(None)})
    for one, other in zip(values, back, strict=True):
        assert (type(one) is type(other)) or (unified and one == other)
        assert one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([True, False], "|b1"),
        ([1, 2], "<i8"),
        ([1, 2.5], "<f8"),
        ([1, 2.5, 1j], "<c16"),
        ([np.float32(1), np.float32(2)], "<f4"),
        ([np.uint8(1), None], "|u1"),
        ([np.float32(1), 2.0], "<f8"),
        ([None, 3], "<i8"),
    ],
)
def test_numbers_get_the_narrowest_dtype_that_keeps_them(values, dtype):
    assert column.outputs(values).description["dtype"] == dtype


def test_integers_that_a_float_cannot_hold_stay_integers_among_floats():
    values = [2**53 + 1, 0.5]

    assert as_list(column.outputs(values)) == values


def test_an_integer_beyond_64_bits_is_the_callers_to_refuse():
    with pytest.raises(OverflowError):
        column.outputs([2**63, 1])


def test_repeated_texts_are_stored_once():
    assert column.outputs(["sgd", None, "adam", "sgd", "sgd", "sgd"]).encoding == "category"
    assert as_list(column.outputs(["sgd", None, "adam", "sgd", "sgd", "sgd"]))[:3] == ["sgd", None, "adam"]
    assert column.outputs(["a", "b", "c"]).encoding == "text"


def test_none_for_every_variant_is_a_column_too():
    data = column.outputs([None, None])

    assert as_list(data) == [None, None]
    assert data.description["pool"] == column.NO_VALUES


def test_numpy_texts_are_texts():
    assert as_list(column.outputs([np.str_("a"), "b", "c"])) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "values",
    [
        [np.zeros((2, 3)), np.ones((2, 3))],
        [np.zeros((2, 3)), None],
        [np.arange(3), np.arange(5.0), None],
        [np.zeros((2, 3)), np.float64(1.0), np.zeros(0)],
        [np.array(["a", "bcd"]), np.array(["e", "f"])],
    ],
)
def test_arrays_of_equal_or_different_shapes_come_back(values):
    back = restored(column.outputs(values))

    for one, other in zip(values, back, strict=True):
        if one is None:
            assert other is None or np.ma.getmaskarray(other).all()
        else:
            assert other.shape == np.asarray(one).shape
            assert (other == one).all()


@pytest.mark.parametrize(
    "values", [[np.array(["a"]), np.array([1.0])], [np.array([object()])], [np.zeros(2), "text"], [object(), 1]]
)
def test_what_cannot_be_recorded_is_a_type_error(values):
    with pytest.raises(TypeError, match="cannot be recorded"):
        column.outputs(values)


pools = st.lists(
    st.one_of(
        scalars.filter(lambda v: not (isinstance(v, float) and math.isnan(v))),
        st.just(float("inf")),
        st.binary(max_size=3),
        st.dates(),
        st.tuples(st.integers(0, 9), st.text(max_size=2)),
        st.just(Named("relu")),
        st.just(PurePosixPath("a/b")),
        st.just(10**30),
    ),
    min_size=1,
    max_size=6,
)


@given(pools, st.data())
def test_a_category_keeps_its_values_and_their_types(pool, data):
    codes = data.draw(st.lists(st.integers(-1, len(pool) - 1), max_size=20))

    back = restored(column.category(pool, np.array(codes, dtype=np.int64), kind="parameter"))

    for code, value in zip(codes, back.values(), strict=True):
        expected = None if code < 0 else pool[code]
        assert value == expected
        assert isinstance(value, PurePosixPath) or type(value) is type(expected)


@pytest.mark.parametrize("n_pool", [254, 255, 256, 65_534, 65_535, 70_000])
def test_a_category_has_room_for_none_at_every_width_of_its_codes(n_pool):
    codes = np.arange(-1, n_pool)

    back = restored(column.category(list(range(n_pool)), codes))

    assert back.codes.tolist() == codes.tolist()


def test_only_the_used_part_of_a_pool_is_stored():
    data = column.category([f"value {i}" for i in range(10_000)], np.array([7, 7, -1, 3]))

    assert restored(data).pool == ("value 3", "value 7")
    assert restored(data).codes.tolist() == [1, 1, -1, 0]


def test_dates_and_nan_survive_in_mixed_outputs():
    back = as_list(column.outputs(["x", float("nan"), 1.5, dt.date(2020, 1, 2), None]))

    assert math.isnan(back[1])
    assert [back[0], *back[2:]] == ["x", 1.5, dt.date(2020, 1, 2), None]


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match="unknown column encoding"):
        decode({"encoding": "magic"}, 0, [])


def test_encoding_a_column_of_numbers_costs_no_python_work_per_row():
    pool, codes = list(np.linspace(0, 1, 100)), np.arange(200_000) % 100
    times = []
    for _ in range(5):
        start = time.perf_counter()
        column.category(pool, codes)
        column.fixed(codes)
        times.append(time.perf_counter() - start)

    assert min(times) / len(codes) < 0.2e-6
