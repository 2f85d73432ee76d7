# ruff: noqa: D102  the name of a test is its sentence
"""The contract of clusters whose workers come with jobs, as sweeps that are looked at from outside.

A test class inherits `JobClusterContract` and says how a cluster is made, and what the batch system's own programs say
of its jobs; the object itself is never asked::

    class TestSlurm(JobClusterContract):
        def cluster(self, **options):
            return SlurmCluster(interface="lo", **options)

        def listed(self):
            return squeue()

        def cancel(self, job_id):
            subprocess.run(["scancel", job_id])
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sciflow.engine.engine import Engine
from sciflow.errors import SweepError
from sciflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from sciflow.clusters.batch import BatchCluster
    from sciflow.events import Event

AWHILE_S = 90.0

LEAVE_S = 60.0
"""Workers whose driver is lost leave within so long, and their jobs with them."""


@dataclass(frozen=True)
class Listed:
    """A job, as the batch system's own programs list it."""

    job_id: str
    name: str
    cores: int
    is_running: bool
    node: str = ""

    @property
    def is_worker(self) -> bool:
        """Whether its name is that of a worker's job of some sweep."""
        return self.name.startswith("sf-") and "-w" in self.name


def await_that(holds: Callable[[], Any], what: str, within_s: float = AWHILE_S) -> Any:
    """Wait until something holds, and give it."""
    until = time.monotonic() + within_s
    while not (held := holds()):
        assert time.monotonic() < until, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.2)
    return held


@dataclass
class Running:
    """A sweep under way in a thread of this process."""

    events: list[Event] = field(default_factory=list["Event"])
    results: Any = None
    error: BaseException | None = None
    thread: threading.Thread | None = None

    def told(self, name: str) -> list[dict[str, Any]]:
        """The facts of its events of a name, so far."""
        return [dict(event.facts) for event in list(self.events) if event.name == name]

    @property
    def n_done(self) -> int:
        """Variants that are committed."""
        return sum(facts["done"] for facts in self.told("batch.committed"))

    def await_done(self, n: int) -> None:
        """Wait until some are, and the sweep still goes on."""
        await_that(lambda: self.n_done >= n or self.error, f"{n} variants are done")
        assert self.error is None, self.error

    def join(self, within_s: float = 2 * AWHILE_S) -> Any:
        """Wait for its end; give the results as a table."""
        assert self.thread is not None
        self.thread.join(within_s)
        assert not self.thread.is_alive(), f"the sweep goes on after {within_s:.0f} s; its events: {self.events[-20:]}"
        if self.error is not None:
            raise self.error
        return self.results.to_dataframe()


@contextmanager
def running(engine: Callable[..., Engine], workflow: ExperimentalWorkflow) -> Generator[Running]:
    """Run a sweep in a thread; *engine* makes the engine, given who is told of events."""
    run = Running()

    def target() -> None:
        try:
            run.results = engine(on_event=run.events.append).execute_parameter_sweep(workflow)
        except BaseException as error:  # noqa: BLE001  it is looked at by the test
            run.error = error

    run.thread = threading.Thread(target=target, daemon=True)
    run.thread.start()
    yield run


def resting(name: str, n: int, folder: Path, *, seconds: float = 0.3, cores: int = 1) -> ExperimentalWorkflow:
    """A sweep of variants that sleep; each notes in ``calls`` of the folder when it begins; see also `held`."""
    calls, hold = str(folder / "calls"), str(folder / "hold")

    def rest(a: int) -> dict[str, Any]:
        with Path(calls).open("a") as file:
            file.write(f"{a}\n")
        time.sleep(seconds)
        while Path(hold).exists():
            time.sleep(0.1)
        return {"square": a * a, "threads": os.environ["OMP_NUM_THREADS"], "at": time.time()}

    workflow = ExperimentalWorkflow(name)
    workflow.add_task("rest", rest)
    workflow.add_parameter_space({"a": range(n)})
    workflow.set_resource_requirements({"rest": {"cpu_cores": cores}})
    return workflow


