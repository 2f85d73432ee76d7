"""Scripts are loaded as Python would run them, and no further than asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import pytest

from sciflow.cli.load import ScriptError, Source, laid_over, load_workflow, run_script
from sciflow.errors import WorkflowError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEFINITION = """
import sciflow
def f(a): return {"y": a}
one = sciflow.ExperimentalWorkflow("one")
one.add_task("f", f)
one.add_parameter_space({"a": [1, 2]})
"""
TWO = DEFINITION + 'two = sciflow.ExperimentalWorkflow("two")\n'


def load(text: str) -> str:
    return load_workflow(Source.parse(text)).workflow.name


def test_loading_stops_at_the_first_sweep(script: Callable[..., str], folder: Path) -> None:
    text = DEFINITION + "sciflow.Engine().execute_parameter_sweep(one)\nopen('too_far', 'w').close()\n"

    loaded = load_workflow(Source.parse(script(text)))

    assert loaded.workflow.name == "one"
    assert loaded.engine is not None
    assert sorted(path.name for path in folder.iterdir()) == ["study.py"]


def test_a_script_that_catches_everything_is_stopped_all_the_same(script: Callable[..., str]) -> None:
    text = (
        DEFINITION
        + "try:\n    sciflow.Engine().execute_parameter_sweep(one)\nexcept Exception:\n    raise SystemExit(9)\n"
    )

    assert load(script(text)) == "one"


def test_a_script_that_runs_no_sweep_gives_its_only_workflow(script: Callable[..., str]) -> None:
    loaded = load_workflow(Source.parse(script(DEFINITION + "same = one\n")))

    assert (loaded.workflow.name, loaded.engine) == ("one", None)


def test_a_guarded_script_runs_as_main(script: Callable[..., str]) -> None:
    text = DEFINITION.replace("one = ", "x = ") + (
        "if __name__ == '__main__':\n    sciflow.Engine().execute_parameter_sweep(x)\n"
    ).replace("one", "x")

    assert load(script(text.replace("one.", "x."))) == "one"


def test_a_script_finds_its_arguments_its_file_and_its_neighbours(script: Callable[..., str], folder: Path) -> None:
    script("NAME = 'from_a_neighbour'\n", name="neighbour_of_study.py")
    text = """
import sys, pathlib, sciflow, neighbour_of_study
assert sys.argv == [__file__] and pathlib.Path(__file__).name == "study.py"
assert sys.modules["__main__"].__dict__ is globals()
workflow = sciflow.ExperimentalWorkflow(neighbour_of_study.NAME)
"""

    assert load(script(text)) == "from_a_neighbour"


def test_loading_leaves_the_interpreter_as_it_was(script: Callable[..., str]) -> None:
    before = sys.modules["__main__"], sys.argv, list(sys.path)

    load(script(DEFINITION))

    assert (sys.modules["__main__"], sys.argv, sys.path) == before


def test_functions_of_a_script_travel_by_value(script: Callable[..., str]) -> None:
    import cloudpickle

    function = load_workflow(Source.parse(script(DEFINITION))).workflow.tasks[0].function

    assert function.__module__ == "__main__"
    assert b"co_code" in cloudpickle.dumps(function) or len(cloudpickle.dumps(function)) > 200


def test_several_workflows_need_a_name(script: Callable[..., str]) -> None:
    name = script(TWO)

    assert load(f"{name}:two") == "two"
    with pytest.raises(WorkflowError, match=r"2 workflows.*one, two.*study\.py:one"):
        load(name)
    with pytest.raises(WorkflowError, match=r"no workflow 'three'.*one, two"):
        load(f"{name}:three")


def test_a_script_without_a_workflow_is_refused(script: Callable[..., str]) -> None:
    with pytest.raises(WorkflowError, match="has no workflow"):
        load(script("x = 1\n"))


def test_a_name_that_is_defined_after_the_first_sweep_is_not_there(script: Callable[..., str]) -> None:
    text = DEFINITION + "sciflow.Engine().execute_parameter_sweep(one)\ntwo = sciflow.ExperimentalWorkflow('two')\n"

    with pytest.raises(WorkflowError, match="up to its first sweep"):
        load(script(text) + ":two")


@pytest.mark.parametrize("name", ["nothing.py", ".", "study.yaml"])
def test_what_is_no_python_file_is_refused(name: str, script: Callable[..., str]) -> None:
    script("a: 1", name="study.yaml")

    with pytest.raises(click.UsageError, match=r"give a Python file"):
        Source.parse(name)


def test_an_error_in_a_script_shows_its_lines_and_none_of_ours(script: Callable[..., str]) -> None:
    text = "import json\ndef helper():\n    return 1 / 0\n\nhelper()\n"

    with pytest.raises(ScriptError) as caught:
        load(script(text))

    assert caught.value.format_message().splitlines() == [
        "study.py stopped with ZeroDivisionError: division by zero",
        "  study.py, line 5, in <module>: helper()",
        "  study.py, line 3, in helper: return 1 / 0",
    ]


def test_a_syntax_error_shows_the_place(script: Callable[..., str]) -> None:
    with pytest.raises(ScriptError) as caught:
        load(script("x = 1\nx = = 2\n"))

    first, line, caret = caught.value.format_message().splitlines()
    assert first == "study.py, line 2: SyntaxError: invalid syntax"
    assert line[caret.index("^")] == "="


def test_a_mistake_that_sciflow_refuses_is_told_with_its_line(script: Callable[..., str]) -> None:
    with pytest.raises(ScriptError, match=r"^study\.py, line 6: .*NaN"):
        load(script(DEFINITION.replace("[1, 2]", "[1, float('nan')]")))


def test_a_script_may_exit_by_itself_with_success(script: Callable[..., str]) -> None:
    assert load(script(DEFINITION + "raise SystemExit\n")) == "one"


def test_a_script_that_exits_with_an_error_keeps_its_code(script: Callable[..., str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(script(DEFINITION + "raise SystemExit(7)\n"))

    assert caught.value.code == 7


def test_options_win_over_what_a_script_gives_its_engine(script: Callable[..., str]) -> None:
    text = DEFINITION + "sciflow.Engine(directory='there', policy='off_peak').execute_parameter_sweep(one)\n"

    with laid_over({"directory": "here", "cluster": "inline"}):
        engine = load_workflow(Source.parse(script(text))).engine

    assert engine is not None
    assert (str(engine.directory), engine.cluster.name) == ("here", "inline")
    assert engine.policy is not None


def test_running_a_script_that_only_defines_leaves_its_workflow_to_the_caller(script: Callable[..., str]) -> None:
    ran, left = run_script(Source.parse(script(DEFINITION)))

    assert ran == []
    assert left is not None
    assert left.workflow.name == "one"


def test_a_mistake_is_told_with_the_line_of_the_script_and_not_of_generated_code(script: Callable[..., str]) -> None:
    policy = 'one.set_scheduling_policy("off_peak", {"preferred_hours": "00:00-00:00"})\n'

    with pytest.raises(ScriptError, match=r"^study\.py, line 7: preferred_hours"):
        load(script(DEFINITION + policy))
