"""One variant in this process: bind the arguments, call the tasks in order, collect what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sciflow.errors import BindingError, OutputError
from sciflow.running.context import TaskContext
from sciflow.running.failure import TaskFailedError
from sciflow.space.variant import ABSENT, Schema, Variant
from sciflow.workflow.binding import FromContext, FromOutput, FromParameter, FromTask, FromUpstream
from sciflow.workflow.resolve import settle_upstream

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.workflow.binding import Argument, Definition, Step

Values = Sequence[Any]
"""The parameter values of one variant, in the order of the space, followed by the values of the tasks so far."""

_SKIP = object()  # an optional argument whose parameter this variant does not have: the default of the function holds


class VariantRunner:
    """Calls the tasks of one workflow for one variant after another.

    What is decided late (which key of a mapping an argument takes) is decided on the first variant, and kept.

    Parameters
    ----------
    definition : Definition
        The bound workflow.
    artifacts : Path, optional
        Folder for files that tasks keep.
    """

    def __init__(self, definition: Definition, artifacts: Path | None = None) -> None:
        self._definition = definition
        self._artifacts = artifacts
        parameters = definition.space.parameters
        self._parameters = parameters
        self._position = {parameter.name: k for k, parameter in enumerate(parameters)}
        self._n = len(parameters)
        self._schemas: dict[tuple[bool, ...], Schema] = {}
        self._task_position = {step.task.name: self._n + k for k, step in enumerate(definition.steps)}
        self._calls = [self._compile(step) for step in definition.steps]
        recorded = [step for step in definition.steps if step.sink or step.task.outputs]
        self._recorded = [(step, self._task_position[step.task.name]) for step in recorded]
        # the usual case, one sink and nothing else recorded: its mapping is the record as it stands
        self._only = self._recorded[0] if len(recorded) == 1 and recorded[0].sink else None
        self.run: Callable[[Values, int], Mapping[str, Any]] = (
            self._run_single() if len(self._calls) == 1 and self._only is not None else self._run
        )
        """Run every task for a variant, given its parameter values in order and the attempt; return the record."""

    def _run(self, row: Values, attempt: int) -> Mapping[str, Any]:
        slots = list(row)
        try:
            for call in self._calls:
                slots.append(call(slots, attempt))
        except KeyboardInterrupt:
            raise  # of the user, in this very process
        except BaseException as error:
            step = self._definition.steps[len(slots) - self._n]
            raise TaskFailedError(step.task.name) from error
        if self._only is not None:
            step, position = self._only
            value = slots[position]
            return value if type(value) is dict else _outputs(step, value)
        return self._collect(slots)

    def _run_single(self) -> Callable[[Values, int], Mapping[str, Any]]:
        """One task whose result is the record: no slots to fill, which halves what a run costs."""
        (step,), (call,) = self._definition.steps, self._calls

        def run(row: Values, attempt: int) -> Mapping[str, Any]:
            try:
                value = call(row, attempt)
            except KeyboardInterrupt:
                raise  # of the user, in this very process
            except BaseException as error:
                raise TaskFailedError(step.task.name) from error
            return value if type(value) is dict else _outputs(step, value)

        return run

    def task_of(self, output: str) -> str:
        """Name the task that records *output* (for messages)."""
        for step, _ in self._recorded:
            if output == step.task.name or output in step.task.outputs:
                return step.task.name
        sinks = [step.task.name for step, _ in self._recorded if step.sink]
        return sinks[0] if len(sinks) == 1 else " or ".join(sinks)

    def _collect(self, slots: Values) -> dict[str, Any]:
        record: dict[str, Any] = {}
        owner: dict[str, str] = {}
        for step, position in self._recorded:
            outputs = _outputs(step, slots[position])
            for name in outputs if step.sink else step.task.outputs:
                if name not in outputs:
                    raise OutputError(
                        f"task {step.task.name!r} declares the output {name!r} but returned {sorted(outputs)}"
                    )
                if name in owner:
                    raise OutputError(
                        f"output {name!r} is recorded by both {owner[name]!r} and {step.task.name!r}; rename one"
                    )
                owner[name] = step.task.name
                record[name] = outputs[name]
        return record

    def _compile(self, step: Step) -> Callable[[Values, int], Any]:
        """Turn the arguments of a step into one call on the slots."""
        if any(isinstance(argument.source, FromUpstream) for argument in step.arguments):
            return self._compile_late(step)
        function: Callable[..., Any] = step.task.function
        plain = [self._plain_slot(argument) for argument in step.arguments]
        slots_only = [slot for slot in plain if slot is not None]
        if len(slots_only) == len(plain) and not any(argument.keyword for argument in step.arguments):
            return _call_with_slots(
                function, slots_only, whole_row=len(self._definition.steps) == 1 and slots_only == list(range(self._n))
            )
        readers = [(argument, self._reader(step, argument)) for argument in step.arguments]
        takes_context = any(isinstance(argument.source, FromContext) for argument in step.arguments)

        def call(slots: Values, attempt: int) -> Any:
            context = self._context(step, slots, attempt) if takes_context else None
            positional: list[Any] = []
            named: dict[str, Any] = {}
            skipped = False  # what follows an argument left out can no longer go by position
            for argument, read in readers:
                value = read(slots, context)
                if value is _SKIP:
                    skipped = True
                    continue
                if argument.keyword or skipped:
                    named[argument.name] = value
                else:
                    positional.append(value)
            try:
                return function(*positional, **named)
            finally:
                if context is not None:
                    context.close()

        return call

    def _compile_late(self, step: Step) -> Callable[[Values, int], Any]:
        """Decide on the first variant what each argument takes of what the dependencies returned."""
        settled: list[Callable[[Values, int], Any]] = []

        def call(slots: Values, attempt: int) -> Any:
            if not settled:
                returned = {task: slots[self._task_position[task]] for task in step.task.depends_on}
                settled.append(self._compile(settle_upstream(step, returned)))
            return settled[0](slots, attempt)

        return call

    def _plain_slot(self, argument: Argument) -> int | None:
        """Position of the slot an argument copies, or None when it takes more than copying."""
        match argument.source:
            case FromParameter(name=name, optional=False):
                return self._position[name]
            case FromTask(task=task):
                return self._task_position[task]
            case _:
                return None

    def _reader(self, step: Step, argument: Argument) -> Callable[[Values, TaskContext | None], Any]:
        match argument.source:
            case FromParameter(name=name):
                at = self._position[name]
                return lambda slots, _: _SKIP if slots[at] is ABSENT else slots[at]
            case FromTask(task=task):
                at = self._task_position[task]
                return lambda slots, _: slots[at]
            case FromOutput(task=task, output=output):
                at = self._task_position[task]
                return lambda slots, _: _pick(slots[at], output, task, step.task.name, argument.name)
            case FromContext():
                return lambda _, context: context
            case FromUpstream():
                raise AssertionError("late arguments are settled before they are read")

    def _context(self, step: Step, slots: Values, attempt: int) -> TaskContext:
        row = slots[: self._n]
        present = tuple([value is not ABSENT for value in row])
        schema = self._schemas.get(present)
        if schema is None:  # one per combination of conditional parameters
            mine = tuple(known for known, here in zip(self._parameters, present, strict=True) if here)
            schema = self._schemas[present] = Schema(mine)
        return TaskContext(
            Variant.of(schema, tuple(value for value in row if value is not ABSENT)),
            task=step.task.name,
            attempt=attempt,
            sweep_seed=self._definition.seed,
            artifacts=self._artifacts,
        )


def _call_with_slots(
    function: Callable[..., Any], slots: list[int], *, whole_row: bool
) -> Callable[[Values, int], Any]:
    if whole_row:
        return lambda values, _attempt: function(*values)
    if len(slots) == 1:
        at = slots[0]
        return lambda values, _attempt: function(values[at])
    if not slots:
        return lambda _values, _attempt: function()
    pick = itemgetter(*slots)
    return lambda values, _attempt: function(*pick(values))


def _outputs(step: Step, value: Any) -> Mapping[str, Any]:
    """The named outputs in what a task returned: a mapping as it is, anything else under the task's name."""
    return value if isinstance(value, Mapping) else {step.task.name: value}


def _pick(value: Any, output: str, task: str, wanted_by: str, argument: str) -> Any:
    if isinstance(value, Mapping):
        if output in value:
            return value[output]
    elif output == task:  # a value that is no mapping is the output named after its task
        return value
    held = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
    raise BindingError(
        f"argument {argument!r} of task {wanted_by!r} is output {output!r} of {task!r}, which returned {held}"
    )
