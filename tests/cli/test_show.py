"""What commands print: JSON that other programs read, and values as people write them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sciflow.cli.show import render_value, to_json


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (math.nan, None),
        (np.float64("inf"), None),
        (np.array([1.5, math.nan]), [1.5, None]),
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        (Path("x"), "x"),
        (np.bool_(True), True),
    ],
)
def test_json_says_what_it_can(value: object, plain: object) -> None:
    assert to_json(value) == plain


def test_numbers_are_short_and_told_apart() -> None:
    assert (render_value(0.1 + 0.2), render_value(3), render_value("x")) == ("0.3", "3", "x")