@contextmanager
def held(folder: Path) -> Generator[None]:
    """No variant of a `resting` sweep ends meanwhile, however slow the machine is at what is done to its workers."""
    hold = folder / "hold"
    hold.touch()
    try:
        yield
    finally:
        hold.unlink()


def calls_of(folder: Path) -> Counter[str]:
    """What ran, and how often it began."""
    return Counter((folder / "calls").read_text().split("\n")[:-1])


def assert_complete(table: Any, n: int) -> None:
    """Every variant is there once, with the right result, at its first attempt."""
    assert sorted(table["a"]) == list(range(n))
    assert (table["square"] == table["a"] ** 2).all()
    assert set(table["status"]) == {"done"}
    assert set(table["attempt"]) == {1}


class JobClusterContract(ABC):
    """What every cluster with jobs keeps."""

    @abstractmethod
    def cluster(self, **options: Any) -> BatchCluster:
        """The cluster, with these options of `BatchCluster`."""

    @abstractmethod
    def elsewhere(self) -> BatchCluster:
        """The same, with a queue that does not exist."""

    @abstractmethod
    def listed(self) -> list[Listed]:
        """Ask the batch system itself for all jobs of this user."""

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """Cancel a job, as a user or an administrator would."""

    @pytest.fixture(autouse=True)
    def keys(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """The folder of keys; no key and no worker's job is left behind by any test."""
        folder = tmp_path / "keys"
        monkeypatch.setenv("SCIFLOW_KEYS", str(folder))
        yield folder
        await_that(lambda: not self.workers(), "no worker's job is left")
        assert not folder.exists() or not any(folder.iterdir())

    def workers(self) -> list[Listed]:
        """Jobs of workers, of any sweep."""
        return [job for job in self.listed() if job.is_worker]

    def run(self, folder: Path, workflow: ExperimentalWorkflow, **options: Any) -> Any:
        """Run a sweep with two workers in a thread."""
        cluster = self.cluster(**{"workers": 2, "walltime": "10min"} | options)

        def engine(**more: Any) -> Engine:
            return Engine(cluster, directory=folder, progress=False, **more)

        return running(engine, workflow)

    def await_running(self, n: int = 1) -> list[Listed]:
        """Wait until jobs of workers run."""
        return await_that(
            lambda: len(found := [job for job in self.workers() if job.is_running]) >= n and found, f"{n} jobs run"
        )

    def test_every_variant_is_done_once_in_jobs_of_the_cores_asked_for_and_none_is_left(
        self, tmp_path: Path, keys: Path
    ) -> None:
        with self.run(tmp_path, resting("whole", 20, tmp_path, cores=2)) as sweep:
            sweep.await_done(1)
            jobs = self.workers()
            assert any(keys.iterdir())
            table = sweep.join()

        assert {job.cores for job in jobs} == {2}
        assert 1 <= len(jobs) <= 2
        assert len({job.name.rpartition("-w")[0] for job in jobs}) == 1
        assert_complete(table, 20)
        assert set(table["threads"]) == {"2"}
        assert set(calls_of(tmp_path).values()) == {1}

    def test_workers_of_a_job_that_somebody_cancels_lose_no_variant_and_count_no_attempt(self, tmp_path: Path) -> None:
        with self.run(tmp_path, resting("cancelled", 40, tmp_path)) as sweep:
            sweep.await_done(4)
            job = self.await_running()[0]

            def ends() -> list[str]:
                return [facts["how"] for facts in sweep.told("job.ended") if facts["job"] == job.job_id]

            with held(tmp_path):
                self.cancel(job.job_id)
                await_that(ends, "its end is told")
            table = sweep.join()

        assert_complete(table, 40)
        assert calls_of(tmp_path).total() <= 42
        assert ends() == ["cancelled"]
        assert {facts["cause"] for facts in sweep.told("worker.lost")} <= {"cancelled"}

    def test_tasks_run_on_workers_of_their_own_class_and_what_they_share_runs_once(self, tmp_path: Path) -> None:
        calls = str(tmp_path / "calls")

        def note(*words: object) -> None:
            with Path(calls).open("a") as file:
                file.write(" ".join(map(str, (*words, os.environ["OMP_NUM_THREADS"]))) + "\n")

        def prepare(scale: int) -> list[int]:
            note("prepare", scale)
            return [scale] * 10

        def train(data: list[int], rate: int) -> dict[str, int]:
            note("train", data[0], rate)
            return {"weight": data[0] * rate}

        def score(model: dict[str, int], seed: int) -> dict[str, int]:
            note("score", model["weight"], seed)
            return {"score": model["weight"] + seed}

        workflow = ExperimentalWorkflow("mixed")
        workflow.add_task("prepare", prepare)
        workflow.add_task("train", train, depends_on=["prepare"])
        workflow.add_task("score", score, depends_on=["train"])
        workflow.add_parameter_space({"scale": [1, 10, 100], "rate": [2, 3, 5], "seed": [1, 2]})
        workflow.set_resource_requirements({"train": {"cpu_cores": 2}})
        with self.run(tmp_path, workflow) as sweep:
            await_that(lambda: {job.cores for job in self.workers()} == {1, 2} or sweep.error, "there are jobs of both")
            table = sweep.join()

        assert (table["score"] == table["scale"] * table["rate"] + table["seed"]).all()
        ran = calls_of(tmp_path)
        assert set(ran.values()) == {1}
        kinds = Counter((line.split()[0], line.split()[-1]) for line in ran)
        assert kinds == {("prepare", "1"): 3, ("train", "2"): 9, ("score", "1"): 18}

    def test_names_and_values_with_shell_code_in_them_do_nothing(self, tmp_path: Path) -> None:
        nasty = "it's; $(touch hacked) `touch hacked` & x"
        folder = tmp_path / nasty
        folder.mkdir()
        workflow = ExperimentalWorkflow("nasty")

        def echo(text: str) -> dict[str, str]:
            return {"said": text}

        workflow.add_task("echo", echo)
        workflow.add_parameter_space({"text": [nasty, "$HOME"]})
        with self.run(folder, workflow, workers=1) as sweep:
            table = sweep.join()

        assert list(table["said"]) == [nasty, "$HOME"]
        assert not list(tmp_path.rglob("hacked"))
        assert not Path("hacked").exists()

    def test_a_queue_that_does_not_exist_is_told_at_once_in_the_systems_own_words(self, tmp_path: Path) -> None:
        engine = Engine(self.elsewhere(), directory=tmp_path, progress=False)

        with pytest.raises(SweepError, match=r"(?i)partition|queue"):
            engine.execute_parameter_sweep(resting("elsewhere", 2, tmp_path))

    def test_jobs_of_a_driver_that_is_killed_leave_by_themselves_and_the_next_call_goes_on(
        self, tmp_path: Path, keys: Path
    ) -> None:
        script = tmp_path / "study.py"
        script.write_text(_STUDY.format(folder=str(tmp_path), n=60, cluster=repr(self.cluster(workers=2))))
        command = [sys.executable, str(script)]
        with subprocess.Popen(command, cwd=tmp_path, start_new_session=True) as driver:  # noqa: S603  our own
            await_that(lambda: (tmp_path / "calls").exists() and len(calls_of(tmp_path)) >= 8, "some variants began")
            os.killpg(driver.pid, signal.SIGKILL)
        await_that(lambda: not self.workers(), "the jobs of a dead driver are gone", LEAVE_S)
        assert any(keys.iterdir())  # for this user alone; the next driver removes it

        again = subprocess.run(  # noqa: S603  our own
            command, cwd=tmp_path, check=False, timeout=2 * AWHILE_S, capture_output=True, text=True
        )

        assert (again.returncode, "Traceback" in again.stderr) == (0, False), again.stderr
        from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas and xarray

        assert_complete(open_results(tmp_path / "killed").to_dataframe(), 60)
        assert calls_of(tmp_path).total() <= 62


_STUDY = """
from pathlib import Path
from sciflow import Engine
from sciflow.clusters.batch import *
from sciflow.testing.clusters import resting
folder = Path({folder!r})
Engine({cluster}, directory=folder, progress=False).execute_parameter_sweep(resting("killed", {n}, folder))
"""
