from __future__ import annotations

import json
import pickle

import cloudpickle
import pytest

import sciflow.workflow.workflow as workflow_module
from sciflow.errors import CycleError, OutputError, PolicyError, SciflowError, SpaceError, WorkflowError
from sciflow.scheduling import Immediate, OffPeak
from sciflow.space import Axis, Grid, Zip
from sciflow.workflow import ExperimentalWorkflow, Resources


def preprocess():
    return 1


def train(data, learning_rate, hidden_layers):
    return {"model": data, "loss_curve": [learning_rate]}


def evaluate(model, dropout_rate=0.0):
    return {"validation_accuracy": 1.0}


def seed_workflow() -> ExperimentalWorkflow:
    workflow = ExperimentalWorkflow("neural_network_training")
    workflow.add_task("preprocess_data", preprocess)
    workflow.add_task(
        "train_model", train, depends_on=["preprocess_data"], outputs=["loss_curve"], units={"loss_curve": "1"}
    )
    workflow.add_task("evaluate_model", evaluate, depends_on=["train_model"], units={"validation_accuracy": "%"})
    workflow.add_parameter_space(
        {"learning_rate": Axis("learning_rate", [0.001, 0.01], unit="1/step"), "hidden_layers": [1, 2, 3]}
    )
    workflow.add_parameter_space({"dropout_rate": [0.1, 0.3]})
    workflow.set_resource_requirements(
        {"train_model": {"cpu_cores": 4, "memory_gb": 8, "gpu": True, "max_runtime_hours": 12}}
    )
    workflow.set_scheduling_policy("off_peak", {"preferred_hours": "22:00-08:00", "timezone": "UTC"})
    workflow.add_visualization(
        "accuracy",
        {"type": "heatmap", "x_axis": "learning_rate", "y_axis": "hidden_layers", "value": "validation_accuracy"},
    )
    workflow.set_success_criteria({"validation_accuracy": ">= 0.9"})
    return workflow


def small_workflow() -> ExperimentalWorkflow:
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("run", lambda **parameters: parameters)
    return workflow


def test_the_seed_example_becomes_a_definition():
    definition = seed_workflow().validate()

    assert definition.name == "neural_network_training"
    assert definition.seed == 0
    assert definition.space.n_variants == 12
    assert [step.task.name for step in definition.steps] == ["preprocess_data", "train_model", "evaluate_model"]
    assert [step.sink for step in definition.steps] == [False, False, True]
    assert definition.resources == {"train_model": Resources(4, 8 * 10**9, 1, 43200)}
    assert definition.units == {"learning_rate": "1/step", "loss_curve": "1", "validation_accuracy": "%"}


def test_a_definition_is_deterministic_plain_json():
    data = seed_workflow().validate().to_dict()

    assert json.loads(json.dumps(data)) == data
    assert json.dumps(seed_workflow().validate().to_dict()) == json.dumps(data)
    assert data["tasks"][1]["function"] == "train"


def test_a_definition_hashes_and_pickles_with_its_functions():
    workflow = seed_workflow()
    workflow.add_task("again", lambda dropout_rate: dropout_rate)
    definition = workflow.validate()

    copy = pickle.loads(cloudpickle.dumps(definition))

    assert copy.to_dict() == definition.to_dict()
    assert copy.steps[-1].task.function(0.5) == 0.5
    assert isinstance(hash(definition), int)
    assert definition == workflow.validate()
    assert hash(definition) == hash(workflow.validate())


def test_tasks_and_spaces_may_be_added_in_any_order():
    workflow = ExperimentalWorkflow("study")
    workflow.set_resource_requirements({"late": {"cpu_cores": 2}})
    workflow.add_visualization("map", {"type": "heatmap", "x_axis": "a", "y_axis": "b", "value": "late"})
    workflow.add_task("late", lambda early, a: 1, "early")
    workflow.add_parameter_space({"a": [1]})
    workflow.add_task("early", lambda b: 1)
    workflow.add_parameter_space({"b": [1]})

    assert [step.task.name for step in workflow.validate().steps] == ["early", "late"]


def test_a_workflow_without_parameters_has_one_variant():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("run", lambda: 1)

    assert workflow.validate().space.n_variants == 1


def test_a_workflow_shows_its_tasks_and_parameters():
    assert repr(ExperimentalWorkflow("study")) == "ExperimentalWorkflow('study', tasks: none; parameters: none)"
    workflow = seed_workflow()
    assert repr(workflow).endswith("parameters: learning_rate, hidden_layers, dropout_rate)")
    assert [task.name for task in workflow.tasks] == ["preprocess_data", "train_model", "evaluate_model"]
    assert [figure.name for figure in workflow.figures] == ["accuracy"]
    assert [str(criterion) for criterion in workflow.criteria] == ["validation_accuracy >= 0.9"]
    assert workflow.resources["train_model"].cores == 4
    assert (workflow.name, workflow.seed) == ("neural_network_training", 0)


def test_without_a_policy_work_may_start_at_once():
    assert ExperimentalWorkflow("study").policy == Immediate()
    assert seed_workflow().policy.to_dict()["name"] == "off_peak"


