"""The stand-in for PBS does what OpenPBS 23.06 was seen to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta

import psutil
import pytest

from sciflow.testing.batch import await_that
from sciflow.testing.pbs import FakePbs
from sciflow.testing.pbs_records import Settings

pytestmark = pytest.mark.measured


@pytest.fixture
def pbs(tmp_path):
    with FakePbs(tmp_path / "pbs") as pbs:
        yield pbs


def call(pbs, program, *words, script=None):
    """Exit status, output and errors of one of the programs."""
    done = subprocess.run(
        [str(pbs.programs / program), *words],
        input=script,
        env=pbs.environ(),
        capture_output=True,
        text=True,
        cwd=pbs.folder,
    )
    return done.returncode, done.stdout, done.stderr


def submit(pbs, body="true", *words):
    status, out, errors = call(pbs, "qsub", *words, script=f"#!/bin/sh\n{body}\n")
    assert (status, errors) == (0, "")
    return out.strip()


def ended(pbs, job_id):
    (job,) = pbs.await_end(job_id)
    return job.substate, job.exit_status


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("true", (92, 0)),
        ("exit 3", (93, 3)),
        ("kill -9 $$", (93, 137)),
        ("kill -SEGV $$", (93, 139)),
        ("nosuch", (93, 127)),
    ],
)
def test_exit_statuses_are_those_of_a_shell_of_a_login(pbs, body, how):
    assert submit(pbs, body) == "0.vm"
    assert ended(pbs, "0.vm") == how


def test_the_walltime_ends_a_job_with_minus_29_whatever_its_script_says(pbs):
    job_id = submit(pbs, "trap 'exit 77' TERM; sleep 60 & wait", "-l", "walltime=1", "-N", "w", "-j", "oe")

    assert ended(pbs, job_id) == (93, -29)
    assert re.search(r"=>> PBS: job killed: walltime \d+ exceeded limit 1\n", (pbs.folder / "w.o0").read_text())


def test_qdel_is_accepted_long_before_the_job_is_gone(pbs):
    pbs.change(delete_delay_s=3.0)
    waits = submit(pbs, "true", "-a", (datetime.now() + timedelta(hours=1)).strftime("%Y%m%d%H%M.%S"))  # noqa: DTZ005  its clock
    runs = submit(pbs, "trap 'exit 77' TERM; sleep 60 & wait")
    await_that(lambda: "job_state = R" in call(pbs, "qstat", "-f", runs)[1], "it runs")

    assert "job_state = W" in call(pbs, "qstat", "-f", waits)[1]
    assert call(pbs, "qdel", waits, runs)[0] == 0
    assert "job_state = R" in call(pbs, "qstat", "-f", runs)[1]
    assert ended(pbs, runs) == (91, 271)
    assert ended(pbs, waits) == (91, None)
    assert call(pbs, "qdel", runs)[0] == 35
    assert call(pbs, "qdel", "999")[0] == 153
    assert call(pbs, "qdel", "what")[0] == 1


def test_processes_in_a_session_of_their_own_outlive_the_job(pbs):
    job_id = submit(pbs, "setsid sleep 54320 & sleep 54319 & wait", "-l", "walltime=1")
    ended(pbs, job_id)
    left = [
        p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] in (["sleep", "54320"], ["sleep", "54319"])
    ]
    for process in left:
        process.kill()

    assert [process.info["cmdline"][1] for process in left] == ["54320"]


def test_dependencies_hold_and_fail_as_they_do(pbs):
    bad = submit(pbs, f"while [ ! -e {pbs.folder}/go ]; do sleep 0.05; done; exit 1")
    anyhow = submit(pbs, "true", "-W", f"depend=afterany:{bad}")
    only = submit(pbs, "true", "-W", f"depend=afterok:{bad}")
    unknown = submit(pbs, "true", "-W", "depend=afterok:999.vm")

    assert "job_state = H" in call(pbs, "qstat", "-f", anyhow)[1]
    (pbs.folder / "go").touch()
    assert ended(pbs, anyhow) == (92, 0)
    assert ended(pbs, only) == (92, None)
    assert ended(pbs, unknown) == (92, None)


def test_what_is_asked_of_qstat_with_and_without_a_history(pbs):
    live, done = submit(pbs, "sleep 60"), submit(pbs)
    pbs.await_end(done)

    def told(*words):
        status, out, errors = call(pbs, "qstat", *words)
        return status, ("printed" if "vm" in out else ""), errors.strip()

    assert told(live) == (0, "printed", "")
    assert told(done)[0] == 35
    assert told("-x", done) == (0, "printed", "")
    assert told("999") == (153, "", "qstat: Unknown Job Id 999")
    assert "job_history_enable = True" in call(pbs, "qstat", "-Bf")[1]
    pbs.change(history=False)
    assert told("-x", live) == (0, "", "PBS is not configured to maintain job history")
    assert told(done)[0] == 153
    assert told("-x", "999")[0] == 153
    assert "job_history_enable" not in call(pbs, "qstat", "-Bf")[1]
    pbs.down()
    status, out, errors = call(pbs, "qstat", "-f", "-F", "json")
    assert (status, "Jobs" in json.loads(out), "cannot connect" in errors) == (255, False, True)
    assert call(pbs, "qsub", script="true")[0] == 162
    assert call(pbs, "qdel", live)[0] == 162


def test_two_clients_have_their_own_json(pbs):
    first = submit(pbs, "sleep 60", "-N", "1e5", "-v", "A=007,CITY=Zürich")
    second = submit(pbs, "sleep 60")

    (only,) = json.loads(call(pbs, "qstat", "-f", "-F", "json", first, second)[1])["Jobs"].values()
    assert (only["Job_Name"], only["Variable_List"]["A"], only["Variable_List"]["CITY"]) == (100000, 7, "Zürich")
    pbs.change(dialect="release")
    out = subprocess.run(
        [pbs.programs / "qstat", "-f", "-F", "json", first, second], env=pbs.environ(), capture_output=True, check=True
    ).stdout
    assert b'"Job_Name":1e5' in out
    assert b'"A":007' in out
    assert second.encode() in out
    with pytest.raises(UnicodeDecodeError):
        out.decode()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["-q", "nosuch"], 170), (["-l", "nosuch=1"], 187), (["-l", "walltime=1-00:00:00"], 166), (["-N", "a b"], 2),
        (["-l", "select=1", "-l", "ncpus=1"], 5), (["nofile.sh"], 1), (["-a", "2026-01-01T00:00"], 2), (["-?"], 2),
    ],
)  # fmt: skip
def test_refusals_have_their_statuses(pbs, words, status):
    assert call(pbs, "qsub", *words, script="true")[0] == status
    assert pbs.jobs() == []


def test_output_stays_away_until_the_end_and_is_lost_without_its_folder(pbs):
    until_told = f"echo out; while [ ! -e {pbs.folder}/go ]; do sleep 0.05; done"
    kept = submit(pbs, until_told, "-o", f"{pbs.folder}/kept", "-j", "oe")
    lost = submit(pbs, "echo out", "-o", "/nonexistent/x", "-j", "oe")
    direct = submit(pbs, until_told, "-k", "oed", "-o", f"{pbs.folder}/direct", "-j", "oe")

    await_that((pbs.folder / "direct").exists, "the direct output is there")
    await_that(lambda: "job_state = R" in call(pbs, "qstat", "-f", kept)[1], "both run")
    assert not (pbs.folder / "kept").exists()
    (pbs.folder / "go").touch()
    jobs = {job.job_id: job for job in pbs.await_end(kept, lost, direct)}
    assert (pbs.folder / "kept").read_text() == "out\n"
    assert (jobs[lost].exit_status, jobs[lost].stageout_status) == (0, 0)


def test_cores_are_limited_and_a_job_for_more_waits_for_ever_with_that_comment(tmp_path):
    with FakePbs(tmp_path / "pbs", Settings(n_cores=2)) as pbs:
        first = submit(pbs, "sleep 1", "-l", "select=1:ncpus=2")
        second = submit(pbs, "true", "-l", "select=1:ncpus=1")
        never = submit(pbs, "true", "-l", "select=1:ncpus=3")
        pbs.await_end(first, second)
        until = time.monotonic() + 30
        while not (jobs := {job.job_id: job for job in pbs.jobs()})[never].comment and time.monotonic() < until:
            time.sleep(0.1)

        assert jobs[second].start >= jobs[first].start + 1
        assert (jobs[never].state, jobs[never].comment[:15]) == ("Q", "Can Never Run: ")


def test_nothing_is_left_when_the_one_who_made_it_is_killed(tmp_path):
    maker = f"""
import pathlib, subprocess, time
from sciflow.testing.pbs import FakePbs
pbs = FakePbs(pathlib.Path({str(tmp_path / "pbs")!r})).__enter__()
subprocess.run(["qsub"], input=b"#!/bin/sh\\nexec sleep 54321\\n", env=pbs.environ(), check=True)
subprocess.run(["qsub", "-W", "depend=afterany:0"], input=b"#!/bin/sh\\ntrue\\n", env=pbs.environ(), check=True)
time.sleep(60)
"""

    def left():
        found = (p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]))
        return [words for words in found if "54321" in words or str(tmp_path / "pbs") in words]

    with subprocess.Popen([sys.executable, "-c", maker], stdout=subprocess.DEVNULL) as process:
        await_that(lambda: any("54321" in words for words in left()), "the job runs")
        process.kill()

    await_that(lambda: not left(), "all its processes have ended")
