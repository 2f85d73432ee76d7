from __future__ import annotations

import functools

import pytest

from sciflow.errors import BindingError
from sciflow.space import Grid, Replicates
from sciflow.workflow import (
    ExperimentalWorkflow,
    FromContext,
    FromOutput,
    FromParameter,
    FromTask,
    FromUpstream,
    settle_upstream,
)


def returns(value):
    def upstream():
        return value

    return upstream


def bind(function, *, depends_on=(), space=None, outputs=None, arguments=None, **others):
    """The last step of a workflow in which *function* is the task ``last``."""
    workflow = ExperimentalWorkflow("study")
    for name in depends_on:
        workflow.add_task(name, returns(1), outputs=(outputs or {}).get(name, ()))
    workflow.add_task("last", function, depends_on, arguments=arguments, **others)
    workflow.add_parameter_space(Grid(rate=[0.1, 0.2], layers=[1, 2]) if space is None else space)
    return next(step for step in workflow.validate().steps if step.task.name == "last")


def sources(step):
    return {argument.name: argument.source for argument in step.arguments}


def test_an_argument_takes_the_parameter_of_its_name():
    step = bind(lambda rate, layers: None)

    assert sources(step) == {"rate": FromParameter("rate"), "layers": FromParameter("layers")}


def test_an_argument_takes_the_whole_value_of_the_dependency_of_its_name():
    assert sources(bind(lambda data, rate: None, depends_on=["data"]))["data"] == FromTask("data")


def test_an_argument_takes_a_declared_output_of_a_dependency():
    step = bind(lambda loss: None, depends_on=["data"], outputs={"data": ["loss"]})

    assert sources(step) == {"loss": FromOutput("data", "loss")}


def test_of_a_task_and_its_output_of_one_name_the_whole_value_is_taken():
    step = bind(lambda loss: None, depends_on=["loss"], outputs={"loss": ["loss"]})

    assert sources(step) == {"loss": FromTask("loss")}


def test_context_is_the_context_of_the_run():
    assert sources(bind(lambda context: None)) == {"context": FromContext()}


def test_the_first_argument_left_over_may_take_the_one_dependency_that_nothing_uses():
    step = bind(lambda data, extra: None, depends_on=["raw"])

    assert sources(step) == {
        "data": FromUpstream(("raw",), whole="raw"),
        "extra": FromUpstream(("raw",), whole=None),
    }


def test_with_two_unused_dependencies_nothing_is_taken_whole_unless_keys_decide():
    assert sources(bind(lambda data: None, depends_on=["one", "two"]))["data"] == FromUpstream(("one", "two"))


def test_a_dependency_that_is_used_leaves_the_other_to_be_taken_whole():
    step = bind(lambda one, data: None, depends_on=["one", "two"])

    assert sources(step)["data"] == FromUpstream(("one", "two"), whole="two")


def test_an_argument_with_a_default_may_stay_unbound_or_take_a_name():
    assert sources(bind(lambda rate, epochs=10: None)) == {"rate": FromParameter("rate")}
    assert sources(bind(lambda layers=1: None)) == {"layers": FromParameter("layers")}
    assert sources(bind(lambda context=None: None)) == {"context": FromContext()}


def test_an_argument_with_a_default_never_takes_a_whole_value_but_may_take_a_key():
    step = bind(lambda data, epochs=10: None, depends_on=["raw"])

    assert sources(step)["epochs"] == FromUpstream(("raw",), whole=None, optional=True)
    assert sources(bind(lambda epochs=10: None, depends_on=["raw"]))["epochs"].whole is None
    assert sources(bind(lambda epochs=10, data=None, *, left: None, depends_on=["raw"]))["left"].whole == "raw"


def test_any_keywords_get_every_parameter_that_is_not_bound():
    def task(rate, **others):
        return None

    step = bind(task)

    assert [(one.name, one.source, one.keyword) for one in step.arguments] == [
        ("rate", FromParameter("rate"), False),
        ("layers", FromParameter("layers"), True),
    ]


def test_any_keywords_do_not_get_what_is_bound_under_another_name():
    def task(data, speed, **others):
        return None

    step = bind(task, depends_on=["data"], arguments={"speed": "rate"})

    assert sources(step) == {
        "data": FromTask("data"),
        "speed": FromParameter("rate"),
        "layers": FromParameter("layers"),
    }


def test_explicit_arguments_reach_any_keywords_too():
    def task(**others):
        return None

    assert sources(bind(task, arguments={"speed": "rate"})) == {
        "speed": FromParameter("rate"),
        "layers": FromParameter("layers"),
    }


def test_variable_positional_arguments_get_nothing():
    def task(rate, *rest, layers):
        return None

    assert [(one.name, one.keyword) for one in bind(task).arguments] == [("rate", False), ("layers", True)]


def test_positional_only_arguments_go_by_position_and_keyword_only_by_keyword():
    def task(rate, /, *, layers):
        return None

    assert [(one.name, one.keyword) for one in bind(task).arguments] == [("rate", False), ("layers", True)]


