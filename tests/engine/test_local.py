"""Real worker processes: really killed, really crashing, started by plain scripts."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import cloudpickle
import psutil
import pytest
from distributed import Client

import sciflow
from sciflow.clusters.local import LocalCluster, start_dask
from sciflow.store.directory import SweepDirectory

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")


def run_script(text, tmp_path, timeout=120, **environment):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_a_plain_script_needs_no_main_guard_and_its_functions_need_no_module(tmp_path):
    (tmp_path / "helpers.py").write_text("def double(x):\n    return 2 * x\n")
    done = run_script(
        """
        import sciflow
        from helpers import double

        OFFSET = 100
        print("body")

        def make(power):
            def closure(a):
                return {"y": double(a) ** power + OFFSET}
            return closure

        workflow = sciflow.ExperimentalWorkflow("plain")
        workflow.add_task("f", make(2))
        workflow.add_parameter_space({"a": [1, 2, 3]})
        results = sciflow.Engine(progress=False).execute_parameter_sweep(workflow)
        print(results.dataset["y"].values.tolist())
        """,
        tmp_path,
    )

    assert done.stdout == "body\n[104, 116, 136]\n", done.stderr


def test_a_sweep_longer_than_a_moment_is_taken_over_by_dask(tmp_path):
    done = run_script(
        """
        import sys, time
        import sciflow
        print("body")

        def f(a):
            time.sleep(0.01 if "distributed" in sys.modules else 0.2)  # the machine may be slow to start Dask
            import os
            return {"y": a, "dask": "distributed" in sys.modules, "pid": os.getpid(), "hash": hash("text")}

        workflow = sciflow.ExperimentalWorkflow("long")
        workflow.add_task("f", f)
        workflow.add_parameter_space({"a": range(200)})
        cluster = sciflow.LocalCluster(workers=2, dask_after_s=1.0)
        results = sciflow.Engine(cluster, progress=False).execute_parameter_sweep(workflow)
        table = results.to_dataframe()
        print(len(table), table["dask"].any(), not table["dask"].all())
        print("hashes:", table["hash"].nunique())
        """,
        tmp_path,
    )

    assert done.stdout == "body\n200 True True\nhashes: 1\n", done.stderr
    assert "Traceback" not in done.stderr


def test_workers_compute_with_as_many_threads_as_a_task_asks_for(tmp_path):
    done = run_script(
        """
        import os, sciflow
        workflow = sciflow.ExperimentalWorkflow("threads")
        workflow.add_task("f", lambda a: {"threads": os.environ["OMP_NUM_THREADS"]})
        workflow.add_parameter_space({"a": [1]})
        print(sciflow.Engine(progress=False).execute_parameter_sweep(workflow).dataset["threads"].item())
        """,
        tmp_path,
        OMP_NUM_THREADS="7",
    )

    assert done.stdout == "1\n", done.stderr


def leave(a):
    if a == 5:
        os._exit(11)
    time.sleep(0.01)  # so that Dask takes over before it is done
    return {"y": a}


@pytest.mark.parametrize("dask_after_s", [20.0, 0.0], ids=["children", "dask"])
def test_a_variant_that_ends_its_process_costs_itself_alone(tmp_path, dask_after_s):
    cluster = LocalCluster(workers=2, dask_after_s=dask_after_s)
    workflow = sciflow.ExperimentalWorkflow("crash")
    workflow.add_task("leave", leave)
    workflow.add_parameter_space({"a": range(200)})

    results = sciflow.Engine(cluster, directory=tmp_path, progress=False).execute_parameter_sweep(workflow)

    assert results.status() == {"done": 199, "failed": 1, "missing": 0}
    assert results.dataset["status"].sel(a=5).item() == "failed"
    assert results.failures()["cause"].tolist() in (["exit"], ["crash"])


WORKER_KILLED = """
    import os, signal, time
    import sciflow

    def f(a):
        if a == 30 and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return {"y": a}

    workflow = sciflow.ExperimentalWorkflow("once")
    workflow.add_task("f", f)
    workflow.add_parameter_space({"a": range(300)})
    results = sciflow.Engine(sciflow.LocalCluster(workers=2), progress=False).execute_parameter_sweep(workflow)
    print(results.status(), int(results.dataset["y"].sum()))
