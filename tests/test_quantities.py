from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import QuantityError, SciflowError
from sciflow.quantities import parse_bytes, parse_seconds, render_bytes, render_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("1.5 h", 5400),
        ("1 h 30 min", 5400),
        ("90m", 5400),
        ("45 s", 45),
        ("500 ms", 0.5),
        ("2 Days", 172800),
        ("02:00:00", 7200),
        ("00:30", 1800),
        ("1-12:00:00", 129600),
        (90, 90),
        (0.5, 0.5),
        (0, 0),
    ],
)
def test_a_duration_is_read_as_people_and_schedulers_write_it(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 fortnights", "-1 h", "1h,", "1:75", -1, math.inf, True, None])
def test_a_duration_that_is_not_understood_is_an_error_showing_it(text):
    with pytest.raises(QuantityError) as caught:
        parse_seconds(text)

    assert repr(text) in str(caught.value)
    assert isinstance(caught.value, SciflowError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("4 GiB", 4 * 2**30),
        ("8G", 8 * 2**30),
        ("500 MB", 500_000_000),
        ("1.5kb", 1500),
        ("10 B", 10),
        ("2TiB", 2**41),
        (1024, 1024),
    ],
)
def test_a_size_is_read_as_people_and_schedulers_write_it(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "4", "4 XB", "GiB", -1, math.nan, False])
def test_a_size_that_is_not_understood_is_an_error(text):
    with pytest.raises(QuantityError):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0012, "1.2 ms"),
        (0.25, "0.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (11520, "3 h 12 min"),
        (8 * 3600, "8 h 0 min"),
        (24 * 3600 - 1, "1 d 0 h"),
        (50 * 3600, "2 d 2 h"),
        (-120, "-2 min 0 s"),
        (math.inf, "inf"),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds, text):
    assert render_seconds(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (3.4 * 2**30, "3.4 GiB"),
        (2**60, "1024 PiB"),
    ],
)
def test_a_size_is_written_in_binary_units(n_bytes, text):
    assert render_bytes(n_bytes) == text


@given(st.floats(min_value=0.0001, max_value=1e7))
def test_a_written_duration_reads_back_within_its_rounding(seconds):
    # 0.15 s is written as 0.1 s or 0.2 s
    assert parse_seconds(render_seconds(seconds)) == pytest.approx(seconds, rel=0.34)
