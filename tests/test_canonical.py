"""Which values are one value, what identities they make, and how they are kept as plain data."""

from __future__ import annotations

import datetime as dt
import json
import math
import pathlib
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from sciflow import canonical
from sciflow.canonical import Named, canonical_text, from_plain, identity_key, normalize, plain, variant_id
from sciflow.errors import SpaceError
from sciflow.space import Grid, Variant
from sciflow.testing.strategies import values, variants

UTC = dt.UTC
GOLDEN = pathlib.Path(__file__).parent / "golden" / "variant_ids.json"


def golden() -> list[dict]:
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("entry", golden(), ids=lambda entry: entry["about"])
def test_an_identity_may_never_change(entry):
    # these ids are in people's sweep directories and papers: never regenerate this file to make the test pass
    parameters = {name: from_plain(value) for name, value in entry["parameters"].items()}

    assert canonical.identity_text(parameters) == entry["text"]
    assert variant_id(parameters) == Variant(parameters).id == entry["id"]
    assert next(iter(Grid({name: [value] for name, value in parameters.items()}))).id == entry["id"]


ONE_VALUE = [
    (1, 1.0, np.int64(1), np.float32(1), np.uint8(1), np.array(1)),
    (0, -0.0, 0.0, np.float64(-0.0)),
    (2**70, float(2**70), np.float64(2**70)),
    (0.5, np.float16(0.5), np.longdouble(0.5)),
    (math.inf, np.float64(math.inf)),
    (True, np.True_),
    ("x", np.str_("x")),
    (b"x", np.bytes_(b"x"), bytearray(b"x")),
    ((1, 2), [1, 2], (1.0, np.int8(2))),
    ((), []),
    ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
    (pathlib.PurePosixPath("a/b"), pathlib.Path("a/b"), pathlib.PurePosixPath("a//b")),
    (np.array([1, 2]), np.array([1.0, 2.0]), np.array([1, 2], dtype=object), np.array([1, 2], dtype=">i2")),
    (np.array([[1, 2]]), np.array([[1.0, 2.0]])),
    (dt.datetime(2024, 1, 1, 12, tzinfo=UTC), dt.datetime(2024, 1, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))),
    (dt.datetime.fromisoformat("2024-01-01"), np.datetime64("2024-01-01T00:00"), np.datetime64("2024-01-01", "ns")),
    (dt.date(2024, 1, 1), np.datetime64("2024-01-01"), np.datetime64("2024")),
    (Named("relu", 1), Named("relu", 2)),
    (None,),
]


@pytest.mark.parametrize("alike", ONE_VALUE, ids=lambda alike: repr(alike[0]))
def test_these_are_one_value(alike):
    assert len({canonical_text(value) for value in alike}) == 1
    assert len({identity_key(normalize(value)) for value in alike}) == 1


def test_no_two_of_these_are_one_value():
    firsts = [
        *(alike[0] for alike in ONE_VALUE),
        False, "", "1", "true", "null", b"", -math.inf, "inf", -1, 2**70 + 1, 0.1, 0.1 + 1e-17 + 1e-16,
        "a/b", {"$path": "a/b"}, {"$$path": "a/b"}, {"$": 1}, {"path": "a/b"}, {"$float": "inf"}, {}, {"relu": 1},
        (1, (2,)), ((1, 2),), (1, 2, None), np.array([2, 1]), np.array([1, 2, 3]), np.array([], dtype=int),
        np.empty((0, 2)), np.array(["1", "2"]), np.array([True, False]), "relu", Named("tanh"), {"$named": "relu"},
        dt.datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01", dt.date(2024, 1, 2), 2**9000, 2**9000 + 1,
    ]  # fmt: skip

    assert len({canonical_text(value) for value in firsts}) == len(firsts)
    assert len({identity_key(normalize(value)) for value in firsts}) == len(firsts)


@given(values(), values())
def test_the_text_and_the_key_agree_on_what_is_one_value(one, other):
    alike = canonical_text(one) == canonical_text(other)

    assert alike == (identity_key(normalize(one)) == identity_key(normalize(other)))
    assert canonical_text(one).isascii()


@given(values())
def test_a_value_survives_plain_data_with_its_type(value):
    kept = normalize(value)
    back = from_plain(json.loads(json.dumps(plain(value), allow_nan=False)))

    assert canonical_text(back) == canonical_text(value) == canonical_text(kept)
    assert type(back) is type(kept)
    assert plain(back) == plain(value)
    if isinstance(kept, np.ndarray):
        assert back.dtype == kept.dtype


@given(variants())
def test_an_identity_does_not_depend_on_the_order_of_names(given):
    backwards = dict(reversed(given.items()))

    assert Variant(given).id == Variant(backwards).id == variant_id(Variant(given))
    assert Variant(given) == Variant(backwards) == backwards


