"""What a worker's job runs: whatever is in the values, a shell takes them as they are."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from distributed.security import Security
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciflow.clusters.keys import new_keys
from sciflow.clusters.worker_script import worker_body

NASTY = "a b'c\"d;touch hacked $(touch hacked) `touch hacked` && touch hacked | touch hacked %j \\ é *"

IMPORT = "import sciflow.clusters.worker_script"
IN_MAIN = f"import signal; before = signal.getsignal(signal.SIGINT); {IMPORT}; print(signal.getsignal(2) is before)"
IN_THREAD = f"""
import threading
def work():
    {IMPORT}
    print(True)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""

# in place of Python: says what it was called with
PROBE = """#!{python}
import json, os, sys
json.dump([sys.argv[1:], dict(os.environ)], open({said!r}, "w"))
"""


def run(folder, *, python=None, name="w.cpu1.1", processes=1, scratch=None, prologue=(), security=None, cores=1):
    """Run a body with /bin/sh in a folder; give the arguments and the environment of the worker."""
    said = folder / "said.json"
    probe = folder / (python or "probe")
    probe.write_text(PROBE.format(python=sys.executable, said=str(said)))
    probe.chmod(0o755)
    body = worker_body(
        "tls://127.0.0.1:1",
        name,
        security or Security(),
        cores=cores,
        processes=processes,
        interface="lo",
        python=str(probe),
        prologue=prologue,
        scratch=scratch,
    )
    ran = subprocess.run(["/bin/sh", "-c", body], cwd=folder, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert not (folder / "hacked").exists()
    return json.loads(said.read_text())


def after(words, option):
    return words[words.index(option) + 1]


def test_paths_with_anything_in_them_are_taken_as_they_are(tmp_path, monkeypatch):
    folder = tmp_path / NASTY
    folder.mkdir()
    monkeypatch.setenv("SCIFLOW_KEYS", str(folder / "keys $(touch hacked)"))
    with new_keys("abc") as security:
        words, _ = run(folder, python="py thon;$(touch hacked)", scratch=str(folder), security=security)

        assert after(words, "--local-directory") == str(folder)
        assert after(words, "--tls-key") == security.tls_worker_key
        assert after(words, "--tls-ca-file") == security.tls_ca_file


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(name=st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).filter(str.strip))
def test_a_name_is_a_single_word_whatever_is_in_it(name, tmp_path):
    words, _ = run(tmp_path, name=name)

    assert after(words, "--name") == name


def test_temporary_files_lie_in_the_jobs_own_folder_unless_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", f"{tmp_path}/of job 7")
    words, _ = run(tmp_path)
    assert after(words, "--local-directory") == f"{tmp_path}/of job 7"

    monkeypatch.delenv("TMPDIR")
    words, _ = run(tmp_path)
    assert after(words, "--local-directory") == "/tmp"


def test_libraries_use_as_many_threads_as_the_task_has_cores(tmp_path):
    _, environ = run(tmp_path, cores=3)

    assert {environ[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")} == {"3"}


@pytest.mark.parametrize("processes", [1, 4])
def test_a_worker_runs_one_batch_at_a_time_and_shows_no_page_to_the_network(processes, tmp_path):
    words, _ = run(tmp_path, processes=processes)

    assert after(words, "--nthreads") == "1"
    assert ("--nworkers" in words) == (processes > 1)
    assert after(words, "--dashboard-address") == "127.0.0.1:0"
    assert after(words, "--death-timeout") == "120"


def test_lines_of_the_user_come_first_and_are_run(tmp_path):
    _, environ = run(tmp_path, prologue=["export FROM_MODULE=1; OMP_NUM_THREADS=99"])

    assert environ["FROM_MODULE"] == "1"
    assert environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("script", [IN_MAIN, IN_THREAD], ids=["main thread", "another thread"])
def test_ctrl_c_means_the_same_after_dask_jobqueue_was_imported(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.stdout == "True\n", done.stderr
