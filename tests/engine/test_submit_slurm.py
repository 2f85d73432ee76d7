"""Controllers in jobs of a real SLURM: kills, cancellations, walltimes and lost nodes; asked of squeue."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

import sciflow
from sciflow.engine.job import job_prefix

pytestmark = pytest.mark.slurm

SCRIPT = """
import os, sys, time
import sciflow

def slow(a):
    time.sleep(0.25)
    if os.environ.get("DEADLY"):
        os.kill(os.getppid(), 9)
    with open("calls.txt", "a") as file:
        file.write(f"{a}\\n")
    return {"y": a}

workflow = sciflow.ExperimentalWorkflow("chained")
workflow.add_task("slow", slow)
workflow.add_parameter_space({"a": range(int(os.environ.get("N", "60")))})
"""

SUBMIT = """
from sciflow.engine.submit import JobController
controller = JobController("slurm", walltime=os.environ.get("WALLTIME", "1h"))
sciflow.Engine(sciflow.LocalCluster(workers=2), policy=POLICY).submit(workflow, controller=controller)
print("submitted", flush=True)
"""


def squeue(form):
    done = subprocess.run(["squeue", "--noheader", f"--format={form}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def study(tmp_path, slurm):
    """A folder with a script; no job of it is left behind."""
    yield Study(tmp_path)
    Study(tmp_path).cancel_all()


class Study:
    """A script, its sweep, and what squeue says of its jobs."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, policy="None"):
        (self.folder / "study.py").write_text(SCRIPT + SUBMIT.replace("POLICY", policy))

    def submit(self, policy="None", **environment):
        self.write(policy)
        return self.run(**environment)

    def run(self, **environment):
        done = subprocess.run(
            [sys.executable, "study.py"],
            cwd=self.folder,
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return self.sweep

    @property
    def sweep(self):
        return sciflow.attach(self.folder / "sweeps/chained")

    @property
    def prefix(self):
        from sciflow.store.directory import SweepDirectory

        return job_prefix(SweepDirectory.open(self.folder / "sweeps/chained"))

    @property
    def jobs(self):
        """State of each job in the queue, by id."""
        rows = (line.split() for line in squeue("%i %j %T"))
        return {job: state for job, name, state in rows if name.startswith(self.prefix) and state != "COMPLETING"}

    @property
    def running(self):
        return [job for job, state in self.jobs.items() if state == "RUNNING"]

    @property
    def calls(self):
        return sorted(map(int, (self.folder / "calls.txt").read_text().split()))

    def cancel_all(self):
        if (self.folder / "sweeps/chained/sweep.json").exists() and self.jobs:
            subprocess.run(["scancel", *self.jobs], check=True)


def until(holds, patience_s=60):
    give_up = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def test_the_sweep_goes_on_when_every_process_of_the_shell_that_submitted_it_is_killed(study):
    study.write()
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} study.py; sleep 1000"],
        cwd=study.folder,
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert shell.stdout.readline() == b"submitted\n"
    os.killpg(shell.pid, signal.SIGKILL)
    shell.communicate()

    status = study.sweep.wait(timeout=90)

    assert (status.state, status.n_done, status.controller.how) == ("complete", 60, "finished")
    until(lambda: not study.jobs)


def test_controllers_that_are_cancelled_by_hand_and_killed_are_followed_by_the_next(study):
    sweep = study.submit(N=80)
    until(lambda: sweep.status().n_done > 2)
    subprocess.run(["scancel", *study.running], check=True)
    until(lambda: sweep.status().controller.generation == 2 and sweep.status().driver.life == "alive")
    os.kill(sweep.status().driver.pid, signal.SIGKILL)

    status = sweep.wait(timeout=90)

    assert (status.state, status.n_done, status.controller.generation) == ("complete", 80, 3)
    assert set(study.calls) == set(range(80))
    assert len(study.calls) <= 80 + 2  # what ran when its driver was killed runs again
    until(lambda: not study.jobs)


def test_cancel_of_a_controller_at_work_leaves_no_job(study):
    sweep = study.submit(N=1000)
    until(lambda: sweep.status().n_done > 2)

    said = sweep.cancel()
    status = sweep.wait(timeout=60)

    assert "it takes no new work" in said
    assert (status.state, status.controller.how) == ("stopped", "cancelled")
    until(lambda: not study.jobs)


def test_cancel_of_a_controller_that_waits_for_its_window_leaves_no_job(study):
    policy = """(lambda now, hours: sciflow.scheduling.parse_policy("off_peak", {
        "preferred_hours": "-".join(f"{now + hours(hours=n):%H:%M}" for n in (3, 4)), "timezone": "UTC"}))(
        __import__("datetime").datetime.now(__import__("datetime").timezone.utc), __import__("datetime").timedelta)"""
    sweep = study.submit(policy)
    until(lambda: list(study.jobs.values()) == ["PENDING"] and sweep.status().controller.generation == 1)

    status = sweep.status()
    said = sweep.cancel()

    assert status.state == "submitted"
    until(lambda: "BeginTime" in str(sweep.status()) or not sweep.status().is_driven)
    assert "taken out of the queue" in said
    assert not study.jobs
    assert sweep.wait(timeout=60).controller.how == "cancelled"
    assert not (study.folder / "calls.txt").exists()


