"""Designs: drawn once from a seed, kept, stored, and continued."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from sciflow.errors import SpaceError
from sciflow.space import Axis, Grid, LatinHypercube, Random, Range, Sobol, Space

KINDS = [Random, LatinHypercube, Sobol]
RANGES = {
    "rate": Range(1e-4, 1e-1, scale="log", unit="1/s"),
    "width": (0.5, 2.0),
    "layers": Range(1, 8, integer=True),
    "power": Range(1, 1024, scale="log", integer=True),
    "act": ["relu", "tanh", None],
}


@pytest.mark.parametrize("kind", KINDS)
def test_points_lie_in_their_ranges_and_cover_them(kind):
    space = kind(RANGES, 512, seed=1)
    columns = space.columns()

    assert space.n_variants == 512
    assert (columns["rate"].min() >= 1e-4, columns["rate"].max() <= 1e-1) == (True, True)
    assert 0.3 < (columns["rate"] < math.sqrt(1e-5)).mean() < 0.7
    assert 0.3 < (columns["width"] < 1.25).mean() < 0.7
    assert set(columns["layers"]) == set(range(1, 9))
    assert columns["layers"].dtype == np.int64
    assert columns["power"].min() >= 1
    assert columns["power"].max() <= 1024
    assert 0.3 < (columns["power"] <= 32).mean() < 0.7
    assert set(columns["act"]) == {"relu", "tanh", None}
    assert space.parameters[0].unit == "1/s"
    assert space.axes is None
    assert set(space.ranges) == set(RANGES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_points(kind):
    assert kind(RANGES, 20, seed=1) == kind(RANGES, 20, 1)
    assert kind(RANGES, 20, seed=1) != kind(RANGES, 20, seed=2)
    assert kind({"a": (0.0, 1.0)}, 5, np.int64(3)) == kind(n=5, seed=3, a=(0.0, 1.0))


@pytest.mark.parametrize("kind", [Random, Sobol])
@pytest.mark.parametrize("n", [1, 2, 3, 13, 64])
def test_a_longer_design_of_the_same_seed_contains_the_shorter(kind, n):
    ranges = {"width": (0.5, 2.0), "layers": Range(1, 3, integer=True)}
    few = {"layers": Range(1, 3, integer=True), "act": ["x", "y"]}

    assert list(kind(ranges, 100, seed=7))[:n] == list(kind(ranges, n, seed=7))
    short = list(kind(few, n, seed=7))
    assert list(kind(few, 100, seed=7))[: len(short)] == short


@pytest.mark.parametrize("kind", KINDS)
def test_points_drawn_twice_are_kept_once(kind):
    space = kind({"layers": Range(1, 3, integer=True), "act": ["x", "y"]}, 200, seed=0)

    assert len(space) == len(set(space)) == 6
    assert space.find(space.take(np.arange(6))).tolist() == list(range(6))


@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_points_win_over_drawing_again(kind):
    data = kind(RANGES, 7, seed=1).to_dict()
    data["seed"] = 99
    stored = json.loads(json.dumps(data))
    back = Space.from_dict(stored)

    assert list(back) == list(kind(RANGES, 7, seed=1))
    assert back.to_dict() == stored
    assert "seed 99" in repr(back)


def test_other_values_are_not_found_in_a_design():
    space = Random(RANGES, 10, seed=1)
    first = dict(space[0])

    assert first in space
    for name, other in [("width", 9.0), ("width", "x"), ("layers", True), ("layers", 2**80), ("act", "selu")]:
        assert {**first, name: other} not in space
    assert {"width": first["width"]} not in space
    assert Space.from_dict(space.to_dict()).find(space.take(np.array([3, 1]))).tolist() == [3, 1]


def test_choices_may_be_an_axis_with_a_unit_or_any_list():
    space = Random({"t": Axis("t", [1.0, 2.0], unit="K"), "n": range(3), "m": np.array([5, 6])}, 100, seed=0)

    assert space.parameters[0].unit == "K"
    assert len(space) == 12
    assert Space.from_dict(space.to_dict()).parameters == space.parameters


def test_a_design_multiplies_and_filters_like_any_space():
    space = (Sobol({"a": (0.0, 1.0)}, 8, seed=0) * Grid(b=[1, 2])).where("a < 0.5")

    assert len(space) == 8
    assert list(space.columns()["b"]) == [1, 2] * 4


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Random({"a": (1, 8)}, 5, 0), r"write \(1.0, 8.0\) or Range\(1, 8, integer=True\)"),
        (lambda: Random({"a": ("x", "y")}, 5, 0), r"\(low, high\) for an interval, a list for choices"),
        (lambda: Random({"a": (1.0, 2.0, 3.0)}, 5, 0), "a list for choices"),
        (lambda: Random({"a": (True, 2.0)}, 5, 0), "a list for choices"),
        (lambda: Random({"a": "adam"}, 5, 0), r"write \['adam'\]"),
        (lambda: Random({"a": [1, 1.0]}, 5, 0), "more than once"),
        (lambda: Random({"a": []}, 5, 0), "no values"),
        (lambda: Random({"b": Axis("a", [1])}, 5, 0), "axis 'a' was given under the name 'b'"),
        (lambda: Random({"a": Axis("a", [1], default=1)}, 5, 0), "cannot declare a default"),
        (lambda: Random({"status": (0.0, 1.0)}, 5, 0), "reserved"),
        (lambda: Random({}, 5, 0), "at least one parameter"),
        (lambda: Random({"a": (0.0, 1.0)}), "at least 1, not 0"),
        (lambda: Random({"a": (0.0, 1.0)}, 1.5, 0), "at least 1, not 1.5"),
        (lambda: Random({"a": (0.0, 1.0)}, 10**7 + 1, 0), "at most 10,000,000 points"),
        (lambda: Random({"a": (0.0, 1.0)}, 5, -1), "a seed is a whole number"),
        (lambda: Random({"a": (0.0, 1.0)}, 5, None), "a seed is a whole number"),
        (lambda: Range(2.0, 1.0), "not below"),
        (lambda: Range(1.0, 1.0), "not below"),
        (lambda: Range(0.0, math.inf), "finite"),
        (lambda: Range(math.nan, 1.0), "finite"),
        (lambda: Range("a", 1.0), "numbers, not 'a'"),
        (lambda: Range(True, 2), "numbers, not True"),
        (lambda: Range(0.5, 2, integer=True), "whole"),
        (lambda: Range(0, 2**60, integer=True), "whole"),
        (lambda: Range(0.0, 1.0, "log"), "above 0"),
        (lambda: Range(0.1, 1.0, "cubic"), "'linear' or 'log'"),
    ],
)
def test_a_design_without_meaning_is_refused_with_what_to_do(make, told):
    with pytest.raises(SpaceError, match=told):
        make()


def test_scipy_is_imported_only_by_the_designs_that_need_it():
    code = "import sys, sciflow.space as s; s.Random({'a': (0.0, 1.0)}, 3, 0); sys.exit('scipy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
