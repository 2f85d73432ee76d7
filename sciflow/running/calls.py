"""From the bound arguments of a task to one call on the values of a variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from sciflow.errors import BindingError
from sciflow.running.context import DEFERRED, RunSite, TaskContext
from sciflow.running.failure import HandedBackError
from sciflow.space.variant import ABSENT, Schema, Variant
from sciflow.workflow.binding import FromContext, FromOutput, FromParameter, FromTask, FromUpstream
from sciflow.workflow.resolve import settle_upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sciflow.workflow.binding import Argument, Definition, Step

Slots: TypeAlias = "list[Any]"
"""The parameter values of a variant in the order of the space, what its shared runs are known by, then the values
of the tasks so far."""

Call: TypeAlias = "Callable[[Slots], Any]"
"""One run of a task, given the slots."""

_LEFT_OUT = object()  # an argument whose parameter this variant lacks: the default of the function holds


class Compiler:
    """Turns steps into calls. What is decided late (a key of a mapping) is decided when it has come, and kept.

    Parameters
    ----------
    definition : the bound workflow
    n_keys : slots between the parameters and the tasks
    site : what surrounds runs
    """

    def __init__(self, definition: Definition, n_keys: int, site: RunSite) -> None:
        self._seed, self._site = definition.seed, site
        self._parameters = definition.space.parameters
        self.n_parameters = len(self._parameters)
        self.first_task = self.n_parameters + n_keys
        self.attempt = 1
        """Which try of the variant runs."""
        self._position = {parameter.name: k for k, parameter in enumerate(self._parameters)}
        self.slot_of = {step.task.name: self.first_task + k for k, step in enumerate(definition.steps)}
        """Task name to where its value is."""
        self._schemas: dict[tuple[bool, ...], Schema] = {}

    def columns(self, step: Step) -> list[int] | None:
        """The parameters that a call of this step takes by position, if it takes nothing else."""
        slots = [self._plain_slot(argument) for argument in step.arguments]
        plain = [slot for slot in slots if slot is not None and slot < self.n_parameters]
        is_plain = len(plain) == len(slots) and not any(one.keyword for one in step.arguments)
        return plain if is_plain and not _gets_context(step) else None

    def call(self, step: Step) -> Call:
        """Make the call of a step."""
        if any(isinstance(argument.source, FromUpstream) for argument in step.arguments):
            return self._late(step)
        function: Callable[..., Any] = step.task.function
        slots = [self._plain_slot(argument) for argument in step.arguments]
        plain = [slot for slot in slots if slot is not None]
        gets_context = _gets_context(step)
        if len(plain) == len(slots) and not gets_context and not any(argument.keyword for argument in step.arguments):
            return _with_slots(function, plain)
        readers = [(argument, self._reader(step, argument)) for argument in step.arguments]
        needs_context = gets_context or any(isinstance(argument.source, FromContext) for argument in step.arguments)

        def call(slots: Slots) -> Any:
            context = self._context(step, slots) if needs_context else None
            positional: list[Any] = []
            named: dict[str, Any] = {"context": context} if gets_context else {}
            skipped = False  # what follows an argument left out can no longer go by position
            for argument, read in readers:
                value = read(slots, context)
                if value is _LEFT_OUT:
                    skipped = True
                elif argument.keyword or skipped:
                    named[argument.name] = value
                else:
                    positional.append(value)
            try:
                value = function(*positional, **named)
            finally:
                if context is not None:
                    context.close()
            if value is DEFERRED:
                raise HandedBackError
            return value

        return call

    def _late(self, step: Step) -> Call:
        """A call that decides from the keys which came, once for each set of them: never from which came first."""
        late = [(one.name, one.source) for one in step.arguments if isinstance(one.source, FromUpstream)]
        keys = [(self.slot_of[task], name) for name, source in late for task in source.tasks]
        settled: dict[tuple[bool, ...], Call] = {}

        def call(slots: Slots) -> Any:
            # a dict is told quicker by its type
            came = tuple(
                [(type(slots[at]) is dict or isinstance(slots[at], Mapping)) and name in slots[at] for at, name in keys]
            )
            decided = settled.get(came)
            if decided is None:
                returned = {task: slots[self.slot_of[task]] for task in step.task.depends_on}
                decided = settled[came] = self.call(settle_upstream(step, returned))
            return decided(slots)

        return call

    def _plain_slot(self, argument: Argument) -> int | None:
        """Position of the slot an argument copies, or None when it takes more than copying."""
        match argument.source:
            case FromParameter(name=name, optional=False):
                return self._position[name]
            case FromTask(task=task):
                return self.slot_of[task]
            case _:
                return None

    def _reader(self, step: Step, argument: Argument) -> Callable[[Slots, TaskContext | None], Any]:
        match argument.source:
            case FromParameter(name=name):
                at = self._position[name]
                return lambda slots, _: _LEFT_OUT if slots[at] is ABSENT else slots[at]
            case FromTask(task=task):
                at = self.slot_of[task]
                return lambda slots, _: slots[at]
            case FromOutput(task=task, output=output):
                at = self.slot_of[task]
                return lambda slots, _: _pick(slots[at], output, task, step.task.name, argument.name)
            case FromContext():
                return lambda _, context: context
            case FromUpstream():
                raise AssertionError("late arguments are settled before they are read")

    def _context(self, step: Step, slots: Slots) -> TaskContext:
        row = slots[: self.n_parameters]
        present = tuple([value is not ABSENT for value in row])
        schema = self._schemas.get(present)
        if schema is None:  # one per combination of conditional parameters
            mine = tuple(known for known, here in zip(self._parameters, present, strict=True) if here)
            schema = self._schemas[present] = Schema(mine)
        return TaskContext(
            Variant.of(schema, tuple(value for value in row if value is not ABSENT)),
            task=step.task.name,
            attempt=self.attempt,
            sweep_seed=self._seed,
            site=self._site,
        )


def _gets_context(step: Step) -> bool:
    """Whether the function is a command: it logs to its run, and is shared as one that takes no context is."""
    return getattr(step.task.function, "gets_context", False) is True


def _with_slots(function: Callable[..., Any], slots: Sequence[int]) -> Call:
    if len(slots) == 1:
        at = slots[0]
        return lambda values: function(values[at])
    if not slots:
        return lambda _values: function()
    pick = itemgetter(*slots)
    return lambda values: function(*pick(values))


def outputs_of(step: Step, value: Any) -> Mapping[str, Any]:
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