"""


def test_a_worker_killed_from_outside_costs_nothing_but_time(tmp_path):
    done = run_script(WORKER_KILLED, tmp_path)

    assert done.stdout == "{'done': 300, 'failed': 0, 'missing': 0} 44850\n", done.stderr


def test_one_percent_that_raise_are_named_grouped_and_never_win(tmp_path):
    done = run_script(
        """
        import sciflow

        def f(a):
            if a % 100 == 7:
                raise ValueError("seven")
            return {"y": float(a)}

        workflow = sciflow.ExperimentalWorkflow("flaky")
        workflow.add_task("f", f)
        workflow.add_parameter_space({"a": range(1000)})
        results = sciflow.Engine().execute_parameter_sweep(workflow)
        (group,) = results.failures().to_dict("records")
        print(results.status(), group["count"], group["task"], group["message"])
        print(dict(results.find_optimal_parameters("y")), dict(results.find_optimal_parameters("y", maximize=False)))
        """,
        tmp_path,
    )

    assert done.stdout == "{'done': 990, 'failed': 10, 'missing': 0} 10 f seven\n{'a': 999} {'a': 0}\n", done.stderr
    assert "10 of 1,000 variants failed" in done.stderr


N_A, N_B = 40, 50

KILLED = """
import time
import sciflow

def work(a, b):
    end = time.perf_counter() + 0.004
    while time.perf_counter() < end:
        pass
    with open("ledger", "ab", buffering=0) as ledger:
        ledger.write(f"{a} {b} {time.time()}\\n".encode())
    return {"product": a * b, "third": a / 3}

