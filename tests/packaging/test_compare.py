from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sciflow.packaging.compare import NEVER_COMPARED, compare_metric, compare_values
from sciflow.packaging.reproduce import compare_records
from sciflow.store.assembled import FLAGS
from sciflow.workflow.tolerance import Tolerance

EXACT = Tolerance(0.0, 0.0)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def verdict(old, new, tolerance=None) -> str:
    return compare_values(old, new, tolerance).verdict


@given(st.one_of(NUMBERS, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text(), st.none()))
def test_a_value_is_identical_with_itself(value) -> None:
    assert verdict(value, value, EXACT) == "identical"


@given(arrays(np.float64, st.tuples(st.integers(0, 4), st.integers(0, 4)), elements=NUMBERS))
def test_an_array_is_identical_with_a_copy_of_it(array) -> None:
    assert verdict(array, array.copy(), EXACT) == "identical"


@given(st.floats(-1e300, 1e300).filter(lambda x: abs(x) > 1e-300))
def test_a_unit_in_the_last_place_is_within_tolerance_and_a_thousandth_is_not(x: float) -> None:
    assert verdict(x, math.nextafter(x, math.inf)) == "within tolerance"
    assert verdict(x, x * (1 + 1e-3)) == "different"
    assert verdict(x, math.nextafter(x, math.inf), EXACT) == "different"


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1), st.floats(0, 10))
def test_a_declared_tolerance_is_what_it_says(old: float, new: float, rtol: float, atol: float) -> None:
    expected = old == new or abs(old - new) <= atol + rtol * abs(old)

    assert (verdict(old, new, Tolerance(rtol, atol)) != "different") == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (math.nan, 1.0),
        (1.0, math.nan),
        (math.inf, -math.inf),
        (math.inf, 1e308),
        (3, 4),
        (True, False),
        ("a", "b"),
        ("1", 1),
        (np.zeros(3), np.zeros(4)),
        (np.array(["2020-01-01"], "M8[ns]"), np.array(["2020-01-02"], "M8[ns]")),
        (None, 1.0),
        (2**60, 2**60 + 1),
    ],
)
def test_what_differs_is_different_whatever_the_default(old, new) -> None:
    assert verdict(old, new) == "different"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (math.nan, math.nan),
        (np.array([1.0, math.nan]), np.array([1.0, math.nan])),
        (0.0, -0.0),
        (3, 3.0),
        (np.array(["NaT"], "M8[ns]"), np.array(["NaT"], "M8[ns]")),
        (1 + 2j, 1 + 2j),
        (np.array(["a", "b"]), np.array(["a", "b"], dtype=object)),
    ],
)
def test_two_spellings_of_one_value_are_identical(old, new) -> None:
    assert verdict(old, new, EXACT) == "identical"


def test_an_element_near_zero_is_judged_by_the_largest_of_its_array() -> None:
    old = np.array([1.0, 1e-17])

    assert verdict(old, np.array([1.0, 3e-17])) == "within tolerance"
    assert verdict(1e-17, 3e-17) == "different"


def test_single_precision_is_given_its_own_rounding() -> None:
    old = np.float32(1.0)

    assert verdict(old, np.float32(1.000001)) == "within tolerance"
    assert verdict(old, np.float32(1.001)) == "different"


def test_differences_are_told_with_their_size_and_place() -> None:
    found = compare_values(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.5, 4.0]))

    assert (found.max_abs, found.max_rel) == (0.5, 0.125)
    assert found.words == "1 of 3 elements; at [1] 2.0 recorded, 2.5 now"


def test_the_verdict_of_a_metric_is_its_worst_and_names_the_variant() -> None:
    pairs = {"va": (1.0, 1.0), "vb": (1.0, 1.0 + 1e-12), "vc": (1.0, 2.0), "vd": (1.0, 1.5)}

    found = compare_metric("energy", pairs, None)

    assert (found.verdict, found.worst) == ("different", "vc")
    assert (found.n_identical, found.n_within, found.n_different, found.n_missing) == (1, 1, 2, 0)
    assert found.max_abs == 1.0
    assert "DIFFERENT" in str(found)
    assert "vc: 1.0 recorded, 2.0 now" in str(found)
    assert compare_metric("energy", {**pairs, "ve": (1.0, None)}, None).verdict == "missing"
    assert compare_metric("energy", pairs, Tolerance(1.0, 0.0)).verdict == "within tolerance"
    assert compare_metric("energy", {}, None).verdict == "identical"


def test_a_variant_that_failed_now_is_missing_even_where_nan_was_recorded() -> None:
    recorded = {"v1": {"y": float("nan"), "z": 1.0}, "v2": {"y": 2.0, "z": 2.0, "only_v2": 3.0}}

    failed = compare_records(recorded, {"v2": recorded["v2"]}, {})
    assert [one.verdict for one in failed] == ["missing"] * 3
    absent = {**recorded, "v1": {"z": 1.0}}
    for again in (recorded, absent):
        assert {one.verdict for one in compare_records(recorded, again, {})} == {"identical"}


def test_flags_and_facts_of_variants_are_no_metrics() -> None:
    assert set(FLAGS) | {"status", "attempt", "runtime_s", "failure"} <= NEVER_COMPARED
