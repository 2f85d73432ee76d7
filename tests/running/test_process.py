"""Commands as processes: bounded in what is kept of them, and never outliving their run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid

import psutil
import pytest

from sciflow.running.log import RunLog
from sciflow.running.process import LOGGED_BYTES, run_process

MARK = "SCIFLOW_TEST_MARK"


def run(script, folder, *, log=None, keep_bytes=1 << 20, **environment):
    return run_process(
        ["/bin/sh", "-c", script],
        cwd=folder,
        environment={**os.environ, **environment},
        stdin=None,
        log=log,
        keep_bytes=keep_bytes,
    )


def marked(mark):
    """Every living process that was started, directly or not, with the mark in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def all_gone(mark, patience_s=60):
    until = time.monotonic() + patience_s
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.02)
    return not marked(mark)


@pytest.fixture
def mark():
    """Marks processes; what is left of them is ended."""
    one = uuid.uuid4().hex
    yield one
    for process in marked(one):
        process.kill()


WORKER = """
import os, sys
from pathlib import Path
from sciflow.running.process import run_process

def run(script):
    return run_process(["/bin/sh", "-c", script], cwd=Path.cwd(), environment=dict(os.environ), stdin=None, log=None,
                       keep_bytes=1000)
"""


def worker(mark, folder, code):
    environment = {**os.environ, MARK: mark}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER + code], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert path.exists()


def test_both_outputs_the_status_and_the_last_words_are_seen(tmp_path):
    done = run("echo out; echo err >&2; exit 3", tmp_path)

    assert (done.status, done.stdout, done.is_whole, done.last_words) == (3, b"out\n", True, "err")


def test_without_errors_the_last_words_are_those_of_standard_output(tmp_path):
    assert run("seq 100", tmp_path).last_words.splitlines() == [str(n) for n in range(81, 101)]


def test_a_signal_is_told_from_an_exit_status(tmp_path):
    assert run("kill -SEGV $$", tmp_path).status == -signal.SIGSEGV


def test_standard_input_is_empty_and_the_folder_is_the_one_given(tmp_path):
    assert run("cat; pwd", tmp_path).stdout == f"{tmp_path}\n".encode()


def test_of_megabytes_the_beginning_is_kept_and_the_rest_is_read_all_the_same(tmp_path):
    done = run("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end", tmp_path, keep_bytes=1000)

    assert done.stdout == b"x" * 1000
    assert not done.is_whole
    assert done.last_words.endswith("end")


def test_the_log_of_a_talkative_command_has_its_beginning_and_its_end(tmp_path):
    log = RunLog(tmp_path / "v1.log", "train[1]")
    run("seq 200000; echo 'the end' >&2", tmp_path, log=log)

    text = log.path.read_text()
    assert text.startswith("1\n2\n3\n")
    assert text.splitlines()[-2:] == ["200000", "the end"]
    assert "bytes left out]\n" in text
    assert len(text) < LOGGED_BYTES + 20_000


def test_what_is_logged_ends_with_its_line(tmp_path):
    log = RunLog(tmp_path / "v1.log", "train[1]")
    run("printf 'no newline'", tmp_path, log=log)
    log.line("next")

    first, second = log.path.read_text().splitlines()
    assert first == "no newline"
    assert second.endswith("train[1] next")


def test_what_runs_on_in_the_background_is_ended_with_its_command(tmp_path, mark):
    done = run("sleep 1000 & sleep 1000 | cat & echo started", tmp_path, **{MARK: mark})

    assert done.stdout == b"started\n"
    assert all_gone(mark)


def test_what_the_background_prints_just_after_the_end_is_still_heard(tmp_path):
    assert run("(sleep 0.05; echo late) & echo early", tmp_path).stdout == b"early\nlate\n"


def test_a_program_that_cannot_be_started_leaves_nothing_waiting(tmp_path, mark):
    with pytest.raises(OSError, match="Argument list too long"):
        run_process(
            ["/bin/true", "x" * 10_000_000],
            cwd=tmp_path,
            environment={**os.environ, MARK: mark},
            stdin=None,
            log=None,
            keep_bytes=0,
        )
    assert all_gone(mark)


TREE = "sleep 1000 & (sleep 1000 | cat) & touch started; sleep 1000; true"


def test_no_process_of_a_command_survives_the_death_of_its_worker(tmp_path, mark):
    with worker(mark, tmp_path, f"run({TREE!r})") as process:
        wait_for(tmp_path / "started")
        assert len(marked(mark)) >= 5  # the worker, the guardian, the shell, and what it started
        process.kill()

        assert all_gone(mark)


def test_a_worker_killed_at_any_instant_leaves_no_process(tmp_path, mark):
    rng = random.Random(3)
    code = """
print("ready", flush=True)
while True:
    run("sleep 0.005 | cat; (sleep 1000; true) & sleep 0.005; kill $!")
"""
    for _ in range(15):
        with worker(mark, tmp_path, code) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.06))
            process.kill()
    assert all_gone(mark)


def test_a_fork_of_the_worker_that_lives_on_does_not_keep_its_commands_alive(tmp_path, mark):
    code = f"""
run("true")
if os.fork() == 0:
    import time
    Path("fork").write_text(str(os.getpid()))
    time.sleep(1000)
run({TREE!r})
"""
    with worker(mark, tmp_path, code) as process:
        wait_for(tmp_path / "started")
        wait_for(tmp_path / "fork")
        process.kill()
        until = time.monotonic() + 60
        while len(marked(mark)) > 1 and time.monotonic() < until:
            time.sleep(0.05)

        assert [one.pid for one in marked(mark)] == [int((tmp_path / "fork").read_text())]
        marked(mark)[0].kill()


def test_a_guardian_that_was_killed_is_replaced_and_knows_what_runs(tmp_path, mark):
    code = f"""
import threading
import psutil
threading.Thread(target=run, args=({TREE!r},)).start()
while not Path("started").exists():
    pass
guardian, = [one for one in psutil.Process().children() if "guardian" in " ".join(one.cmdline())]
guardian.kill()
guardian.wait()
print(run("echo again").stdout.decode().strip(), flush=True)
import time
time.sleep(1000)
"""
    with worker(mark, tmp_path, code) as process:
        assert process.stdout.readline() == "again\n"
        process.kill()

        assert all_gone(mark)


@pytest.mark.parametrize("script", [TREE, f"trap '' TERM; {TREE}"])
def test_an_interrupt_ends_the_command_politely_and_then_for_certain(tmp_path, mark, script):
    code = f"""
try:
    run({script!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with worker(mark, tmp_path, code) as process:
        wait_for(tmp_path / "started")
        process.send_signal(signal.SIGINT)

        assert process.stdout.read() == "interrupted\n"
        assert process.wait() == 0
        assert all_gone(mark)


def test_a_worker_that_ends_well_leaves_no_guardian(tmp_path, mark):
    with worker(mark, tmp_path, "run('true')") as process:
        assert process.wait() == 0

    assert all_gone(mark)