workflow = sciflow.ExperimentalWorkflow("killed")
workflow.add_task("work", work)
workflow.add_parameter_space({"a": range(40), "b": range(50)})
engine = sciflow.Engine(sciflow.LocalCluster(workers=2), progress=False)
print(engine.execute_parameter_sweep(workflow).status())
"""


def kill_tree(process):
    """SIGKILL a driver and all that it started, as a lost node would."""
    children = psutil.Process(process.pid).children(recursive=True)
    for victim in [*children, process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    process.wait()
    psutil.wait_procs(children, timeout=10)


def wait_for_work(folder, process):
    """Return when the first variant has run, or the process is over."""
    deadline = time.monotonic() + 60
    while not (folder / "ledger").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ten_kills_of_driver_and_workers_lose_nothing_and_repeat_little(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    chance = random.Random(2026)
    kills, seen = [], 0
    while len(kills) < 10:
        process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.DEVNULL)
        started = time.time()
        # kill during the work, not during the imports
        wait_for_work(tmp_path, process)
        time.sleep(chance.uniform(0.1, 0.4))
        assert process.poll() is None, "the sweep was over before ten kills"
        kills.append(time.time())
        kill_tree(process)
        snapshot = SweepDirectory.open(tmp_path / "sweeps" / "killed").snapshot()
        now = sciflow.open_results(tmp_path / "sweeps" / "killed").status()["done"]
        assert not any("damaged" in problem for problem in snapshot.problems)
        assert now >= seen, "a count shrank"
        seen = now
        (tmp_path / "ledger").rename(tmp_path / f"ledger{len(kills)}")
        assert time.time() - started < 60
    last = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert last.stdout == "{'done': 2000, 'failed': 0, 'missing': 0}\n", last.stderr
    results = sciflow.open_results(tmp_path / "sweeps" / "killed")
    for a in range(N_A):
        for b in range(N_B):
            cell = results.dataset.sel(a=a, b=b)
            assert (cell["product"].item(), cell["third"].item()) == (a * b, a / 3)
    # what ran twice is at most half a second of work per worker and kill
    runs = Counter(
        line.rsplit(" ", 1)[0]
        for ledger in tmp_path.glob("ledger*")
        for line in ledger.read_text().splitlines()
        if line.count(" ") == 2
    )
    assert len(runs) == N_A * N_B
    repeated = sum(runs.values()) - len(runs)
    assert len(kills) == 10
    assert repeated * 0.004 <= 0.5 * 2 * len(kills)


def test_ctrl_c_keeps_what_is_finished_says_how_to_resume_and_the_same_command_resumes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_for_work(tmp_path, process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "run the same command again" in said
    done = sciflow.open_results(tmp_path / "sweeps" / "killed").status()["done"]
    assert 0 < done < 2000
    kept = int(re.search(r"stopped; ([\d,]+) finished", said)[1].replace(",", ""))
    assert kept == done
    n_runs = (tmp_path / "ledger").read_text().count("\n")
    assert n_runs == done
    again = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert again.stdout.startswith("{'done': 2000"), again.stderr
    assert (tmp_path / "ledger").read_text().count("\n") == 2000


def test_a_window_that_is_closed_is_said_at_once_in_one_line_with_the_way_to_run_now(tmp_path):
    script = tmp_path / "script.py"
    now = time.gmtime()
    hours = f"{(now.tm_hour + 3) % 24:02d}:00-{(now.tm_hour + 4) % 24:02d}:00"
    options = {"preferred_hours": hours, "timezone": "UTC"}
    script.write_text(KILLED.replace("engine =", f'workflow.set_scheduling_policy("off_peak", {options})\nengine ='))
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert "off-peak window opens at" in line
    assert "SCIFLOW_POLICY=immediate" in line
    assert not (tmp_path / "ledger").exists()


def test_a_disk_that_fills_up_ends_the_sweep_with_its_path_and_what_was_committed_stays(tmp_path):
    done = run_script(
        """
        import resource, signal, sys
        import sciflow

        def f(a):
            return {"y": float(a), "text": "x" * 1000 + str(a)}

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        workflow = sciflow.ExperimentalWorkflow("full")
        workflow.add_task("f", f)
        workflow.add_parameter_space({"a": range(3000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
        except sciflow.SciflowError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        before = sciflow.open_results("sweeps/full").status()["done"]
        results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
        print(0 < before < 3000, results.status()["done"])
        """,
        tmp_path,
    )

    assert re.search(r"cannot write .*sweeps/full/segments/.*\.seg: File too large", done.stdout), (
        done.stdout + done.stderr
    )
    assert done.stdout.endswith("True 3000\n"), done.stdout


def test_a_task_that_holds_on_to_this_process_is_refused_with_the_remedy(tmp_path):
    lock = threading.Lock()

    def locked(a):
        with lock:
            return a

    workflow = sciflow.ExperimentalWorkflow("locked")
    workflow.add_task("locked", locked)
    workflow.add_parameter_space({"a": [1]})

    with pytest.raises(sciflow.SciflowError, match=r"lock.*make it inside the task"):
        sciflow.Engine(directory=tmp_path, progress=False).execute_parameter_sweep(workflow)
    inline = sciflow.Engine("inline", directory=tmp_path, progress=False)
    assert inline.execute_parameter_sweep(workflow).status()["done"] == 1


def test_a_directory_that_cannot_be_written_is_refused_with_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    workflow = sciflow.ExperimentalWorkflow("nowhere")
    workflow.add_task("f", lambda: 1)

    with pytest.raises(sciflow.SciflowError, match=r"cannot write .*file/nowhere"):
        sciflow.Engine("inline", directory=Path(tmp_path) / "file").execute_parameter_sweep(workflow)


def listening_at(process):
    with contextlib.suppress(psutil.NoSuchProcess):  # a helper of the test before may just end
        return [one.laddr.ip for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    return []


def test_what_dask_opens_on_this_machine_is_for_this_user_alone():
    workers, n_workers = start_dask(1, 1, cloudpickle.dumps(len), queue.SimpleQueue())
    try:
        assert n_workers() == 1
        address = workers.client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises(OSError, match="TCP"):
            Client(address.replace("tls", "tcp"), timeout=2)
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        assert {ip for process in family for ip in listening_at(process)} == {"127.0.0.1"}
    finally:
        workers.close()
