"""A handle on a sweep that another process drives."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import sciflow
from sciflow.engine.interrupt import quiet_interrupt
from sciflow.errors import FormatError
from sciflow.testing.sweeps import known_outcome_sweep

SCRIPT = """
import sys, time
import sciflow

def slow(a):
    time.sleep(0.05)
    return {"y": a}

workflow = sciflow.ExperimentalWorkflow("slow")
workflow.add_task("slow", slow)
workflow.add_parameter_space({"a": range(int(sys.argv[1]))})
results = sciflow.Engine(sciflow.LocalCluster(workers=1), progress=False).execute_parameter_sweep(workflow)
print("after the sweep")
"""


@pytest.fixture
def start(tmp_path):
    """Start the script in a process of its own; it is ended with the test."""
    (tmp_path / "study.py").write_text(SCRIPT)
    started = []

    def run(n):
        process = subprocess.Popen(
            [sys.executable, "study.py", str(n)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        while not (tmp_path / "sweeps/slow/sweep.json").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        return process, sciflow.attach(tmp_path / "sweeps/slow")

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(holds):
    while not holds():
        time.sleep(0.05)


def test_a_sweep_that_runs_elsewhere_is_seen_waited_for_and_read(start):
    process, sweep = start(40)
    until(lambda: sweep.status().n_done > 2)

    assert sweep.status().state == "running"
    assert 0 < sweep.results.status()["done"] <= 40
    with pytest.raises(TimeoutError, match="still runs"):
        sweep.wait(timeout=0.01)
    status = sweep.wait(timeout=60)

    assert (status.state, status.n_done) == ("complete", 40)
    assert sweep.results.get_metric({"a": 7}, "y") == 7
    assert process.communicate(timeout=60)[0] == "after the sweep\n"


def test_waiting_ends_when_the_driver_dies(start):
    process, sweep = start(10_000)
    until(lambda: sweep.status().n_done > 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    status = sweep.wait(timeout=60)

    assert (status.state, status.is_complete) == ("died", False)
    assert "nothing to cancel" in sweep.cancel()


def test_a_driver_that_is_asked_to_cancel_stops_and_keeps_what_is_finished(start):
    process, sweep = start(10_000)
    until(lambda: sweep.status().n_done > 2)

    said = sweep.cancel()
    assert f"pid {process.pid}) was asked to stop: it takes no new work" in said
    assert sweep.status().driver.cancel_requested or not sweep.status().is_driven
    status = sweep.wait(timeout=60)
    out, error = process.communicate(timeout=60)

    assert status.state == "stopped"
    assert 2 < status.n_done < 10_000
    assert sweep.results.status()["done"] == status.n_done
    assert "finished variants are kept" in error
    assert "Traceback" not in error
    assert out == ""


def test_ctrl_c_ends_a_sweeping_script_with_words_and_no_traceback(start):
    process, sweep = start(10_000)
    until(lambda: sweep.status().n_done > 2)

    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)

    assert process.returncode == -signal.SIGINT
    assert "To go on, run the same command again" in error
    assert "Traceback" not in error


def test_a_handle_shows_itself_and_travels_by_its_directory(tmp_path):
    known = known_outcome_sweep(tmp_path / "known")
    sweep = sciflow.attach(str(known.path))

    assert repr(sweep) == "<SweepHandle 'known_outcome': stopped, 14 of 18 done>"
    assert "14 done" in sweep._repr_html_()
    assert sweep.wait().n_done == 14
    assert pickle.loads(pickle.dumps(sweep)).directory == sweep.directory


def test_there_is_no_handle_on_what_is_no_sweep(tmp_path):
    with pytest.raises(FormatError, match=str(tmp_path)):
        sciflow.attach(tmp_path)


# ----------------------------------------------------------------------------------------------------------- interrupts


def interrupted(code):
    script = f"from sciflow.engine.interrupt import quiet_interrupt\n{textwrap.dedent(code)}"
    return subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)


def test_ctrl_c_ends_a_script_without_a_traceback_and_as_interrupted():
    ended = interrupted("""
        with quiet_interrupt():
            raise KeyboardInterrupt
    """)

    assert ended.stderr == ""
    assert ended.returncode == -signal.SIGINT


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError('other')"])
def test_errors_after_an_interrupt_that_was_caught_are_shown_as_ever(error):
    ended = interrupted(f"""
        try:
            with quiet_interrupt():
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        raise {error}
    """)

    assert "Traceback" in ended.stderr
    assert error.partition("(")[0] in ended.stderr


def test_who_catches_an_interrupt_sees_no_difference(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

    with pytest.raises(KeyboardInterrupt), quiet_interrupt():
        raise KeyboardInterrupt
