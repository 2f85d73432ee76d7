# ruff: noqa: T201  tasks print: that is what is tested
"""What is recorded of a variant whose worker process died: facts of that process, and of no other."""

from __future__ import annotations

import os
import signal
import sys
import time

import cloudpickle
import pytest

import sciflow
from sciflow.clusters.local import LocalCluster

pytestmark = pytest.mark.measured

cloudpickle.register_pickle_by_value(sys.modules[__name__])

VARIANTS = 60


def sweep(directory, *tasks, space):
    workflow = sciflow.ExperimentalWorkflow("w")
    for name, function, options in tasks:
        workflow.add_task(name, function, **options)
    workflow.add_parameter_space(space)
    cluster = LocalCluster(workers=2, dask_after_s=1e9)
    return sciflow.Engine(cluster, directory=directory, progress=False).execute_parameter_sweep(workflow)


def say(folder, words):
    (folder / "pid").write_text(str(os.getpid()))
    print(words, flush=True)


def dies(how):
    match how:
        case "exit":
            os._exit(7)
        case "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        case _:
            time.sleep(60)


def pid_that_died(folder):
    return (folder / "pid").read_text()


@pytest.mark.parametrize(
    ("how", "cause", "status"), [("exit", "exit", 7), ("signal", "crash", -11), ("timeout", "timeout", None)]
)
def test_a_variant_whose_worker_died_says_in_which_process_and_how_and_what_that_printed(tmp_path, how, cause, status):
    def crash(k):
        if k != 33:
            return {"y": k}
        say(tmp_path, f"hello from {k}")
        return dies(how)

    options = {"timeout": "1s"} if how == "timeout" else {}
    results = sweep(tmp_path / "s", ("crash", crash, options), space={"k": range(VARIANTS)})
    trace = results.provenance({"k": 33})
    facts = trace.to_dict()

    assert facts["failure"]["cause"] == cause
    assert facts["failure"].get("exit_status") == status
    assert facts["failure"]["output"] == "hello from 33\n"
    assert facts["run"]["worker"].rpartition(":")[2] == pid_that_died(tmp_path)
    assert "hello from 33" in (tmp_path / "s" / "w" / facts["run"]["log"]).read_text()
    assert 0 < facts["run"]["wall_s"] < 30
    assert facts["environment"]["digest"] == results.provenance({"k": 1}).to_dict()["environment"]["digest"]
    assert "printed: hello from 33\n" in str(trace)
    assert facts["run"]["log"] in str(trace)


@pytest.mark.parametrize("how", ["exit", "timeout", "exception"])
def test_a_shared_run_that_failed_says_in_each_variant_where_that_was(tmp_path, how):
    def load(a):
        if a != 1:
            return a
        say(tmp_path, "loading")
        if how == "exception":
            time.sleep(0.2)
            raise ValueError("no data")
        return dies(how)

    tasks = (("load", load, {"timeout": "1s"}), ("use", lambda load, b: {"y": load * b}, {"depends_on": "load"}))
    results = sweep(tmp_path / "s", *tasks, space={"a": range(3), "b": range(200)})

    assert results.status()["failed"] == 200
    for b in (0, 120, 199):
        trace = results.provenance({"a": 1, "b": b})
        facts = trace.to_dict()
        assert facts["run"]["worker"].rpartition(":")[2] == pid_that_died(tmp_path)
        assert facts["failure"]["output"] == "loading\n"
        assert [task["status"] for task in facts["tasks"]] == ["failed", "not run"]
        assert "shared with other" not in str(trace)


def test_the_traceback_of_a_failed_variant_is_in_its_trace_and_later_tasks_did_not_run(tmp_path):
    def solve(k):
        if k == 3:
            raise ValueError("the matrix is singular")
        return k

    tasks = (("solve", solve, {}), ("use", lambda solve: {"y": solve}, {"depends_on": "solve"}))
    results = sweep(tmp_path, *tasks, space={"k": range(5)})
    text = str(results.provenance({"k": 3}))

    assert "test_deaths.py" in text
    assert 'raise ValueError("the matrix is singular")' in text
    assert "), failed" in text
    assert "), not run" in text
    assert "shared with other variants" not in text


def test_the_environment_of_a_shared_run_counts_for_all_variants_that_use_it(tmp_path):
    def load(a):
        os.environ["OMP_NUM_THREADS"] = "7"
        import this  # noqa: F401  environments are looked at again when something was imported

        return a

    def use(load, b):
        time.sleep(0.01)
        return {"y": load * b}

    tasks = (("load", load, {"deterministic": True}), ("use", use, {"depends_on": "load"}))
    results = sweep(tmp_path, *tasks, space={"a": [1], "b": range(300)})
    counts, threads = results.environment_counts(), results.environment_differences()["variables.OMP_NUM_THREADS"]
    (seven,) = [digest for digest, value in threads.items() if value == "7"]

    assert counts[seven] == 300
    assert 0 < sum(n for digest, n in counts.items() if digest != seven) < 300
    traces = [results.provenance({"a": 1, "b": b}) for b in range(300)]
    elsewhere = [trace for trace in traces if trace.to_dict()["environment"]["digest"] != seven]
    assert {trace.to_dict()["tasks"][0]["ran"]["environment"] for trace in elsewhere} == {seven}
    assert f"environment {seven[:12]}" in str(elsewhere[0])
