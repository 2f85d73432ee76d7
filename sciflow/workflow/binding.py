"""A workflow with every argument bound to its source: the values that planning, running and storing read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sciflow.workflow.frozen import FrozenMapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.figures.spec import Figure
    from sciflow.scheduling.policy import Policy
    from sciflow.space.algebra import Space
    from sciflow.workflow.criteria import Criterion
    from sciflow.workflow.inputs import Input
    from sciflow.workflow.resources import Resources
    from sciflow.workflow.task import Task


@dataclass(frozen=True, slots=True)
class FromParameter:
    """The variant's value of one parameter; *optional*: some variants lack it, and the argument stays unbound."""

    name: str
    optional: bool = False

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {"from": "parameter", "name": self.name, "optional": self.optional}


@dataclass(frozen=True, slots=True)
class FromTask:
    """The whole value that a dependency returned."""

    task: str

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {"from": "task", "task": self.task}


@dataclass(frozen=True, slots=True)
class FromOutput:
    """One named output of a dependency; a value that is no mapping is the output named after its task."""

    task: str
    output: str

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {"from": "output", "task": self.task, "output": self.output}


@dataclass(frozen=True, slots=True)
class FromContext:
    """The TaskContext of the run."""

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {"from": "context"}


@dataclass(frozen=True, slots=True)
class FromUpstream:
    """Decided on the first variant: the key of a mapping that one of *tasks* returned, or else *whole*.

    Attributes
    ----------
    tasks
        The dependencies whose mappings may hold the argument's name as a key.
    whole
        The one dependency that nothing else uses: if no mapping has the key, its whole value is taken.
    optional
        Whether the argument has a default, and stays unbound when no mapping has the key.
    """

    tasks: tuple[str, ...]
    whole: str | None = None
    optional: bool = False

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {
            "from": "upstream",
            "tasks": list(self.tasks),
            "whole": self.whole,
            "optional": self.optional,
        }


Source: TypeAlias = FromParameter | FromTask | FromOutput | FromContext | FromUpstream


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a task and where its value comes from; *keyword*: it must be passed by keyword."""

    name: str
    source: Source
    keyword: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One task, bound.

    Attributes
    ----------
    arguments
        In the order of the call: the positional ones first.
    sink
        Whether nothing depends on the task, so that all it returns is recorded.
    footprint
        Names of the parameters that its result can depend on, directly or through its dependencies, in
        the order of the space: variants that agree on them share the run and its random numbers.
    """

    task: Task
    arguments: tuple[Argument, ...]
    sink: bool
    footprint: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        task = self.task
        return {
            "name": task.name,
            "function": task.function_name,
            "depends_on": list(task.depends_on),
            "outputs": list(task.outputs),
            "units": dict(task.units),
            "deterministic": task.deterministic,
            "sink": self.sink,
            "footprint": list(self.footprint),
            "arguments": [
                {"name": one.name, "keyword": one.keyword, "source": one.source.to_dict()} for one in self.arguments
            ],
        }


@dataclass(frozen=True, slots=True)
class Definition:
    """Everything that a sweep is: a workflow whose parts fit together, over its space.

    Attributes
    ----------
    steps
        In an order in which dependencies come first.
    resources
        Task name to what one run of it needs; a task that asked for nothing is absent.
    inputs
        Files whose content the results depend on.
    """

    name: str
    seed: int
    space: Space
    steps: tuple[Step, ...]
    policy: Policy
    figures: tuple[Figure, ...] = ()
    resources: FrozenMapping[str, Resources] = FrozenMapping()  # noqa: RUF009  it cannot change
    criteria: tuple[Criterion, ...] = ()
    inputs: tuple[Input, ...] = ()

    @property
    def units(self) -> Mapping[str, str]:
        """Units of the parameters and of the recorded outputs that have one."""
        parameters = {one.name: one.unit for one in self.space.parameters if one.unit is not None}
        outputs = {
            output: unit
            for step in self.steps
            for output, unit in step.task.units.items()
            if step.sink or output in step.task.outputs
        }
        return parameters | outputs

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data, the same for the same definition: what the sweep directory keeps of it."""
        return {
            "name": self.name,
            "seed": self.seed,
            "space": self.space.describe(),
            "tasks": [step.to_dict() for step in self.steps],
            "policy": self.policy.to_dict(),
            "figures": [figure.to_dict() for figure in self.figures],
            "resources": {task: self.resources[task].to_dict() for task in sorted(self.resources)},
            "criteria": [criterion.to_dict() for criterion in self.criteria],
        }