def test_values_keep_their_python_type_and_cannot_be_changed():
    array = np.array([1, 2])
    kept = normalize({"a": [1.0, np.int64(2)], "b": array, "c": -0.0})

    assert type(kept["a"][0]) is float
    assert type(kept["a"][1]) is int
    assert math.copysign(1, kept["c"]) == 1
    array[0] = 9
    assert kept["b"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        kept["b"][0] = 9
    for change in (lambda: kept.update(a=1), lambda: kept.pop("a"), lambda: kept.__setitem__("a", 1)):
        with pytest.raises(TypeError, match="copy this one"):
            change()
    assert pickle.loads(pickle.dumps(kept)).keys() == kept.keys()
    assert hash(normalize({"a": 1})) == hash(normalize({"a": 1.0}))


class Timestamp(dt.datetime):
    nanosecond = 1


class NotATime(dt.datetime):
    def __ne__(self, other):
        return True


SELF_HOLDING: list = []
SELF_HOLDING.append(SELF_HOLDING)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (math.nan, "NaN is not a value"),
        (np.float32("nan"), "NaN is not a value"),
        (np.longdouble("nan"), "NaN is not a value"),
        ([1, [math.nan]], "NaN is not a value"),
        ({"a": math.nan}, "NaN is not a value"),
        (np.array([1, math.nan]), "array with NaN"),
        (np.datetime64("NaT"), "NaT is not a value"),
        (NotATime(2024, 1, 1), "NaT is not a value"),
        (Timestamp(2024, 1, 1), "nanoseconds"),
        (np.datetime64("2024-01-01T00:00:00.000000001"), "nanoseconds"),
        (np.longdouble(1) / 3, "more digits"),
        (Fraction(1, 2), r"fractions\.Fraction.*sciflow\.Named"),
        (1j, r"complex.*sciflow\.Named"),
        (np.complex64(1), r"sciflow\.Named"),
        (np.timedelta64(1, "s"), r"sciflow\.Named"),
        (np.array([1j]), r"dtype complex128.*sciflow\.Named"),
        (len, r"builtin_function_or_method.*sciflow\.Named"),
        ({1}, r"set.*sciflow\.Named"),
        (object(), "object"),
        ("x" * 100 and type("Long", (), {"__repr__": lambda _: "y" * 100})(), r"yyy\.\.\."),
        ({1: 2}, "keys are texts"),
        (SELF_HOLDING, "contains itself"),
    ],
)
def test_what_has_no_identity_is_refused_with_a_remedy(value, told):
    with pytest.raises(SpaceError, match=told):
        normalize(value)
    with pytest.raises(SpaceError, match="parameter 'lr': "):
        normalize(value, name="lr")
    with pytest.raises(SpaceError):
        canonical_text(value)


def test_subclasses_of_numbers_and_texts_become_the_plain_ones():
    import enum

    class Level(enum.IntEnum):
        HIGH = 3

    class Colour(enum.StrEnum):
        RED = "red"

    assert type(normalize(Level.HIGH)) is int
    assert type(normalize(Colour.RED)) is str
    assert normalize(Colour.RED) == "red"
    assert type(normalize(np.float64(0.5))) is float


def test_arrays_of_times_are_kept_to_the_microsecond():
    times = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ns]")

    assert normalize(times).dtype == "datetime64[us]"
    assert canonical_text(times) == canonical_text(times.astype("datetime64[s]"))
    assert from_plain(plain(times)).tolist() == times.astype("datetime64[us]").tolist()


def test_a_named_value_carries_its_object_to_the_task_and_its_name_to_the_files():
    named = Named("relu", max)

    assert (named.name, named.value, repr(named)) == ("relu", max, "Named('relu')")
    assert pickle.loads(pickle.dumps(named)).value is max
    assert from_plain(plain(named)) == named
    assert from_plain(plain(named)).value is None
    assert {named: 1}[Named("relu")] == 1
    assert named != "relu"
    with pytest.raises(SpaceError, match="not empty"):
        Named("")


@pytest.mark.parametrize("value", [2**9000, -(2**9000), np.array([1, "x", None], dtype=object), np.float32([0.5])])
def test_long_integers_and_arrays_of_any_dtype_survive_plain_data(value):
    back = from_plain(json.loads(json.dumps(plain(value))))

    assert canonical_text(back) == canonical_text(value)
    if isinstance(value, np.ndarray):
        assert (back.dtype, back.shape, back.tolist()) == (value.dtype, value.shape, value.tolist())


def test_a_tag_of_a_newer_release_is_refused():
    with pytest.raises(SpaceError, match=r"'\$quaternion'"):
        from_plain({"$quaternion": [1, 2, 3, 4]})


def test_the_digest_of_data_does_not_depend_on_the_order_of_names():
    assert canonical.content_digest({"a": 1, "b": [2]}) == canonical.content_digest({"b": [2], "a": 1})
    assert len(canonical.content_digest(None)) == 64


def test_a_float_that_is_not_normalized_is_still_refused_if_it_is_nan():
    with pytest.raises(SpaceError, match="NaN"):
        canonical_text(math.nan)
    with pytest.raises(SpaceError, match="NaN"):
        canonical_text((math.nan,))
