"""Jobs of a controller's chain, against a batch system in memory; the work is done in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

import sciflow
from sciflow.batch.system import JobEnd, JobState, Limits
from sciflow.engine.chain import BARREN, EndOfJob, begin_of, mark_of, why_give_up
from sciflow.engine.controller import Ears
from sciflow.engine.gate import Gate
from sciflow.engine.generation import GenerationOfJobs
from sciflow.engine.job import Turn, controller_job, job_prefix
from sciflow.engine.order import open_order
from sciflow.engine.submit import JobController
from sciflow.engine.watch import Watch
from sciflow.errors import BatchError
from sciflow.scheduling import All, Immediate, Opening
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
from sciflow.store.submissions import Generation, Submission, newest_submission


@dataclass
class Queue:
    """A batch system that remembers what it was asked."""

    name: str = "memory"
    n_taken: int = 0
    walltime_s: int | None = None
    refusal: str = ""
    asked: dict = field(default_factory=dict)
    running: set = field(default_factory=set)
    cancelled: list = field(default_factory=list)
    workers: dict = field(default_factory=dict)
    n_submitted: int | None = None
    cannot_cancel: bool = False

    def script(self, job):
        self.written = job
        return f"#!/bin/sh\n{job.body}"

    def submit(self, script):
        if self.refusal:
            raise BatchError(self.refusal)
        self.n_taken += 1
        job_id = str(100 + self.n_taken)
        self.asked[job_id] = self.written
        return job_id

    def jobs(self, prefix):
        names = {job_id: job.name for job_id, job in self.asked.items()} | self.workers
        return {
            job_id: JobState(job_id, name, "running" if job_id in self.running else "waiting", reason="Resources")
            for job_id, name in names.items()
            if name.startswith(prefix) and job_id not in self.cancelled
        }

    def n_jobs(self):
        return len(self.jobs(""))

    def ends(self, job_ids):
        return {job_id: JobEnd("node_lost", "NODE_FAIL") for job_id in job_ids}

    def cancel(self, job_ids):
        if self.cannot_cancel:
            raise BatchError("no scancel on this node")
        self.cancelled += job_ids

    def limits(self, queue):
        return Limits(walltime_s=self.walltime_s, n_submitted=self.n_submitted)

    @property
    def left(self):
        return {job_id: job for job_id, job in self.asked.items() if job_id not in self.cancelled}


@dataclass
class InQueue:
    """A controller whose jobs go to that queue."""

    queue: Queue
    job: JobController = field(default_factory=lambda: JobController(walltime="1h", nodes_submit=True))
    is_here: bool = False

    def start(self, directory, order):
        self.job.start(directory, order, self.queue)


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture(autouse=True)
def handlers():
    """Signals are handled as before when a test is over."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(one) for one in signals]
    yield
    for one, handler in zip(signals, before, strict=True):
        signal.signal(one, handler)


def submit(folder, queue, *, warned_at=(), policy=None, n=8, job=None, **request):
    """Submit a sweep whose task notes each call, and at some variants gets the warning that its walltime ends."""
    for a in warned_at:
        (folder / f"warn-{a}").touch()

    def task(a):
        with (folder / "calls.txt").open("a") as file:
            file.write(f"{a}\n")
        if (folder / f"warn-{a}").exists():
            (folder / f"warn-{a}").unlink()
            os.kill(os.getpid(), signal.SIGUSR1)
        if (folder / "failing").exists():
            raise ArithmeticError("not today")
        return {"y": a}

    workflow = sciflow.ExperimentalWorkflow("chained")
    workflow.add_task("task", task)
    workflow.add_parameter_space({"a": range(n)})
    engine = sciflow.Engine("inline", directory=folder / "sweeps", policy=policy, progress=False)
    controller = InQueue(queue) if job is None else InQueue(queue, job)
    return engine.submit(workflow, controller=controller, **request)


