"""What a status looks like: complete in a wide terminal, readable in a narrow one."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sciflow.analysis.status import ControllerStatus, DriverStatus, Status, TimeLeft, WorkerStatus
from sciflow.analysis.tally import FailedVariant, FailureGroup
from sciflow.cli.screen import Screen
from sciflow.events import Event

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.mktime((2026, 3, 4, 14, 0, 0, 0, 0, -1))
DRIVER = DriverStatus(1, "node7", 123, NOW - 600, "alive", None, cancel_requested=False)
CONTROLLER = ControllerStatus(1, "process", "ended", "node7", 9, NOW - 900, "LOG", how="failed", message="no")
STATUS = Status(
    workflow="ising",
    path="sweeps/ising",
    time=NOW,
    n_variants=1000,
    n_done=600,
    n_failed=3,
    n_stale=0,
    n_missing=397,
    n_running=2,
    n_left=397,
    rate=2.5,
    left=TimeLeft(158.8, 140.0, 200.0),
    why_unknown="",
    utilisation=0.93,
    driver=DRIVER,
    waiting="",
    n_workers=2,
    workers=(
        WorkerStatus("node7", 41, 300, 2**28, "anneal", "v1", {"size": 64, "temperature": 2.25}, 12.0, 0.4),
        WorkerStatus("node7", 42, 303, 2**28),
    ),
    n_reasons=1,
    failures=(
        FailureGroup(
            3,
            "exception",
            "anneal",
            "ValueError",
            "no\n[red]convergence[/red]",
            "ValueError at ising.py:anneal:3",
            "Traceback",
            FailedVariant("vabc", {"size": 8, "temperature": 0.1}, "node9"),
        ),
    ),
    events=(Event("variant.failed", NOW - 60, {"cause": "exception", "task": "anneal", "message": "no"}),),
    problems=(),
)


def drawn(status: Status, width: int = 100, *, whole: bool = True, height: int = 40, encoding: str = "utf-8") -> str:
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=buffer, width=width, height=height, highlight=False, legacy_windows=False)
    console.print(Screen(console, whole=whole).draw(status))
    buffer.seek(0)
    return "\n".join(line.rstrip() for line in buffer.read().splitlines())


def test_a_running_sweep_fits_one_screen() -> None:
    bar = "━" * 56 + "━" + "─" * 36  # a failed variant has a cell, however few there are
    assert drawn(STATUS) == "\n".join(
        [
            "ising" + " " * 86 + "● running",
            "sweeps/ising",
            "",
            bar + " 60.3 %",
            "1,000 variants: 600 done, 3 failed, 397 missing (2 running)",
            "",
            "rate       2.5 variants/s",
            "time left  about 2 min 39 s (2 min 20 s to 3 min 20 s); ends at 14:02:38",
            "workers    2, busy 93% of the time",
            "driver     at work for 10 min 0 s (host node7, pid 123)",
            "",
            "Failures",
            "3 exception in anneal: ValueError: no",
            "  such as vabc · size=8, temperature=0.1 · on node9",
            "",
            "Workers",
            "41  anneal for 12 s, 40%   size=64, temperature=2.25",
            "42  303 finished, 256 MiB",
            "",
            "Latest",
            "13:59:00 first exception in anneal: no",
        ]
    )


@given(
    width=st.integers(20, 200),
    whole=st.booleans(),
    status=st.builds(
        replace,
        st.just(STATUS),
        n_done=st.integers(0, 10**6),
        n_stale=st.integers(0, 10**6),
        n_missing=st.integers(0, 10**9),
        workflow=st.text(max_size=300),
        waiting=st.text(max_size=300),
        problems=st.tuples(st.text(max_size=300)),
        driver=st.sampled_from([None, *(replace(DRIVER, life=life) for life in ("alive", "silent", "died", "ended"))]),
        left=st.sampled_from([None, STATUS.left, TimeLeft(1e300, 5.0, float("inf"))]),
    ),
)
def test_no_line_is_wider_than_the_terminal_whatever_it_says(width: int, whole: object, status: Status) -> None:
    from rich.cells import cell_len

    lines = drawn(status, width, whole=bool(whole)).splitlines()

    assert max(map(cell_len, lines)) <= width


def test_in_a_narrow_terminal_counts_and_numbers_stay_whole() -> None:
    lines = drawn(STATUS, 48, whole=False).splitlines()

    assert any(line.startswith("3 exception in anneal") for line in lines)
    assert any(line.startswith("time left  about 2 min 39 s") and line.endswith("…") for line in lines)
    assert any(line.startswith("41  anneal for 12 s, 40%") for line in lines)


@pytest.mark.parametrize("height", [16, 24, 40])
def test_a_watched_screen_leaves_room_for_what_matters(height: int) -> None:
    crowd = tuple(replace(STATUS.workers[0], pid=pid) for pid in range(500))
    many = replace(
        STATUS, workers=crowd, n_workers=500, failures=STATUS.failures * 20, n_reasons=20, events=STATUS.events * 12
    )

    lines = drawn(many, whole=False, height=height).splitlines()

    assert len(lines) <= height
    assert "ising" in lines[0]
    assert any("time left" in line for line in lines)


def test_the_markup_and_control_characters_of_messages_are_shown_as_text() -> None:
    group = replace(STATUS.failures[0], message="[red]no[/red] \x1b[2J convergence")

    assert "ValueError: [red]no[/red]  [2J convergence" in drawn(replace(STATUS, failures=(group,)))


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = drawn(replace(STATUS, waiting="bis 22:00 für alle"), encoding="ascii", whole=False, width=60)

    assert text.isascii()
    assert "===" in text
    assert "x..." in text


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    nearly = replace(STATUS, n_variants=10**6, n_done=10**6 - 4, n_missing=1, n_left=1)
    hardly = replace(STATUS, n_variants=10**6, n_done=0, n_failed=1, n_missing=10**6 - 1)

    assert " 99.9 %" in drawn(nearly)
    assert " 0.1 %" in drawn(hardly)
    assert " 100 %" in drawn(replace(nearly, n_done=10**6 - 3, n_missing=0, n_left=0))


def test_the_log_of_a_failed_variant_is_named_when_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/vabc.log").touch()

    assert f"log: {tmp_path}/logs/vabc.log" in drawn(replace(STATUS, path=str(tmp_path)), width=300)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"waiting": "window opens 22:00", "left": None, "rate": None},
            "waiting: window opens 22:00; 600 of 1,000 done",
        ),
        ({"left": None, "rate": None, "why_unknown": "too few"}, "time left  unknown: too few"),
        ({"driver": replace(DRIVER, life="died")}, "run the script again to go on"),
        ({"driver": replace(DRIVER, life="silent")}, "no sign of life"),
        (
            {"driver": replace(DRIVER, life="ended", ended=NOW)},
            "none; the last ended well, 2026-03-04 13:50 after 10 min",
        ),
        ({"driver": replace(DRIVER, cancel_requested=True)}, "it was asked to stop"),
        ({"driver": None}, "none has worked on it"),
        ({"n_stale": 5}, "5 stale"),
        ({"n_variants": 1}, "1 variant: "),
        ({"left": TimeLeft(2 * 86400, 86400, 9e9)}, "ends at Fri 06 Mar 14:00"),
    ],
)
def test_what_is_unusual_is_said(change: dict[str, object], says: str) -> None:
    assert says in drawn(replace(STATUS, **change), width=140)


@pytest.mark.parametrize(
    ("change", "headline", "share"),
    [
        ({}, "✔ complete", "100 %"),
        ({"n_done": 990, "n_failed": 10}, "! complete, 10 failed", "100 %"),
        ({"n_done": 1000 - 108, "n_stale": 108, "n_undone": 108}, "■ stopped", "89.2 %"),
        ({"n_undone": 400, "driver": replace(DRIVER, life="died")}, "✖ driver died", "60.0 %"),
        ({"controller": CONTROLLER}, "✖ controller failed", "100 %"),
        ({"controller": replace(CONTROLLER, how="", state="died")}, "✖ controller died", "100 %"),
        ({"controller": replace(CONTROLLER, how="cancelled")}, "■ stopped", "100 %"),
        ({"controller": replace(CONTROLLER, how="finished")}, "✔ complete", "100 %"),
    ],
)
def test_a_sweep_is_complete_only_if_what_was_asked_last_is_done(
    change: dict[str, object], headline: str, share: str
) -> None:
    whole = {"n_done": 1000, "n_failed": 0, "n_missing": 0, "n_left": None, "driver": replace(DRIVER, life="ended")}
    lines = drawn(replace(STATUS, **{**whole, **change})).splitlines()

    assert lines[0].endswith(headline)
    assert lines[3].endswith(share)
