"""Watching, waiting for and cancelling a sweep that another process drives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import click
import pytest

from sciflow.cli.options import Duration
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
from sciflow.store.sessions import cancel_requested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Sciflow


@pytest.fixture
def half(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> Path:
    """The directory of a sweep of which four of six variants are done."""
    sciflow("run", script(), "--only", "a > 1", "--quiet")
    return folder / "sweeps/squares"


@pytest.fixture
def driven(half: Path) -> Iterator[Session]:
    """The same with a driver that stops when it is asked to."""
    directory = SweepDirectory.open(half)
    session = Session.acquire(directory)
    over = threading.Event()

    def drive() -> None:
        while not over.wait(0.05):
            if cancel_requested(directory, session.number):
                session.end({"done": 0})
                return

    thread = threading.Thread(target=drive)
    thread.start()
    yield session
    over.set()
    thread.join()
    session.end()


def test_status_names_the_driver_at_work(half: Path, driven: Session, sciflow: Sciflow) -> None:
    state = json.loads(sciflow("status", "squares", "--json").stdout)

    assert (state["state"], state["driver"]["pid"], state["driver"]["session"]) == ("running", os.getpid(), 2)
    assert f"pid {os.getpid()}" in sciflow("status", "squares").stdout


def test_a_driver_that_died_is_told_with_what_to_do(half: Path, sciflow: Sciflow) -> None:
    code = (
        "import os, sys\nfrom sciflow.store.directory import SweepDirectory\nfrom sciflow.store.lease import Session\n"
        "Session.acquire(SweepDirectory.open(sys.argv[1]))\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(half)], check=False)

    text = sciflow("status", "squares").stdout
    assert "driver died" in text
    assert "run the script again" in " ".join(text.split())


def test_damage_is_told(half: Path, sciflow: Sciflow) -> None:
    (segment,) = (half / "segments").glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[-20] ^= 0xFF
    segment.write_bytes(content)

    assert segment.name in sciflow("status", "squares").stdout.replace("\n", "")


def test_cancel_asks_the_driver_and_says_what_happens(half: Path, driven: Session, sciflow: Sciflow) -> None:
    text = sciflow("cancel", "squares", "--wait").stdout

    assert text.startswith(f"the driver (host {os.uname().nodename}, pid {os.getpid()}) was asked to stop")
    assert "4 finished variants are kept" in text
    assert "the last driver ended well" in text


def test_nothing_is_cancelled_where_nobody_works(half: Path, sciflow: Sciflow) -> None:
    assert "there is nothing to cancel" in sciflow("cancel", "squares").stdout
    assert not cancel_requested(SweepDirectory.open(half), 1)


def test_wait_and_attach_exit_as_the_sweep_ended(half: Path, script: Callable[..., str], sciflow: Sciflow) -> None:
    for command in ("wait", "attach"):
        assert "2 missing" in sciflow(command, "squares", expect=1).stdout

    sciflow("run", "study.py", "--quiet")
    for command in ("wait", "attach", "watch"):
        assert "6 done" in sciflow(command, "squares").stdout

    sciflow("run", script(failing=1), "--on-stale", "rerun", "--quiet", expect=3)
    for command in ("wait", "attach"):
        assert "2 failed" in sciflow(command, "squares", expect=3).stdout


def test_waiting_has_an_end(half: Path, driven: Session, sciflow: Sciflow) -> None:
    assert "still runs" in sciflow("wait", "squares", "--timeout", "100 ms", expect=1).stderr
    assert "a while" in sciflow("wait", "squares", "--timeout", "a while", expect=2).stderr
    assert "still runs" in sciflow("wait", "squares", "--timeout", "0.1", expect=1).stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("1.5", 1.5), ("90s", 90), ("2h", 7200), ("1d", 86400), ("1 h 30 min", 5400)]
)
def test_durations_of_options_are_texts_or_seconds(text: str, seconds: float) -> None:
    assert Duration()(text) == seconds


@pytest.mark.parametrize("text", ["-1", "nan", "1e400", "soon", "", "inf"])
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration(0.1)(text)


def test_watching_a_sweep_into_a_file_gives_lines_until_it_ends(half: Path, driven: Session, sciflow: Sciflow) -> None:
    def stop() -> None:
        time.sleep(0.6)
        sciflow("cancel", "squares")

    thread = threading.Thread(target=stop)
    thread.start()
    lines = [json.loads(line) for line in sciflow("watch", "squares", "--json", "--every", "0.1").stdout.splitlines()]
    thread.join()

    assert [line["state"] for line in lines[:2]] == ["running", "running"]
    assert (lines[-1]["state"], lines[-1]["n_done"]) == ("stopped", 4)


def test_ctrl_c_leaves_a_watched_sweep_alone(half: Path, driven: Session, folder: Path) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "sciflow.cli.main", "watch", "squares"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert "4 done" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=60)

    assert (watching.returncode, said) == (0, "no longer watching; the sweep is left alone\n")
    assert not cancel_requested(SweepDirectory.open(half), driven.number)


def test_ctrl_c_in_a_run_shows_what_is_kept_and_no_traceback(script: Callable[..., str], folder: Path) -> None:
    name = script("""
import sciflow, time
def slow(a):
    time.sleep(0.05)
    return {"y": a}
workflow = sciflow.ExperimentalWorkflow("slow")
workflow.add_task("slow", slow)
workflow.add_parameter_space({"a": range(10_000)})
""")
    running = subprocess.Popen(
        [sys.executable, "-m", "sciflow.cli.main", "run", name, "--workers", "1"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(folder.glob("sweeps/slow/segments/*.seg")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)

    assert running.returncode == 1
    assert "finished variants are kept" in said
    assert "Traceback" not in said
