# ruff: noqa: T201  tasks print: that is what is tested
from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import warnings

import pytest

import sciflow
from sciflow.running.evidence import MOST_WARNINGS, TAIL_CHARACTERS


def run(tmp_path, task, space, **options):
    workflow = sciflow.ExperimentalWorkflow("said")
    workflow.add_task("task", task)
    workflow.add_parameter_space(space)
    engine = sciflow.Engine(sciflow.LocalCluster(workers=1), directory=tmp_path, progress=False, **options)
    return engine.execute_parameter_sweep(workflow)


def failures_of(results):
    """Variant's parameter ``k`` to the recorded failure."""
    table = results.to_dataframe()
    ids = table.index[table["status"] == "failed"]
    return {table.loc[one, "k"]: results.provenance(one).to_dict()["failure"] for one in ids}


@pytest.mark.parametrize("nap_s", [0.0, 0.002])
def test_the_end_of_what_a_variant_printed_is_in_its_failure_and_nothing_of_others(tmp_path, nap_s):
    def task(k):
        time.sleep(nap_s)
        print(f"out {k}")
        print(f"err {k}", file=sys.stderr)
        if k % 10 == 3:
            raise ValueError("no")
        return k

    results = run(tmp_path, task, {"k": range(40)})

    failures = failures_of(results)
    assert {k: failure["output"] for k, failure in failures.items()} == {
        k: f"out {k}\nerr {k}\n" for k in (3, 13, 23, 33)
    }
    assert "out 3\nerr 3" in results.failures()["output"][0]
    assert "printed: err 13" in str(results.provenance({"k": 13}))


def test_what_does_not_go_through_python_s_streams_is_heard_of_variants_that_are_not_too_short(tmp_path):
    def task(k):
        time.sleep(0.002)
        os.write(1, f"from C {k}\n".encode())
        subprocess.run(["sh", "-c", f"echo a child {k}"], check=True)
        if k == 4:
            raise ValueError("no")

    assert failures_of(run(tmp_path, task, {"k": range(8)}))[4]["output"] == "from C 4\na child 4\n"


def test_only_the_last_of_much_that_is_printed_is_kept(tmp_path):
    def task(k):
        print("é" * 5000 + "the end")
        raise ValueError("no")

    output = failures_of(run(tmp_path, task, {"k": [1]}))[1]["output"]

    assert len(output) == TAIL_CHARACTERS
    assert output.endswith("éthe end\n")


def test_each_variant_s_warnings_are_in_its_own_failure_however_often_a_line_warns(tmp_path):
    def task(k):
        for _ in range(3):
            warnings.warn("always the same", RuntimeWarning, stacklevel=1)
        if k == 7:
            for number in range(100):
                warnings.warn(f"number {number}", stacklevel=1)
        if k >= 5:
            raise ValueError("no")

    results = run(tmp_path, task, {"k": range(8)})

    failures = failures_of(results)
    for k in (5, 6):
        (only,) = failures[k]["warnings"]
        assert (only["category"], only["message"]) == ("RuntimeWarning", "always the same")
        assert only["where"].startswith("test_output.py:")
    assert len(failures[7]["warnings"]) == MOST_WARNINGS
    assert "RuntimeWarning: always the same (test_output.py:" in results.failures()["warnings"][0]
    logs = "".join(path.read_text() for path in (results.directory / "logs").iterdir())
    assert logs.count("RuntimeWarning: always the same") == 1, "the log is told once"


def test_a_variant_that_exceeds_its_time_says_what_it_printed(tmp_path):
    def task(k):
        warnings.warn("it will take long", stacklevel=1)
        print("still here")
        time.sleep(60)

    workflow = sciflow.ExperimentalWorkflow("late")
    workflow.add_task("task", task, timeout="1s")
    workflow.add_parameter_space({"k": [1]})
    engine = sciflow.Engine(sciflow.LocalCluster(workers=1), directory=tmp_path, progress=False)

    failure = failures_of(engine.execute_parameter_sweep(workflow))[1]

    assert failure["cause"] == "timeout"
    assert "still here" in failure["output"]
    assert failure["warnings"][0]["message"] == "it will take long"


def test_the_exit_status_of_a_run_is_in_its_failure(tmp_path):
    def task(k):
        sys.exit(None if k == 0 else k if k < 9 else "in words")

    failures = failures_of(run(tmp_path, task, {"k": [0, 3, 9]}))

    assert {k: failure["exit_status"] for k, failure in failures.items()} == {0: 0, 3: 3, 9: 1}


def test_a_failure_without_words_has_none(tmp_path):
    def task(k):
        raise ValueError("no")

    assert not {"output", "warnings", "exit_status"} & set(failures_of(run(tmp_path, task, {"k": [1]}))[1])