def turn(sweep, queue, number, job_id=None, *, is_turn=False):
    """Let the job of this number have its turn."""
    submission = newest_submission(SweepDirectory.open(sweep.directory))
    ending = ".turns" if is_turn else f".{number}"
    job_id = job_id or next(one for one, job in queue.left.items() if job.name.endswith(ending))
    queue.running.add(job_id)
    ears = Ears(is_armed=False)
    ears.listen(stop="hand_over")
    status = GenerationOfJobs(submission, number, queue, ears, {"SCIFLOW_JOB_ID": job_id}, is_turn=is_turn).run()
    queue.running.discard(job_id)
    queue.asked.pop(job_id, None)
    return status


def calls(folder):
    return sorted(map(int, (folder / "calls.txt").read_text().split())) if (folder / "calls.txt").exists() else []


def end_of(sweep):
    return newest_submission(SweepDirectory.open(sweep.directory)).end


def test_a_job_queues_its_successor_first_and_takes_it_out_of_the_queue_last(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    (first,) = queue.asked.values()

    assert turn(sweep, queue, 1) == 0

    successor = queue.written
    assert (successor.name, successor.after, successor.begin) == (first.name.removesuffix("1") + "2", "101", None)
    assert queue.left == {}
    assert end_of(sweep)["how"] == "finished"
    assert sweep.status().state == "complete"


def test_a_job_whose_walltime_ends_hands_over_and_nothing_runs_twice(tmp_path, queue):
    sweep = submit(tmp_path, queue, warned_at=(2, 5))

    assert turn(sweep, queue, 1) == 0
    assert end_of(sweep) is None
    assert [job.after for job in queue.left.values()] == ["101"]
    assert 0 < len(calls(tmp_path)) < 8
    assert sweep.status().is_driven  # it goes on
    assert turn(sweep, queue, 2) == 0
    assert turn(sweep, queue, 3) == 0

    assert calls(tmp_path) == list(range(8))
    assert end_of(sweep)["how"] == "finished"
    assert queue.left == {}


@pytest.mark.parametrize("request_", [{"force": True}, {"retry_failed": True}])
def test_what_was_asked_to_run_again_runs_once_however_many_jobs_it_takes(tmp_path, queue, request_):
    (tmp_path / "failing").touch()
    turn(submit(tmp_path, queue), queue, 1)
    (tmp_path / "calls.txt").unlink()

    sweep = submit(tmp_path, queue, warned_at=(3,), **request_)
    turn(sweep, queue, 1)
    turn(sweep, queue, 2)

    assert calls(tmp_path) == list(range(8))
    assert end_of(sweep)["how"] == "finished"


def test_a_chain_of_jobs_that_die_without_progress_gives_up_and_says_so(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    submission = newest_submission(SweepDirectory.open(sweep.directory))
    for number in range(1, BARREN + 1):
        submission.tell_generation(number, {"job": f"9{number}", "mark": mark_of(sweep.directory)})

    assert turn(sweep, queue, BARREN + 1, "101") == 1

    end = end_of(sweep)
    assert end["how"] == "given_up"
    assert f"its last {BARREN} jobs died without any progress; the last was job 9{BARREN}: NODE_FAIL" in end["message"]
    assert queue.left == {}
    assert "gave up: its last" in str(sweep.status())
    assert calls(tmp_path) == []


def test_of_two_jobs_of_one_number_the_second_leaves_nothing_behind(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    submission = newest_submission(SweepDirectory.open(sweep.directory))
    submission.tell_generation(1, {"job": "77", "mark": {}})

    assert turn(sweep, queue, 1) == 0

    assert queue.left == {}
    assert end_of(sweep) is None
    assert calls(tmp_path) == []


def test_a_job_that_is_run_again_by_its_batch_system_keeps_its_successor(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    submission = newest_submission(SweepDirectory.open(sweep.directory))
    submission.tell_generation(1, {"job": "101", "mark": {}})
    queue.submit(queue.script(controller_job(submission, 2, after="101")))

    assert turn(sweep, queue, 1) == 0

    assert calls(tmp_path) == list(range(8))
    assert queue.left == {}
    assert queue.cancelled == ["102"]


def test_while_the_window_is_shut_the_next_job_is_told_when_to_begin(tmp_path, queue):
    opens, closes = (f"{datetime.now(UTC) + timedelta(hours=n):%H:%M}" for n in (5, 6))
    policy = sciflow.scheduling.parse_policy("off_peak", {"preferred_hours": f"{opens}-{closes}", "timezone": "UTC"})
    sweep = submit(tmp_path, queue, policy=policy)

    assert turn(sweep, queue, 1) == 0

    (successor,) = queue.left.values()
    assert timedelta(hours=4.9) < successor.begin - datetime.now(UTC) < timedelta(hours=5.1)
    assert calls(tmp_path) == []
    assert sweep.status().state == "submitted"


def test_the_hours_of_a_policy_are_those_of_the_clock_where_the_sweep_was_submitted(tmp_path, queue, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    policy = sciflow.scheduling.parse_policy("off_peak", {"preferred_hours": "1:00-2:00"})

    sweep = submit(tmp_path, queue, policy=policy)

    submission = newest_submission(SweepDirectory.open(sweep.directory))
    assert submission.facts["policy"]["timezone"] == "Pacific/Auckland"
    assert open_order(submission).policy.timezone.name == "Pacific/Auckland"


def test_a_job_that_cannot_queue_a_successor_works_and_says_at_its_end_that_nothing_follows(tmp_path, queue, capsys):
    sweep = submit(tmp_path, queue, warned_at=(2,))
    queue.refusal = "submissions from nodes are not allowed here"

    assert turn(sweep, queue, 1) == 1

    assert "submissions from nodes are not allowed here" in capsys.readouterr().err
    assert end_of(sweep)["how"] == "stopped"
    assert "no further one could be queued" in str(sweep.status())
    assert calls(tmp_path)


BEFOREHAND = JobController(walltime="1h", nodes_submit=False, n_turns=3)


def test_where_nodes_may_not_submit_jobs_are_queued_beforehand_and_the_last_act_cancels_the_rest(
    tmp_path, queue, capsys
):
    sweep = submit(tmp_path, queue, warned_at=(2,), job=BEFOREHAND)
    queued = [(job.name.partition("-controller-")[2], job.after, job.turn_after) for job in queue.asked.values()]
    queue.refusal = "submissions from nodes are not allowed here"

    assert turn(sweep, queue, 1, is_turn=True) == 0
    assert end_of(sweep) is None
    assert turn(sweep, queue, 2, is_turn=True) == 0

    assert queued == [("1.turns", None, ()), ("1.turns", None, ("101",)), ("1.turns", None, ("101", "102"))]
    assert "3 jobs are in the queue now, 101 to 103" in capsys.readouterr().err
    assert calls(tmp_path) == list(range(8))
    assert end_of(sweep)["how"] == "finished"
    assert queue.cancelled == ["103"]


def test_jobs_that_nobody_can_cancel_end_by_themselves_when_their_turn_comes(tmp_path, queue, capsys):
    sweep = submit(tmp_path, queue, job=BEFOREHAND)
    queue.cannot_cancel = True
    submission = newest_submission(SweepDirectory.open(sweep.directory))

    turn(sweep, queue, 1, is_turn=True)
    body = controller_job(submission, 2, turn=Turn()).body
    done = subprocess.run(["/bin/sh", "-x"], input=body, capture_output=True, text=True, check=False)

    assert "what is left in the queue ends when its turn comes: no scancel" in capsys.readouterr().err
    assert list(queue.left) == ["102", "103"]
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "+ exit 0"  # before anything else is loaded
    assert turn(sweep, queue, 2, is_turn=True) == 0
    assert calls(tmp_path) == list(range(8))


def test_the_last_of_the_jobs_that_were_queued_beforehand_says_so(tmp_path, queue):
    sweep = submit(tmp_path, queue, warned_at=(2,), job=replace(BEFOREHAND, n_turns=1))

    assert turn(sweep, queue, 1, is_turn=True) == 1

    assert end_of(sweep)["how"] == "stopped"
    assert "the last of the jobs that were queued beforehand is over; submit the sweep again" in str(sweep.status())
    assert not sweep.status().is_driven


def test_fewer_jobs_are_queued_beforehand_where_a_site_allows_no_more(tmp_path, queue):
    queue.n_submitted = 2

    submit(tmp_path, queue, job=BEFOREHAND)

    assert len(queue.asked) == 2


def test_of_a_refusal_on_a_node_the_next_submission_knows(tmp_path, queue):
    unknown = JobController(walltime="1h", n_turns=2)
    submission = newest_submission(SweepDirectory.open(submit(tmp_path, queue).directory))
    submission.tell_word_of_node(may_submit=False, words="not from nodes")
    submission.tell_end("stopped")
    queue.asked.clear()

    submit(tmp_path, queue, job=unknown)

    assert [job.name.rpartition(".")[2] for job in queue.asked.values()] == ["turns", "turns"]


def test_what_the_first_job_was_told_is_known_and_a_full_queue_is_no_refusal(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    queue.refusal = "not from nodes"
    turn(sweep, queue, 1)

    word = newest_submission(SweepDirectory.open(sweep.directory)).word_of_node

    assert word == {"may_submit": False, "words": "not from nodes"}


def test_while_the_window_is_shut_a_job_of_many_passes_its_turn(tmp_path, queue):
    opens, closes = (f"{datetime.now(UTC) + timedelta(hours=n):%H:%M}" for n in (5, 6))
    policy = sciflow.scheduling.parse_policy("off_peak", {"preferred_hours": f"{opens}-{closes}", "timezone": "UTC"})
    sweep = submit(tmp_path, queue, policy=policy, job=BEFOREHAND)

    assert {round((job.begin - datetime.now(UTC)) / timedelta(hours=1)) for job in queue.asked.values()} == {5, 29}
    assert turn(sweep, queue, 1, is_turn=True) == 0
    assert calls(tmp_path) == []
    assert list(queue.left) == ["102", "103"]
    assert sweep.status().state == "submitted"


def test_a_sweep_that_was_cancelled_in_the_queue_ends_with_its_job(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    newest_submission(SweepDirectory.open(sweep.directory)).request_cancel()

    assert turn(sweep, queue, 1) == 0

    assert (end_of(sweep)["how"], queue.left, calls(tmp_path)) == ("cancelled", {}, [])


def test_what_a_dead_predecessor_left_in_the_queue_is_cancelled(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    prefix = job_prefix(SweepDirectory.open(sweep.directory))
    queue.workers = {"55": f"{prefix}w-1", "56": "sf-another-w-1"}
    queue.running = {"55", "56"}

    turn(sweep, queue, 1)

    assert "55" in queue.cancelled
    assert "56" not in queue.cancelled


def test_a_job_that_finds_another_driver_at_work_leaves_its_workers_alone(tmp_path, queue):
    sweep = submit(tmp_path, queue)
    directory = SweepDirectory.open(sweep.directory)
    queue.workers = {"55": f"{job_prefix(directory)}w-1"}
    queue.running = {"55"}

    with Session.acquire(directory, heartbeat_s=0.1):
        assert turn(sweep, queue, 1) == 1

    assert end_of(sweep)["error"] == "SweepBusyError"
    assert "55" not in queue.cancelled
    assert queue.left == {}


def test_a_walltime_beyond_the_limit_is_refused_and_none_is_cut_to_it(tmp_path):
    short = Queue(walltime_s=1800)

    with pytest.raises(BatchError, match=r"asks for a walltime of 1 h.*the queue allows 30 min"):
        submit(tmp_path, short)
    assert short.asked == {}
    assert not (tmp_path / "sweeps/chained").exists()


def test_jobs_of_a_controller_go_where_the_site_says_unless_told_otherwise(tmp_path, queue):
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/site.toml").write_text(
        'system = "slurm"\naccount = "ab12"\nprologue = ["true"]\n[controller]\npartition = "long"\nwalltime = "2h"\n'
    )

    submit(tmp_path, queue)

    (job,) = queue.asked.values()
    assert (job.queue, job.account, job.walltime_s) == ("long", "ab12", 3600)  # the walltime was said
    assert job.body.startswith("true\n")


def test_a_refused_job_is_told_and_the_sweep_is_free_again(tmp_path, queue):
    queue.refusal = "no account"

    with pytest.raises(BatchError, match="no account"):
        submit(tmp_path, queue)

    queue.refusal = ""
    assert submit(tmp_path, queue).status().state == "submitted"


def test_a_script_is_inert_whatever_stands_in_names(tmp_path):
    odd = tmp_path / "a'; touch pwned; $(touch pwned) `touch pwned`\t\""
    odd.mkdir()
    facts = {
        "prefix": "sf-12345678-",
        "job": {"cores": 1, "memory_bytes": 1, "walltime_s": 60, "prologue": []},
        "executable": "/bin/echo",
        "cwd": str(odd),
        "umask": "0022",
        "python_path": str(odd),
    }
    submission = Submission(odd / "controller", 1, facts)

    body = controller_job(submission, 1).body
    done = subprocess.run(["/bin/sh"], input=body, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.stdout.endswith(f"controller job {odd} 1 1\n")
    assert not [*tmp_path.rglob("pwned")]


def test_a_queue_is_asked_what_the_controller_waits_for(tmp_path, queue):
    sweep = submit(tmp_path, queue)

    waiting = Watch(sweep.directory, lambda *_: queue).look()
    queue.cancelled = list(queue.asked)
    gone = Watch(sweep.directory, lambda *_: queue).look()

    assert waiting.controller.message == "job 101 waits: Resources"
    assert gone.controller.state == "died"
    assert "no job of it is in the queue any more; job 101: NODE_FAIL" in str(gone)
    assert not gone.is_driven


# ------------------------------------------------------------------------------------------------------------ decisions


def past(*hows, mark=0):
    return [
        Generation(n + 1, {"mark": mark, "job": str(n)}, None if how == "died" else {"how": how})
        for n, how in enumerate(hows)
    ]


@pytest.mark.parametrize(
    ("hows", "is_alone", "gives_up"),
    [
        (("died", "died"), True, False),
        (("died", "died", "died"), False, True),
        (("died", "handed_over", "died"), True, True),
        (("died", "handed_over", "died"), False, False),
        (("handed_over",) * 3, True, True),
        (("handed_over",) * 300, False, False),
        (("window",) * 300, True, False),
        (("died", "window", "died", "window", "died", "window"), True, True),
    ],
)
def test_a_chain_gives_up_after_three_jobs_in_a_row_that_were_worth_nothing(hows, is_alone, gives_up):
    reason = why_give_up(past(*hows), 0, is_alone=is_alone, walltime_s=60)

    assert bool(reason) is gives_up


def test_progress_of_any_job_starts_the_count_anew():
    earlier = past("died", "died", "died", "died")
    earlier[2] = replace(earlier[2], facts={"mark": 1})  # the second one had done something by then

    assert why_give_up(earlier, 0, is_alone=True, walltime_s=60) == ""
    assert why_give_up(past("died", "died", "died"), 1, is_alone=True, walltime_s=60) == ""


def test_results_and_checkpoints_are_progress(tmp_path):
    before = mark_of(tmp_path)
    (tmp_path / "checkpoints/v1").mkdir(parents=True)
    (tmp_path / "checkpoints/v1/state").write_bytes(b"1")
    saved = mark_of(tmp_path)
    os.utime(tmp_path / "checkpoints/v1/state", ns=(1, 1))

    assert before != saved != mark_of(tmp_path)
    assert json.loads(json.dumps(saved)) == saved  # as it is kept


def test_a_window_that_opens_in_a_moment_is_waited_for_by_the_job_itself():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    soon, late = now + timedelta(seconds=30), now + timedelta(hours=3)

    assert begin_of(Opening(may_start=True), now, None) is None
    assert begin_of(Opening(may_start=False, next_open=soon), now, None) is None
    assert begin_of(Opening(may_start=False, next_open=None), now, None) is None
    assert begin_of(Opening(may_start=False, next_open=late), now, None) == late
    assert begin_of(Opening(may_start=False, next_open=late), now, now + timedelta(hours=1)) == now + timedelta(hours=1)
    assert begin_of(Opening(may_start=False, next_open=late), now, now - timedelta(hours=1)) is None


def test_work_stops_with_the_job_and_with_the_window_whichever_is_first():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ends = now + timedelta(hours=1)
    gate = Gate(All([Immediate(), EndOfJob(ends)]), now=lambda: now)

    assert gate.opening().until == ends
    now = ends
    assert not gate.opening().may_start
