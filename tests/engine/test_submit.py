"""Sweeps that are handed to a daemon: real scripts, real processes, real kills."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

import sciflow
from sciflow import errors
from sciflow.analysis.status import ControllerStatus
from sciflow.engine.logout import ended_at_logout
from sciflow.engine.order import Order, open_order
from sciflow.engine.submit import find_controller
from sciflow.errors import StaleError, SubmittedError, SweepBusyError, SweepError, WorkflowError
from sciflow.store.directory import SweepDirectory
from sciflow.store.submissions import Submission, newest_submission
from sciflow.testing.sweeps import known_outcome_sweep

pytestmark = pytest.mark.measured

SCRIPT = """
import os, sys, time
import sciflow
from helper import offset

FACTOR = 2

class Scale:
    def __init__(self, by):
        self.by = by

    def __call__(self, value):
        return value * self.by

scale = Scale(FACTOR)

def slow(a):
    import late
    time.sleep(float(os.environ.get("PAUSE", "0.02")))
    return {"y": scale(a) + offset() + late.MORE, "here": os.getcwd(), "said": os.environ.get("SAID", "")}

workflow = sciflow.ExperimentalWorkflow("slow")
workflow.add_task("slow", slow)
workflow.add_parameter_space({"a": range(int(os.environ.get("N", "12")))})
if __name__ == "__main__":
    sweep = sciflow.Engine(sciflow.LocalCluster(workers=2)).submit(workflow)
    print("submitted", sweep.status().state)
"""


@pytest.fixture
def study(tmp_path):
    """The folder of a script that submits its sweep; what it leaves behind is ended with the test."""
    (tmp_path / "study.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("def offset():\n    return 100\n")
    (tmp_path / "late.py").write_text("MORE = 1000\n")
    yield tmp_path
    path = tmp_path / "sweeps/slow"
    submission = newest_submission(SweepDirectory.open(path)) if (path / "sweep.json").exists() else None
    if submission is not None and not submission.process_is_gone:
        end_tree(submission.process.pid)


def end_tree(pid):
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=20)


def run(study, **environment):
    return subprocess.run(
        [sys.executable, "study.py"],
        cwd=study,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def until(holds, patience_s=60):
    give_up = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_script_submits_and_the_sweep_finishes_without_it(study):
    done = run(study, SAID="hello")
    assert done.returncode == 0, done.stderr
    assert "submitted" in done.stdout

    sweep = sciflow.attach(study / "sweeps/slow")
    status = sweep.wait(timeout=60)

    assert (status.state, status.n_done) == ("complete", 12)
    assert (status.controller.state, status.controller.how) == ("ended", "finished")
    assert sweep.results.get_metric({"a": 3}, "y") == 2 * 3 + 100 + 1000
    assert set(sweep.results.dataset["here"].values) == {str(study)}
    assert set(sweep.results.dataset["said"].values) == {"hello"}


def test_the_sweep_goes_on_when_every_process_of_the_shell_that_submitted_it_is_killed(study):
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} study.py; sleep 1000"],
        cwd=study,
        env={**os.environ, "N": "60", "PAUSE": "0.1"},
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert shell.stdout.readline().startswith(b"submitted")
    os.killpg(shell.pid, signal.SIGHUP)
    os.killpg(shell.pid, signal.SIGKILL)
    shell.communicate()
    sweep = sciflow.attach(study / "sweeps/slow")
    daemon = psutil.Process(sweep.status().controller.pid)

    daemon.send_signal(signal.SIGHUP)  # as when a terminal is closed
    assert os.getsid(daemon.pid) != shell.pid
    assert sweep.wait(timeout=60).n_done == 60


def test_what_is_edited_after_submitting_changes_nothing(study):
    run(study, N=30, PAUSE=0.1)
    (study / "study.py").write_text("raise SystemExit('not this one')")
    (study / "helper.py").write_text("def offset():\n    return -1\n")
    (study / "late.py").write_text("MORE = -1\n")

    sweep = sciflow.attach(study / "sweeps/slow")

    assert sweep.wait(timeout=60).n_done == 30
    assert {int(y) - 2 * a for a, y in enumerate(sweep.results.dataset["y"].values)} == {1100}


def test_results_of_a_daemon_are_not_stale_for_the_script_that_submitted_them(study):
    run(study)
    sciflow.attach(study / "sweeps/slow").wait(timeout=60)

    again = run(study, N=14)

    assert again.returncode == 0, again.stderr
    assert sciflow.attach(study / "sweeps/slow").wait(timeout=60).n_done == 14
    assert newest_submission(SweepDirectory.open(study / "sweeps/slow")).number == 2


def test_files_of_a_controller_are_for_their_owner_alone(study):
    run(study, N=40, PAUSE=0.1)
    folder = study / "sweeps/slow/controller"

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert any(".order." in name for name in modes)
    sciflow.attach(study / "sweeps/slow").cancel()
    sciflow.attach(study / "sweeps/slow").wait(timeout=60)
    assert not any(".order." in path.name for path in folder.iterdir())  # what it holds is not kept


def test_a_submitted_sweep_is_busy_until_it_is_cancelled(study):
    run(study, N=1000, PAUSE=0.1)
    sweep = sciflow.attach(study / "sweeps/slow")

    second = run(study, N=1000)
    said = sweep.cancel()
    status = sweep.wait(timeout=60)

    assert "SweepBusyError" in second.stderr or "SubmittedError" in second.stderr
    assert "was asked to stop" in said
    assert (status.state, status.controller.how) == ("stopped", "cancelled")
    assert 0 < status.n_done < 1000
    assert run(study, N=1000).returncode == 0
    sweep.cancel()
    sweep.wait(timeout=60)


def test_a_daemon_that_is_killed_leaves_its_last_words_findable(study):
    run(study, N=1000, PAUSE=0.1)
    sweep = sciflow.attach(study / "sweeps/slow")
    until(lambda: sweep.status().n_done > 2)

    end_tree(sweep.status().controller.pid)
    status = sweep.wait(timeout=60)

    assert (status.state, status.controller.state) == ("died", "died")
    assert "submit it again to go on" in str(status)
    assert str(study / "sweeps/slow/controller/000001.log") in str(status)
    assert run(study, N=1000).returncode == 0  # and that goes on
    assert sweep.status().controller.number == 2


def test_a_daemon_waits_for_its_window_and_says_so(study):
    text = (study / "study.py").read_text()
    policy = """
