"""What happens to jobs on a real SLURM while a sweep runs; what takes minutes is in benchmarks/cluster_faults.py."""

from __future__ import annotations

import subprocess
import time

import pytest

import sciflow
from sciflow.clusters.batch import SlurmCluster
from sciflow.errors import SweepError
from sciflow.testing.clusters import assert_complete, await_that, calls_of, held, resting, running

pytestmark = pytest.mark.slurm


def squeue(form="%i %t %N", *options):
    done = subprocess.run(["squeue", "-h", f"--format={form}", *options], capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.fixture
def sweep(tmp_path, slurm, monkeypatch):
    """Starts a sweep in a thread; no job of workers is left when the test is over."""
    monkeypatch.setenv("SCIFLOW_KEYS", str(tmp_path / "keys"))

    def start(workflow, policy=None, **options):
        cluster = SlurmCluster(interface="lo", **({"workers": 2, "walltime": "10min"} | options))
        return running(
            lambda **more: sciflow.Engine(cluster, directory=tmp_path, policy=policy, progress=False, **more), workflow
        )

    yield start
    await_that(lambda: not squeue(), "no job is left")


def lost_of(run):
    return {(facts["cause"], facts["suspect"]) for facts in run.told("worker.lost")}


def ends_of(run):
    return {facts["how"] for facts in run.told("job.ended")}


def test_a_lost_node_costs_nothing_but_time(sweep, tmp_path, slurm):
    with sweep(resting("node", 60, tmp_path, cores=4)) as run:
        run.await_done(4)
        node = squeue("%N", "-t", "R")[0][0]
        with held(tmp_path):
            slurm("fail-node", node)
            subprocess.run(["scontrol", "update", f"nodename={node}", "state=down", "reason=test"], check=True)
            await_that(lambda: run.told("worker.lost") or run.error, "the loss is told")
        table = run.join()
    slurm("heal-node", node)

    assert_complete(table, 60)
    assert lost_of(run) == {("node_lost", None)}
    assert f"on {node}" in run.told("worker.lost")[0]["how"]


def test_what_a_sweep_loses_to_jobs_of_higher_priority_is_done_later(sweep, tmp_path):
    with sweep(resting("preempted", 6, tmp_path, cores=4, seconds=8.0), partition="offpeak", workers=4) as run:
        await_that((tmp_path / "calls").exists, "a variant has begun")
        urgent = ["sbatch", "-pdebug", "-N4", "--ntasks-per-node=1", "-c4", "-t1", "-o/dev/null", "--wrap=sleep 3"]
        subprocess.run(urgent, cwd=tmp_path, check=True)
        table = run.join()

    assert_complete(table, 6)
    assert lost_of(run) <= {("preempted", None)}  # a variant may end just in time
    assert "preempted" in ends_of(run)


@pytest.fixture
def grace(slurm):
    """Jobs of low priority are told a minute before they have to go."""
    change = ["scontrol", "update", "partitionname=offpeak"]
    subprocess.run([*change, "gracetime=60"], check=True)
    yield
    subprocess.run([*change, "gracetime=5"], check=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_is_told_to_go_hands_back_what_it_has_and_ends_as_preempted(sweep, tmp_path, grace):
    with sweep(resting("grace", 400, tmp_path, cores=4, seconds=0.4), partition="offpeak", workers=4) as run:
        run.await_done(8)
        urgent = ["sbatch", "-pdebug", "-N4", "--ntasks-per-node=1", "-c4", "-t1", "-o/dev/null", "--wrap=sleep 3"]
        subprocess.run(urgent, cwd=tmp_path, check=True)
        table = run.join(300)

    assert_complete(table, 400)
    assert set(calls_of(tmp_path).values()) == {1}
    told_to_go = {facts["job"] for facts in run.told("job.preempted")}
    handed_back = run.told("batch.handed_back")
    assert {facts["job"] for facts in handed_back} <= told_to_go
    assert {facts["cause"] for facts in handed_back} == {"preempted"}
    ended = {facts["job"]: facts["how"] for facts in run.told("job.ended")}
    assert {ended[job] for job in told_to_go} == {"preempted"}


def test_a_scheduler_that_is_killed_and_started_again_is_not_noticed_by_the_variants(sweep, tmp_path, slurm):
    with sweep(resting("bounced", 40, tmp_path)) as run:
        run.await_done(4)
        with held(tmp_path):
            slurm("bounce")
        table = run.join()

    assert_complete(table, 40)
    assert set(calls_of(tmp_path).values()) == {1}
    assert run.told("worker.lost") == []


def test_a_job_that_is_requeued_is_replaced(sweep, tmp_path):
    with sweep(resting("requeued", 40, tmp_path), options=["--requeue"]) as run:
        run.await_done(4)
        job = squeue("%i", "-t", "R")[0][0]
        with held(tmp_path):
            subprocess.run(["scontrol", "requeue", job], check=True)
        table = run.join()

    assert_complete(table, 40)
    assert all(suspect is None for _, suspect in lost_of(run))


def test_a_job_that_can_never_run_ends_the_sweep_with_the_reason(sweep, tmp_path):
    told = "can never run as things are; the batch system says: PartitionConfig"
    large = resting("toolarge", 4, tmp_path)
    with sweep(large, options=["--cpus-per-task=64"]) as run, pytest.raises(SweepError, match=told):
        run.join()


def test_workers_that_cannot_start_end_the_sweep_with_the_end_of_their_log(sweep, tmp_path):
    options = {"prologue": ["echo no such module: gcc/99; exit 3"], "workers": 1}
    with sweep(resting("broken", 4, tmp_path), **options) as run, pytest.raises(SweepError) as raised:
        run.join()

    assert "no such module: gcc/99" in str(raised.value)
    assert "3 jobs" in str(raised.value)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_runs_after_a_window_has_closed_and_work_goes_on_when_it_opens(sweep, tmp_path):
    # SLURM keeps whole minutes, and one is not worth the start of a job: none is submitted two minutes before a closing
    closes = ((time.time() + 130) // 60 + 1) * 60
    opens = closes + 60

    def clock(at):
        return time.strftime("%H:%M", time.gmtime(at))

    policy = sciflow.OffPeak(f"{clock(opens)}-{clock(closes)}", timezone="UTC")
    with sweep(resting("window", 900, tmp_path, seconds=0.5), policy=policy, walltime="5min") as run:
        run.await_done(10)
        await_that(lambda: time.time() > closes + 1, "the window closes", 200)
        shut = []
        while time.time() < opens - 1:
            shut += squeue("%i %t", "-t", "R,CG,S")
            time.sleep(2)
        table = run.join()

    assert shut == []
    at = table["at"]
    assert not ((at > closes) & (at < opens)).any()
    assert (at > opens).any()
    assert_complete(table, 900)
