"""What status says of drivers, rates and damage."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sciflow.cli.show import render_value, to_json
from sciflow.cli.state import Driver, FailureGroup, State, describe, look_at
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Sciflow

ROOT = Path(__file__).parents[2]
STATE = State("w", "sweeps/w", 100, 60, 10, 30, 2.5, None, (), ())
DRIVER = Driver("node7", 123, "2026-01-01T00:00:00+00:00", "working", 1)


@pytest.fixture
def sweep(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> Path:
    """The directory of a finished sweep."""
    sciflow("run", script(), "--quiet")
    return folder / "sweeps/squares"


def test_a_running_sweep_has_a_rate_and_an_end() -> None:
    lines = describe(replace(STATE, driver=DRIVER)).splitlines()

    assert lines == [
        "w (sweeps/w)",
        "100 variants: 60 done, 10 failed, 30 missing",
        "2.5 variants/s in the last minute; about 12 s left",
        "a driver works on it: host node7, pid 123, since 2026-01-01T00:00:00+00:00",
    ]


def test_many_reasons_to_fail_still_fit_one_screen() -> None:
    groups = tuple(
        FailureGroup(9 - k, "fit", "ValueError", f"no {k}\nmore", "v0", "a = 1", "Traceback") for k in range(8)
    )

    lines = describe(replace(STATE, failures=groups)).splitlines()

    assert len(lines) < 24
    assert "9 failed in fit (a = 1): ValueError: no 0" in lines
    assert "and 3 further reasons" in lines


def test_a_sweep_that_nobody_has_begun_is_empty(tmp_path: Path) -> None:
    SweepDirectory.create_or_open(tmp_path / "w", "w", 0)

    state = look_at(tmp_path / "w")

    assert (state.n_variants, state.driver) == (0, None)
    assert "no driver has worked on it" in describe(state)


def test_a_driver_at_work_is_named_with_its_rate(sweep: Path) -> None:
    with Session.acquire(SweepDirectory.open(sweep)):
        state = look_at(sweep)

    assert state.driver is not None
    assert (state.driver.state, state.driver.pid) == ("working", os.getpid())
    assert state.rate == 0


def test_a_driver_that_died_is_told_from_one_that_ended(sweep: Path) -> None:
    code = f"""
import os
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
Session.acquire(SweepDirectory.open({str(sweep)!r}))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})

    text = describe(look_at(sweep))

    assert "the last driver died" in text
    assert "run the script again" in text


def test_a_driver_whose_heart_stopped_is_silent(sweep: Path) -> None:
    with Session.acquire(SweepDirectory.open(sweep), heartbeat_s=1000) as session:
        os.utime(sweep / f"sessions/{session.number:06d}.heartbeat", (0, 0))

        assert "no sign of life" in describe(look_at(sweep))


def test_damage_is_told(sweep: Path) -> None:
    (segment,) = (sweep / "segments").glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[-20] ^= 0xFF
    segment.write_bytes(content)

    assert str(segment) in describe(look_at(sweep))


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