def test_a_policy_may_be_an_object_instead_of_a_name_and_its_options():
    workflow = ExperimentalWorkflow("w")
    policy = OffPeak("22:00-08:00", timezone="UTC")

    workflow.set_scheduling_policy(policy)

    assert workflow.policy == policy == seed_workflow().policy
    with pytest.raises(PolicyError, match="has its own already"):
        workflow.set_scheduling_policy(policy, {"max_wait_hours": 4})


def test_the_public_surface_is_small():
    methods = [name for name, member in vars(ExperimentalWorkflow).items() if callable(member) and name[0] != "_"]

    assert len(methods) <= 12
    assert workflow_module.__doc__


# ------------------------------------------------------------------------------------------------ parameter spaces


def test_disjoint_names_multiply_in_the_order_they_are_added():
    workflow = small_workflow()
    workflow.add_parameter_space({"a": [1, 2]})
    workflow.add_parameter_space(Zip(b=[1, 2], c=[3, 4]))

    assert [dict(variant) for variant in workflow.space] == [
        {"a": 1, "b": 1, "c": 3},
        {"a": 1, "b": 2, "c": 4},
        {"a": 2, "b": 1, "c": 3},
        {"a": 2, "b": 2, "c": 4},
    ]
    assert workflow.space == Grid(a=[1, 2]) * Zip(b=[1, 2], c=[3, 4])


def test_the_same_names_unite_without_duplicates():
    workflow = small_workflow()
    workflow.add_parameter_space({"a": [1, 2]})
    workflow.add_parameter_space({"a": [2, 3]})

    assert [variant["a"] for variant in workflow.space] == [1, 2, 3]


def test_names_that_were_added_in_one_call_unite_although_others_multiply_them():
    workflow = small_workflow()
    workflow.add_parameter_space({"a": [1]})
    workflow.add_parameter("b", [0, 1], default=0)
    workflow.add_parameter_space({"a": [2]})

    assert {(variant["a"], variant["b"]) for variant in workflow.space} == {(1, 0), (1, 1), (2, 0), (2, 1)}


def test_names_of_several_calls_together_unite_with_their_product():
    workflow = small_workflow()
    workflow.add_parameter_space({"a": [1]})
    workflow.add_parameter_space({"b": [1]})
    workflow.add_parameter_space({"c": [1]})
    workflow.add_parameter_space(Grid(b=[5], a=[5]))

    assert [(v["a"], v["b"], v["c"]) for v in workflow.space] == [(1, 1, 1), (5, 5, 1)]


@pytest.mark.parametrize("added", [{"a": [3], "c": [1]}, {"a": [3]}, {"a": [1], "b": [1], "c": [1]}])
def test_a_partial_overlap_shows_both_remedies(added):
    workflow = small_workflow()
    workflow.add_parameter_space({"a": [1], "b": [2]})

    with pytest.raises(SpaceError) as caught:
        workflow.add_parameter_space(added)

    assert "to multiply" in str(caught.value)
    assert "to unite" in str(caught.value)
    assert "'a'" in str(caught.value)


def test_a_later_parameter_has_a_default_and_keeps_the_ids_of_variants_there():
    workflow = small_workflow()
    workflow.add_parameter_space({"a": [1, 2]})
    before = [variant.id for variant in workflow.space]

    workflow.add_parameter("momentum", [0.0, 0.9], default=0.0)

    assert [variant.id for variant in workflow.space if variant["momentum"] == 0.0] == before


def test_a_later_parameter_without_values_stays_at_its_default():
    workflow = small_workflow()
    workflow.add_parameter("momentum", default=0.5)

    assert [dict(variant) for variant in workflow.space] == [{"momentum": 0.5}]


def test_a_later_parameter_may_leave_its_default_out():
    workflow = small_workflow()
    workflow.add_parameter("momentum", [0.9], default=0.0)

    assert [dict(variant) for variant in workflow.space] == [{"momentum": 0.9}]


def test_a_parameter_that_exists_is_not_added_again():
    workflow = small_workflow()
    workflow.add_parameter_space({"a": [1]})

    with pytest.raises(SpaceError, match="parameter 'a' exists already"):
        workflow.add_parameter("a", [1, 2], default=1)


@pytest.mark.parametrize("space", [[1, 2], "a", None, {"a": 3}])
def test_what_is_no_space_is_refused(space):
    with pytest.raises(SpaceError):
        small_workflow().add_parameter_space(space)


# --------------------------------------------------------------------------------------------- mistakes, at the call


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", ".", 3, "a\0b"])
def test_a_name_that_cannot_be_a_directory_is_refused(name):
    with pytest.raises(WorkflowError, match="cannot name a directory"):
        ExperimentalWorkflow(name)


