"""Real deaths, stops, full disks and races of real sweeps: nothing committed is lost, mislabelled or in the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

import sciflow

ROOT = Path(__file__).parents[2]

SWEEP = """
import os, sys, time
import sciflow

def work(a):
    with open("ledger", "ab", buffering=0) as ledger:
        ledger.write(b"%d\\n" % a)
    fault(a)
    time.sleep({seconds})
    return {{"y": a * a, "text": f"<{{a}}>"}}

def fault(a):
    {fault}

workflow = sciflow.ExperimentalWorkflow("faults")
workflow.add_task("work", work{options})
workflow.add_parameter_space({{"a": range({n})}})
engine = sciflow.Engine({cluster}, progress=False)
print(engine.execute_parameter_sweep(workflow).status())
"""

HOOK = """
import os, sys
from sciflow.testing.deadly import DeadlyCalls
sys.modules["deadly"] = CALLS = DeadlyCalls()
"""


def script(folder, *, n=200, fault="pass", seconds=0.001, cluster="sciflow.LocalCluster(workers=2)", options=""):
    text = SWEEP.format(n=n, fault=fault, seconds=seconds, cluster=cluster, options=options)
    (folder / "sweep.py").write_text(text)
    return [sys.executable, "sweep.py"]


def environment(folder, hook=""):
    """Variables under which every Python of the sweep first runs *hook*."""
    (folder / "hook").mkdir(exist_ok=True)
    (folder / "hook" / "sitecustomize.py").write_text(textwrap.dedent(hook))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "hook"), str(ROOT)])}


def look(folder):
    return sciflow.open_results(folder / "sweeps" / "faults")


def check(folder, n=200, *, failed=()):
    """Every value belongs to its variant, and only the expected ones have none."""
    results = look(folder)
    table = results.to_dataframe()
    assert table["a"].tolist() == list(range(n)), "each variant once"
    done = table[table["status"] == "done"]
    assert done["a"].tolist() == [a for a in range(n) if a not in failed]
    assert (done["y"] == done["a"] ** 2).all()
    assert (done["text"] == "<" + done["a"].astype(str) + ">").all()
    return results


def runs(folder):
    return Counter(map(int, (folder / "ledger").read_text().split()))


# ------------------------------------------------------------------------------------------- deaths at named steps


def test_a_worker_killed_at_every_step_of_a_commit_loses_nothing(tmp_path):
    # variants 10, 20, ... arm their worker: it dies at the k-th file operation from then on, before it or half way
    fault = """
    import deadly
    k = a // 10 - 1
    if a and a % 10 == 0 and k < 16 and not os.path.exists(f"armed-{a}"):
        open(f"armed-{a}", "x").close()
        deadly.arm(k // 2, torn=bool(k % 2))
    """
    command = script(tmp_path, fault=textwrap.indent(textwrap.dedent(fault), "    ").strip(), seconds=0.01)
    hook = environment(tmp_path, HOOK)

    done = subprocess.run(command, cwd=tmp_path, env=hook, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    check(tmp_path)
    armed = len(list(tmp_path.glob("armed-*")))
    logs = (path.read_text() for path in (tmp_path / "sweeps/faults/events").iterdir())
    events = [json.loads(line) for log in logs for line in log.splitlines()]
    assert armed == 16
    assert sum(event["name"] == "worker.lost" for event in events) >= 8


def test_a_driver_killed_at_its_file_operations_one_after_another_is_followed_by_one_that_finishes(tmp_path):
    fault = """
    import deadly
    """
    command = script(tmp_path, n=60, fault=fault.strip(), seconds=0.0, cluster='"inline"')
    hook = environment(tmp_path, HOOK + "CALLS.arm(int(os.environ['K']), torn=int(os.environ['K']) % 2 == 1)\n")
    seen, deaths = 0, 0
    for k in range(3, 400, 5):
        done = subprocess.run(
            command, cwd=tmp_path, env={**hook, "K": str(k)}, capture_output=True, text=True, timeout=60
        )
        if (tmp_path / "sweeps" / "faults" / "definition" / "000001.json").exists():
            now = look(tmp_path).status()["done"]
            assert now >= seen
            seen = now
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        deaths += 1
    else:
        pytest.fail("no driver got through")

    assert deaths >= 5
    check(tmp_path, 60)


# ------------------------------------------------------------------------------------------- stops, races, clocks


def test_a_driver_that_slept_beyond_its_lease_changes_nothing_that_a_reader_sees(tmp_path):
    command = script(tmp_path, n=300, seconds=0.02)
    sleeper = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "ledger").exists():
        time.sleep(0.02)
    time.sleep(0.6)
    processes = [psutil.Process(sleeper.pid), *psutil.Process(sleeper.pid).children(recursive=True)]
    for process in processes:
        process.suspend()

    successor = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    before = check(tmp_path, 300).to_dataframe()
    for process in processes:
        process.resume()
    _, said = sleeper.communicate(timeout=60)
    psutil.wait_procs(processes, timeout=30)

    assert successor.returncode == 0, successor.stderr
    assert sleeper.returncode != 0
    assert "another driver took over" in said
    after = check(tmp_path, 300).to_dataframe()
    assert after.equals(before)


def test_of_five_drivers_at_once_one_runs_and_the_others_say_who(tmp_path):
    command = script(tmp_path, n=100, seconds=0.1)
    drivers = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    said = [driver.communicate(timeout=120) for driver in drivers]

    winners = [out for out, _ in said if out]
    assert len(winners) == 1, said
    assert all("another driver works on" in err for out, err in said if not out)
    check(tmp_path, 100)
    assert set(runs(tmp_path).values()) == {1}


JUMPING = """
import itertools, os, time
real, calls = time.time, itertools.count()
time.time = lambda: real() + (0 if next(calls) < 60 else {jump})
"""


@pytest.mark.parametrize("jump", [10_000.0, -10_000.0], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_by_hours_costs_nothing_and_breaks_no_limit(tmp_path, jump):
    command = script(tmp_path, n=100, seconds=0.03, options=', timeout="60 s"')
    hook = environment(tmp_path, JUMPING.format(jump=jump))

    done = subprocess.run(command, cwd=tmp_path, env=hook, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    check(tmp_path, 100)
    assert set(runs(tmp_path).values()) == {1}
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60).returncode == 0


# ------------------------------------------------------------------------------------------- disks

FAILING = """
import errno, os
real, left = os.writev, [3]
def writev(descriptor, buffers):
    left[0] -= 1
    if left[0] == 0:
        if {torn}:
            os.write(descriptor, bytes(buffers[0])[:10])
        raise OSError({error}, os.strerror({error}))
    return real(descriptor, buffers)
os.writev = writev
"""


@pytest.mark.parametrize("error", ["errno.ENOSPC", "errno.EIO"])
@pytest.mark.parametrize("torn", [False, True])
def test_a_write_that_fails_ends_the_sweep_with_its_path_and_the_next_call_goes_on(tmp_path, error, torn):
    command = script(tmp_path, n=100, seconds=0.02)
    hook = environment(tmp_path, FAILING.format(error=error, torn=torn))

    failed = subprocess.run(command, cwd=tmp_path, env=hook, capture_output=True, text=True, timeout=120)

    assert failed.returncode == 1
    assert "cannot write" in failed.stderr
    assert ".seg" in failed.stderr
    before = look(tmp_path).status()["done"]
    assert 0 < before < 100
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    check(tmp_path, 100)


def test_a_loop_that_holds_the_interpreter_is_ended_from_outside(tmp_path):
    fault = "a == 7 and sum(range(10**12))"
    command = script(tmp_path, n=50, fault=fault, options=', timeout="2 s"')

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    results = check(tmp_path, 50, failed={7})
    assert results.failures()["cause"].tolist() == ["timeout"]