from datetime import datetime, timedelta
opens, closes = (f"{datetime.now() + timedelta(hours=n):%H:%M}" for n in (5, 6))
workflow.set_scheduling_policy("off_peak", {"preferred_hours": f"{opens}-{closes}"})
if __name__"""
    (study / "study.py").write_text(text.replace("if __name__", policy))
    run(study)
    sweep = sciflow.attach(study / "sweeps/slow")

    until(lambda: sweep.status().waiting)
    assert sweep.status().state == "waiting"
    assert "opens" in sweep.status().waiting
    assert "while it waits" in sweep.cancel() or "was asked to stop" in str(sweep.status())
    assert sweep.wait(timeout=60).controller.how == "cancelled"


def test_a_daemon_that_is_terminated_finishes_what_runs_and_says_why_it_stopped(study):
    run(study, N=1000, PAUSE=0.1)
    sweep = sciflow.attach(study / "sweeps/slow")
    until(lambda: sweep.status().n_done > 2)

    os.kill(sweep.status().controller.pid, signal.SIGTERM)
    status = sweep.wait(timeout=60)

    assert (status.state, status.controller.how) == ("stopped", "stopped")
    assert "SIGTERM" in str(status)
    assert status.driver.life == "ended"


def test_cancel_reaches_a_daemon_that_reduces_what_the_sweep_has_left(study):
    reduction = """
def total(y):
    time.sleep(0.5)
    return {"total": float(sum(map(float, y)))}

