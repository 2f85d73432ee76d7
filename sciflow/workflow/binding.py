"""A workflow with every argument bound to its source: the values that planning, running and storing read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from sciflow.workflow.condition import Condition
from sciflow.workflow.frozen import FrozenMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.figures.spec import Figure
    from sciflow.scheduling.policy import Policy
    from sciflow.space.algebra import Space
    from sciflow.workflow.criteria import Criterion
    from sciflow.workflow.inputs import Input
    from sciflow.workflow.resources import Resources
    from sciflow.workflow.stop import StopAfter
    from sciflow.workflow.task import Task
    from sciflow.workflow.tolerance import Tolerance


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
    named
        Whether only what bears the name will do: a name in a text is no argument left over.
    """

    tasks: tuple[str, ...]
    whole: str | None = None
    optional: bool = False
    named: bool = False

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        data: dict[str, object] = {
            "from": "upstream",
            "tasks": list(self.tasks),
            "whole": self.whole,
            "optional": self.optional,
        }
        return data | {"named": True} if self.named else data


Source: TypeAlias = FromParameter | FromTask | FromOutput | FromContext | FromUpstream


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a task and where its value comes from; *keyword*: it must be passed by keyword."""

    name: str
    source: Source
    keyword: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """A constant that stands in for what a task would have returned."""

    value: object

    def __hash__(self) -> int:
        return hash(Value)  # it may hold a dict or an array: values that hold one hash all the same


class Skip(Enum):
    """Nothing stands in: the outputs of a task that failed are missing, and what depends on it is skipped."""

    SKIP = "skip"

    def __repr__(self) -> str:
        return self.name


SKIP: Final = Skip.SKIP
"""As ``fallback`` of a task: when it fails, its outputs are missing and what depends on it does not run."""


@dataclass(frozen=True, slots=True)
class Step:
    """One task, bound.

    The functions beside it (condition, undo and fallback) are steps too, of the task's name and with its
    dependencies; that of undo depends on the task itself as well.

    Attributes
    ----------
    arguments
        In the order of the call: the positional ones first.
    sink
        Whether nothing depends on the task, so that all it returns is recorded.
    footprint
        Names of the parameters that its result can depend on, directly or through its dependencies, its
        condition or its fallback, in the order of the space: variants that agree on them share the run and
        its random numbers.
    condition
        Its result says whether the task runs.
    undo
        Takes back what the task did, when a later one fails.
    fallback
        What stands in for the task when it fails.
    timeout_s
        The most that one attempt may take, in seconds.
    over
        Parameters along which a reduction gathers its arguments: the bound ones are arrays over them.
    """

    task: Task
    arguments: tuple[Argument, ...]
    sink: bool
    footprint: tuple[str, ...]
    condition: Step | None = None
    undo: Step | None = None
    fallback: Step | Value | Skip | None = None
    timeout_s: float | None = None
    over: tuple[str, ...] = ()

    def functions(self) -> tuple[Callable[..., object], ...]:
        """Everything of the user's that may be called for this task, see `Task.functions`."""
        return self.task.functions()

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
            "arguments": self._arguments(),
            **self._policies(),
        }

    def _policies(self) -> dict[str, object]:
        """What the task asks for beyond being called; what it does not ask for is left out, as in older definitions."""
        task = self.task
        found: dict[str, object] = {}
        if task.retry is not None:
            found["retry"] = task.retry.to_dict()
        if task.timeout_s is not None:
            found["timeout_s"] = task.timeout_s
        if task.cache:
            found["cache"] = True
        if self.over:
            found["over"] = list(self.over)
        if self.condition is not None:
            found["condition"] = self.condition._beside()  # noqa: SLF001  a step's step
        if self.undo is not None:
            found["undo"] = self.undo._beside()  # noqa: SLF001  same
        if self.fallback is not None:
            found["fallback"] = self._fallback(self.fallback)
        return found

    def _fallback(self, fallback: Step | Value | Skip) -> dict[str, object]:
        match fallback:
            case Skip():
                return {"skip": True}
            case Value(value=value):
                return {"value": _shown(value)}
            case Step():
                return fallback._beside()  # noqa: SLF001  a step's step

    def _beside(self) -> dict[str, object]:
        function = self.task.function
        what = {"text": str(function)} if isinstance(function, Condition) else {"function": self.task.function_name}
        return {**what, "arguments": self._arguments()}

    def _arguments(self) -> list[dict[str, object]]:
        return [{"name": one.name, "keyword": one.keyword, "source": one.source.to_dict()} for one in self.arguments]


def _shown(value: object) -> str:
    """A value as text: it may be NaN, which equals nothing, or an object of the user's."""
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text  # an address differs in each process


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
    metadata_requirements
        Names of what must be known before the sweep may start.
    tolerances
        Metric to how much it may differ when it is computed again.
    """

    name: str
    seed: int
    space: Space
    steps: tuple[Step, ...]
    policy: Policy
    figures: tuple[Figure, ...] = ()
    resources: FrozenMapping[str, Resources] = FrozenMapping()  # noqa: RUF009  it cannot change
    criteria: tuple[Criterion, ...] = ()
    stop_after: StopAfter | None = None
    inputs: tuple[Input, ...] = ()
    metadata_requirements: tuple[str, ...] = ()
    tolerances: FrozenMapping[str, Tolerance] = FrozenMapping()  # noqa: RUF009  it cannot change

    def without_reductions(self) -> Definition:
        """What runs for each variant: the definition itself when it has no reductions."""
        steps = tuple(step for step in self.steps if not step.over)
        return self if len(steps) == len(self.steps) else replace(self, steps=steps)

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
            **({} if self.stop_after is None else {"stop_after": self.stop_after.to_dict()}),
            **({"metadata_requirements": list(self.metadata_requirements)} if self.metadata_requirements else {}),
            **({"tolerances": self._tolerances()} if self.tolerances else {}),
        }

    def _tolerances(self) -> dict[str, object]:
        return {metric: self.tolerances[metric].to_dict() for metric in sorted(self.tolerances)}
