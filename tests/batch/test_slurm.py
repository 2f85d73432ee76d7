"""What SLURM says, read: from captures of a real one, and from programs that fail as it does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sciflow.batch.command import clean_environment
from sciflow.batch.limits import least_limits, parse_duration
from sciflow.batch.slurm import Slurm
from sciflow.batch.slurm_output import (
    end_of,
    never_runs,
    parse_associations,
    parse_partitions,
    parse_qos,
    parse_sacct,
    parse_squeue,
    state_of,
)
from sciflow.batch.system import JobEnd, JobState, Limits
from sciflow.errors import BatchError, BatchLimitError, BatchUnreachableError

GOLDEN = Path(__file__).parents[1] / "golden" / "slurm"


def golden(name):
    return (GOLDEN / name).read_text()


def test_living_jobs_are_read_from_squeue():
    states = [state for row in parse_squeue(golden("squeue-live.txt")) if (state := state_of(row)) is not None]

    assert states == [
        JobState("23", "gold-waits", "waiting", "Dependency"),
        JobState("24", "gold-begin", "waiting", "BeginTime"),
        JobState("22", "gold-runs", "running", node="node4", ends_at=1795253229.0),
    ]


def test_squeue_and_accounting_tell_the_same_of_how_jobs_ended():
    seen = {row.job_id: end for row in parse_squeue(golden("squeue-all.txt")) if (end := end_of(row)) is not None}
    told = parse_sacct(golden("sacct.txt"))

    assert {job_id: seen[job_id].how for job_id in told} == {job_id: end.how for job_id, end in told.items()}
    assert seen["1"] == told["1"] == JobEnd("finished", "COMPLETED", 0, node="node1")
    assert seen["2"] == told["2"] == JobEnd("exit", "FAILED, exit status 3", 3, node="node1")
    assert seen["3"].exit_status == 139  # of which accounting keeps 11
    assert seen["4"] == told["4"] == JobEnd("exit", "FAILED, signal 11 (SIGSEGV)", signal=11, node="node1")
    assert told["5"].how == "never_started"
    assert "its log could not be opened" in told["5"].words
    assert told["6"] == JobEnd("walltime", "TIMEOUT", node="node2")
    assert told["7"] == JobEnd("cancelled", "CANCELLED by 0", node="node2")
    assert told["9"] == JobEnd("cancelled", "CANCELLED by 0, PartitionTimeLimit")
    assert told["11"].how == "preempted"
    assert told["12"] == JobEnd("node_lost", "NODE_FAIL", node="node3")
    assert told["13"].how == "never_started"
    assert told["14"].how == "walltime"


def test_of_a_job_that_was_requeued_the_last_run_counts():
    rows = "5|NODE_FAIL|0:0|2026-11-21T08:22:05|node3|None\n5|{}|0:0|2026-11-21T08:25:05|node1|None\n"

    assert parse_sacct(rows.format("COMPLETED"))["5"].how == "finished"
    assert parse_sacct(rows.format("RUNNING")) == {}
    assert parse_sacct("6|OUT_OF_MEMORY|0:125|2026-11-21T08:25:05|node1|None\n")["6"].how == "out_of_memory"


def squeue_line(state, *, nodes="node2", start="N/A", end="N/A", preempted="N/A", tres=""):
    return f"{'7':40}{state:24}{'0':12}{start:24}{end:24}{nodes:80}{'None':100}{preempted:24}{tres:200}{'name':260}"


def test_a_job_that_has_to_go_for_others_is_known_from_the_announcement_on():
    at = "2026-11-21T10:43:17"
    announced = squeue_line("RUNNING", start="2026-11-21T10:43:12", end="2026-11-21T10:43:22", preempted=at)
    put_back = squeue_line("PENDING", nodes="", preempted=at)
    runs_again = squeue_line("RUNNING", start="2026-11-21T10:45:00", preempted=at)

    rows = parse_squeue(f"{announced}\n{put_back}\n{runs_again}\n")

    assert [state_of(row).is_preempted for row in rows] == [True, False, False]


@pytest.mark.parametrize(
    ("tres", "memory_bytes"),
    [
        ("cpu=4,mem=1G,node=1,billing=4", 2**30),
        ("cpu=4,mem=1.50G,node=1", 3 * 2**29),
        ("mem=4000M", 4000 * 2**20),
        ("cpu=1,node=1", None),
        ("N/A", None),
    ],
)
def test_the_memory_of_a_job_is_what_slurm_gave_it(tres, memory_bytes):
    (row,) = parse_squeue(squeue_line("RUNNING", tres=tres))

    assert state_of(row).memory_bytes == memory_bytes


@pytest.mark.parametrize(
    ("state", "nodes", "phase"),
    [("COMPLETING", "n1", "ending"), ("NEW_IN_2031", "n1", "running"), ("NEW_IN_2031", "", "waiting")],
)
def test_a_state_of_another_release_keeps_its_word(state, nodes, phase):
    (row,) = parse_squeue(f"garbage of a name\n{squeue_line(state, nodes=nodes)}\n")

    assert state_of(row) == JobState("7", "name", phase, reason=state, node=nodes)


def test_reasons_that_pass_are_told_from_those_that_do_not():
    never = ["PartitionTimeLimit", "AssocMaxWallDurationPerJobLimit", "QOSMaxCpuPerJobLimit", "AssocGrpCPUMinutesLimit"]
    never += ["DependencyNeverSatisfied", "InvalidQOS", "QOSMinGRES", "QOSGrpWallLimit", "PartitionConfig"]
    passing = ["Resources", "Priority", "BeginTime", "Dependency", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit"]
    passing += [
        "QOSMaxCpuPerUserLimit",
        "AssocGrpCPURunMinutesLimit",
        "ReqNodeNotAvail, UnavailableNodes:n1",
        "JobHeldUser",
    ]

    assert [reason for reason in never if not never_runs(reason)] == []
    assert [reason for reason in passing if never_runs(reason)] == []


def test_limits_are_those_that_hold_together():
    longest = parse_duration(parse_partitions(golden("scontrol-partitions.txt"))["offpeak"]["MaxTime"])
    account, qos = parse_associations(golden("sacctmgr-user.txt"), "offpeak")
    of_qos = parse_qos(golden("sacctmgr-qos.txt"))

    assert qos == "normal"
    assert least_limits([Limits(longest), account, of_qos]) == Limits(10 * 3600, n_submitted=4, n_running=3, n_cores=12)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("UNLIMITED", None),
        ("", None),
        ("30", 1800),
        ("10:30", 630),
        ("2:00:00", 7200),
        ("1-00:00:00", 86400),
        ("2-12", 216000),
    ],
)
def test_durations_are_read_as_slurm_writes_them(text, seconds):
    assert parse_duration(text) == seconds


def test_outside_of_jobs_the_user_keeps_what_is_theirs():
    mine = {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "1",
        "TMPDIR": "/fast",
        "SLURM_CONF": "/etc/slurm.conf",
        "SBATCH_QOS": "x",
    }

    assert clean_environment(mine) == {name: value for name, value in mine.items() if name != "SBATCH_QOS"}
    assert clean_environment({**mine, "SLURM_JOB_ID": "1"}) == {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf"}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts shell scripts on PATH as programs of SLURM; each call of one is a line in the file ``calls``."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def put(**scripts):
        for name, script in scripts.items():
            (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$CALLS"\n{script}\n')
            (tmp_path / name).chmod(0o755)

    put.calls = lambda: [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    return put


def test_a_job_that_was_taken_though_sbatch_heard_nothing_is_not_submitted_again(programs):
    programs(
        sbatch='for word; do case $word in --comment=*) echo "77 ${word#--comment=}" >"$CALLS.taken";; esac; done\n'
        'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1',
        squeue='cat "$CALLS.taken"',
    )

    assert Slurm(patience_s=20).submit("#!/bin/sh\ntrue\n") == "77"
    assert programs.calls() == ["sbatch", "squeue"]


def test_what_passes_is_tried_again_and_what_does_not_is_told_at_once(programs):
    programs(
        sbatch='[ -e "$CALLS.up" ] && { echo "5;cluster"; exit; }; : >"$CALLS.up"\n'
        'echo "sbatch: error: Unable to contact slurm controller (connect failure)" >&2; exit 1',
        squeue="true",
    )
    assert Slurm(patience_s=20).submit("x") == "5"

    programs(sbatch='echo "sbatch: error: invalid partition specified: x" >&2; exit 1')
    with pytest.raises(BatchError, match="invalid partition specified: x"):
        Slurm().submit("x")

    programs(
        sbatch='printf "sbatch: error: AssocMaxSubmitJobLimit\\nsbatch: error: violates accounting/QOS" >&2; exit 1'
    )
    with pytest.raises(BatchLimitError, match="no more jobs of this user now"):
        Slurm().submit("x")

    assert programs.calls() == ["sbatch", "squeue", "sbatch", "sbatch", "sbatch"]


def test_a_program_that_hangs_is_ended(programs):
    programs(squeue="sleep 600 & wait")

    with pytest.raises(BatchUnreachableError, match="no answer within 0 s"):
        Slurm(timeout_s=0.3, patience_s=0.1).jobs("x")


def test_many_jobs_are_cancelled_with_few_commands(programs):
    programs(scancel='echo "scancel: error: Kill job error on job id 7: Invalid job id specified" >&2; exit 1')

    Slurm().cancel(str(number) for number in range(450))

    assert programs.calls() == ["scancel"] * 3