@pytest.mark.parametrize("seed", [-1, 1.5, True, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(WorkflowError, match="seed"):
        ExperimentalWorkflow("study", seed=seed)


@pytest.mark.parametrize(
    ("name", "function", "options", "says"),
    [
        ("train model", preprocess, {}, "'train model' is no Python identifier"),
        (3, preprocess, {}, "3 is no Python identifier"),
        ("run", preprocess, {}, "has a task 'run' already"),
        ("other", "preprocess", {}, "needs a function, not 'preprocess'"),
        ("other", preprocess, {"depends_on": [preprocess]}, "depends_on lists names as text"),
        ("other", preprocess, {"depends_on": 3}, "depends_on lists names as text, not 3"),
        ("other", preprocess, {"depends_on": ["a", "a"]}, "lists ['a'] more than once"),
        ("other", preprocess, {"outputs": ["a", "a"]}, "lists ['a'] more than once"),
        ("other", preprocess, {"outputs": ["status"]}, "reserved are attempt, drop"),
        ("other", preprocess, {"outputs": ["a/b"]}, "without '/'"),
        ("other", preprocess, {"units": {"method": "1"}}, "reserved"),
        ("other", preprocess, {"units": "eV"}, "units must be a mapping"),
        ("other", preprocess, {"units": {"a": 1}}, "units maps names to texts"),
        ("other", preprocess, {"arguments": {"a": 3}}, "arguments maps names to texts"),
    ],
)
def test_a_task_that_cannot_be_is_refused_when_it_is_added(name, function, options, says):
    with pytest.raises(SciflowError) as caught:
        small_workflow().add_task(name, function, **options)

    assert says in str(caught.value)
    assert isinstance(caught.value, WorkflowError)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda workflow: workflow.set_scheduling_policy("off_peak", {"preferred_hours": "25:00-08:00"}), PolicyError),
        (lambda workflow: workflow.add_visualization("map", {"type": "pie"}), WorkflowError),
        (lambda workflow: workflow.add_visualization("accuracy", {"type": "heatmap"}), WorkflowError),
        (lambda workflow: workflow.set_resource_requirements({"train_model": {"cores": 1}}), WorkflowError),
        (lambda workflow: workflow.set_resource_requirements(["train_model"]), WorkflowError),
        (lambda workflow: workflow.set_success_criteria({"accuracy": "high"}), WorkflowError),
    ],
)
def test_settings_that_are_not_understood_are_refused_at_the_call_and_change_nothing(call, error):
    workflow = seed_workflow()
    before = workflow.validate()

    with pytest.raises(error):
        call(workflow)

    assert workflow.validate() == before


# ----------------------------------------------------------------------------------------- mistakes, by validate()


def test_a_workflow_without_tasks_is_no_workflow():
    with pytest.raises(WorkflowError, match="has no tasks; add one"):
        ExperimentalWorkflow("study").validate()


def test_an_unknown_dependency_names_the_known_tasks_and_a_close_one():
    workflow = seed_workflow()
    workflow.add_task("plot", lambda: 1, depends_on=["evaluate"])

    with pytest.raises(WorkflowError) as caught:
        workflow.validate()

    assert "task 'plot' depends on the unknown task 'evaluate'" in str(caught.value)
    assert "preprocess_data, train_model" in str(caught.value)
    assert "did you mean 'evaluate_model'?" in str(caught.value)


def test_requirements_of_an_unknown_task_are_an_error():
    workflow = seed_workflow()
    workflow.set_resource_requirements({"train_modle": {"cpu_cores": 1}})

    with pytest.raises(WorkflowError, match=r"unknown task 'train_modle'.*did you mean 'train_model'\?"):
        workflow.validate()


def test_a_circle_is_an_error_that_draws_it():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("a", lambda c: 1, "c")
    workflow.add_task("b", lambda a: 1, "a")
    workflow.add_task("c", lambda b: 1, "b")

    with pytest.raises(CycleError, match="a → b → c → a"):
        workflow.validate()


def test_two_declared_outputs_of_one_name_are_an_error():
    workflow = small_workflow()
    workflow.add_task("one", preprocess, outputs=["loss"])
    workflow.add_task("two", preprocess, outputs=["loss"])

    with pytest.raises(OutputError, match="tasks 'one' and 'two' both record the output 'loss'"):
        workflow.validate()


def test_an_output_named_like_a_parameter_is_an_error():
    workflow = small_workflow()
    workflow.add_task("one", preprocess, outputs=["rate"])
    workflow.add_parameter_space({"rate": [1]})

    with pytest.raises(OutputError, match="'rate', which is the name of a parameter"):
        workflow.validate()


def test_a_unit_of_an_output_that_an_inner_task_does_not_declare_is_an_error():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("one", preprocess, outputs=["loss_curve"], units={"loss_curv": "1"})
    workflow.add_task("two", lambda one: 1, "one")

    with pytest.raises(OutputError, match=r"did you mean 'loss_curve'\?"):
        workflow.validate()


def test_a_sink_may_return_more_than_it_declares():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("one", preprocess, outputs=["loss"], units={"energy": "eV"})

    assert workflow.validate().units == {"energy": "eV"}


def test_a_figure_over_an_unknown_parameter_is_an_error():
    workflow = small_workflow()
    workflow.add_parameter_space({"rate": [1], "layers": [1]})
    workflow.add_visualization("map", {"type": "heatmap", "x_axis": "rat", "y_axis": "layers", "value": "loss"})

    with pytest.raises(WorkflowError, match=r"did you mean 'rate'\?"):
        workflow.validate()