workflow.add_task("total", total, depends_on=["slow"], over="a")
workflow.add_parameter_space({"b": range(100)})
if __name__"""
    text = (study / "study.py").read_text().replace("def slow(a)", "def slow(a, b)")
    (study / "study.py").write_text(text.replace("if __name__", reduction))
    run(study, N=2, PAUSE=0)
    sweep = sciflow.attach(study / "sweeps/slow")
    until(lambda: sweep.status().is_complete and sweep.status().state == "submitted")
    until((study / "sweeps/slow/reductions/total/sweep.json").exists)

    said = sweep.cancel()
    status = sweep.wait(timeout=60)

    assert f"pid {status.controller.pid}) was asked to stop" in said
    assert status.controller.how == "cancelled"
    until(lambda: not psutil.pid_exists(status.controller.pid))
    assert sciflow.attach(study / "sweeps/slow/reductions/total").status().n_done < 100


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"state": "starting"}, "its controller is starting; log: LOG"),
        ({"state": "working"}, "its controller is host h, pid 7; log: LOG"),
        ({"state": "working", "cancel_requested": True}, "pid 7; it was asked to stop; log: LOG"),
        ({"state": "died", "message": "Killed"}, "died (host h, pid 7): Killed; log: LOG; submit it again to go on"),
        ({"state": "ended", "how": "finished"}, "its controller finished"),
        ({"state": "ended", "how": "failed", "message": "no"}, "its controller failed: no; log: LOG"),
        ({"state": "ended", "how": "given_up", "message": "no"}, "its controller gave up: no; log: LOG"),
        (
            {"kind": "job", "system": "pbs", "job": "9", "generation": 22, "state": "queued", "message": "it waits"},
            "waits for its turn (pbs job 9, the 22nd of its jobs): it waits; log: LOG",
        ),
        (
            {"kind": "job", "system": "slurm", "job": "9", "state": "starting", "message": "job 9 is running on n1"},
            "its controller has its turn: job 9 is running on n1; log: LOG",
        ),
        (
            {"kind": "job", "system": "slurm", "job": "9", "generation": 11, "state": "working"},
            "its controller is slurm job 9, the 11th of its jobs; log: LOG",
        ),
    ],
)
def test_a_status_says_where_the_controller_is_and_what_became_of_it(tmp_path, told, words):
    one = {"number": 1, "kind": "process", "host": "h", "pid": 7, "since": 0.0, "log": "LOG", **told}
    status = sciflow.attach(known_outcome_sweep(tmp_path / "known").path).status()

    assert words in str(replace(status, controller=ControllerStatus(**one)))


# --------------------------------------------------------------------------------------------- errors come back at once


def workflow_of(function, space=None):
    workflow = sciflow.ExperimentalWorkflow("refused")
    workflow.add_task("task", function)
    workflow.add_parameter_space(space or {"a": [1, 2]})
    return workflow


def test_a_definition_that_is_wrong_is_refused_before_anything_is_started(tmp_path):
    engine = sciflow.Engine(directory=tmp_path)

    with pytest.raises(WorkflowError, match="nowhere"):
        engine.submit(workflow_of(lambda nowhere: 1))

    assert not (tmp_path / "refused").exists()


def test_what_cannot_be_sent_is_named(tmp_path):
    with (tmp_path / "open").open("w") as handle:
        with pytest.raises(WorkflowError, match="handle"):
            sciflow.Engine(directory=tmp_path).submit(workflow_of(lambda a: handle.write(str(a))))
        with pytest.raises(SweepError, match="on_event cannot be sent"):
            sciflow.Engine(directory=tmp_path, on_event=lambda event: handle.write(str(event))).submit(
                workflow_of(lambda a: a)
            )

    assert not (tmp_path / "refused").exists()


class Unloadable:
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise RuntimeError("not in this process")


def test_what_cannot_be_loaded_in_the_controller_is_told_to_who_submits(tmp_path):
    thing = Unloadable()

    with pytest.raises(SweepError, match=r"cannot be loaded.*not in this process.*submit it again"):
        sciflow.Engine(directory=tmp_path).submit(workflow_of(lambda a: (a, thing)[0]))


def test_stale_results_are_asked_about_before_anything_is_submitted(tmp_path):
    engine = sciflow.Engine("inline", directory=tmp_path, progress=False)
    engine.execute_parameter_sweep(workflow_of(lambda a: a))

    with pytest.raises(StaleError):
        engine.submit(workflow_of(lambda a: a + 1))

    assert newest_submission(SweepDirectory.open(tmp_path / "refused")) is None


def test_nothing_is_submitted_when_nothing_is_to_run(tmp_path):
    engine = sciflow.Engine("inline", directory=tmp_path, progress=False)
    workflow = workflow_of(lambda a: a)
    engine.execute_parameter_sweep(workflow)

    sweep = engine.submit(workflow)

    assert sweep.status().controller is None
    assert sweep.wait().n_done == 2


def test_an_order_of_another_python_is_refused_in_words(tmp_path):
    directory = SweepDirectory.create_or_open(tmp_path / "s", "s", 0)
    submission = Submission.create(directory, {"versions": {"python": "2.7.18"}}, b"not even read")

    with pytest.raises(SweepError, match=r"submitted with Python 2\.7\.18.*submit it again"):
        open_order(submission)


def test_an_order_that_was_tampered_with_is_not_loaded(tmp_path):
    directory = SweepDirectory.create_or_open(tmp_path / "s", "s", 0)
    python = ".".join(map(str, sys.version_info[:3]))
    submission = Submission.create(directory, {"versions": {"python": python}}, b"order")
    submission.order.chmod(0o600)
    submission.order.write_bytes(b"another")

    with pytest.raises(SweepError, match="damaged"):
        open_order(submission)


def test_of_two_submissions_at_once_one_is_made(tmp_path):
    directory = SweepDirectory.create_or_open(tmp_path / "s", "s", 0)
    together = threading.Barrier(6)

    def submit(k):
        together.wait()
        return Submission.create(directory, {"by": k}, b"%d" % k)

    with ThreadPoolExecutor(6) as threads:
        made = [one for one in threads.map(submit, range(6)) if one is not None]

    assert made
    assert sorted(one.number for one in made) == list(range(1, len(made) + 1))
    for one in made:
        again = Submission.read(one.folder, one.number)
        assert again.facts == one.facts
        assert again.order.read_bytes() == b"%d" % one.facts["by"]


def test_errors_of_a_controller_come_back_as_what_they_are():
    for error in (SubmittedError("d", "host", "now", "job 7"), SweepBusyError("d", "host", 7, "now"), SweepError("s")):
        again = getattr(errors, type(error).__name__)(*error.args)

        assert (type(again), str(again)) == (type(error), str(error))


def test_a_controller_is_found_by_name_or_by_cluster():
    assert find_controller(None, sciflow.LocalCluster()).is_here
    assert find_controller("process", sciflow.LocalCluster()).is_here
    assert find_controller("slurm", sciflow.LocalCluster()).system == "slurm"


def test_a_machine_that_ends_daemons_at_logout_is_known(tmp_path):
    etc = tmp_path / "etc/systemd"
    (etc / "logind.conf.d").mkdir(parents=True)
    (etc / "logind.conf").write_text("[Login]\n#KillUserProcesses=yes\n")
    assert not ended_at_logout(tmp_path, "ada")

    (etc / "logind.conf.d/10-site.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    assert ended_at_logout(tmp_path, "ada")
    assert not ended_at_logout(tmp_path, "root")

    linger = tmp_path / "var/lib/systemd/linger"
    linger.mkdir(parents=True)
    (linger / "ada").touch()
    assert not ended_at_logout(tmp_path, "ada")


def test_an_order_takes_the_policy_in_force_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIFLOW_POLICY", "off_peak")
    engine = sciflow.Engine(directory=tmp_path)
    definition = workflow_of(lambda a: a).validate()
    engine.policy = engine.policy_for(definition)
    monkeypatch.delenv("SCIFLOW_POLICY")

    order = Order.of(engine, definition, None, {})

    assert order.policy.to_dict()["name"] == "off_peak"