def test_all_that_variants_print_is_kept_in_their_logs_on_request(tmp_path):
    def task(k):
        print(f"said by {k}" if k else "", end="\n" if k else "")
        os.write(1, f"written by {k}\n".encode() if k else b"")
        return k

    results = run(tmp_path, task, {"k": [0, 1, 2]}, capture_output=True)

    said = {results.get_metric({"k": k}, "task"): results.provenance({"k": k}).variant for k in (0, 1, 2)}
    logs = results.directory / "logs"
    assert not (logs / f"{said[0]}.log").exists()
    for k in (1, 2):
        assert (logs / f"{said[k]}.log").read_text() == f"said by {k}\nwritten by {k}\n"


def test_with_minimal_capture_results_are_as_ever_and_nothing_else_is_recorded(tmp_path):
    def task(k):
        print("said")
        if k == 1:
            raise ValueError("no")
        return k

    results = run(tmp_path, task, {"k": [1, 2]}, capture="minimal")

    trace = results.provenance({"k": 1}).to_dict()
    assert results.get_metric({"k": 2}, "task") == 2
    assert not {"output", "warnings"} & set(trace["failure"])
    assert "written_bytes" not in trace["run"]
    assert trace["environment"] == {"capture": "minimal", "digest": trace["environment"]["digest"]}
    assert trace["code"]["capture"] == "minimal"
    assert "said" in (results.directory / trace["run"]["log"]).read_text()


def test_an_extent_of_capture_that_is_none_is_refused():
    with pytest.raises(sciflow.errors.SweepError, match="capture='all' is not understood; it is one of 'full', 'min"):
        sciflow.Engine(capture="all")


# ----------------------------------------------------------------------------------------------- in the user's process


def run_here(tmp_path, task, space, **options):
    workflow = sciflow.ExperimentalWorkflow("said")
    workflow.add_task("task", task)
    workflow.add_parameter_space(space)
    return sciflow.Engine("inline", directory=tmp_path, progress=False, **options).execute_parameter_sweep(workflow)


@pytest.mark.parametrize("nap_s", [0.0, 0.002])
def test_in_the_users_process_failures_have_what_they_said_and_it_is_printed_all_the_same(tmp_path, capsys, nap_s):
    streams = sys.stdout, sys.stderr, warnings.showwarning

    def task(k):
        time.sleep(nap_s)
        print(f"out {k}")
        sys.stderr.writelines([f"err {k}", "\n"])
        if k % 10 == 3:
            raise ValueError("no")
        return k

    results = run_here(tmp_path, task, {"k": range(40)})

    assert {k: failure["output"] for k, failure in failures_of(results).items()} == {
        k: f"out {k}\nerr {k}\n" for k in (3, 13, 23, 33)
    }
    assert "printed: err 13" in str(results.provenance({"k": 13}))
    assert capsys.readouterr().out == "".join(f"out {k}\n" for k in range(40))
    assert (sys.stdout, sys.stderr, warnings.showwarning) == streams
    assert not list((tmp_path / "said" / "logs").glob("*"))


def test_in_the_users_process_failures_have_their_warnings_each_its_own(tmp_path):
    def task(k):
        warnings.warn("careful", RuntimeWarning, stacklevel=1)
        if k:
            raise ValueError("no")

    with pytest.warns(RuntimeWarning, match="careful"):
        failures = failures_of(run_here(tmp_path, task, {"k": [0, 1, 2]}))

    assert [[one["message"] for one in failures[k]["warnings"]] for k in (1, 2)] == [["careful"], ["careful"]]


def test_in_the_users_process_a_long_output_is_cut_and_all_of_it_is_kept_where_that_is_asked(tmp_path):
    def task(k):
        print("x" * 3 * TAIL_CHARACTERS + "end")
        raise ValueError("no")

    results = run_here(tmp_path, task, {"k": [1]}, capture_output=True)

    assert failures_of(results)[1]["output"] == "x" * (TAIL_CHARACTERS - 4) + "end\n"
    (log,) = (tmp_path / "said" / "logs").glob("v*.log")
    assert log.read_text() == "x" * 3 * TAIL_CHARACTERS + "end\n"


def test_a_stream_that_a_task_puts_in_place_stays_and_minimal_capture_does_not_listen(tmp_path, monkeypatch):
    mine = io.StringIO()
    monkeypatch.setattr(sys, "stdout", sys.stdout)

    def task(k):
        sys.stdout = mine
        print("said")
        raise ValueError("no")

    assert failures_of(run_here(tmp_path, task, {"k": [1]}))[1].get("output", "") == ""
    assert sys.stdout is mine
    assert failures_of(run_here(tmp_path / "b", task, {"k": [1]}, capture="minimal"))[1].get("output", "") == ""
