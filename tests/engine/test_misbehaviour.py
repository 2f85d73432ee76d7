"""Tasks that do to their process what nobody should: the sweep ends, and each costs itself alone."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

import sciflow
from sciflow.clusters.children import Children
from sciflow.clusters.local import LocalCluster
from sciflow.planning.batch import Batch

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def sweep(directory, *tasks, space=None, workers=2, resources=None, **engine):
    workflow = sciflow.ExperimentalWorkflow("w")
    for name, function, *options in tasks:
        workflow.add_task(name, function, **(options[0] if options else {}))
    workflow.add_parameter_space(space or {"k": range(10)})
    workflow.set_resource_requirements(resources or {})
    cluster = LocalCluster(workers=workers, dask_after_s=1e9)
    return sciflow.Engine(cluster, directory=directory, progress=False, **engine).execute_parameter_sweep(workflow)


def note(folder, what):
    """Say in a file, from whatever process, that something happened."""
    with (Path(folder) / "ledger").open("a") as ledger:
        ledger.write(f"{what}\n")


def noted(folder):
    path = Path(folder) / "ledger"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def is_there(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# ------------------------------------------------------------------------------------------- processes of a task


@pytest.mark.parametrize("end", ["well", "exit", "kill", "other program"])
@pytest.mark.parametrize("start", ["fork", "program"])
def test_a_process_that_a_task_leaves_behind_holds_nothing_up_and_is_ended(tmp_path, start, end):
    def f(k):
        if k != 3:
            return {"y": k}
        if start == "program":
            note(tmp_path, subprocess.Popen(["sleep", "60"], close_fds=False).pid)
        elif (child := os.fork()) == 0:
            time.sleep(60)
            os._exit(0)
        else:
            note(tmp_path, child)
        match end:
            case "exit":
                os._exit(5)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "other program":
                os.execv("/bin/sh", ["sh", "-c", "exit 4"])
        return {"y": k}

    results = sweep(tmp_path / "s", ("f", f))

    assert results.status()["done"] == (10 if end == "well" else 9)
    said = {"well": "", "exit": "exit status 5", "kill": "SIGKILL", "other program": "exit status 4"}[end]
    assert said in results.dataset["failure"].sel(k=3).item()
    assert noted(tmp_path)
    assert not any(is_there(int(pid)) for pid in noted(tmp_path))


class Stuck:
    """Work that holds the interpreter for ever."""

    is_spent = False

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, batch):
        note(self.folder, "begun")
        re.match("(a+)+$", "a" * 60 + "b")


def test_a_worker_that_holds_the_interpreter_does_not_keep_the_driver_with_a_long_batch(tmp_path):
    children = Children(1, cloudpickle.dumps(Stuck(tmp_path)), {}, queue.SimpleQueue())
    try:
        children.submit(Batch(1, np.arange(1), 1, 1.0))
        while not noted(tmp_path):
            time.sleep(0.01)
        submitting = threading.Thread(target=children.submit, args=(Batch(2, np.arange(10**6), 1, 1.0),), daemon=True)
        submitting.start()
        submitting.join(timeout=10)

        assert not submitting.is_alive()
    finally:
        children.close()


# ------------------------------------------------------------------------------------------- shared runs


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda error: type(error).__name__
)
def test_a_shared_run_that_wants_to_end_the_program_fails_its_variants_and_nothing_else(tmp_path, error):
    def prepare(a):
        if a == 1:
            raise error
        return a

    def use(prepare, k):
        return prepare + k

    space = {"a": [0, 1, 2], "k": range(4)}

    results = sweep(tmp_path / "s", ("prepare", prepare), ("use", use, {"depends_on": ["prepare"]}), space=space)

    assert results.status() == {"done": 8, "failed": 4, "missing": 0}
    failures = results.failures()
    assert failures[["type", "count", "separated_by"]].values.tolist() == [[type(error).__name__, 4, "a = 1"]]


def test_a_shared_task_that_did_not_run_is_missing_for_variants_on_every_worker(tmp_path):
    def prepare(a):
        note(tmp_path, a)
        time.sleep(0.2)
        return a

    def use(prepare, k):
        time.sleep(0.2)
        return prepare + k

    tasks = [("prepare", prepare, {"condition": "a != 1"}), ("use", use, {"depends_on": ["prepare"]})]
    space = {"a": [0, 1], "k": range(8)}

    results = sweep(tmp_path / "s", *tasks, space=space)

    assert results.status()["done"] == 16
    assert noted(tmp_path) == ["0"]
    assert results.dataset["use"].isnull().values.tolist() == [[False] * 8, [True] * 8]


def test_a_loop_that_holds_the_interpreter_is_ended_from_outside(tmp_path):
    def f(k):
        return k == 7 and sum(range(10**12))

    results = sweep(tmp_path / "s", ("f", f, {"timeout": "2 s"}))

    assert results.status() == {"done": 9, "failed": 1, "missing": 0}
    assert results.failures()["cause"].tolist() == ["timeout"]
