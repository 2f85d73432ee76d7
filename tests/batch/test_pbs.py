"""What PBS says, read: from texts made after what OpenPBS 23.06 was seen to print, and from the stand-in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sciflow.batch.limits import least_limits
from sciflow.batch.pbs import Pbs
from sciflow.batch.pbs_output import (
    end_of,
    end_without_history,
    n_jobs_of,
    parse_ctime,
    parse_json,
    parse_limits,
    parse_text,
    state_of,
)
from sciflow.batch.system import Job, JobEnd, JobState, Limits
from sciflow.errors import BatchUnreachableError
from sciflow.testing.batch import await_that
from sciflow.testing.pbs import FakePbs
from sciflow.testing.pbs_records import Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "pbs"
RAN = "Job run at Sat Nov 21 at 08:00 on (vm:ncpus=1:mem=512000kb)"
INSUFFICIENT = "Insufficient amount of resource"
MEMORY = 500 << 20


def golden(name):
    # as answers are decoded: bytes that are no UTF-8 must not hide the rest
    return (GOLDEN / name).read_bytes().decode("utf-8", "replace")


@pytest.fixture(params=["json", "text"])
def jobs(request):
    found = (
        parse_json(golden("qstat-json-main.json")) if request.param == "json" else parse_text(golden("qstat-text.txt"))
    )
    assert found is not None
    return found


def test_endings_are_told_apart(jobs):
    ends = {job_id.partition(".")[0]: end for job_id, fields in jobs.items() if (end := end_of(fields)) is not None}

    assert ends == {
        "0": JobEnd("finished", f"Exit_status 0: {RAN} and finished", 0, node="vm"),
        "1": JobEnd("exit", f"Exit_status 3: {RAN} and failed", 3, node="vm"),
        "2": JobEnd("exit", f"Exit_status 137 (SIGKILL): {RAN} and failed", 137, 9, node="vm"),
        "3": JobEnd("exit", f"Exit_status 265 (SIGKILL): {RAN} and failed", None, 9, node="vm"),
        "4": JobEnd("cancelled", f"deleted, Exit_status 271: {RAN} and terminated by sci@vm", None, 15, node="vm"),
        "5": JobEnd("cancelled", f"deleted, Exit_status 5: {RAN} and terminated by sci@vm", 5, node="vm"),
        "6": JobEnd("cancelled", "deleted before it ran"),
        "7": JobEnd("walltime", f"its walltime was over: {RAN} and exceeded resource walltime", node="vm"),
        "8": JobEnd("never_started", "what it depends on failed"),
        "9": JobEnd("exit", f"Exit_status 127: {RAN} and failed", 127, node="vm"),
        "10": JobEnd("exit", f"Exit_status 258 (SIGINT): {RAN} and failed", None, 2, node="vm"),
        "11": JobEnd("out_of_memory", f"used more memory than it asked for: {RAN} and failed", node="vm"),
    }


def test_living_jobs_are_told_with_why_they_wait_and_when_they_end(jobs):
    states = [state for job_id, fields in jobs.items() if (state := state_of(job_id, fields)) is not None]
    ends_at = datetime(2026, 11, 21, 8, 10, 10, tzinfo=UTC).timestamp()

    assert states[:6] == [
        JobState(
            "1001.vm",
            "sf-a",
            "waiting",
            "Can Never Run: Insufficient amount of resource: ngpus (R: 1 A: 0 T: 0)",
            never=True,
            memory_bytes=MEMORY,
        ),
        JobState("1002.vm", "sf-a", "waiting", f"Not Running: {INSUFFICIENT}: ncpus", memory_bytes=MEMORY),
        JobState("1003.vm", "sf-a", "waiting", "Execution_Time Sat Nov 21 22:00:00 2026", memory_bytes=MEMORY),
        JobState("1004.vm", "sf-a", "waiting", "depend afterany:1005.vm@vm", memory_bytes=MEMORY),
        JobState("1005.vm", "sf-b", "running", node="vm", ends_at=ends_at, memory_bytes=MEMORY),
        JobState("1006.vm", "sf-b", "ending", node="vm", ends_at=ends_at, memory_bytes=MEMORY),
    ]
    assert n_jobs_of(jobs["1007[].vm"]) == 5
    assert n_jobs_of(jobs["1005.vm"]) == 1


def test_what_stands_in_a_variable_is_no_attribute():
    fields = parse_text(golden("qstat-text.txt"))["1005.vm"]

    assert fields["Variable_List"].endswith("NOTE=one")
    assert fields["job_state"] == "R"
    forged = "Job Id: 5.vm\n    job_state = R\n    Variable_List = A=1\n    job_state = F\n\tmore\n"
    assert parse_text(forged)["5.vm"] == {"job_state": "R", "Variable_List": "A=1"}


def test_json_that_is_none_is_left_to_the_text_and_numbers_become_texts():
    assert parse_json(golden("qstat-json-release.json")) is None
    readable = parse_json(golden("qstat-json-release-readable.json"))

    assert readable is not None
    assert readable["1002.vm"]["Job_Name"] == "100000.0"
    assert state_of("1005.vm", readable["1005.vm"]) == JobState(
        "1005.vm", "sf-b", "running", node="vm", ends_at=parse_ctime("Sat Nov 21 08:10:10 2026"), memory_bytes=MEMORY
    )


def test_a_document_without_jobs_is_also_what_a_missing_server_leaves():
    assert parse_json(golden("qstat-json-no-server.json")) == {}


def test_limits_are_those_of_the_server_and_the_queue_for_this_user():
    (server,) = parse_text(golden("qstat-server-history.txt")).values()
    (queue,) = parse_text(golden("qstat-queue.txt")).values()

    def limits(user):
        return least_limits([parse_limits(server, user), parse_limits(queue, user)])

    assert limits("sci") == Limits(72 * 3600, n_submitted=200, n_running=20, n_cores=128)
    assert limits("ann").n_running == 10


def test_without_a_history_what_the_job_left_and_its_walltime_tell_the_end():
    assert end_without_history("0\n", 100, 200).how == "finished"
    assert end_without_history("143\n", 100, 200).how == "walltime"
    assert end_without_history(None, 100, 200).how == "walltime"
    assert end_without_history(None, 100, 50).how == "unknown"
    assert end_without_history("3\n", 100, 50) == JobEnd("exit", "exit status 3", 3)
    assert end_without_history("", None, 50).how == "unknown"


@pytest.mark.parametrize("history", [True, False])
def test_a_release_client_and_a_server_with_or_without_history_are_understood(history, tmp_path, monkeypatch):
    with FakePbs(tmp_path / "pbs", Settings(history=history, dialect="release")) as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        (tmp_path / "exits").mkdir()
        system = Pbs(exits=tmp_path / "exits", patience_s=5)

        def submit(body, **asked):
            # variables that this version writes as no JSON
            options = ("-v NAN=nan,CITY=Zürich,EMPTY=",)
            return system.submit(system.script(Job("sf", body, tmp_path / "%j.log", options=options, **asked)))

        good, bad, long = submit("true"), submit("exit 3"), submit("sleep 60", walltime_s=1)
        deleted = submit("sleep 60", walltime_s=600)
        await_that(lambda: long not in system.jobs("sf"), "the walltime ends the job")
        assert system.jobs("sf")[deleted].phase == "running"
        system.cancel([deleted])
        await_that(lambda: not system.jobs("sf"), "qdel ends the job")
        ends = system.ends([good, bad, long, deleted])

    assert [ends[job_id].how for job_id in (good, bad, long)] == ["finished", "exit", "walltime"]
    assert ends[bad].exit_status == 3
    # without a history nobody tells a deleted job from one whose node was lost
    assert ends[deleted].how == ("cancelled" if history else "unknown")


def test_a_server_that_comes_back_is_asked_again(tmp_path):
    with FakePbs(tmp_path / "pbs") as pbs:
        system = Pbs(pbs.environ(), patience_s=0.1)
        job_id = system.submit(system.script(Job("sf", "sleep 60", tmp_path / "log")))
        pbs.down()
        with pytest.raises(BatchUnreachableError, match="cannot connect to server"):
            system.jobs("sf")
        with pytest.raises(BatchUnreachableError):
            system.ends([job_id])
        pbs.up()

        assert list(system.jobs("sf")) == [job_id]


def test_the_shell_is_warned_before_its_walltime_is_over(tmp_path):
    body = "trap 'echo warned; exit 9' USR1; while :; do sleep 0.1; done"
    with FakePbs(tmp_path / "pbs") as pbs:
        system = Pbs(pbs.environ())
        end_by = datetime.now(UTC) + timedelta(seconds=60)
        job = Job("sf", body, tmp_path / "log", walltime_s=600, least_walltime_s=10, end_by=end_by, warn_s=59)
        job_id = system.submit(system.script(job))
        pbs.await_end(job_id)

        assert (tmp_path / "log").read_text() == "warned\n"
        assert system.ends([job_id])[job_id].exit_status == 9