def test_jobs_that_are_all_cancelled_by_hand_stay_so(study):
    sweep = study.submit(N=1000)
    until(lambda: len(study.jobs) == 2 and sweep.status().n_done > 2)
    subprocess.run(["scancel", *sorted(study.jobs, reverse=True)], check=True)

    status = sweep.wait(timeout=90)

    assert status.state in {"died", "stopped"}  # killed before it could say so, or not
    assert not status.is_complete
    assert "cancelled, not through sciflow" in str(status) or "no job of it is in the queue" in str(status)
    assert not study.jobs


def test_an_order_that_cannot_be_loaded_ends_the_chain_with_words(study):
    sweep = study.submit(N=1000)
    until(lambda: sweep.status().n_done > 2)
    (order,) = (study.folder / "sweeps/chained/controller").glob("*.order.*")
    order.chmod(0o600)
    order.write_bytes(b"something else")
    os.kill(sweep.status().driver.pid, signal.SIGKILL)

    status = sweep.wait(timeout=90)

    assert (status.controller.state, status.controller.how) == ("ended", "failed")
    assert "is damaged; submit it again: what is finished is kept" in str(status)
    until(lambda: not study.jobs)


def test_workers_that_a_killed_controller_leaves_are_replaced_by_those_of_the_next(study):
    study.write()
    text = (study.folder / "study.py").read_text()
    (study.folder / "study.py").write_text(text.replace("sciflow.LocalCluster", "sciflow.SlurmCluster"))
    sweep = study.run(N=120)
    until(lambda: sweep.status().n_done > 10)
    first = set(study.running)
    os.kill(sweep.status().driver.pid, signal.SIGKILL)
    until(lambda: sweep.status().controller.generation == 2 and sweep.status().n_running)

    assert not first & set(study.running)
    status = sweep.wait(timeout=120)

    assert (status.state, status.n_done, status.n_failed) == ("complete", 120, 0)
    assert set(study.calls) == set(range(120))
    until(lambda: not study.jobs)


@pytest.fixture
def nodes_may_not(tmp_path, slurm, monkeypatch):
    """Within jobs, some programs of SLURM refuse, as sites have it."""

    def refuse(*programs):
        folder = tmp_path / "bin"
        folder.mkdir()
        for program in programs:
            script = folder / program
            script.write_text(
                f"#!/bin/sh\nif tr '\\0' '\\n' </proc/$PPID/environ | grep -q '^SLURM_JOB_ID='; then\n"
                f"  echo '{program}: error: not allowed on compute nodes' >&2; exit 1\nfi\n"
                f'exec {shutil.which(program)} "$@"\n'
            )
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return refuse


def write_for_jobs(study):
    """Workers would come with jobs of their own."""
    study.write()
    text = (study.folder / "study.py").read_text()
    (study.folder / "study.py").write_text(text.replace("sciflow.LocalCluster", "sciflow.SlurmCluster"))


def test_where_nodes_may_not_submit_jobs_take_turns_and_do_the_work_themselves(study, nodes_may_not):
    nodes_may_not("sbatch")
    write_for_jobs(study)

    sweep = study.run(N=80)
    assert len(study.jobs) == 10
    until(lambda: sweep.status().n_done > 2)
    (first,) = study.running
    os.kill(sweep.status().driver.pid, signal.SIGKILL)
    until(lambda: first not in study.jobs and study.running)
    assert len(study.running) == 1
    status = sweep.wait(timeout=90)

    assert (status.state, status.n_done, status.controller.how) == ("complete", 80, "finished")
    assert status.controller.generation == 2
    assert set(study.calls) == set(range(80))
    until(lambda: not study.jobs)


def test_where_nodes_may_not_cancel_either_what_is_left_ends_by_itself(study, nodes_may_not):
    nodes_may_not("sbatch", "scancel", "squeue")
    (study.folder / "site.toml").write_text('system = "slurm"\nnodes_submit = false\n')
    write_for_jobs(study)

    status = study.run(N=20).wait(timeout=60)

    assert (status.state, status.n_done, status.controller.how) == ("complete", 20, "finished")
    until(lambda: not study.jobs, patience_s=90)
    assert study.calls == list(range(20))