def test_after_an_argument_that_stays_unbound_the_rest_goes_by_keyword():
    def task(rate, epochs=3, layers=1):
        return None

    assert [(one.name, one.keyword) for one in bind(task).arguments] == [("rate", False), ("layers", True)]


def test_an_unbound_argument_before_a_positional_only_one_is_an_error():
    def task(epochs=3, layers=1, /):
        return None

    with pytest.raises(BindingError, match="'epochs' before it cannot stay unbound"):
        bind(task)


def test_arguments_that_partial_has_filled_are_defaults():
    def task(scale, rate, epochs):
        return None

    step = bind(functools.partial(task, 2.0, epochs=3))

    assert sources(step) == {"rate": FromParameter("rate")}


def test_an_instance_and_a_class_are_called_like_functions():
    class Model:
        def __init__(self, layers=1):
            self.layers = layers

        def __call__(self, rate):
            return None

    assert sources(bind(Model())) == {"rate": FromParameter("rate")}
    assert sources(bind(Model)) == {"layers": FromParameter("layers")}
    assert bind(Model()).task.function_name.endswith("Model")


def test_a_function_that_hides_its_arguments_needs_them_named():
    with pytest.raises(BindingError, match="does not tell which arguments it takes") as caught:
        bind(max)

    assert "arguments={'argument': 'source'}" in str(caught.value)
    step = bind(dict, arguments={"size": "layers"})
    assert [(one.name, one.source, one.keyword) for one in step.arguments] == [("size", FromParameter("layers"), True)]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("rate", FromParameter("rate")),
        ("parameter:rate", FromParameter("rate")),
        ("raw", FromTask("raw")),
        ("task:raw", FromTask("raw")),
        ("loss", FromOutput("raw", "loss")),
        ("raw.loss", FromOutput("raw", "loss")),
        ("raw.undeclared", FromOutput("raw", "undeclared")),
        ("undeclared", FromOutput("raw", "undeclared")),
        ("context", FromContext()),
    ],
)
def test_an_explicit_source_comes_before_all_others(text, source):
    step = bind(lambda rate: None, depends_on=["raw"], outputs={"raw": ["loss"]}, arguments={"rate": text})

    assert sources(step) == {"rate": source}


def test_an_explicit_source_decides_between_a_parameter_and_a_task_of_one_name():
    step = bind(lambda rate: None, depends_on=["rate"], arguments={"rate": "task:rate"})

    assert sources(step) == {"rate": FromTask("rate")}


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (lambda rat: None, {}, ["'last'", "'rat'", "parameters rate, layers", "did you mean 'rate'?"]),
        (lambda zzz: None, {}, ["nothing provides argument 'zzz'", "dependencies (none)", "give it a default"]),
        (
            lambda rate: None,
            {"depends_on": ["rate"]},
            ["could be any of parameter:rate, task:rate", "arguments={'rate': 'parameter:rate'}"],
        ),
        (
            lambda loss: None,
            {"depends_on": ["one", "two"], "outputs": {"one": ["loss"], "two": ["loss"]}},
            ["both record the output 'loss'"],
        ),
        (
            lambda two: None,
            {"depends_on": ["one", "two"], "outputs": {"one": ["two"]}},
            ["could be any of task:two, one.two"],
        ),
        (lambda rate: None, {"arguments": {"rat": "rate"}}, ["does not take", "did you mean 'rate'?"]),
        (
            lambda rate: None,
            {"arguments": {"rate": "layer"}},
            ["'layer', which is not known", "did you mean 'layers'?"],
        ),
        (
            lambda x: None,
            {"depends_on": ["one", "two"], "arguments": {"x": "key"}},
            ["'key', which is not known", "'task.key'"],
        ),
        (lambda x: None, {"arguments": {"x": "parameter:speed"}}, ["'parameter:speed', which is not known"]),
    ],
)
def test_an_argument_without_one_clear_source_is_an_error_that_lists_what_there_is(function, options, says):
    with pytest.raises(Exception) as caught:  # noqa: PT011  the text is checked below
        bind(function, **options)

    assert isinstance(caught.value, BindingError) or "both record" in str(caught.value)
    for words in says:
        assert words in str(caught.value)


def test_a_task_that_is_not_among_the_dependencies_is_suggested():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("raw", returns(1), outputs=["loss"])
    workflow.add_task("fit", lambda raw: None)

    with pytest.raises(BindingError, match="task 'raw' exists: add it to depends_on of 'fit'"):
        workflow.validate()


def test_the_owner_of_an_output_is_suggested():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("raw", returns(1), outputs=["loss"])
    workflow.add_task("fit", lambda loss: None)

    with pytest.raises(BindingError, match="it is an output of 'raw': add that to depends_on of 'fit'"):
        workflow.validate()


CONDITIONAL = Grid(opt=["sgd"], momentum=[0.1, 0.9]) | Grid(opt=["adam"], beta=[0.5])


