"""How many jobs of others wait: asked seldom, beside the loop, and only where there is a queue."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from sciflow import Engine, ExperimentalWorkflow, LoadAware, PBSCluster, SlurmCluster
from sciflow.batch.slurm import Slurm
from sciflow.engine.queue import OthersWaiting, others_waiting
from sciflow.errors import BatchError, BatchUnreachableError, PolicyError
from sciflow.testing.batch import await_that
from sciflow.testing.pbs import FakePbs


def double(x):
    return {"y": 2 * x}


def workflow():
    one = ExperimentalWorkflow("doubles")
    one.add_task("double", double)
    one.add_parameter_space({"x": range(3)})
    return one


class Queue:
    """A batch system that answers, or does not, and a clock."""

    def __init__(self):
        self.now, self.says, self.asked_at = 0.0, 0, []

    def ask(self):
        self.asked_at.append(self.now)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def of_every_second(self, waiting, n_s):
        answers = []
        for _ in range(n_s):
            self.now += 1
            answers.append(waiting())
        return answers


@pytest.fixture
def queue():
    return Queue()


def test_the_batch_system_is_asked_once_a_minute_however_often_the_gate_looks(queue):
    waiting = OthersWaiting(queue.ask, lambda: queue.now, lambda ask: ask())

    queue.of_every_second(waiting, 3600)

    assert len(queue.asked_at) == 60


def test_one_that_is_away_is_asked_more_and_more_rarely_and_what_it_said_before_counts_no_more(queue, capsys):
    waiting = OthersWaiting(queue.ask, lambda: queue.now, lambda ask: ask())
    queue.says = 7
    assert waiting() == 7

    queue.says = BatchUnreachableError("squeue did not get through")
    answers = queue.of_every_second(waiting, 4 * 3600)

    assert set(answers[60:]) == {None}
    pauses = [later - earlier for earlier, later in zip(queue.asked_at, queue.asked_at[1:], strict=False)]
    assert pauses[:5] == [60, 120, 240, 480, 900]
    assert set(pauses[4:]) == {900}
    assert capsys.readouterr().err.count("squeue did not get through") == 1
    queue.says = 3
    assert queue.of_every_second(waiting, 900)[-1] == 3


def test_while_it_is_asked_the_last_answer_is_given(queue):
    renewals = []
    waiting = OthersWaiting(queue.ask, lambda: queue.now, renewals.append)
    queue.says = 5
    waiting()

    queue.says = 6
    answers = queue.of_every_second(waiting, 100)
    assert (set(answers), len(renewals)) == ({5}, 1)
    renewals[0]()
    assert waiting() == 6


def test_where_users_are_not_told_of_others_it_is_an_error_from_the_start(queue):
    queue.says = BatchError("this SLURM shows users only their own jobs")

    with pytest.raises(BatchError, match="only their own"):
        OthersWaiting(queue.ask)()


@pytest.mark.parametrize("start", ["execute_parameter_sweep", "submit"])
def test_on_this_machine_a_policy_that_looks_at_the_queue_is_refused(start, tmp_path):
    engine = Engine(directory=tmp_path, policy=LoadAware(max_pending=10), progress=False)

    with pytest.raises(PolicyError, match=r"LoadAware\(.*max_pending=10.*cluster 'local' wait in none; use LoadAware"):
        getattr(engine, start)(workflow())


def test_the_queue_is_asked_only_for_policies_that_want_to_know(tmp_path):
    definition = workflow().validate()

    assert others_waiting(LoadAware(), Engine().cluster, definition, tmp_path)() is None


def test_jobs_of_others_in_the_queue_of_the_jobs_keep_a_gate_shut_and_those_of_other_queues_do_not(
    tmp_path, monkeypatch
):
    with FakePbs(tmp_path / "pbs") as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        ask = {
            queue: others_waiting(LoadAware(max_pending=1), PBSCluster(queue=queue), workflow().validate(), tmp_path)
            for queue in ("workq", "other", None)
        }
        with pbs.jobs_of_others(2, n_held=3):
            assert {queue: waiting() for queue, waiting in ask.items()} == {"workq": 2, "other": 0, None: 2}


def kind_run(tmp_path, cluster, others_leave):
    """A sweep that finds others waiting, who leave once that was told; give what was told."""
    events = []

    def hear(event):
        events.append(event)
        if event.name == "window.closed":
            others_leave()

    engine = Engine(cluster, directory=tmp_path, policy=LoadAware(max_pending=0), progress=False, on_event=hear)
    assert len(engine.execute_parameter_sweep(workflow()).to_dataframe()) == 3
    return events


def assert_waited_for_others(events):
    names = [event.name for event in events]
    [closed] = [event for event in events if event.name == "window.closed"]
    assert closed.facts["explanation"] == "others have more than 0 jobs waiting in the queue (1 job)"
    assert names.index("window.closed") < names.index("window.opened") < names.index("job.submitted")


@pytest.mark.slow
def test_no_job_of_pbs_is_submitted_while_others_wait(tmp_path, monkeypatch):
    with FakePbs(tmp_path / "pbs") as pbs, contextlib.ExitStack() as others:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        others.enter_context(pbs.jobs_of_others(1))
        prologue = [f"PATH='{pbs.environ()['PATH']}'"]

        events = kind_run(tmp_path, PBSCluster(workers=1, prologue=prologue), others.close)

    assert_waited_for_others(events)


@pytest.mark.slurm
@pytest.mark.slow
def test_no_job_of_slurm_is_submitted_while_others_wait(tmp_path, slurm):
    nobody = ["runuser", "-u", "nobody", "--", "env", f"SLURM_CONF={slurm.conf}"]
    job = ["sbatch", "--chdir=/", "--output=/dev/null", "--nodes=4", "--exclusive", "--wrap=sleep 300"]
    for _ in range(2):  # the first has all nodes, the second waits for them
        subprocess.run([*nobody, *job], check=True, capture_output=True)
    await_that(lambda: Slurm().n_waiting_of_others(None) == 1, "the second waits")

    def others_leave():
        subprocess.run(["scancel", "--user=nobody"], check=True)

    try:
        events = kind_run(tmp_path, SlurmCluster(workers=1), others_leave)
    finally:
        others_leave()

    assert_waited_for_others(events)
