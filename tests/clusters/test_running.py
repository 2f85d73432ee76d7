"""Workers of a Dask scheduler that somebody else started: real `dask scheduler` and `dask worker` processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from distributed import Client

import sciflow
from sciflow.errors import SweepError
from sciflow.testing.clusters import assert_complete, await_that, calls_of, running

ENVIRONMENT = {**os.environ, "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "0"}


class Dask:
    """A scheduler and workers of this test's own."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.workers = []
        file = folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        await_that(lambda: file.exists() and file.read_text().endswith("}"), "the scheduler is up")
        self.address = json.loads(file.read_text())["address"]

    def add_worker(self):
        words = (self.address, "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard")
        worker = self._start("worker", *words, "--local-directory", str(self.folder))
        self.workers.append(worker)
        return worker

    def _start(self, *words):
        with (self.folder / "dask.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words], env=ENVIRONMENT, cwd=self.folder, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def kill(self, process):
        """SIGKILL, with the processes that it started."""
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.wait()

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def dask(tmp_path):
    folder = tmp_path / "dask"
    folder.mkdir()
    made = Dask(folder)
    yield made
    made.close()


def resting(folder, n, seconds=0.1):
    calls = str(folder / "calls")

    def rest(a):
        with Path(calls).open("a") as file:
            file.write(f"{a}\n")
        time.sleep(seconds)
        return {"square": a * a, "pid": os.getpid()}

    workflow = sciflow.ExperimentalWorkflow("running")
    workflow.add_task("rest", rest)
    workflow.add_parameter_space({"a": range(n)})
    return workflow


def run_on(cluster, workflow, folder):
    engine = sciflow.Engine(cluster, directory=folder, progress=False)
    return engine.execute_parameter_sweep(workflow).to_dataframe()


def test_a_sweep_runs_on_all_workers_and_leaves_the_scheduler_as_it_was(dask, tmp_path):
    dask.add_worker()
    dask.add_worker()
    with Client(dask.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)
        table = run_on(dask.address, resting(tmp_path, 40), tmp_path)
        plugins = client.run(lambda dask_worker: [name for name in dask_worker.plugins if "sciflow" in name])
        keys = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))

    assert_complete(table, 40)
    assert set(calls_of(tmp_path).values()) == {1}
    assert table["pid"].nunique() == 2
    assert list(plugins.values()) == [[], []]
    assert keys == []


def test_a_client_of_the_user_stays_open(dask, tmp_path):
    dask.add_worker()
    with Client(dask.address, set_as_default=False) as client:
        table = run_on(client, resting(tmp_path, 5), tmp_path)

        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    assert_complete(table, 5)


def test_workers_that_come_later_take_part_and_one_that_is_killed_loses_nothing(dask, tmp_path):
    first = dask.add_worker()
    engine = lambda **more: sciflow.Engine(dask.address, directory=tmp_path, progress=False, **more)  # noqa: E731
    with running(engine, resting(tmp_path, 120)) as run:
        run.await_done(5)
        dask.add_worker()
        await_that(lambda: run.n_done > 40, "there are more done")
        dask.kill(first)
        table = run.join()

    assert_complete(table, 120)
    assert table["pid"].nunique() >= 2
    # a batch, two seconds of work, that was done and whose answer was lost with the worker is done again by Dask
    assert calls_of(tmp_path).total() <= 120 + 2 + 20


def test_ctrl_c_leaves_what_is_done_and_the_workers_to_their_owner(dask, tmp_path):
    worker = dask.add_worker()
    script = tmp_path / "study.py"
    script.write_text(
        "import sciflow, sys, time\n"
        "def rest(a):\n    time.sleep(0.2)\n    return {'square': a * a}\n"
        "workflow = sciflow.ExperimentalWorkflow('stopped')\n"
        "workflow.add_task('rest', rest)\n"
        "workflow.add_parameter_space({'a': range(60)})\n"
        f"sciflow.Engine({dask.address!r}, directory={str(tmp_path)!r}).execute_parameter_sweep(workflow)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as driver:
        events = tmp_path / "stopped" / "events" / "000001.jsonl"
        await_that(lambda: events.exists() and events.read_text().count("batch.committed") >= 3, "some are done")
        driver.send_signal(signal.SIGINT)
        _, said = driver.communicate(timeout=60)

    statuses = Counter(sciflow.open_results(tmp_path / "stopped").to_dataframe()["status"])
    assert "run the same command again" in said
    assert 0 < statuses["done"] < 60
    assert worker.poll() is None
    again = subprocess.run([sys.executable, str(script)], cwd=tmp_path, timeout=120)
    assert again.returncode == 0
    assert set(sciflow.open_results(tmp_path / "stopped").to_dataframe()["status"]) == {"done"}


def test_an_address_where_nobody_listens_is_told_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr("sciflow.clusters.running.CONNECT_S", 1.0)

    with pytest.raises(SweepError, match=r"tcp://127\.0\.0\.1:9"):
        run_on("tcp://127.0.0.1:9", resting(tmp_path, 2), tmp_path)


def test_a_scheduler_without_workers_is_told_in_words(dask, tmp_path, monkeypatch):
    monkeypatch.setattr("sciflow.clusters.running.CONNECT_S", 1.0)

    with pytest.raises(SweepError, match="has had no worker for 1 s"):
        run_on(dask.address, resting(tmp_path, 2), tmp_path)
