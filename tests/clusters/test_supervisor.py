"""The thread that keeps worker jobs, step by step: a batch system in memory, and a clock that the test moves."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sciflow.batch.system import Job, JobEnd, JobState, Limits
from sciflow.clusters.pool import Pool
from sciflow.clusters.supervisor import Inquest, Supervisor
from sciflow.errors import BatchError, BatchLimitError, BatchUnreachableError, SweepError
from sciflow.planning.classes import ResourceClass
from sciflow.workflow.resources import Resources

PREFIX = "sf-abc-w"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self):
        return self.now


@dataclass
class MemoryBatch:
    """A batch system in memory; `asked` counts the questions."""

    states: dict[str, JobState] = field(default_factory=dict)
    ended: dict[str, JobEnd] = field(default_factory=dict)
    asked: Counter = field(default_factory=Counter)
    cancelled: list[str] = field(default_factory=list)
    is_away: bool = False
    refusal: BatchError | None = None
    site: Limits = field(default_factory=Limits)
    n_others: int = 0
    reason: str = "Resources"
    name: str = "memory"
    _ids: itertools.count = field(default_factory=lambda: itertools.count(100))

    def _ask(self, what):
        self.asked[what] += 1
        if self.is_away:
            raise BatchUnreachableError("nobody answers")

    def script(self, job):
        return job.name

    def submit(self, script):
        self._ask("submit")
        if self.refusal is not None:
            raise self.refusal
        job_id = str(next(self._ids))
        self.states[job_id] = JobState(job_id, script, "waiting", self.reason)
        return job_id

    def jobs(self, prefix):
        self._ask("jobs")
        return {job_id: state for job_id, state in self.states.items() if state.name.startswith(prefix)}

    def n_jobs(self):
        return len(self.states) + self.n_others

    def ends(self, job_ids):
        self._ask("ends")
        gone = [job_id for job_id in job_ids if job_id not in self.states]
        return {job_id: self.ended.get(job_id, JobEnd("unknown")) for job_id in gone}

    def cancel(self, job_ids):
        self._ask("cancel")
        for job_id in list(job_ids):
            self.cancelled.append(job_id)
            self.end(job_id, JobEnd("cancelled", "CANCELLED"))

    def limits(self, queue):
        self._ask("limits")
        return self.site if queue == "long" else Limits()

    # what a test does to it

    def run(self, job_id, ends_at=9e9):
        self.states[job_id] = replace(self.states[job_id], phase="running", reason="", node="node1", ends_at=ends_at)

    def end(self, job_id, end):
        if self.states.pop(job_id, None) is not None:
            self.ended[job_id] = end


@dataclass
class Sweep:
    """The side of the workers: what is idle is said by the test."""

    idle: dict[int, float] = field(default_factory=dict)  # job → for how many seconds
    spent: set[int] = field(default_factory=set)
    cores: int | None = None
    may_start: bool = True
    events: list = field(default_factory=list)
    failure: Exception | None = None
    most: float = 16.0
    retired: list = field(default_factory=list)

    def job(self, pool, number, log, memory=None):
        name = f"{PREFIX}{pool.kind.name}-{number}"
        memory_bytes = round((pool.memory if memory is None else memory) * 2**30)
        return (
            Job(name, "true", log, pool.kind.resources.cores, memory_bytes, walltime_s=600) if self.may_start else None
        )

    def most_memory(self, resource_class):
        return self.most

    def retire(self, pool, number, *, soon):
        self.retired.append((number, soon))
        self.spent.add(number)

    def spent_jobs(self, pool):
        return sorted(self.spent)

    def idle_jobs(self, pool):
        return self.idle

    def dismiss(self, pool, number):
        return number in self.idle or pool.jobs[number].n_there == 0

    def most_cores(self):
        return self.cores

    def tell(self, name, **facts):
        self.events.append((name, facts))

    def fail(self, error):
        self.failure = self.failure or error

    def told(self, name):
        return [facts for one, facts in self.events if one == name]


class Stage:
    """A supervisor of some pools, moved by hand."""

    def __init__(self, logs, *pools, most_waiting=10, queue=None, site=None):
        self.clock, self.system, self.sweep = Clock(), site or MemoryBatch(), Sweep()
        self.pools = {pool.kind.name: pool for pool in pools}
        self.supervisor = Supervisor(
            self.system,
            PREFIX,
            self.pools,
            self.sweep,
            Path(logs),
            queue=queue,
            most_waiting=most_waiting,
            now=self.clock,
        )
        self.supervisor.begin()

    def go(self, seconds=1.0, step=0.25):
        for _ in range(max(1, round(seconds / step))):
            self.clock.now += step
            self.supervisor.step()

    @property
    def jobs(self):
        return [job for pool in self.pools.values() for job in pool.jobs.values()]

    def start(self, *, busy=True):
        """Every job that waits runs, and its worker connects."""
        for pool in self.pools.values():
            for job in list(pool.jobs.values()):
                if job.n_came == 0:
                    self.system.run(job.job_id)
                    self.supervisor.came(pool.kind.name, job.number)
                    if not busy:
                        self.sweep.idle[job.number] = 0.0

    def lose(self, job, end, resource_class="cpu1"):
        """The job ends in some way; the answer of the inquest is put into the list that is returned."""
        answers = []
        self.system.end(job.job_id, end)
        self.supervisor.left(resource_class, job.number)
        self.supervisor.inquire(Inquest(resource_class, job.number, lambda *said: answers.append(said)))
        return answers


def pool_of(most=4, *, cores=1, name="cpu1", demand=1000, per_job=1):
    pool = Pool(ResourceClass(name, Resources(cores=cores), frozenset()), most, per_job)
    pool.demand = demand
    return pool


def test_there_are_as_many_jobs_as_workers_may_be(tmp_path):
    stage = Stage(tmp_path, pool_of(4))
    stage.go(60)

    assert len(stage.system.states) == 4
    assert stage.system.asked["submit"] == 4


def test_no_more_jobs_wait_at_the_same_time_than_is_said(tmp_path):
    stage = Stage(tmp_path, pool_of(40), most_waiting=3)
    stage.go(60)
    assert len(stage.system.states) == 3

    stage.start()
    stage.go(60)
    assert len(stage.system.states) == 6


def test_in_steady_state_there_is_at_most_one_question_in_fifteen_seconds(tmp_path):
    stage = Stage(tmp_path, pool_of(8))
    stage.go(5)
    stage.start()
    stage.go(60)
    before = stage.system.asked.total()
    stage.go(1800)

    assert 0 < stage.system.asked.total() - before <= 1800 / 15


def test_what_the_site_allows_holds_for_all_jobs_of_the_user(tmp_path):
    site = MemoryBatch(site=Limits(n_submitted=10), n_others=7)
    stage = Stage(tmp_path, pool_of(8), queue="long", site=site)
    stage.go(60)
    assert len(site.states) == 3

    site.n_others = 5
    stage.go(120)
    assert len(site.states) == 5


def test_the_cores_that_the_policy_allows_hold_for_all_classes_together(tmp_path):
    stage = Stage(tmp_path, pool_of(8, cores=4, name="cpu4"), pool_of(8, cores=1, name="cpu1"))
    stage.sweep.cores = 9
    stage.go(60)

    assert len(stage.pools["cpu4"].jobs) * 4 + len(stage.pools["cpu1"].jobs) == 9


def test_a_hundred_jobs_lost_one_by_one_are_replaced_one_by_one(tmp_path):
    stage = Stage(tmp_path, pool_of(4))
    stage.go(5)
    answers = []
    for _ in range(100):
        stage.start()
        stage.go(1)
        answers += [stage.lose(stage.jobs[0], JobEnd("node_lost", "NODE_FAIL", node="node3"))]
        stage.go(8)
        assert len(stage.jobs) == 4

    assert {said for one in answers for said in one} == {
        (cause, words) for one in answers for cause, words in one if cause == "node_lost" and "on node3" in words
    }
    assert all(len(one) == 1 for one in answers)
    assert stage.system.asked["submit"] == 104
    assert stage.sweep.failure is None


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("walltime", "walltime"),
        ("preempted", "preempted"),
        ("node_lost", "node_lost"),
        ("cancelled", "cancelled"),
        ("unknown", "worker_lost"),
        ("exit", ""),
        ("out_of_memory", "out_of_memory"),
        ("finished", ""),
    ],
)
def test_why_a_worker_is_gone_is_what_the_batch_system_says_of_its_job(how, cause, tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    answers = stage.lose(stage.jobs[0], JobEnd(how, "in its own words"))
    stage.go(10)

    [(said, words)] = answers
    assert said == cause
    assert "in its own words" in words


def test_a_node_whose_loss_is_noticed_late_is_still_named_while_another_job_does_its_work(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    lost = stage.jobs[0]
    answers = []
    stage.supervisor.left("cpu1", lost.number)
    stage.supervisor.inquire(Inquest("cpu1", lost.number, lambda *said: answers.append(said)))
    stage.go(30)

    assert stage.system.asked["submit"] == 2
    assert (stage.system.cancelled, answers) == ([], [])
    stage.system.end(lost.job_id, JobEnd("node_lost", "NODE_FAIL"))
    stage.go(5)
    assert [cause for cause, _ in answers] == ["node_lost"]


def test_a_process_that_ends_while_its_job_goes_on_is_no_loss_of_a_job(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    job, answers = stage.jobs[0], []
    stage.supervisor.left("cpu1", job.number)
    stage.supervisor.inquire(Inquest("cpu1", job.number, lambda *said: answers.append(said)))
    stage.go(1)
    stage.supervisor.came("cpu1", job.number)
    stage.supervisor.replaced("cpu1", job.number, 0)
    stage.go(60)

    assert answers == [("", "its process ended; its job goes on with another")]
    assert stage.system.asked["submit"] == 1


def test_a_job_that_goes_back_into_the_queue_is_not_a_process_that_ended(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    job, answers = stage.jobs[0], []
    stage.system.states[job.job_id] = JobState(job.job_id, f"{PREFIX}cpu1-1", "waiting", "BeginTime")
    stage.supervisor.left("cpu1", job.number)
    stage.supervisor.inquire(Inquest("cpu1", job.number, lambda *said: answers.append(said)))
    stage.go(5)

    assert answers == [("preempted", f"its job {job.job_id} was put back into the queue")]
    stage.go(20)
    assert stage.system.cancelled == [job.job_id]
    assert len(stage.system.states) == 1


def test_when_nobody_says_why_the_batch_is_answered_and_the_job_is_given_up(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    job, answers = stage.jobs[0], []
    stage.supervisor.left("cpu1", job.number)
    stage.supervisor.inquire(Inquest("cpu1", job.number, lambda *said: answers.append(said)))
    stage.go(60)

    assert [cause for cause, _ in answers] == ["worker_lost"]
    assert stage.system.cancelled == [job.job_id]
    assert len(stage.system.states) == 1


def test_a_batch_system_that_is_away_for_minutes_is_told_once_and_nothing_is_given_up(tmp_path):
    stage = Stage(tmp_path, pool_of(2))
    stage.go(5)
    stage.start()
    stage.go(30)
    stage.system.is_away = True
    stage.go(600)
    stage.system.is_away = False
    stage.go(120)

    assert len(stage.sweep.told("batch.away")) == len(stage.sweep.told("batch.back")) == 1
    assert stage.sweep.told("batch.back")[0]["away_s"] > 500
    assert stage.sweep.told("job.ended") == []
    assert stage.sweep.failure is None
    assert len(stage.system.states) == 2


def test_a_worker_lost_while_the_batch_system_is_away_is_replaced_when_it_is_back(tmp_path):
    stage = Stage(tmp_path, pool_of(2))
    stage.go(5)
    stage.start()
    stage.system.is_away = True
    answers = stage.lose(stage.jobs[0], JobEnd("node_lost", "NODE_FAIL"))
    stage.go(300)
    assert [cause for cause, _ in answers] == ["worker_lost"]

    stage.system.is_away = False
    stage.go(120)
    assert len(stage.system.states) == 2


def test_a_job_that_was_taken_though_nobody_said_so_is_ended_and_another_submitted(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    submit = stage.system.submit

    def lost_answer(script):
        submit(script)
        raise BatchUnreachableError("timed out")

    stage.system.submit = lost_answer
    stage.go(1)
    stage.system.submit = submit
    stage.go(60)

    assert stage.system.cancelled == ["100"]
    assert list(stage.system.states) == [stage.jobs[0].job_id] == ["101"]


def test_a_worker_may_be_there_before_the_batch_system_has_answered(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    submit, came = stage.system.submit, []

    def slow(script):
        came.append(stage.supervisor.came("cpu1", 1))
        return submit(script)

    stage.system.submit = slow
    stage.go(1)

    assert came == stage.jobs
    assert stage.jobs[0].n_there == 1


def test_what_is_refused_from_the_first_is_said_at_once_in_the_batch_systems_words(tmp_path):
    stage = Stage(tmp_path, pool_of(1, cores=3))
    stage.system.refusal = BatchError("invalid partition specified: nosuch")
    stage.go(1)

    assert isinstance(stage.sweep.failure, SweepError)
    assert "3 cores" in str(stage.sweep.failure)
    assert "invalid partition specified: nosuch" in str(stage.sweep.failure)


def test_a_refusal_just_before_a_closing_ends_nothing(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.system.refusal = BatchError("Invalid time-min specification")
    job = stage.sweep.job

    def late(pool, number, log, memory=None):
        return replace(job(pool, number, log), end_by=datetime.now(UTC) + timedelta(seconds=50))

    stage.sweep.job = late
    stage.go(1)
    assert stage.sweep.failure is None
    assert len(stage.sweep.told("job.refused")) == 1


def test_a_class_that_is_refused_ends_the_sweep_though_jobs_of_another_run(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    gpu = pool_of(1, name="gpu1")
    stage.pools[gpu.kind.name] = gpu
    stage.system.refusal = BatchError("Invalid generic resource (gres) specification")
    stage.go(1)

    assert "gres" in str(stage.sweep.failure)


def test_a_refusal_of_what_was_taken_before_is_borne_for_a_while(tmp_path):
    stage = Stage(tmp_path, pool_of(2))
    stage.go(5)
    stage.start()
    stage.system.refusal = BatchError("try again")
    for job in list(stage.jobs):
        stage.lose(job, JobEnd("node_lost"))
    stage.go(40)
    assert stage.sweep.failure is None
    assert 0 < len(stage.sweep.told("job.refused")) <= 2

    stage.system.refusal = None
    stage.go(120)
    assert len(stage.system.states) == 2


def test_where_it_is_refused_for_ever_the_sweep_ends(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    stage.system.refusal = BatchError("account expired")
    stage.lose(stage.jobs[0], JobEnd("node_lost"))
    stage.go(600)

    assert "account expired" in str(stage.sweep.failure)


def test_a_user_who_may_have_no_more_jobs_now_waits_as_long_as_it_takes(tmp_path):
    stage = Stage(tmp_path, pool_of(2))
    stage.system.refusal = BatchLimitError("QOSMaxSubmitJobPerUserLimit")
    stage.go(7200, step=1.0)
    assert stage.sweep.failure is None
    assert len(stage.sweep.told("job.refused")) < 25

    stage.system.refusal = None
    stage.go(700, step=1.0)
    assert len(stage.system.states) == 2


def test_a_job_that_can_never_run_ends_the_sweep_with_the_reason(tmp_path):
    stage = Stage(tmp_path, pool_of(1, cores=64))
    stage.go(1)
    [job_id] = stage.system.states
    never = replace(stage.system.states[job_id], reason="Can never run: too many CPUs", never=True)
    stage.system.states[job_id] = never
    stage.go(20)

    assert "Can never run: too many CPUs" in str(stage.sweep.failure)
    assert "64 cores" in str(stage.sweep.failure)


def test_jobs_whose_workers_never_connect_end_the_sweep_with_the_end_of_the_last_log(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    for n in range(1, 5):
        stage.go(70)
        if stage.sweep.failure is not None:
            break
        job = stage.jobs[0]
        stage.system.run(job.job_id)
        (tmp_path / f"job-cpu1-{job.job_id}.log").write_text(f"module: command not found {n}\n")
        stage.system.end(job.job_id, JobEnd("exit", "FAILED, exit status 1"))

    assert str(stage.sweep.failure).endswith("module: command not found 3")
    assert "FAILED, exit status 1" in str(stage.sweep.failure)


def test_jobs_that_nodes_or_others_ended_before_their_workers_came_are_not_held_against_the_site(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    for how in ["preempted", "node_lost", "cancelled"] * 4:
        stage.go(20)
        stage.system.end(stage.jobs[0].job_id, JobEnd(how))
    stage.go(20)

    assert stage.sweep.failure is None
    assert len(stage.system.states) == 1


def test_jobs_of_a_driver_that_was_lost_are_ended_and_those_of_others_are_not(tmp_path):
    site = MemoryBatch()
    for name in (f"{PREFIX}cpu1-7", "sf-other-wcpu1-1", "mine"):
        site.submit(name)
    stage = Stage(tmp_path, pool_of(1), site=site)
    stage.go(60)

    assert site.cancelled == ["100"]
    assert [facts["jobs"] for facts in stage.sweep.told("jobs.orphaned")] == [["100"]]
    assert {"101", "102"} < set(site.states)


def test_after_the_last_run_no_job_is_left_in_the_queue(tmp_path):
    stage = Stage(tmp_path, pool_of(4))
    stage.go(2)
    stage.system.run(stage.jobs[0].job_id)
    stage.supervisor.came("cpu1", stage.jobs[0].number)
    stage.sweep.idle[stage.jobs[0].number] = 0.0
    stage.pools["cpu1"].demand = 0
    stage.go(2)

    assert stage.system.states == {}
    assert sorted(stage.system.cancelled) == ["100", "101", "102", "103"]


def test_workers_without_work_for_long_leave_while_others_go_on(tmp_path):
    stage = Stage(tmp_path, pool_of(4))
    stage.go(2)
    stage.start()
    stage.pools["cpu1"].demand = 1
    for job in stage.jobs[1:]:
        stage.sweep.idle[job.number] = 20.0
    stage.go(2)
    assert stage.system.cancelled == []

    stage.sweep.idle = dict.fromkeys(stage.sweep.idle, 40.0)
    stage.go(2)
    assert stage.system.cancelled == ["101", "102", "103"]


def test_a_worker_that_got_something_in_the_last_moment_keeps_its_job(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(2)
    stage.start(busy=False)
    stage.pools["cpu1"].demand = 0
    stage.sweep.dismiss = lambda pool, number: False
    stage.go(10)

    assert stage.system.cancelled == []


def test_a_job_that_ends_soon_is_replaced_before_it_ends_and_goes_when_it_is_idle(tmp_path):
    stage = Stage(tmp_path, pool_of(2))
    stage.go(2)
    stage.start()
    soon = stage.jobs[0]
    stage.sweep.spent.add(soon.number)
    stage.go(2)
    assert len(stage.system.states) == 3
    assert stage.system.cancelled == []

    stage.sweep.idle[soon.number] = 0.0
    stage.go(30)
    assert stage.system.cancelled == [soon.job_id]
    assert [facts["how"] for facts in stage.sweep.told("job.ended")] == ["finished"]
    assert len(stage.system.states) == 2


def test_no_job_is_submitted_while_the_policy_is_shut(tmp_path):
    stage = Stage(tmp_path, pool_of(2))
    stage.sweep.may_start = False
    stage.go(60)
    assert stage.system.asked["submit"] == 0

    stage.sweep.may_start = True
    stage.go(1)
    assert len(stage.system.states) == 2


def test_closing_leaves_no_job_of_this_sweep(tmp_path):
    stage = Stage(tmp_path, pool_of(3))
    stage.go(2)
    other = stage.system.submit("mine")
    stage.supervisor.start()
    stage.supervisor.close()

    assert list(stage.system.states) == [other]


def announce(stage, job):
    """The batch system says that a job has to go for others, in a moment."""
    stage.system.states[job.job_id] = replace(stage.system.states[job.job_id], is_preempted=True, ends_at=1010.0)


def test_a_job_that_has_to_go_for_others_is_replaced_and_left_to_its_end_which_is_told(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    stage.go(1)
    job = stage.jobs[0]
    announce(stage, job)
    stage.go(70)
    stage.sweep.idle[job.number] = 0.0  # it has handed back what it had
    stage.go(5)

    assert stage.sweep.retired == [(job.number, True)]
    assert stage.system.cancelled == []
    assert stage.system.asked["submit"] == 2
    assert len(stage.sweep.told("job.preempted")) == 1
    stage.system.end(job.job_id, JobEnd("preempted", "PREEMPTED"))
    stage.go(70)
    assert [facts["how"] for facts in stage.sweep.told("job.ended")] == ["preempted"]


@pytest.mark.parametrize(("how", "told"), [("finished", "preempted"), ("node_lost", "node_lost")])
def test_a_job_that_leaves_by_itself_within_its_grace_was_preempted(how, told, tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    stage.go(1)
    job = stage.jobs[0]
    announce(stage, job)
    stage.go(70)
    answers = stage.lose(job, JobEnd(how, "in its own words"))
    stage.go(20)

    assert [cause for cause, _ in answers] == [told]
    assert [facts["how"] for facts in stage.sweep.told("job.ended")] == [told]


def test_a_worker_that_memory_was_not_enough_for_says_how_much_it_had(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    answers = stage.lose(stage.jobs[0], JobEnd("out_of_memory", "OUT_OF_MEMORY", node="node3"))
    stage.go(10)

    [(cause, words)] = answers
    assert cause == "out_of_memory"
    assert words.endswith("OUT_OF_MEMORY on node3; it had 1 GiB of memory")
    assert stage.pools["cpu1"].memory == 1


def test_a_process_that_is_killed_for_memory_while_its_job_goes_on_is_told_as_that_and_only_once(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    job, answers = stage.jobs[0], []
    for _ in range(2):
        stage.supervisor.left("cpu1", job.number)
        stage.supervisor.inquire(Inquest("cpu1", job.number, lambda *said: answers.append(said)))
        stage.supervisor.came("cpu1", job.number)
        stage.supervisor.replaced("cpu1", job.number, 1)
        stage.go(1)

    assert [cause for cause, _ in answers] == ["out_of_memory", ""]
    assert "it had 1 GiB of memory" in answers[0][1]


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("slurmstepd-n1: error: StepId=3.batch exceeded memory limit (3 > 2), being killed\n", "out_of_memory"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=3.batch.\n", "out_of_memory"),
        ("my task: error: the oom_killer of this game\n", ""),
        ("", ""),
    ],
)
def test_a_job_that_slurm_kills_for_its_memory_is_known_from_its_log_where_its_state_does_not_tell(
    log, cause, tmp_path
):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    (tmp_path / f"job-cpu1-{stage.jobs[0].job_id}.log").write_text(log)
    answers = stage.lose(stage.jobs[0], JobEnd("exit", "FAILED, signal 9 (SIGKILL)", signal=9))
    stage.go(10)

    assert [said for said, _ in answers] == [cause]


def test_a_large_job_is_submitted_for_what_needs_it_and_cancelled_when_that_is_done(tmp_path):
    stage = Stage(tmp_path, pool_of(4))
    stage.go(5)
    stage.start()
    stage.pools["cpu1"].large = [4.0]
    stage.go(1)
    assert stage.sweep.retired == [(1, False)]
    stage.sweep.idle[1] = 0.0  # it has finished what it had
    stage.go(40)

    assert stage.system.cancelled == ["100"]
    [large] = [job for job in stage.jobs if job.is_large]
    assert (large.memory, large.memory_bytes) == (4.0, 2**32)
    assert len(stage.jobs) == 4
    stage.start()
    stage.pools["cpu1"].large = []
    stage.sweep.idle[large.number] = 0.0
    stage.go(5)
    assert stage.system.cancelled == ["100", large.job_id]
    assert len([job for job in stage.jobs if not job.is_large]) == 4


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_large_job_that_cannot_be_had_ends_what_waits_for_it_and_not_the_sweep(is_refused, tmp_path):
    stage = Stage(tmp_path, pool_of(4))
    stage.go(5)
    stage.start()
    pool = stage.pools["cpu1"]
    pool.most, pool.large = 5, [2.0]
    if is_refused:
        stage.system.refusal = BatchError("SLURM refused the job: Memory specification can not be satisfied")
        stage.go(1)
    else:
        stage.go(1)
        [job] = [job for job in stage.jobs if job.is_large]
        never = JobState(job.job_id, f"{PREFIX}cpu1-5", "waiting", "BadConstraints", never=True)
        stage.system.states[job.job_id] = never
        stage.go(20)

    assert stage.sweep.failure is None
    assert pool.most_memory == 1
    assert pool.why_no_more.startswith("no job with 2 GiB of memory can be had: ")
    assert not [job for job in stage.jobs if job.is_large and not job.cancelled]


def test_a_walltime_that_grew_beyond_what_the_site_allows_shrinks_and_ends_no_sweep(tmp_path):
    stage = Stage(tmp_path, pool_of(1))
    stage.go(5)
    stage.start()
    stage.lose(stage.jobs[0], JobEnd("walltime", "TIMEOUT"))
    stage.system.refusal = BatchError("SLURM refused the job: Requested time limit is invalid")
    stage.go(20)
    assert stage.pools["cpu1"].time == 1
    stage.system.refusal = None
    stage.go(700)

    assert stage.sweep.failure is None
    assert [job.time for job in stage.jobs] == [1]