def test_a_first_job_that_may_not_submit_works_on_and_is_followed_by_those_that_are_queued_for_it(study, nodes_may_not):
    nodes_may_not("sbatch")

    sweep = study.submit(N=100)  # with local workers
    until(lambda: sweep.status().n_done > 2)
    assert len(study.jobs) == 10
    os.kill(sweep.status().driver.pid, signal.SIGKILL)
    status = sweep.wait(timeout=90)

    assert (status.state, status.n_done, status.controller.generation) == ("complete", 100, 2)
    assert status.controller.number == 1
    until(lambda: not study.jobs)


ODD = "a b'c\"d%j;$(touch x)"


@pytest.mark.parametrize("cluster", ["LocalCluster", "SlurmCluster"])
def test_names_and_values_with_quotes_spaces_and_shell_code_are_inert(tmp_path, slurm, cluster):
    study = Study(tmp_path / ODD)
    study.folder.mkdir()
    study.write()
    text = (study.folder / "study.py").read_text().replace("sciflow.LocalCluster", f"sciflow.{cluster}")
    space = f'{{"a": range(12), "odd": [{ODD!r}]}}'
    text = text.replace('{"a": range(int(os.environ.get("N", "60")))}', space).replace(
        "def slow(a)", "def slow(a, odd)"
    )
    text = text.replace('return {"y": a}', 'return {"y": a, "said": odd}')
    (study.folder / "study.py").write_text(text)
    try:
        sweep = study.run(SCIFLOW_ODD=ODD)
        status = sweep.wait(timeout=90)
    finally:
        study.cancel_all()

    assert (status.state, status.n_done, status.n_failed) == ("complete", 12, 0)
    assert set(sweep.results.dataset["said"].values.ravel()) == {ODD}
    assert [path.parent for path in tmp_path.rglob("*.log") if path.parent.name == "controller"]
    assert {path.parent.parent.parent.parent for path in tmp_path.rglob("*.log")} == {study.folder}
    assert not [*tmp_path.rglob("x")]
    until(lambda: not study.jobs)


def test_cancel_takes_all_jobs_that_wait_for_their_turn_out_of_the_queue(study, nodes_may_not):
    nodes_may_not("sbatch")
    write_for_jobs(study)
    sweep = study.run(N=1000)
    until(lambda: sweep.status().n_done > 2)

    sweep.cancel()

    assert sweep.wait(timeout=60).controller.how == "cancelled"
    until(lambda: not study.jobs)


def test_a_task_that_kills_its_driver_ends_the_chain_after_three_jobs(study):
    sweep = study.submit(DEADLY=1)

    status = sweep.wait(timeout=120)

    assert status.controller.how == "given_up"
    assert "its last 3 jobs died without any progress; the last was job" in str(status)
    assert status.controller.generation == 4
    until(lambda: not study.jobs)


@pytest.mark.slow
def test_a_walltime_of_a_minute_is_handed_over_in_good_order(study):
    sweep = study.submit(N=420, WALLTIME="1min")

    status = sweep.wait(timeout=280)

    assert (status.state, status.n_done) == ("complete", 420)
    assert status.controller.generation >= 2
    assert study.calls == list(range(420))  # nothing was lost, and nothing ran twice
    until(lambda: not study.jobs)


@pytest.mark.slow
def test_a_lost_node_and_a_restarted_slurm_cost_nothing_but_time(study, slurm):
    sweep = study.submit(N=300)
    until(lambda: sweep.status().n_done > 2)
    (node,) = {line.split()[1] for line in squeue("%j %N") if line.startswith(study.prefix) and len(line.split()) > 1}
    try:
        slurm("fail-node", node)
        until(lambda: sweep.status().controller.generation == 2, patience_s=120)
        slurm("bounce")
        status = sweep.wait(timeout=120)
    finally:
        slurm("heal-node", node)

    assert (status.state, status.n_done) == ("complete", 300)
    until(lambda: not study.jobs)


@pytest.mark.slow
def test_when_the_window_closes_nothing_runs_and_the_next_job_begins_at_the_next_opening(study):
    closes = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(seconds=120)
    opened = closes - timedelta(hours=2)
    policy = f"""sciflow.scheduling.parse_policy("off_peak", {{
        "preferred_hours": "{opened:%H:%M}-{closes:%H:%M}", "timezone": "UTC"}})"""
    sweep = study.submit(policy, N=2000)
    until(lambda: sweep.status().n_done > 2)

    until(lambda: datetime.now(UTC) > closes, patience_s=150)
    assert not study.running
    n_done = sweep.status().n_done
    begins = [line.split()[1] for line in squeue("%j %S %T") if line.startswith(study.prefix)]

    assert 0 < n_done < 2000
    assert [datetime.fromisoformat(one).astimezone(UTC) - opened for one in begins] == [timedelta(days=1)]
    assert sweep.status().state == "submitted"
    assert sweep.status().driver.life == "ended"
    sweep.cancel()
    assert not study.jobs
