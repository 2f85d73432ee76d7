"""A controller in jobs of PBS, whose programs are stood in for."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

import sciflow
from sciflow.batch.pbs import Pbs
from sciflow.engine.job import job_prefix
from sciflow.engine.submit import JobController
from sciflow.store.directory import SweepDirectory
from sciflow.store.submissions import newest_submission
from sciflow.testing.batch import await_that
from sciflow.testing.pbs import FakePbs


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    with FakePbs(tmp_path / "pbs") as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        yield pbs


def submit(folder, n, cluster=None, *, name="chained", value="", policy=None, **options):
    def task(a, odd):
        import os
        import time

        time.sleep(0.2)
        return {"y": a, "said": f"{odd} {os.environ.get('SCIFLOW_ODD')}"}

    workflow = sciflow.ExperimentalWorkflow(name)
    workflow.add_task("task", task)
    workflow.add_parameter_space({"a": range(n), "odd": [value]})
    engine = sciflow.Engine(cluster or sciflow.LocalCluster(workers=2), directory=folder / "sweeps", policy=policy)
    return engine.submit(workflow, controller=JobController("pbs", walltime="1h", **options))


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


LATER = "{:%H:%M}-{:%H:%M}".format(*(datetime.now(UTC) + timedelta(hours=n) for n in (5, 6)))
SHUT = sciflow.scheduling.OffPeak(LATER, timezone="UTC")


def test_of_a_sweep_that_has_not_begun_a_handle_tells_why_and_takes_it_out_of_the_queue(tmp_path, pbs):
    sweep = submit(tmp_path, 8, policy=SHUT, nodes_submit=False, n_turns=3)

    assert (sweep.status().state, sweep.results.dataset["status"].values.ravel()[0]) == ("submitted", "missing")
    assert "waits: Execution_Time" in str(sweep.status())
    with pytest.raises(TimeoutError, match="or waits for its turn"):
        sweep.wait(timeout=0.1)
    assert "pbs job 0.vm, 1.vm, 2.vm taken out of the queue" in sweep.cancel()
    assert sweep.wait(timeout=30).controller.how == "cancelled"
    assert "there is nothing to cancel" in sweep.cancel()
    await_that(lambda: not jobs(sweep), "the queue is empty")


def test_of_a_sweep_whose_jobs_were_lost_a_handle_says_so_and_it_can_be_submitted_again_at_once(tmp_path, pbs):
    sweep = submit(tmp_path, 8, policy=SHUT, nodes_submit=False, n_turns=3)
    subprocess.run(["qdel", *jobs(sweep)], check=True)
    await_that(lambda: not jobs(sweep), "the queue is empty")

    status = sweep.wait(timeout=30)

    assert (status.controller.state, status.is_driven, status.waiting) == ("died", False, "")
    assert "no job of it is in the queue any more; job 0.vm: deleted before it ran" in str(status)
    assert submit(tmp_path, 8).wait(timeout=60).state == "complete"
    assert sweep.status().controller.how == "finished"
    assert list(sweep.results.dataset["y"].values.ravel()) == list(range(8))
    assert "there is nothing to cancel; 8 finished variants are kept" in sweep.cancel()


def test_a_lost_sweep_that_is_cancelled_is_not_taken_up_by_a_late_job(tmp_path, pbs):
    sweep = submit(tmp_path, 8, policy=SHUT, nodes_submit=False, n_turns=3)
    subprocess.run(["qdel", *jobs(sweep)], check=True)
    await_that(lambda: not jobs(sweep), "the queue is empty")

    assert "there is nothing to cancel" in sweep.cancel()

    submission = newest_submission(SweepDirectory.open(sweep.directory))
    assert submission.cancel_requested
    assert sweep.status().controller.how == "cancelled"


def test_of_a_job_that_can_never_run_a_handle_gives_the_words_of_the_batch_system(tmp_path, pbs):
    sweep = submit(tmp_path, 8, cores=99, nodes_submit=True)

    await_that(lambda: "can never run" in str(sweep.status()), "PBS says so")

    assert "Insufficient amount of resource: ncpus (R: 99" in str(sweep.status())
    assert "pbs job 0.vm taken out of the queue" in sweep.cancel()
    assert sweep.wait(timeout=30).controller.how == "cancelled"


ODD = "a b'c\"d%j;$(touch x)"


@pytest.mark.parametrize("cluster", [sciflow.LocalCluster(workers=2), sciflow.PBSCluster(workers=2)])
def test_names_and_values_with_quotes_spaces_and_shell_code_are_inert(tmp_path, pbs, cluster, monkeypatch):
    folder = tmp_path / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SCIFLOW_ODD", ODD)

    sweep = submit(folder, 12, cluster, name=ODD, value=ODD)
    status = sweep.wait(timeout=120)

    assert (status.state, status.n_done, status.n_failed) == ("complete", 12, 0)
    assert set(sweep.results.dataset["said"].values.ravel()) == {f"{ODD} {ODD}"}
    assert len([*(folder / "sweeps" / ODD / "controller").glob("*.log")]) == 1
    assert not [*tmp_path.rglob("x")]
    await_that(lambda: not jobs(sweep), "the queue is empty")


def refuse_on_nodes(pbs, *names):
    """Within jobs, some programs refuse, as sites have it."""
    for name in names:
        program, real = pbs.programs / name, pbs.programs / f"{name}-itself"
        program.rename(real)
        program.write_text(
            f"#!/bin/sh\nif tr '\\0' '\\n' </proc/$PPID/environ | grep -q '^PBS_JOBID='; then\n"
            f"  echo '{name}: not allowed on compute nodes' >&2; exit 1\nfi\nexec {real} \"$@\"\n"
        )
        program.chmod(0o755)


@pytest.mark.parametrize("refused", [["qsub"], ["qsub", "qdel", "qstat"]])
def test_where_nodes_may_not_submit_jobs_take_turns_and_none_is_left(tmp_path, pbs, refused):
    refuse_on_nodes(pbs, *refused)
    sweep = submit(tmp_path, 60, cluster=sciflow.PBSCluster(workers=2), n_turns=4)
    await_that(lambda: sweep.status().n_done > 2, "the first job works")
    assert sorted(job.phase for job in jobs(sweep).values()) == ["running", "waiting", "waiting", "waiting"]

    os.kill(sweep.status().driver.pid, signal.SIGKILL)
    status = sweep.wait(timeout=120)

    assert (status.state, status.n_done, status.controller.generation) == ("complete", 60, 2)
    assert status.controller.how == "finished"
    await_that(lambda: not jobs(sweep), "the queue is empty")


def test_cancel_leaves_no_job(tmp_path, pbs):
    sweep = submit(tmp_path, 1000)
    await_that(lambda: sweep.status().n_done > 2, "the first job works")

    sweep.cancel()
    status = sweep.wait(timeout=120)

    assert status.controller.how == "cancelled"
    await_that(lambda: not jobs(sweep), "the queue is empty")
