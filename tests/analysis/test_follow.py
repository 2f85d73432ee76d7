"""The status of a sweep from its directory alone: what is recorded, what the driver tells, what workers note."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import sciflow
from sciflow.analysis.follow import Follower, read_status
from sciflow.analysis.results import open_results
from sciflow.engine.gate import Gate
from sciflow.engine.journal import Journal
from sciflow.errors import FormatError
from sciflow.running.failure import Failure
from sciflow.running.live import Live
from sciflow.scheduling import OffPeak
from sciflow.store import column
from sciflow.store.compact import compact
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.lease import Session
from sciflow.store.submissions import Submission
from sciflow.testing.sweeps import known_outcome_sweep, record_outcomes

N = 40


def task(a, b):
    return {"y": a + b}


def workflow_of(space=None, name="w"):
    workflow = sciflow.ExperimentalWorkflow(name)
    workflow.add_task("prepare", lambda a: a)
    workflow.add_task("f", task)
    workflow.add_parameter_space(space or {"a": range(N // 2), "b": [0, 1]})
    return workflow


def failure(message="no", line=7):
    return Failure("exception", "f", "ValueError", message, "Traceback ...", f"ValueError at study.py:f:{line}")


def agree(path):
    """The status, having checked its counts against what the results say."""
    status = read_status(path)
    counts = open_results(path).status()
    assert (status.n_done + status.n_stale, status.n_failed, status.n_missing) == (
        counts["done"],
        counts["failed"],
        counts["missing"],
    )
    return status


class Writing:
    """A sweep under way: a session, its event log, and frames by row."""

    def __init__(self, path, workflow=None):
        self.definition = (workflow or workflow_of()).validate()
        self.directory = SweepDirectory.create_or_open(path, self.definition.name, 0)
        self.session = Session.acquire(self.directory)
        self.revision = self.directory.add_definition({**self.definition.to_dict(), "generation": "now"})
        self.writer = self.directory.segment_writer(self.session.number)

    def commit(self, rows, failed=None, *, attempt=1, generation="now", worker="node7:41"):
        rows = np.asarray(rows)
        table = self.definition.space.take(rows)
        cells = {
            known.name: column.category(
                table.columns[known.name].pool, table.columns[known.name].codes, kind="parameter"
            )
            for known in table.parameters
        }
        texts = None if failed is None else [json.dumps(failed.to_dict())] * len(rows)
        took = np.full(len(rows), 0.1)
        cells |= column.variant_facts(table.id_bytes(), took, took, rows=rows, failures=texts)
        header = {
            "revision": self.revision,
            "session": self.session.number,
            "generation": generation,
            "environment": "",
            "worker": worker,
            "attempt": attempt,
            "t0": float(attempt),
            "status": "done" if failed is None else "failed",
        }
        self.writer.commit([Frame(header, cells)])

    def hand_over(self):
        """Another driver takes over; what the first one's workers wrote may be compacted."""
        self.writer.close()
        self.session.end()
        self.session = Session.acquire(self.directory)
        self.writer = self.directory.segment_writer(self.session.number)

    def events(self, *lines):
        log = self.directory.path / f"events/{self.session.number:06d}.jsonl"
        log.parent.mkdir(exist_ok=True)
        with log.open("a") as file:
            for name, time, facts in lines:
                file.write(json.dumps({"name": name, "time": time, **facts}) + "\n")


@pytest.fixture
def sweep(tmp_path):
    writing = Writing(tmp_path / "w")
    yield writing
    writing.writer.close()
    writing.session.end()


# -------------------------------------------------------------------------------------------------------------- counts


def test_a_directory_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no sweep"):
        read_status(tmp_path)


def test_a_sweep_that_nobody_has_begun_is_new(tmp_path):
    SweepDirectory.create_or_open(tmp_path / "w", "w", 0)

    status = read_status(tmp_path / "w")

    assert (status.state, status.n_variants, status.driver) == ("new", 0, None)
    assert "no driver has worked on it" in str(status)


