from __future__ import annotations

import pytest

from sciflow.errors import BindingError, OutputError
from sciflow.running.context import RunSite
from sciflow.running.failure import Failure, TaskFailedError
from sciflow.running.run import VariantRunner
from sciflow.space import ABSENT, Grid
from sciflow.workflow.workflow import ExperimentalWorkflow


def runner(*tasks, space=None, **options):
    workflow = ExperimentalWorkflow("w", seed=7)
    for name, function, *rest in tasks:
        depends_on = rest[0] if rest else ()
        more = rest[1] if len(rest) > 1 else {}
        workflow.add_task(name, function, depends_on=depends_on, **more)
    workflow.add_parameter_space(space if space is not None else {"a": [1, 2], "b": [10]})
    return VariantRunner(workflow.validate(), **options)


def test_a_single_task_gets_its_parameters_by_name_in_any_order():
    run = runner(("f", lambda b, a: {"y": b - a})).run

    assert run((2, 10), 1) == {"y": 8}


def test_a_value_that_is_no_mapping_is_an_output_named_after_its_task():
    assert runner(("f", lambda a, b: a + b)).run((1, 10), 1) == {"f": 11}


def test_the_first_argument_left_over_gets_the_whole_value_of_the_one_dependency():
    run = runner(("load", lambda: [1, 2, 3]), ("train", lambda data, a: sum(data) * a, ["load"])).run

    assert run((2, 10), 1) == {"train": 12}


def test_an_argument_named_like_a_key_of_the_returned_mapping_gets_that_key():
    run = runner(("load", lambda: {"x": 3, "y": 4}), ("train", lambda y, x, a: {"z": (x, y, a)}, ["load"])).run

    assert run((2, 10), 1) == {"z": (3, 4, 2)}


def test_an_argument_named_like_a_dependency_gets_its_whole_value():
    run = runner(
        ("one", lambda: {"x": 1}),
        ("two", lambda: {"x": 2}),
        ("both", lambda two, one: {"z": two["x"] - one["x"]}, ["one", "two"]),
    ).run

    assert run((1, 10), 1) == {"z": 1}


def test_a_key_that_two_dependencies_return_is_an_error_that_says_how_to_choose():
    run = runner(
        ("one", lambda: {"x": 1}),
        ("two", lambda: {"x": 2}),
        ("both", lambda x: {"z": x}, ["one", "two"]),
    ).run

    with pytest.raises(TaskFailedError) as caught:
        run((1, 10), 1)
    assert isinstance(caught.value.__cause__, BindingError)
    assert "arguments=" in str(caught.value.__cause__)


def test_explicit_arguments_win():
    run = runner(("f", lambda p, q: {"y": p - q}, [], {"arguments": {"p": "b", "q": "a"}})).run

    assert run((2, 10), 1) == {"y": 8}


def test_keyword_only_arguments_and_var_keywords_are_bound():
    def f(a, *, b, **rest):
        return {"y": (a, b, sorted(rest))}

    assert runner(("f", f), space={"a": [1], "b": [2], "c": [3]}).run((1, 2, 3), 1) == {"y": (1, 2, ["c"])}


def test_a_default_holds_when_nothing_provides_the_argument():
    assert runner(("f", lambda a, momentum=0.9: {"y": a * momentum})).run((2, 10), 1) == {"y": 1.8}


def test_a_conditional_parameter_that_a_variant_lacks_leaves_the_default():
    space = Grid(opt=["sgd"], momentum=[0.5]) | Grid(opt=["adam"])
    run = runner(("f", lambda opt, momentum=None: {"y": [opt, momentum]}), space=space).run

    assert run(("sgd", 0.5), 1) == {"y": ["sgd", 0.5]}
    assert run(("adam", ABSENT), 1) == {"y": ["adam", None]}


def test_declared_outputs_of_inner_tasks_are_recorded_beside_the_sink():
    run = runner(
        ("train", lambda a: {"model": object(), "loss": 0.5}, [], {"outputs": ["loss"]}),
        ("score", lambda model, b: {"accuracy": b}, ["train"]),
    ).run

    assert run((1, 10), 1) == {"loss": 0.5, "accuracy": 10}


