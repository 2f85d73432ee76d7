"""A controller in jobs of PBS, whose programs are stood in for."""

from __future__ import annotations

import os
import signal

import pytest

import sciflow
from sciflow.batch.pbs import Pbs
from sciflow.engine.job import job_prefix
from sciflow.engine.submit import JobController
from sciflow.store.directory import SweepDirectory
from sciflow.testing.batch import await_that
from sciflow.testing.pbs import FakePbs


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    with FakePbs(tmp_path / "pbs") as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        yield pbs


def submit(folder, n):
    def task(a):
        import time

        time.sleep(0.2)
        return {"y": a}

    workflow = sciflow.ExperimentalWorkflow("chained")
    workflow.add_task("task", task)
    workflow.add_parameter_space({"a": range(n)})
    engine = sciflow.Engine(sciflow.LocalCluster(workers=2), directory=folder / "sweeps")
    path = os.environ["PATH"]
    # a job of PBS has the environment of a login
    return engine.submit(workflow, controller=JobController("pbs", walltime="1h", prologue=(f"PATH='{path}'",)))


def jobs(sweep):
    return Pbs().jobs(job_prefix(SweepDirectory.open(sweep.directory)))


def test_a_controller_that_is_killed_is_followed_by_the_next_and_nothing_is_left(tmp_path, pbs):
    sweep = submit(tmp_path, 60)
    await_that(lambda: sweep.status().n_done > 2, "the first job works")
    assert {job.phase for job in jobs(sweep).values()} == {"running", "waiting"}

    os.kill(sweep.status().driver.pid, signal.SIGKILL)
    status = sweep.wait(timeout=120)

    assert (status.state, status.n_done, status.controller.generation) == ("complete", 60, 2)
    await_that(lambda: not jobs(sweep), "the queue is empty")


def test_cancel_leaves_no_job(tmp_path, pbs):
    sweep = submit(tmp_path, 1000)
    await_that(lambda: sweep.status().n_done > 2, "the first job works")

    sweep.cancel()
    status = sweep.wait(timeout=120)

    assert status.controller.how == "cancelled"
    await_that(lambda: not jobs(sweep), "the queue is empty")