def test_the_counts_are_those_of_the_results(tmp_path):
    known = known_outcome_sweep(tmp_path / "known")

    status = agree(known.path)

    assert (status.n_done, status.n_failed, status.n_missing) == (known.n_done, known.n_failed, known.n_missing)
    assert status.state == "stopped"
    assert {group.message for group in status.failures} == {"the loss is not finite", "no more memory"}
    assert [group.count for group in status.failures] == [2, 1]


def test_each_look_counts_what_was_committed_since(sweep):
    follower = Follower(sweep.directory.path)
    rng = np.random.default_rng(1)
    rows = rng.permutation(N)

    for k in range(0, N, 5):
        assert follower.look().n_done == k
        sweep.commit(rows[k : k + 5])

    assert follower.look().is_complete
    assert agree(sweep.directory.path).n_done == N


def test_a_variant_that_succeeds_after_it_failed_is_done_and_one_that_fails_otherwise_changes_its_group(sweep):
    follower = Follower(sweep.directory.path)
    sweep.commit(range(6), failure("no convergence", line=3))
    assert [(g.count, g.message) for g in follower.look().failures] == [(6, "no convergence")]

    sweep.commit([0, 1], attempt=2)
    sweep.commit([2, 3, 4], failure("no memory", line=9), attempt=2)
    status = follower.look()

    assert (status.n_done, status.n_failed) == (2, 4)
    assert [(g.count, g.message) for g in status.failures] == [(3, "no memory"), (1, "no convergence")]
    assert status.failures[1].example.parameters == {"a": 2, "b": 1}
    assert agree(sweep.directory.path).failures == status.failures


def test_the_example_of_a_failure_says_which_variant_and_where_it_ran(sweep):
    sweep.commit([5], failure(), worker="node-12.cluster:77")

    (group,) = read_status(sweep.directory.path).failures

    variant = sweep.definition.space[5]
    assert (group.example.id, group.example.parameters) == (variant.id, dict(variant))
    assert group.example.host == "node-12.cluster"
    assert (group.cause, group.task, group.type, group.traceback) == ("exception", "f", "ValueError", "Traceback ...")


def test_results_of_other_code_are_stale_until_todays_code_makes_them(sweep):
    sweep.commit(range(10), generation="then")
    sweep.commit(range(10, 14), failure(), generation="then")
    status = agree(sweep.directory.path)
    assert (status.n_done, status.n_stale, status.n_failed) == (0, 10, 4)

    sweep.commit(range(4), attempt=2)
    sweep.commit([4], failure(), attempt=2)
    sweep.commit([10, 11], attempt=2)
    status = read_status(sweep.directory.path)
    assert (status.n_done, status.n_stale, status.n_failed) == (6, 5, 3)


def test_a_sweep_that_grew_counts_what_is_still_in_its_space(tmp_path):
    path = tmp_path / "w"
    record_outcomes(path, workflow_of({"a": range(4), "b": [0, 1]}), lambda v: {"y": 1} if v["a"] else failure())
    record_outcomes(path, workflow_of({"b": [1, 2], "a": range(1, 6)}), lambda v: {"y": 2} if v["b"] == 2 else None)

    status = agree(path)

    assert (status.n_variants, status.n_done, status.n_failed, status.n_missing) == (10, 5 + 3, 0, 2)


def test_where_a_function_decides_the_space_variants_are_known_by_their_ids(tmp_path):
    space = sciflow.Grid(a=range(10), b=[0, 1]).where(lambda a: a > 2)
    path = tmp_path / "w"
    record_outcomes(path, workflow_of(space), lambda v: failure() if v["a"] == 5 else {"y": 1})
    record_outcomes(path, workflow_of(space), lambda v: {"y": 1} if v == {"a": 5, "b": 0} else None, attempt=2)

    status = read_status(path)

    assert (status.n_variants, status.n_done, status.n_failed) == (14, 13, 1)
    assert status.failures[0].example.parameters == {"a": 5, "b": 1}


def test_a_compaction_changes_no_count_and_keeps_the_examples(sweep):
    follower = Follower(sweep.directory.path)
    for row in range(20):
        sweep.commit([row], failure() if row % 4 == 0 else None)
        sweep.writer.close()
    before = follower.look()

    sweep.hand_over()
    assert compact(sweep.directory, sweep.session.number).n_segments
    sweep.commit([0], attempt=2)  # the variant that stood for the others
    after, fresh = follower.look(), read_status(sweep.directory.path)

    assert (before.n_done, before.n_failed) == (15, 5)
    for status in (after, fresh):
        assert (status.n_done, status.n_failed) == (16, 4)
        assert status.failures[0].example.parameters["a"] in {2, 4, 6, 8}


# ------------------------------------------------------------------------------------------------- driver and workers


def test_the_driver_is_named_and_asked_to_stop_shows(sweep):
    status = read_status(sweep.directory.path)

    assert (status.state, status.driver.pid, status.driver.session) == ("running", os.getpid(), 1)
    assert not status.driver.cancel_requested


def test_workers_say_what_they_run_for_how_long_and_how_far(sweep):
    live = Live(sweep.directory.path / "live", sweep.session.number)
    live.batch(3, 1)
    live.variant(7)
    live.task(1)
    live.progress(0.25)
    now = live.real[8]

    status = Follower(sweep.directory.path, clock=lambda: now + 90).look()
    (worker,) = status.workers

    assert (status.n_running, status.n_workers) == (1, 1)
    assert (worker.pid, worker.task, worker.progress, worker.running_s) == (os.getpid(), "f", 0.25, 90.0)
    assert (worker.variant, worker.parameters) == (sweep.definition.space[7].id, dict(sweep.definition.space[7]))
    live.idle(1, 0.5)
    assert read_status(sweep.directory.path).n_running == 0
    live.close()
    assert read_status(sweep.directory.path).workers == ()


def test_notes_of_dead_workers_and_of_other_sessions_do_not_count(sweep):
    code = (
        "import pathlib, sys\nfrom sciflow.running.live import Live\n"
        "live = Live(pathlib.Path(sys.argv[1]), int(sys.argv[2]))\nlive.variant(1)\n"
    )
    live = str(sweep.directory.path / "live")
    subprocess.run([sys.executable, "-c", code, live, "1"], check=True)  # it leaves its note behind
    other = Live(sweep.directory.path / "live", 99)
    assert len(list((sweep.directory.path / "live").iterdir())) == 2

    assert read_status(sweep.directory.path).workers == ()
    other.close()


# -------------------------------------------------------------------------------------------------------------- events


def committed(time, n=10, *, busy_s=2.0, **facts):
    return "batch.committed", time, {"done": n, "failed": 0, "busy_s": busy_s, **facts}


def steady(start, stop, step=1.0, **facts):
    return [committed(start + step * (k + 1), **facts) for k in range(int((stop - start) / step))]


def looked(sweep, now):
    return Follower(sweep.directory.path, clock=lambda: now).look()


def test_rate_time_left_and_utilisation_come_from_what_the_driver_tells(sweep):
    sweep.events(("sweep.started", 1000.0, {"todo": 5000, "variants": 9000, "slots": 2}), *steady(1000, 1200))

    status = looked(sweep, 1200.0)

    assert status.n_left == 5000 - 2000
    assert status.rate == pytest.approx(10)
    assert status.left.usual_s == pytest.approx(300)
    assert status.left.least_s <= 300 <= status.left.most_s
    assert status.utilisation == pytest.approx(1.0)
    assert status.why_unknown == ""


def test_lines_that_stand_for_several_batches_count_like_these(sweep):
    started = ("sweep.started", 1000.0, {"todo": 5000, "variants": 5000, "slots": 2})
    lines = [committed(1010.0 + 10 * k, 100, busy_s=20.0, merged=10, since=1001.0 + 10 * k) for k in range(20)]
    sweep.events(started, *lines)

    status = looked(sweep, 1200.0)

    assert (status.rate, status.n_left) == (pytest.approx(10, rel=0.1), 3000)


def test_it_is_said_that_it_is_too_early(sweep):
    sweep.events(("sweep.started", 1000.0, {"todo": 50, "variants": 50}), committed(1001.0, 3))

    status = looked(sweep, 1002.0)

    assert (status.rate, status.left, status.why_unknown) == (None, None, "too few variants are finished to say")
    assert "time left unknown" in str(status)


def test_a_closed_window_is_told_with_its_reason_and_does_not_lower_the_rate(sweep):
    sweep.events(("sweep.started", 1000.0, {"todo": 9000, "variants": 9000, "slots": 2}), *steady(1000, 1100))
    sweep.events(("window.closed", 1100.0, {"explanation": "off-peak hours begin at 22:00"}))

    status = looked(sweep, 5000.0)
    assert (status.state, status.waiting) == ("waiting", "off-peak hours begin at 22:00")
    assert (status.rate, status.left) == (None, None)

    sweep.events(("window.opened", 6000.0, {}), *steady(6000, 6030))
    status = looked(sweep, 6030.0)
    assert (status.state, status.waiting, status.rate) == ("running", "", pytest.approx(10))
    assert status.utilisation == pytest.approx(1.0)


def test_the_time_until_the_window_opens_is_that_of_the_reader(sweep):
    sweep.commit(range(12))
    begun = datetime(2026, 11, 21, 14, tzinfo=UTC).timestamp()
    gate = Gate(OffPeak("22:00-08:00", timezone="UTC"), lambda: datetime.fromtimestamp(begun, UTC))
    sweep.events(("sweep.started", begun, {"todo": 40, "variants": 40}), ("window.closed", begun, gate.facts()))

    later, at_the_opening = looked(sweep, begun + (4 * 60 + 48) * 60), looked(sweep, begun + 8 * 3600 + 1)

    assert "waiting: window opens 22:00 UTC (in 3 h 12 min); 12 of 40 done" in str(later)
    assert later.to_dict()["waiting"] == "window opens 22:00 UTC (in 3 h 12 min)"
    assert at_the_opening.waiting == "window opens 22:00 UTC (any moment now)"


def test_the_wait_of_a_controller_whose_next_job_is_in_the_queue_is_told_too(sweep):
    asked_at = datetime(2026, 11, 21, 14, tzinfo=UTC)
    facts = {
        "kind": "job",
        "policy": OffPeak("22:00-08:00", timezone="UTC").to_dict(),
        "asked_at": asked_at.isoformat(),
    }
    sweep.session.end()
    Submission.create(sweep.directory, facts, b"")

    by_day, by_night = (looked(sweep, (asked_at + timedelta(hours=h)).timestamp()) for h in (4.8, 9))

    assert (by_day.state, by_day.waiting) == ("submitted", "window opens 22:00 UTC (in 3 h 12 min)")
    assert (by_night.state, by_night.waiting) == ("submitted", "")


def test_another_reason_to_wait_is_no_other_pause(sweep):
    sweep.events(("sweep.started", 1000.0, {"todo": 9000, "variants": 9000, "slots": 2}), *steady(1000, 1100))
    sweep.events(
        ("window.closed", 1100.0, {"explanation": "night", "reason": "window opens 22:00", "next_open": 2000.0}),
        ("window.closed", 2000.0, {"explanation": "busy (90%)", "reason": "others use more than 70%"}),
    )

    assert looked(sweep, 2500.0).waiting == "others use more than 70%"

    sweep.events(("window.opened", 6000.0, {}), *steady(6000, 6030))
    status = looked(sweep, 6030.0)
    assert (status.rate, status.utilisation) == (pytest.approx(10), pytest.approx(1.0))


def test_the_newest_events_leave_out_what_is_only_counted_and_what_was_told_before(sweep):
    first = ("variant.failed", 1002.0, {"fingerprint": "E at f", "message": "no", "cause": "exception"})
    sweep.events(
        ("sweep.started", 1000.0, {"todo": 50, "variants": 50}),
        committed(1001.0),
        first,
        (first[0], 1003.0, first[2]),
        ("sweep.teleported", 1004.0, {"where": "Mars"}),
        ("worker.lost", 1005.0, {"batch": 3, "variants": 4, "suspect": "v1"}),
    )

    names = [event.name for event in looked(sweep, 1010.0).events]

    assert names == ["sweep.started", "variant.failed", "worker.lost"]


def test_an_older_sweep_without_events_slots_or_notes_still_has_a_status(sweep):
    sweep.commit(range(10))

    status = looked(sweep, 1000.0)

    assert (status.state, status.n_done, status.n_left, status.utilisation) == ("running", 10, N - 10, None)


@pytest.mark.parametrize(
    ("done", "last", "left", "state"),
    [(N - 5, "sweep.stopped", 5, "stopped"), (N, "sweep.stopped", 0, "complete"), (N, "sweep.finished", 0, "complete")],
)
def test_what_was_to_run_again_and_did_not_is_left(sweep, done, last, left, state):
    sweep.commit(range(N))
    sweep.hand_over()
    sweep.events(("sweep.started", 100.0, {"todo": N}), committed(101.0, done), (last, 102.0, {}))
    assert looked(sweep, 102.0).n_undone == 0  # the driver is there

    sweep.session.end()
    status = looked(sweep, 103.0)

    assert (status.is_complete, status.n_undone, status.state) == (True, left, state)
    assert (f"stopped with {left} left to run" in str(status)) is bool(left)


def test_the_share_that_is_settled_goes_with_the_counts_though_the_log_lags_behind(sweep):
    sweep.commit(range(14))
    sweep.events(("sweep.started", 100.0, {"todo": N, "variants": N}), committed(101.0, 6))

    status = looked(sweep, 102.0)

    assert (status.n_done, status.n_left, status.n_settled) == (14, N - 14, 14)


def test_of_variants_that_run_again_only_what_this_session_recorded_is_settled(sweep):
    sweep.commit(range(N))
    sweep.hand_over()
    sweep.events(("sweep.started", 100.0, {"todo": N, "variants": N}), committed(101.0, 4))
    sweep.commit(range(10))

    status = looked(sweep, 102.0)

    assert (status.n_done, status.n_left, status.n_settled) == (N, N - 10, 10)


def test_a_session_that_ended_tells_how_busy_its_workers_were(sweep):
    sweep.session.end({"done": 3, "busy_s": 45.0, "worker_s": 60.0})

    status = read_status(sweep.directory.path)

    assert (status.utilisation, status.driver.life, status.state) == (0.75, "ended", "stopped")
    assert (status.rate, status.n_left) == (None, None)


def test_the_driver_and_its_reader_agree_on_the_log(sweep):
    path = sweep.directory.path / f"events/{sweep.session.number:06d}.jsonl"
    with Journal(path) as journal:
        journal.tell("sweep.started", todo=40, variants=40, slots=1)
        for _ in range(4):
            journal.tell("batch.committed", done=5, failed=1, busy_s=0.1)
        journal.tell("window.closed", explanation="night")

        status = read_status(sweep.directory.path)

    assert (status.n_left, status.waiting) == (40 - 24, "night")


# ------------------------------------------------------------------------------------------------------------- display


def test_a_status_is_plain_data_and_readable(sweep):
    sweep.commit(range(30))
    sweep.commit(range(30, 33), failure("<b>no</b>"))
    status = read_status(sweep.directory.path)

    data = json.loads(json.dumps(status.to_dict(), default=str))
    assert (data["state"], data["n_done"], data["failures"][0]["count"]) == ("running", 30, 3)
    assert "40 variants: 30 done, 3 failed, 7 missing" in str(status)
    assert "3 failed in f: ValueError: <b>no</b>" in str(status)
    assert "&lt;b&gt;no" in status._repr_html_()
    assert "width:75.000%" in status._repr_html_()


def test_following_a_sweep_needs_neither_dask_nor_pandas(sweep):
    code = (
        "import sys\nfrom sciflow.analysis.follow import read_status\nprint(read_status(sys.argv[1]))\n"
        "print(*sorted(sys.modules))"
    )
    sweep.commit(range(3), failure())
    done = subprocess.run(
        [sys.executable, "-c", code, str(sweep.directory.path)], check=True, capture_output=True, text=True
    )

    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"dask", "distributed", "pandas", "xarray", "matplotlib", "scipy"}
