# ruff: noqa: D102  the name of a test is its sentence
"""The contract of a batch system, as tests that submit real jobs and ask the batch system's own programs about them.

A test class inherits `BatchSystemContract` and says how the system is made, how it is looked at without it, and what
is below a folder that its jobs see too::

    class TestSlurm(BatchSystemContract):
        @pytest.fixture
        def system(self, slurm):
            return Slurm()

        def outside(self, system, job_id):
            return squeue(job_id)
"""

from __future__ import annotations

import os
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from sciflow.batch.script import forwarding
from sciflow.batch.system import BatchSystem, Job, JobEnd
from sciflow.errors import BatchError, BatchUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

Outside = Literal["waiting", "running", "gone"]
AWHILE_S = 40.0


def await_that(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    until = time.monotonic() + AWHILE_S
    while not holds():
        assert time.monotonic() < until, f"not within {AWHILE_S:.0f} s: {what}"
        time.sleep(0.1)


class BatchSystemContract(ABC):
    """What every batch system keeps."""

    @abstractmethod
    def outside(self, system: BatchSystem, job_id: str) -> Outside:
        """Ask the batch system itself, never through *system*."""

    @abstractmethod
    def unreachable(self, tmp_path: Path) -> BatchSystem:
        """A system of the kind that nobody can reach, with little patience."""

    @abstractmethod
    def elses_jobs(self, system: BatchSystem) -> AbstractContextManager[None]:
        """Jobs of another user: while it lasts one of them waits for its turn, and another for a time or a release."""

    @pytest.fixture
    def prefix(self, system: BatchSystem) -> Iterator[str]:
        """The beginning of the names of a test's jobs, of which none is left behind."""
        prefix = f"contract-{uuid.uuid4().hex[:8]}"
        yield prefix
        system.cancel(system.jobs(prefix))

    def submit(self, system: BatchSystem, name: str, body: str, log: Path, **asked: object) -> str:
        job = replace(Job(name, body, log, walltime_s=600), **asked)  # pyright: ignore[reportArgumentType]  of a job
        return system.submit(system.script(job))

    def await_ends(self, system: BatchSystem, *job_ids: str) -> dict[str, JobEnd]:
        await_that(lambda: all(self.outside(system, job_id) == "gone" for job_id in job_ids), f"{job_ids} end")
        await_that(lambda: set(job_ids) <= set(system.ends(job_ids)), f"it is told how {job_ids} ended")
        return dict(system.ends(job_ids))

    def test_a_job_knows_its_id_and_its_end_and_its_log_stands_under_its_id(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        before = time.time()
        body = 'echo "$SCIFLOW_JOB_ID $SCIFLOW_JOB_END"'
        job_id = self.submit(system, prefix, body, tmp_path / "log-%j.txt", walltime_s=300)

        ends = self.await_ends(system, job_id)
        told, _, end = (tmp_path / f"log-{job_id}.txt").read_text().partition(" ")

        assert ends[job_id] == replace(ends[job_id], how="finished", exit_status=0, signal=None)
        assert told == job_id
        assert before + 299 <= float(end) <= time.time() + 301

    def test_shell_code_in_names_and_paths_does_nothing(self, system: BatchSystem, prefix: str, tmp_path: Path) -> None:
        folder = tmp_path / "a b'c\"d%j;$(touch hacked) `touch hacked` & %x %% \\x"
        folder.mkdir()
        name = f"{prefix} $(touch hacked);touch hacked 'x'"

        job_id = self.submit(system, name, "pwd; ls", folder / "%j;$(touch hacked).log")
        self.await_ends(system, job_id)

        assert sorted(path.name for path in folder.iterdir()) == [f"{job_id};$(touch hacked).log"]
        listed = (folder / f"{job_id};$(touch hacked).log").read_text()
        assert "hacked" not in listed.replace(str(folder), "")
        assert not Path("hacked").exists()

    @pytest.mark.parametrize(
        "asked", [{"queue": "a\nb"}, {"account": "a;b"}, {"options": ("--x\ntouch hacked",)}, {"options": ("touch x",)}]
    )
    def test_what_cannot_be_written_is_refused_before_it_is_submitted(
        self, system: BatchSystem, asked: dict[str, object], tmp_path: Path
    ) -> None:
        with pytest.raises(BatchError):
            self.submit(system, "x", "true", tmp_path / "log", **asked)

    def test_a_log_whose_path_holds_a_line_break_is_refused(self, system: BatchSystem, tmp_path: Path) -> None:
        with pytest.raises(BatchError, match="line break"):
            self.submit(system, "x", "true", tmp_path / "a\n#SBATCH --wrap=x\n#PBS -N x")

    def test_jobs_are_found_by_the_beginning_of_their_names(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        ours = self.submit(system, f"{prefix}-a b", "sleep 100", tmp_path / "log")
        other = self.submit(system, f"{prefix[:-1]}-other", "sleep 100", tmp_path / "log")

        found = system.jobs(f"{prefix}-a b")
        n = system.n_jobs()
        system.cancel([other])

        assert list(found) == [ours]
        assert n >= 2

    def test_states_are_those_that_the_system_itself_shows(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        runs = self.submit(system, prefix, "sleep 100", tmp_path / "log")
        waits = self.submit(system, prefix, "true", tmp_path / "log", begin=datetime.now(UTC) + timedelta(hours=2))
        await_that(lambda: self.outside(system, runs) == "running", "the job runs")
        await_that(lambda: system.jobs(prefix)[runs].phase == "running", "the job is told to run")

        states = system.jobs(prefix)

        assert self.outside(system, waits) == states[waits].phase == "waiting"
        assert states[waits].reason != ""
        assert not states[waits].never
        assert states[runs].node != ""
        ends_at = states[runs].ends_at
        assert ends_at is not None
        assert 500 < ends_at - time.time() <= 601
        assert system.ends([runs, waits]) == {}

    def test_of_other_users_the_jobs_that_wait_for_their_turn_are_counted_and_of_this_user_none(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        assert system.n_waiting_of_others(None) == 0
        with self.elses_jobs(system):
            ours = self.submit(system, prefix, "true", tmp_path / "log", begin=datetime.now(UTC) + timedelta(hours=2))

            await_that(lambda: system.n_waiting_of_others(None) == 1, "one job of another user waits")
            assert self.outside(system, ours) == "waiting"
        await_that(lambda: system.n_waiting_of_others(None) == 0, "nobody waits any more")

    def test_ends_are_told_for_many_jobs_at_once_and_unknown_ones(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        bodies = ["true", "exit 3", "exit 75", "true", "exit 1", "true", "exit 2"]
        ids = [self.submit(system, prefix, body, tmp_path / "log") for body in bodies]

        ends = self.await_ends(system, *ids)
        of_unknown = system.ends([*ids, "987654321"])

        assert [ends[job_id].exit_status for job_id in ids] == [0, 3, 75, 0, 1, 0, 2]
        assert [ends[job_id].how for job_id in ids[:3]] == ["finished", "exit", "exit"]
        assert "3" in ends[ids[1]].words
        assert of_unknown["987654321"].how == "unknown"

    def test_a_job_starts_after_another_has_failed(self, system: BatchSystem, prefix: str, tmp_path: Path) -> None:
        until_told = f"while [ ! -e '{tmp_path}/go' ]; do sleep 0.1; done"
        first = self.submit(system, prefix, f"{until_told}; echo first; exit 1", tmp_path / "log")
        second = self.submit(system, prefix, "echo second", tmp_path / "log", after=first)

        assert system.jobs(prefix)[second].phase == "waiting"
        (tmp_path / "go").touch()
        self.await_ends(system, first, second)

        assert (tmp_path / "log").read_text() == "first\nsecond\n"

    def test_waiting_and_running_jobs_are_cancelled_and_ended_ones_do_not_matter(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        ended = self.submit(system, prefix, "true", tmp_path / "log")
        runs = self.submit(system, prefix, "sleep 100", tmp_path / "log")
        waits = self.submit(system, prefix, "true", tmp_path / "log", after=runs)
        self.await_ends(system, ended)
        await_that(lambda: self.outside(system, runs) == "running", "the job runs")

        system.cancel([ended, waits, runs, "987654321"])
        ends = self.await_ends(system, runs, waits)

        assert (ends[runs].how, ends[waits].how) == ("cancelled", "cancelled")
        assert system.jobs(prefix) == {}

    def test_a_job_in_a_job_inherits_nothing_of_the_outer_one(
        self, system: BatchSystem, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SBATCH_PARTITION", "PBS_JOBID", "PBS_JOBNAME"):
            monkeypatch.setenv(name, "of-the-outer-job")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "of-the-outer-job")
        monkeypatch.setenv("SQUEUE_FORMAT", "%i")

        job_id = self.submit(system, prefix, "env", tmp_path / "log")
        self.await_ends(system, job_id)

        assert "of-the-outer-job" not in (tmp_path / "log").read_text()

    def test_a_signal_for_the_shell_reaches_the_command_which_ends_in_its_own_time(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        command = """sh -c 'trap "echo warned; sleep 0.5; echo tidied; exit 7" USR1; while :; do sleep 0.1; done'"""
        body = f"( sleep 1; kill -USR1 $$ ) &\n{forwarding(command)}"

        job_id = self.submit(system, prefix, body, tmp_path / "log")
        ends = self.await_ends(system, job_id)

        assert (tmp_path / "log").read_text() == "warned\ntidied\n"
        assert ends[job_id].exit_status == 7

    def test_the_systems_own_words_say_why_it_refuses(self, system: BatchSystem, prefix: str, tmp_path: Path) -> None:
        with pytest.raises(BatchError, match=r"(?i)(queue|partition)") as raised:
            self.submit(system, prefix, "true", tmp_path / "log", queue="nosuch")

        assert not isinstance(raised.value, BatchUnreachableError)

    def test_a_job_that_no_node_can_run_is_refused_or_told_to_run_never(
        self, system: BatchSystem, prefix: str, tmp_path: Path
    ) -> None:
        try:
            job_id = self.submit(system, prefix, "true", tmp_path / "log", cores=10000)
        except BatchUnreachableError:
            raise
        except BatchError:
            return
        await_that(lambda: system.jobs(prefix)[job_id].never, "the reason is never to run")

        assert system.jobs(prefix)[job_id].reason != ""

    def test_a_system_out_of_reach_says_so_and_nothing_of_jobs(self, tmp_path: Path) -> None:
        system = self.unreachable(tmp_path)

        with pytest.raises(BatchUnreachableError):
            system.jobs("x")
        with pytest.raises(BatchUnreachableError):
            system.n_waiting_of_others(None)
        with pytest.raises(BatchUnreachableError):
            system.submit(system.script(Job("x", "true", tmp_path / "log")))

    def test_a_missing_program_is_told_with_what_to_do(self, system: BatchSystem, tmp_path: Path) -> None:
        lost = type(system)({**os.environ, "PATH": str(tmp_path)})  # pyright: ignore[reportCallIssue]  as ours are made

        with pytest.raises(BatchError, match=r"is no program .* on PATH; run this on a node"):
            lost.jobs("x")