def test_a_declared_output_that_is_not_returned_is_an_error():
    run = runner(
        ("train", lambda a: {"model": 1}, [], {"outputs": ["loss"]}), ("score", lambda model: model, ["train"])
    ).run

    with pytest.raises(OutputError, match="declares the output 'loss'"):
        run((1, 10), 1)


def test_two_sinks_that_return_one_name_are_an_error():
    run = runner(("f", lambda a: {"y": 1}), ("g", lambda a: {"y": 2})).run

    with pytest.raises(OutputError, match="'y' is recorded by both"):
        run((1, 10), 1)


def test_what_a_task_raises_comes_out_with_the_name_of_the_task():
    def broken(a):
        raise ValueError(f"bad a={a}")

    with pytest.raises(TaskFailedError, match="f") as caught:
        runner(("load", lambda: 1), ("f", broken, ["load"])).run((1, 10), 1)

    failure = Failure.of(caught.value.__cause__, "f")
    assert failure.type == "ValueError"
    assert failure.message == "bad a=1"
    assert failure.fingerprint.startswith("ValueError at test_run.py:broken")
    assert "running/run.py" not in failure.traceback
    assert failure.headline == "f: ValueError: bad a=1"


def test_sys_exit_in_a_task_is_a_failure_of_its_own_cause():
    def leave(a):
        raise SystemExit(3)

    with pytest.raises(TaskFailedError) as caught:
        runner(("f", leave)).run((1, 10), 1)
    assert Failure.of(caught.value.__cause__, "f").cause == "exit"


def test_the_context_knows_the_variant_and_draws_the_same_numbers_anywhere():
    def f(context):
        return {"id": context.variant_id, "x": context.rng.random(), "s": context.seed, "t": context.attempt}

    first = runner(("f", f)).run((1, 10), 1)
    again = runner(("f", f), space={"b": [10, 11], "a": [1]}).run((10, 1), 2)

    assert first["id"] == Grid(a=[1], b=[10])[0].id
    assert (again["x"], again["s"], again["id"]) == (first["x"], first["s"], first["id"])
    assert (first["t"], again["t"]) == (1, 2)
    assert runner(("f", f)).run((2, 10), 1)["x"] != first["x"]
    assert 0 <= first["s"] < 2**63


def test_a_parameter_at_its_default_changes_no_random_number():
    from sciflow.space import Axis

    def f(context):
        return context.rng.random()

    plain = runner(("f", f)).run((1, 10), 1)
    extended = runner(("f", f), space=Grid(a=[1], b=[10]) * Axis("c", [5, 6], default=5))

    assert extended.run((1, 10, 5), 1) == plain
    assert extended.run((1, 10, 6), 1) != plain


def test_scratch_goes_and_artifacts_stay(tmp_path):
    seen = []

    def f(context):
        (context.directory / "scratch.txt").write_text("x")
        seen.append(context.directory)
        context.artifact("model.txt").write_text("kept")
        return {"repr": repr(context)}

    run = runner(("f", f), site=RunSite(artifacts=tmp_path)).run
    run((1, 10), 1)

    assert not seen[0].exists()
    assert (tmp_path / Grid(a=[1], b=[10])[0].id / "model.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["../other", "/etc/x"])
def test_an_artifact_cannot_leave_its_folder(tmp_path, name):
    with pytest.raises(TaskFailedError) as caught:
        runner(("f", lambda context: context.artifact(name)), site=RunSite(artifacts=tmp_path)).run((1, 10), 1)
    assert isinstance(caught.value.__cause__, OutputError)


def test_a_run_outside_a_sweep_keeps_no_files():
    with pytest.raises(TaskFailedError) as caught:
        runner(("f", lambda context: context.artifact("x"))).run((1, 10), 1)
    assert "keeps no files" in str(caught.value.__cause__)


def test_messages_name_the_task_that_an_output_comes_from():
    made = runner(
        ("train", lambda a: {"model": 1, "loss": 0.5}, [], {"outputs": ["loss"]}),
        ("score", lambda model: {"accuracy": 1}, ["train"]),
    )

    assert made.task_of("loss") == "train"
    assert made.task_of("accuracy") == "score"