def test_a_parameter_that_some_variants_lack_needs_a_default():
    with pytest.raises(BindingError, match="momentum=None"):
        bind(lambda opt, momentum: None, space=CONDITIONAL)

    step = bind(lambda opt, momentum=0.0, beta=0.0: None, space=CONDITIONAL)

    assert sources(step) == {
        "opt": FromParameter("opt"),
        "momentum": FromParameter("momentum", optional=True),
        "beta": FromParameter("beta", optional=True),
    }
    assert [one.keyword for one in step.arguments] == [False, False, True]


def test_a_derived_parameter_is_optional_where_those_it_may_be_computed_from_are():
    derived = CONDITIONAL.derive(double="momentum * 2")

    assert sources(bind(lambda double=0.0: None, space=derived))["double"] == FromParameter("double", optional=True)
    assert sources(bind(lambda double: None, space=derived))["double"] == FromParameter("double", optional=True)


def test_any_keywords_get_the_parameters_that_only_some_variants_have():
    def task(opt, **others):
        return None

    assert sources(bind(task, space=CONDITIONAL))["beta"] == FromParameter("beta", optional=True)


def test_the_footprint_is_what_the_task_and_its_dependencies_name():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("raw", lambda size: None)
    workflow.add_task("fit", lambda raw, rate: None, "raw")
    workflow.add_task("other", lambda layers: None)
    workflow.add_parameter_space({"layers": [1], "rate": [2], "size": [3]})

    footprints = {step.task.name: step.footprint for step in workflow.validate().steps}

    assert footprints == {"raw": ("size",), "fit": ("rate", "size"), "other": ("layers",)}


def test_context_and_any_keywords_have_the_whole_variant_as_footprint_without_what_is_derived():
    space = Grid(rate=[1, 2], layers=[1]).derive(cost=lambda rate, layers: rate * layers)

    assert bind(lambda context: None, space=space).footprint == ("rate", "layers")
    assert bind(lambda **others: None, space=space).footprint == ("rate", "layers")
    assert bind(lambda cost: None, space=space).footprint == ("cost",)


def test_a_replicate_is_a_new_draw_unless_the_task_is_deterministic():
    space = Grid(rate=[1, 2]) * Replicates(3)

    assert bind(lambda rate: None, space=space).footprint == ("rate", "replicate")
    assert bind(lambda rate: None, space=space, deterministic=True).footprint == ("rate",)
    assert bind(lambda rate, replicate: None, space=space, deterministic=True).footprint == ("rate", "replicate")


def test_on_the_first_variant_a_key_comes_before_the_whole_value():
    step = bind(lambda data, rate: None, depends_on=["raw"])

    assert sources(settle_upstream(step, {"raw": {"data": 1}}))["data"] == FromOutput("raw", "data")
    assert sources(settle_upstream(step, {"raw": {"other": 1}}))["data"] == FromTask("raw")
    assert sources(settle_upstream(step, {"raw": 3.0}))["data"] == FromTask("raw")


def test_a_dependency_used_by_a_key_leaves_the_other_to_be_taken_whole():
    step = bind(lambda model, loss: None, depends_on=["one", "two"])

    assert sources(settle_upstream(step, {"one": {"loss": 1}, "two": object()})) == {
        "model": FromTask("two"),
        "loss": FromOutput("one", "loss"),
    }


def test_a_default_stays_when_no_mapping_has_its_key():
    step = bind(lambda data, epochs=10: None, depends_on=["raw"])

    assert sources(settle_upstream(step, {"raw": 1})) == {"data": FromTask("raw")}
    assert sources(settle_upstream(step, {"raw": {"epochs": 3, "data": 1}}))["epochs"] == FromOutput("raw", "epochs")


def test_a_step_without_late_decisions_is_settled_already():
    step = bind(lambda rate: None)

    assert settle_upstream(step, {}) == step


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ({"one": {"data": 1}, "two": {"data": 2}}, ["is a key of what one, two returned", "'one.data'"]),
        ({"one": {"date": 1}, "two": 2}, ["one: a mapping with date", "two: int", "did you mean 'date'?"]),
    ],
)
def test_what_the_first_variant_does_not_settle_is_an_error_that_shows_what_was_returned(returned, says):
    step = bind(lambda data: None, depends_on=["one", "two"])

    with pytest.raises(BindingError) as caught:
        settle_upstream(step, returned)

    for words in says:
        assert words in str(caught.value)


def test_every_kind_of_source_is_plain_data_in_the_definition():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("raw", returns(1), outputs=["loss"])
    workflow.add_task("last", lambda context, rate, raw, loss, epochs=1: None, "raw")
    workflow.add_parameter_space({"rate": [1]})

    tasks = workflow.validate().to_dict()["tasks"]

    assert [one["source"]["from"] for one in tasks[1]["arguments"]] == [
        "context",
        "parameter",
        "task",
        "output",
        "upstream",
    ]
