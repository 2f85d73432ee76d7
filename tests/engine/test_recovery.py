"""What becomes of runs that fail: tried again, replaced, skipped, undone, ended; and of the sweep around them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sciflow
from sciflow.clusters.local import LocalCluster


def sweep(directory, *tasks, space=None, cluster="inline", resources=None, stop_after=None, **engine):
    workflow = sciflow.ExperimentalWorkflow("w", stop_after=stop_after)
    for name, function, *options in tasks:
        workflow.add_task(name, function, **(options[0] if options else {}))
    workflow.add_parameter_space(space or {"k": range(20)})
    workflow.set_resource_requirements(resources or {})
    return sciflow.Engine(cluster, directory=directory, progress=False, **engine).execute_parameter_sweep(workflow)


def note(folder, what):
    """Say in a file, from whatever process, that something happened."""
    with (Path(folder) / "ledger").open("a") as ledger:
        ledger.write(f"{what}\n")


def noted(folder):
    path = Path(folder) / "ledger"
    return path.read_text().split("\n")[:-1] if path.exists() else []


# ------------------------------------------------------------------------------------------- retries


def test_a_task_is_tried_again_for_the_errors_it_names_and_the_attempt_is_recorded(tmp_path):
    def flaky(k, context):
        if k % 2 and context.attempt < 3:
            raise OSError(f"attempt {context.attempt}")
        return {"y": k, "tries": context.attempt}

    retry = sciflow.Retry(attempts=3, delay_s=0.001, on=(OSError,))
    results = sweep(tmp_path, ("flaky", flaky, {"retry": retry}))

    assert results.status()["done"] == 20
    assert results.dataset["tries"].values.tolist() == [1, 3] * 10
    assert results.dataset["attempt"].values.tolist() == [1, 3] * 10


def test_an_error_that_the_retry_does_not_name_is_not_tried_again(tmp_path):
    def wrong(k):
        note(tmp_path, k)
        raise KeyError(k)

    results = sweep(tmp_path / "s", ("wrong", wrong, {"retry": sciflow.Retry(attempts=3, on=(OSError,))}))

    assert results.status()["failed"] == 20
    assert len(noted(tmp_path)) == 20


# ------------------------------------------------------------------------------------------- fallback, skip, condition


def test_a_fallback_stands_in_and_what_went_wrong_is_told(tmp_path):
    def f(k):
        if k == 3:
            raise ValueError("no")
        return float(k)

    results = sweep(
        tmp_path,
        ("f", f, {"fallback": -1.0}),
        ("g", lambda f: {"y": 10 * f}, {"depends_on": ["f"]}),
    )

    assert results.status()["done"] == 20
    assert results.dataset["y"].sel(k=3).item() == -10.0
    assert "ValueError: no" in results.dataset["failure"].sel(k=3).item()
    assert results.dataset["failure"].sel(k=4).item() == ""


def test_a_fallback_function_gets_arguments_like_a_task(tmp_path):
    def f(k):
        raise ValueError(k)

    results = sweep(tmp_path, ("f", f, {"fallback": lambda k: {"y": k * 2}}))

    assert results.dataset["y"].values.tolist() == [2 * k for k in range(20)]


@pytest.mark.parametrize("options", [{"critical": False}, {"fallback": sciflow.SKIP}], ids=["critical", "fallback"])
def test_what_depends_on_a_task_that_is_not_critical_and_failed_is_skipped(tmp_path, options):
    def extra(k):
        if k == 3:
            raise ValueError("no")
        return k

    results = sweep(
        tmp_path,
        ("main", lambda k: {"y": k}),
        ("extra", extra, {**options, "outputs": ["extra"]}),
        ("more", lambda extra: {"z": extra}, {"depends_on": ["extra"]}),
    )

    assert results.status()["done"] == 20
    assert results.dataset["y"].sel(k=3).item() == 3
    assert np.isnan(results.dataset["z"].sel(k=3).item())
    assert np.isnan(results.dataset["extra"].sel(k=3).item())
    assert results.dataset["z"].sel(k=4).item() == 4


@pytest.mark.parametrize("condition", ["k > 5", lambda k: k > 5], ids=["text", "function"])
def test_a_task_whose_condition_does_not_hold_is_skipped_and_not_failed(tmp_path, condition):
    def slow(k):
        note(tmp_path, k)
        return {"z": k}

    results = sweep(tmp_path / "s", ("main", lambda k: {"y": k}), ("slow", slow, {"condition": condition}))

    assert results.status() == {"done": 20, "failed": 0, "missing": 0}
    assert int(results.dataset["z"].isnull().sum()) == 6
    assert sorted(map(int, noted(tmp_path))) == list(range(6, 20))


# ------------------------------------------------------------------------------------------- undo


def test_what_a_variant_did_is_undone_in_reverse_when_a_later_task_fails(tmp_path):
    def first(k):
        return f"first-{k}"

    def second(k, first):
        return f"second-{k}"

    def last(k, second):
        if k == 3:
            raise ValueError("no")
        return {"y": k}

    results = sweep(
        tmp_path / "s",
        ("first", first, {"undo": lambda first: note(tmp_path, f"undo {first}")}),
        (
            "second",
            second,
            {"depends_on": ["first"], "undo": lambda second, k: note(tmp_path, f"undo {second} of {k}")},
        ),
        ("last", last, {"depends_on": ["second"]}),
    )

    assert results.status()["failed"] == 1
    assert noted(tmp_path) == ["undo second-3 of 3", "undo first-3"]


def test_an_undo_that_fails_is_told_with_what_it_was_to_undo(tmp_path):
    def first(k):
        return k

    def last(first):
        raise ValueError("no")

    def undo(first):
        raise OSError("cannot delete")

    results = sweep(tmp_path, ("first", first, {"undo": undo}), ("last", last, {"depends_on": ["first"]}))

    traceback = results.failures()["traceback"].iloc[0]
    assert "ValueError: no" in traceback
    assert "the undo of task 'first' raised OSError: cannot delete" in traceback


def test_a_task_that_can_be_undone_is_not_shared_and_a_stand_in_is_not_undone(tmp_path):
    def make(a):
        if a == 2:
            raise ValueError("cannot")
        note(tmp_path, f"make {a}")
        return a

    def last(make, b):
        if b == 1:
            raise ValueError("no")
        return {"y": make * b}

    sweep(
        tmp_path / "s",
        ("make", make, {"undo": lambda make: note(tmp_path, f"undo {make}"), "fallback": -1}),
        ("last", last, {"depends_on": "make"}),
        space={"a": [1, 2], "b": [0, 1]},
    )

    assert noted(tmp_path) == ["make 1", "make 1", "undo 1"]


# ------------------------------------------------------------------------------------------- shared runs


def test_a_shared_run_that_fails_is_done_once_and_fails_its_variants_with_one_error(tmp_path):
    def load(a):
        note(tmp_path, a)
        if a == 1:
            raise ValueError("bad file")
        return a

    results = sweep(
        tmp_path / "s",
        ("load", load),
        ("use", lambda load, b: {"y": load * b}, {"depends_on": ["load"]}),
        space={"a": range(3), "b": range(50)},
        cluster=LocalCluster(workers=2),
    )

    assert results.status() == {"done": 100, "failed": 50, "missing": 0}
    failures = results.failures()
    assert failures["count"].tolist() == [50]
    assert failures["task"].tolist() == ["load"]
    assert sorted(noted(tmp_path)) == ["0", "1", "2"]


def test_cached_runs_are_not_done_again_when_the_sweep_grows(tmp_path):
    def load(a):
        note(tmp_path, f"load {a}")
        return [a] * 3

    def use(load, b):
        return {"y": sum(load) + b}

    tasks = (("load", load, {"cache": True}), ("use", use, {"depends_on": ["load"]}))
    sweep(tmp_path / "s", *tasks, space={"a": [1, 2], "b": [1, 2]}, cluster=LocalCluster(workers=2))
    results = sweep(tmp_path / "s", *tasks, space={"a": [1, 2, 3], "b": [1, 2, 3]}, cluster=LocalCluster(workers=2))

    assert results.status()["done"] == 9
    assert sorted(noted(tmp_path)) == ["load 1", "load 2", "load 3"]
    assert results.dataset["y"].sel(a=3, b=2).item() == 11


def test_a_task_that_changes_what_it_was_given_changes_nothing_for_other_variants(tmp_path):
    def load(a):
        return {"values": np.arange(4.0), "names": ["x"]}

    def spoil(values, names, b):
        values += b
        names.append("y")
        return {"total": float(values.sum()), "n": len(names)}

    results = sweep(
        tmp_path, ("load", load), ("spoil", spoil, {"depends_on": ["load"]}), space={"a": [0], "b": [0.0, 1.0, 2.0]}
    )

    assert results.dataset["total"].values.tolist() == [[6.0, 10.0, 14.0]]
    assert results.dataset["n"].values.tolist() == [[2, 2, 2]]


def test_what_gives_its_values_only_once_is_made_for_each_variant(tmp_path):
    results = sweep(
        tmp_path,
        ("count", lambda a: iter(range(a))),
        ("total", lambda count, b: {"total": sum(count) + b}, {"depends_on": "count"}),
        space={"a": [3, 4], "b": [0, 100]},
    )

    assert results.dataset["total"].values.tolist() == [[3, 103], [6, 106]]


@pytest.mark.parametrize("how", ["crash", "timeout"])
def test_a_shared_run_that_kills_its_worker_or_never_ends_costs_that_once_and_fails_those_who_need_it(tmp_path, how):
    def load(a):
        note(tmp_path, a)
        if a == 1:
            if how == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)
        return a

    results = sweep(
        tmp_path / "s",
        ("load", load, {"timeout": 1.5}),
        ("use", lambda load, b: {"y": load * b}, {"depends_on": "load"}),
        space={"a": range(3), "b": range(100)},
        cluster=LocalCluster(workers=2),
    )

    assert results.status() == {"done": 200, "failed": 100, "missing": 0}
    assert results.failures()["count"].tolist() == [100]
    assert results.failures()["cause"].tolist() == [how]
    assert noted(tmp_path).count("1") <= 4


@pytest.mark.parametrize("what", ["array", "mapping", "view"])
def test_results_in_a_buffer_that_a_task_uses_again_are_those_of_their_variants(tmp_path, what):
    array, mapping = np.zeros(3), {}

    def reuse(k):
        array[:] = k
        mapping.update(y=k, v=array)
        return {"array": {"y": k, "v": array}, "mapping": mapping, "view": {"y": k, "v": array[:2]}}[what]

    results = sweep(tmp_path, ("reuse", reuse))

    assert results.dataset["y"].values.tolist() == list(range(20))
    assert results.dataset["v"].values[:, 0].tolist() == list(range(20))


# ------------------------------------------------------------------------------------------- deaths and limits


def misbehave(k):  # noqa: C901  one way for each k
    if k == 2:
        ctypes.string_at(0)
    if k == 4:
        os._exit(3)
    if k == 6:
        while True:
            pass
    if k == 8:
        kept = [b"x" * 20_000_000 for _ in range(50)]
        time.sleep(len(kept))
    if k == 10:
        raise KeyboardInterrupt
    if k == 12:
        raise StopIteration
    if k == 14:
        sys.exit(4)
    if k == 16:
        os.kill(os.getpid(), signal.SIGKILL)
    if k == 18 and os.fork() == 0:
        return {"y": -1}
    return {"y": k}


def test_whatever_a_task_does_to_its_process_costs_that_variant_alone_and_the_cause_is_named(tmp_path):
    results = sweep(
        tmp_path,
        ("misbehave", misbehave, {"timeout": "6 s"}),
        space={"k": range(40)},
        cluster=LocalCluster(workers=2),
        resources={"misbehave": {"memory_gb": 0.6}},
    )

    table = results.to_dataframe().reset_index().set_index("k")
    failed = table[table["status"] != "done"]
    assert failed.index.tolist() == [2, 4, 6, 8, 10, 12, 14, 16]
    assert table[table["status"] == "done"]["y"].tolist() == [k for k in range(40) if k not in failed.index]
    causes = results.failures().set_index("fingerprint")["cause"]
    assert set(causes) == {"crash", "exit", "timeout", "out_of_memory", "exception"}
    assert "SIGSEGV" in failed.loc[2, "failure"]
    assert "exit status 3" in failed.loc[4, "failure"]
    assert "limit of 6" in failed.loc[6, "failure"]
    assert "more memory than its limit" in failed.loc[8, "failure"]


def test_each_variant_starts_in_the_same_directory(tmp_path):
    def wander(k):
        here = str(Path.cwd())
        os.chdir("/")
        return {"here": here}

    results = sweep(tmp_path, ("wander", wander), cluster=LocalCluster(workers=1))

    assert set(results.dataset["here"].values.tolist()) == {str(Path.cwd())}


def test_what_tasks_print_goes_to_a_log_of_the_worker_that_stays_small(tmp_path, capfd):
    def talk(k):
        sys.stdout.write("x" * 400_000 + "\n")
        sys.stderr.write(f"said {k}\n")
        return {"y": k}

    sweep(tmp_path, ("talk", talk), space={"k": range(60)}, cluster=LocalCluster(workers=1))

    (log,) = (tmp_path / "w" / "logs").glob("worker-*.log")
    assert "said 59" in log.read_text()
    assert log.stat().st_size < 25 << 20
    assert "said" not in capfd.readouterr().err


def test_a_sweep_that_only_fails_is_given_up_and_says_why(tmp_path, capsys):
    def f(k):
        raise ValueError("always the same")

    results = sweep(
        tmp_path, ("f", f), space={"k": range(5000)}, stop_after=sciflow.StopAfter(same_failure=20), cluster="inline"
    )

    assert 20 <= results.status()["failed"] < 5000
    assert "ValueError" in capsys.readouterr().err


def test_failed_variants_run_again_by_cause(tmp_path):
    def f(k):
        note(tmp_path, k)
        if k == 1:
            raise ValueError("no")
        if k == 2:
            sys.exit(3)
        return {"y": k}

    workflow = sciflow.ExperimentalWorkflow("w")
    workflow.add_task("f", f)
    workflow.add_parameter_space({"k": range(4)})
    engine = sciflow.Engine("inline", directory=tmp_path / "s", progress=False)
    engine.execute_parameter_sweep(workflow)
    (tmp_path / "ledger").unlink()

    from sciflow.engine.intercept import overrides

    token = overrides.set({"retry_failed": True, "causes": ["exit"]})
    try:
        engine.execute_parameter_sweep(workflow)
    finally:
        overrides.reset(token)

    assert noted(tmp_path) == ["2"]
