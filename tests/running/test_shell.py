"""Programs as tasks."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from sciflow import shell
from sciflow.errors import BindingError, CommandError, OutputError, WorkflowError
from sciflow.provenance.fingerprint import fingerprint
from sciflow.running.context import RunSite, TaskContext
from sciflow.running.failure import Failure
from sciflow.space import Variant
from sciflow.workflow.workflow import ExperimentalWorkflow

SOLVER = """#!/bin/sh
# prints its progress, and writes what it was asked for
echo "solving with $*"
echo "{\\"energy\\": $2, \\"words\\": $#}" > "$4"
"""


def context(logs=None, **parameters):
    return TaskContext(Variant(parameters or {"x": 1}), task="solve", attempt=1, sweep_seed=0, site=RunSite(logs=logs))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = tmp_path / "solver"
    solver.write_text(SOLVER)
    solver.chmod(0o755)
    return tmp_path


# ------------------------------------------------------------------------------------------- results


def test_the_example_of_the_documentation(here):
    solve = shell("./solver --lr {learning_rate} --out {output}")

    assert solve(learning_rate=0.25) == {"energy": 0.25, "words": 4}


def test_a_list_sees_no_shell(here):
    assert shell(["printf", "%s|", "$HOME", "{x};*", "'"], reader=str)(x="a b") == "$HOME|a b;*|'|"


@pytest.mark.parametrize(
    ("printed", "result"),
    [
        ('{"y": 1.5, "z": [1, 2]}', {"y": 1.5, "z": [1, 2]}),
        ("2.5", 2.5),
        ('epoch 1\nepoch 2\n{"y": 1}\n\n', {"y": 1}),
        ('{\n"y":\n1\n}', {"y": 1}),
        ("", None),
    ],
)
def test_what_is_printed_is_json_all_of_it_or_its_last_line(printed, result):
    assert shell(["printf", "%s", "{text}"])(text=printed) == result


def test_a_reader_gets_the_text_that_was_printed():
    assert shell("echo 0.5", reader=float)() == 0.5


def test_a_reader_gets_the_path_of_the_output_with_its_suffix():
    code = "import sys, numpy; numpy.save(sys.argv[1], numpy.arange(int(sys.argv[2])))"
    make = shell([sys.executable, "-c", code, "{output:.npy}", "{n}"], reader=np.load)

    assert make(n=3).tolist() == [0, 1, 2]


def test_the_scratch_folder_may_be_where_it_runs(here):
    count = shell("echo 1 > a; echo 2 > b; ls {directory}", cwd="{directory}", reader=str.split)

    assert count() == ["a", "b"]


def test_folder_environment_and_input_are_filled_in_too(here):
    (here / "case 7").mkdir()
    show = shell("pwd; echo $DEPTH; cat", cwd="case {n}", env={"DEPTH": "{depth:.1f}"}, stdin="n = {n}\n", reader=str)

    assert list(inspect.signature(show).parameters) == ["n", "depth"]
    assert show(n=7, depth=2) == f"{here / 'case 7'}\n2.0\nn = 7\n"


def test_it_runs_where_it_was_defined_whatever_folder_a_worker_is_in(here, monkeypatch):
    where = shell("pwd", reader=str.strip)
    monkeypatch.chdir("/")

    assert where() == str(here)


def test_statuses_that_are_ok_are_said():
    search = shell("printf '' | grep x", ok=(0, 1))

    assert search() is None
    with pytest.raises(CommandError, match="exit status 1"):
        shell("printf '' | grep x")()


# ----------------------------------------------------------------------------- arguments and identity


def test_it_is_bound_and_shared_by_the_names_in_braces():
    workflow = ExperimentalWorkflow("w")
    workflow.add_task("prepare", shell("echo {dataset}", reader=str))
    workflow.add_task("train", shell("echo {prepare} {rate}", reader=str), depends_on="prepare")
    workflow.add_parameter_space({"dataset": ["a", "b"], "rate": [1, 2, 3], "unused": [0]})

    prepare, train = workflow.validate().steps

    assert prepare.footprint == ("dataset",)
    assert train.footprint == ("dataset", "rate")
    assert prepare.task.function_name == "sciflow.shell('echo {dataset}')"


def test_a_name_that_nothing_provides_is_found_at_validation():
    workflow = ExperimentalWorkflow("w")
    workflow.add_task("train", shell("echo {learning_rat}"))
    workflow.add_parameter_space({"learning_rate": [1]})

    with pytest.raises(BindingError, match="did you mean 'learning_rate'"):
        workflow.validate()


def test_it_is_called_like_a_function_of_keywords():
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        shell("echo {x}")()
    with pytest.raises(TypeError, match="unexpected keyword argument 'y'"):
        shell("echo {x}")(x=1, y=2)


def test_it_travels_to_workers(here):
    solve = shell("./solver --lr {x} --out {output}")
    assert pickle.loads(pickle.dumps(solve)) == solve

    doubled = shell("echo {x}", reader=lambda text: 2 * float(text))
    assert cloudpickle.loads(cloudpickle.dumps(doubled))(x=3) == 6


def test_text_and_options_are_its_identity_and_the_folder_is_not(here, monkeypatch):
    def read(text):
        return len(text)

    def read_otherwise(text):
        return len(text) + 1

    one = fingerprint(shell("echo {x}", reader=read))
    others = [
        shell("echo  {x}", reader=read),
        shell(["echo", "{x}"], reader=read),
        shell("echo {x}"),
        shell("echo {x}", reader=read_otherwise),
        shell("echo {x}", reader=read, cwd="."),
        shell("echo {x}", reader=read, env={"A": "1"}),
        shell("echo {x}", reader=read, stdin=""),
        shell("echo {x}", reader=read, ok=1),
    ]
    assert len({one, *map(fingerprint, others)}) == 9

    monkeypatch.chdir("/")
    assert fingerprint(shell("echo {x}", reader=read)) == one


def test_the_identity_of_a_command_is_that_of_every_earlier_release():
    made = fingerprint(shell("echo {x}", env={"A": "1"}))

    assert made == "4e01267e4d2b79b279ef8032f09a6c452b60b25a1f032358010c02772990cfc2"


# ---------------------------------------------------------------------------------------- definition


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-program-here {x}", "no program 'no-such-program-here' on the PATH"),
        (["no-such-program-here"], "no program 'no-such-program-here' on the PATH"),
        ("./missing --lr {x}", "no program './missing' in"),
        ("OMP_NUM_THREADS=1 ./missing", "no program './missing' in"),
        (["./text"], "cannot be executed; try: chmod"),
        ("./text > {output}", "cannot be executed; try: chmod"),
        ("", "needs a command"),
        ([], "needs a command"),
        (["echo", 3], "not 3"),
        ("echo {context}", "no text"),
        ("echo {output:.a} {output:.b}", "one output"),
        ("echo {output:a/b}", "suffix"),
        ("echo '{x}'", "single quotes"),
    ],
)
def test_what_is_wrong_with_a_command_is_found_when_it_is_defined(here, command, says):
    (here / "text").write_text("not a program")

    with pytest.raises(WorkflowError, match=says):
        shell(command)


def test_options_of_the_wrong_kind_are_found_when_it_is_defined(here):
    with pytest.raises(WorkflowError, match="'A' to 1"):
        shell("echo", env={"A": 1})
    with pytest.raises(WorkflowError, match="no folder"):
        shell("echo", cwd="nowhere")


@pytest.mark.parametrize(
    "command",
    [
        "for i in 1 2; do echo $i; done",
        "cd / && pwd",
        "A=1 B=x/y echo {x}",
        "$HOME/solver {x}",
        "{program} {x}",
        "./run_{x}.sh",
        ["{program}"],
        "(echo {x})",
        "! echo {x}",
        "echo>{output}",
    ],
)
def test_what_only_the_shell_understands_is_left_to_it(here, command):
    assert shell(command)


def test_a_program_is_looked_for_on_the_path_that_is_given(here):
    with pytest.raises(WorkflowError, match="on the PATH"):
        shell(["solver"])

    assert (
        shell(["solver", "--lr", "{x}", "--out", "{output}"], env={"PATH": f"{here}:/usr/bin:/bin"})(x=1)["energy"] == 1
    )


# ------------------------------------------------------------------------------------------ failures


def test_a_failure_tells_the_status_the_command_the_log_and_the_last_words(tmp_path):
    run = context(tmp_path / "logs", x="a b")
    with pytest.raises(CommandError) as caught:
        shell("echo first; echo {x} went wrong >&2; exit 3")(context=run, x="a b")

    error = caught.value
    assert (error.reason, error.status) == ("exit status 3", 3)
    text = str(error)
    assert "command: echo first; echo 'a b' went wrong >&2; exit 3" in text
    assert f"log: {run.run_log.path}" in text
    assert text.endswith("its last words:\na b went wrong")
    assert str(pickle.loads(pickle.dumps(error))) == text


def test_failures_of_one_status_are_one_kind_with_the_cause_exit():
    def failure(status, x):
        with pytest.raises(CommandError) as caught:
            shell(["sh", "-c", "exit $1", "sh", "{s}", "{x}"])(s=status, x=x)
        return Failure.of(caught.value, "solve")

    one, two, other = failure(3, 1), failure(3, 2), failure(4, 1)

    assert one.cause == "exit"
    assert one.fingerprint == two.fingerprint == "CommandError at solve: exit status 3"
    assert other.fingerprint != one.fingerprint
    assert one.headline == "solve: CommandError: exit status 3"
    assert "Traceback" not in one.traceback


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["sh", "-c", "kill -SEGV $$"], "killed by SIGSEGV"),
        (["sh", "-c", "kill -KILL $$"], r"killed by SIGKILL \(perhaps for lack of memory\)"),
        ("sh -c 'kill -SEGV $$'; exit $?", "exit status 139: killed by SIGSEGV, as shells say it"),
        ("exit 255", "exit status 255$"),
        ("true; no-such-program", "exit status 127: program not found"),
    ],
)
def test_an_end_by_a_signal_names_it(command, says):
    with pytest.raises(CommandError) as caught:
        shell(command)()
    assert caught.match("(?m)^" + says)


def test_a_program_that_went_away_is_a_failure_of_the_command(here):
    solve = shell(["./solver", "{x}"])
    (here / "solver").unlink()

    with pytest.raises(CommandError, match="exit status 127: program not found"):
        solve(x=1)


def test_a_folder_that_went_away_is_a_failure_of_the_command(here):
    (here / "case").mkdir()
    run = shell("pwd", cwd="case")
    (here / "case").rmdir()

    with pytest.raises(CommandError, match="cannot be started: No such file or directory"):
        run()


def test_output_that_is_missing_or_no_json_is_said_with_what_there_was(tmp_path):
    with pytest.raises(OutputError, match=r"did not write its \{output\}"):
        shell("true {output}")()
    with pytest.raises(OutputError, match="printed is no JSON") as caught:
        shell("echo hello")(context=context(tmp_path))
    assert "it printed: hello" in str(caught.value)
    assert f"log: {tmp_path}" in str(caught.value)


def test_more_output_than_is_read_says_where_to_write_it():
    with pytest.raises(OutputError, match=r"more than 64 MiB; let it write to \{output\}"):
        shell("head -c 68000000 /dev/zero")()


def test_what_a_reader_raises_is_what_the_task_raises():
    with pytest.raises(ZeroDivisionError):
        shell("echo 0", reader=lambda text: 1 / int(text))()


# ----------------------------------------------------------------------------------------------- logs


def test_the_log_has_the_command_what_it_printed_and_how_it_ended(tmp_path):
    run = context(tmp_path, x=7)
    shell("echo to stdout {x}; sleep 0.05; echo to stderr >&2; true", reader=str)(context=run, x=7)

    first, out, err, last = (tmp_path / f"{run.variant_id}.log").read_text().splitlines()
    assert first.endswith("solve[1] $ echo to stdout 7; sleep 0.05; echo to stderr >&2; true")
    assert (out, err) == ("to stdout 7", "to stderr")
    assert "solve[1] exit status 0 after 0.0" in last


def test_scratch_is_that_of_the_run_and_goes_with_it(tmp_path):
    run = context(tmp_path)
    where = shell("echo {directory}", reader=str.strip)(context=run)

    assert Path(where) == run.directory
    run.close()
    assert not Path(where).exists()
    assert not Path(shell("echo {directory}", reader=str.strip)()).exists()


def test_a_command_that_needs_no_scratch_makes_none(tmp_path):
    run = context(tmp_path)
    shell("echo {x}")(context=run, x=1)

    assert "directory" not in vars(run)


def test_the_name_loads_no_numpy():
    code = "import sciflow, sys; sciflow.shell; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_json_of_a_file_may_hold_anything_json_can():
    content = {"a": [1, 2.5, None], "b": {"c": True}}
    text = json.dumps(content).replace("{", "{{").replace("}", "}}")

    assert shell("cat > {output}", stdin=text)() == content
