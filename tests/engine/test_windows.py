"""Windows of one minute, for real: what waits for one, and what is at work when one closes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import sciflow
from sciflow.analysis.follow import read_status

SCRIPT = """
import sys, time
import sciflow

def f(a):
    began = time.time()
    time.sleep(0.2)
    return {"began": began, "ended": time.time()}

name, n, hours = sys.argv[1:]
workflow = sciflow.ExperimentalWorkflow(name)
workflow.add_task("f", f)
workflow.add_parameter_space({"a": range(int(n))})
workflow.set_scheduling_policy(sciflow.OffPeak(hours, timezone="UTC") & sciflow.Priority("low"))
sciflow.Engine(sciflow.LocalCluster(workers=2)).execute_parameter_sweep(workflow)
"""


def clock(instant):
    return time.strftime("%H:%M", time.gmtime(instant))


@pytest.fixture
def start(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    processes = []

    def start(name, n, opens):
        hours = f"{clock(opens)}-{clock(opens + 60)}"
        command = [sys.executable, str(script), name, str(n), hours]
        processes.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def workers_of(driver):
    """Its processes, but for the one that Python keeps with the driver once it has spawned others."""
    workers = []
    for child in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if "resource_tracker" not in " ".join(child.cmdline()):
                workers.append(child)
    return workers


def until(says, timeout_s=90):
    deadline = time.monotonic() + timeout_s
    while not says():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_minute_opens_for_one_sweep_and_closes_for_another(start, tmp_path):
    if time.time() % 60 > 40:  # leave the one that works now some of its minute
        time.sleep(60 - time.time() % 60)
    change = (time.time() // 60 + 1) * 60
    working, waiting = start("working", 5000, change - 60), start("waiting", 20, change)
    sweeps = tmp_path / "sweeps"

    until((sweeps / "waiting/events/000001.jsonl").exists)
    until(lambda: read_status(sweeps / "waiting").waiting)
    assert f"waiting: window opens {clock(change)} UTC (in " in str(read_status(sweeps / "waiting"))

    until(lambda: time.time() > change and read_status(sweeps / "working").waiting)
    assert f"waiting: window opens {clock(change - 60)} UTC (in 23 h" in str(read_status(sweeps / "working"))
    until(lambda: not workers_of(working))  # none idles into peak hours
    working.send_signal(signal.SIGINT)
    _, said = working.communicate(timeout=60)
    assert "run the same command again" in said
    done = sciflow.open_results(sweeps / "working").to_dataframe().query("status == 'done'")
    assert 0 < len(done) < 5000
    assert done["ended"].max() <= change

    assert waiting.wait(timeout=90) == 0
    done = sciflow.open_results(sweeps / "waiting").to_dataframe()
    assert done["began"].min() >= change
    assert done["ended"].max() <= change + 60


def niceness_of_worker(a):
    import os

    return {"nice": os.getpriority(os.PRIO_PROCESS, 0), "child": os.nice(0)}


def test_workers_of_low_priority_yield_to_whatever_else_runs_here(tmp_path):
    workflow = sciflow.ExperimentalWorkflow("nice")
    workflow.add_task("niceness_of_worker", niceness_of_worker)
    workflow.add_parameter_space({"a": [1, 2]})
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    engine = sciflow.Engine(
        sciflow.LocalCluster(workers=1), directory=tmp_path, policy=sciflow.Priority("low"), progress=False
    )

    found = engine.execute_parameter_sweep(workflow).to_dataframe()

    assert set(found["nice"]) == set(found["child"]) == {max(10, mine)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine
