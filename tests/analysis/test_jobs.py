"""What a status tells of jobs, from events alone."""

from __future__ import annotations

from itertools import count

from sciflow.analysis.jobs import JobBook
from sciflow.analysis.words import describe_event
from sciflow.events import Event


def book(*events):
    clock = count(100.0)
    book = JobBook()
    for name, facts in events:
        book.take(Event(name, next(clock), facts))
    return book.status()


SUBMITTED = [
    ("job.submitted", {"job": str(k), "resource_class": "cpu1", "log": "/sweep/logs/job-%j.log"}) for k in range(3)
]


def test_a_sweep_without_jobs_says_nothing_of_them():
    assert book(("sweep.started", {"todo": 3}), ("batch.committed", {"done": 3})) is None


def test_jobs_that_run_and_wait_are_counted_with_the_reason_and_their_logs():
    status = book(
        *SUBMITTED,
        ("job.started", {"job": "1", "node": "node7"}),
        ("job.waiting", {"job": "2", "reason": "Resources"}),
    )
    assert str(status) == "jobs: 1 running, 2 waiting (Resources)"
    assert [(job.job_id, job.state, job.node, job.log) for job in status.jobs] == [
        ("0", "waiting", "", "/sweep/logs/job-0.log"),
        ("1", "running", "node7", "/sweep/logs/job-1.log"),
        ("2", "waiting", "", "/sweep/logs/job-2.log"),
    ]


def test_jobs_that_were_lost_are_told_by_cause_and_those_that_we_ended_are_not():
    status = book(
        *SUBMITTED,
        ("job.started", {"job": "0", "node": "node1"}),
        ("job.ended", {"job": "0", "how": "node_lost", "words": "NODE_FAIL"}),
        ("job.ended", {"job": "1", "how": "finished", "words": "CANCELLED"}),
    )
    assert str(status) == "jobs: 0 running, 1 waiting; lost and replaced: 1 node_lost"
    lost = next(job for job in status.jobs if job.job_id == "0")
    assert (lost.how, lost.words, lost.node, lost.log) == ("node_lost", "NODE_FAIL", "node1", "/sweep/logs/job-0.log")


def test_trouble_with_the_batch_system_is_told_until_it_is_over():
    refused = [("job.refused", {"words": "Invalid account"})]
    assert str(book(*refused)) == "jobs: 0 running; Invalid account"
    assert str(book(*refused, *SUBMITTED)) == "jobs: 0 running, 3 waiting"
    away = [*SUBMITTED, ("batch.away", {"words": "squeue did not get through"})]
    assert "squeue did not get through" in str(book(*away))
    assert "squeue" not in str(book(*away, ("batch.back", {"away_s": 60.0})))


def test_at_the_closing_of_the_window_all_jobs_are_gone():
    assert book(*SUBMITTED, ("window.closed", {"reason": "window opens 22:00"})) is None


def test_events_of_jobs_are_sentences():
    ended = Event(
        "job.ended", 1.0, {"job": "7", "how": "node_lost", "words": "NODE_FAIL", "node": "n1", "log": "l.log"}
    )
    assert describe_event(ended) == "job 7 ended on n1: NODE_FAIL; log: l.log"
    assert describe_event(Event("job.refused", 1.0, {"words": "no"})) == "no job was taken: no"
    orphans = Event("jobs.orphaned", 1.0, {"jobs": ["1", "2"]})
    assert describe_event(orphans) == "cancelled 2 jobs of a driver before this one"
    assert describe_event(Event("batch.away", 1.0, {"words": "no"})) == "the batch system is away: no"
    assert describe_event(Event("batch.back", 1.0, {"away_s": 60})) == "the batch system is back after 1 min 0 s"
