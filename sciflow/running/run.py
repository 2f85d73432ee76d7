"""One variant in this process: call the tasks in order, collect what is recorded."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from sciflow.errors import OutputError
from sciflow.running.calls import Call, Compiler, Slots, outputs_of
from sciflow.running.context import RunSite
from sciflow.running.failure import Failure, HandedBackError, TaskFailedError
from sciflow.running.guarded import SKIPPED, Guarded, Trail
from sciflow.running.live import Live
from sciflow.running.shared import Intermediates, SharedCall, SharedRunError, keys_of
from sciflow.workflow.binding import FromContext, FromOutput, FromTask, FromUpstream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sciflow.running.lineage import Lineage
    from sciflow.running.watchdog import Watchdog
    from sciflow.space.table import Table
    from sciflow.workflow.binding import Definition, Step

HANDED_BACK: Final = object()
"""The outcome of a variant that is to run later."""


@dataclass(frozen=True, slots=True)
class Ran:
    """An outcome with what happened on the way to it.

    Parameters
    ----------
    result : the outputs by name, or why there are none
    n_retries : further attempts of the task that needed most
    recovered : the last failure that a fallback made good
    """

    result: Mapping[str, Any] | Failure
    n_retries: int
    recovered: Failure | None


Outcome: TypeAlias = "Mapping[str, Any] | Failure | Ran"
"""What a variant ended with: its outputs by name, or why it has none."""


class VariantRunner:
    """Calls the tasks of one workflow for one variant after another.

    Parameters
    ----------
    definition : the bound workflow
    site : what surrounds runs
    shared : tasks whose runs variants share, by the plan; every other task runs for each variant
    files : where shared values are kept for other workers
    live : the note of this process
    watchdog : keeps the limits of tasks; without one there are none
    stopping : whether the worker is to stop
    """

    def __init__(
        self,
        definition: Definition,
        site: RunSite | None = None,
        *,
        shared: Collection[str] = (),
        files: Intermediates | None = None,
        live: Live | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._definition = definition
        self._steps = definition.steps
        self._live = live or Live(None)
        self._watchdog = watchdog
        # the user's Ctrl-C does not reach worker processes: there, a task has raised it
        self._passes = (HandedBackError, KeyboardInterrupt) if watchdog is None else (HandedBackError,)
        site = site or RunSite()
        self._evidence = site.evidence
        self._lineage = site.lineage if any(_makes_artifacts(step) for step in self._steps[:-1]) else None
        keyed = [step for step in self._steps if step.task.name in shared or step.task.cache]
        self._keyed = [(step.task.name, step.footprint) for step in keyed]
        self._compiler = Compiler(definition, len(keyed), site)
        self._first_task = self._compiler.first_task
        self.trail = Trail()
        self._skippable: set[str] = set()
        self.shared: dict[str, SharedCall] = {}
        """The calls of shared tasks, by name."""
        files = files or Intermediates(None, {})
        self._calls = [self._call(k, step, site, files) for k, step in enumerate(self._steps)]
        self._link_shared()
        self._noted = [self._noting(k, call) for k, call in enumerate(self._calls)]
        self._undo = [None if step.undo is None else self._compiler.call(step.undo) for step in self._steps]
        recorded = [step for step in self._steps if step.sink or step.task.outputs]
        self._recorded = [(step, self._compiler.slot_of[step.task.name]) for step in recorded]
        # the usual case, one sink and nothing else recorded: its mapping is the record as it stands
        self._only = self._recorded[0] if len(recorded) == 1 and recorded[0].sink else None
        self._guarded = any(isinstance(call, Guarded) for call in self._calls)
        plain = self._compiler.columns(self._steps[0]) if len(self._steps) == 1 and self._only else None
        self._columns = plain if plain and not self._guarded and not self.shared else None
        self.stamps: list[float] = []
        """Of a workflow of several tasks, for each variant when it began and when each task ended (perf_counter)."""
        self._own_runs: list[
            tuple[str, int]
        ] = []  # shared task, and how many stamps there were: of which variant it was
        self._origin: dict[str, Mapping[str, Any] | None] = dict.fromkeys(self.shared)  # before the stamps
        self._origins: list[
            tuple[str, int, Mapping[str, Any] | None]
        ] = []  # shared task, number of stamps, the run elsewhere
        for name, shared_call in self.shared.items():
            shared_call.on_run = partial(self._note_run, name)
            shared_call.on_origin = partial(self._note_origin, name)

    # ------------------------------------------------------------------------------------------------------- compile

    def _call(self, k: int, step: Step, site: RunSite, files: Intermediates) -> Call:
        call = self._compiler.call(step)
        if self._watchdog is not None:
            call = self._watchdog.limited(k, step, call)
        upstream = [one for one in self._steps[:k] if one.task.name in step.task.depends_on]
        skippable = any(one.condition or one.fallback or one.task.name in self._skippable for one in upstream)
        if step.condition or step.fallback or step.task.retry or skippable:
            self._skippable.add(step.task.name)
            call = Guarded(step, call, self._compiler, self.trail, site.should_stop)
        keys = [task for task, _ in self._keyed]
        if step.task.name in keys:
            at = self._compiler.n_parameters + keys.index(step.task.name)
            call = SharedCall(
                step.task.name,
                call,
                at,
                files,
                cached=step.task.cache,
                passes=self._passes,
                evidence=site.evidence,
                place=site.place,
            )
            self.shared[step.task.name] = call
        return call

    def _noting(self, k: int, call: Call) -> Call:
        """The call of a task that is noted as it starts, where there are several."""
        if len(self._steps) == 1:
            return call
        live = self._live

        def noted(slots: Slots) -> Any:
            live.task(k)
            return call(slots)

        return noted

    def _link_shared(self) -> None:
        """Tell each shared call which calls alone use its value, if they are shared too."""
        for name, call in self.shared.items():
            users = [step for step in self._steps if name in step.task.depends_on]
            (mine,) = (step for step in self._steps if step.task.name == name)
            if users and not mine.task.outputs and all(step.task.name in self.shared for step in users):
                call.only_for = tuple(self.shared[step.task.name] for step in users)

    # ------------------------------------------------------------------------------------------------------- run many

    @property
    def needs_notes(self) -> bool:
        """Whether each variant is to be noted as it starts, because limits are kept."""
        return self._watchdog is not None and self._watchdog.has_limits

    def keys(self, table: Table) -> list[list[bytes]]:
        """What each row's run of each shared task is known by."""
        return [keys_of(table, footprint) for _, footprint in self._keyed]

    def key(self, table: Table, task: str) -> bytes:
        """What the run of a shared task is known by for the one row of a table."""
        names = [name for name, _ in self._keyed]
        return self.keys(table)[names.index(task)][0]

    def outcomes(self, table: Table, rows: NDArray[np.int64], attempt: int, *, careful: bool) -> Iterator[Any]:
        """Run the variants of a table one after another, each as it is asked for.

        What a task raises comes out of the iterator, which can be asked for the next variant all the same; pass it to
        `judge`. With *careful* each variant is noted before it starts.
        """
        self._compiler.attempt = attempt
        columns = table.lists()
        if self._columns is not None and not careful and not self.needs_notes:
            return map(self._steps[0].task.function, *(columns[at] for at in self._columns))
        columns += self.keys(table)
        every = zip(*columns, strict=True) if columns else iter([()] * table.n_rows)
        if careful or self.needs_notes:
            return map(self._run_noted, rows.tolist(), every)
        return map(self._run, every)

    def _run_noted(self, row: int, values: Sequence[Any]) -> Outcome:
        self._live.variant(row)
        return self._run(values, self._noted)

    def _run(self, values: Sequence[Any], calls: Sequence[Call] | None = None) -> Outcome:
        slots: Slots = list(values)
        clock, stamps = time.perf_counter, self.stamps
        stamps.append(clock())
        try:
            for call in calls or self._calls:
                slots.append(call(slots))
                stamps.append(clock())
        except BaseException as error:
            n_missing = len(self._calls) - (len(slots) - self._first_task)
            stamps.extend([math.nan] * n_missing)
            if isinstance(error, (SharedRunError, *self._passes)):
                self._undo_all(slots, error)
                raise
            self._undo_all(slots, error)
            raise TaskFailedError(self._steps[-n_missing].task.name) from error
        if self._lineage is not None:
            self._link(self._lineage, slots)
        result = self._result(slots)
        if self._guarded and (self.trail.n_retries or self.trail.recovered):
            ran = Ran(result, self.trail.n_retries, self.trail.recovered)
            self.trail.clear()
            return ran
        return result

    def _result(self, slots: Slots) -> Mapping[str, Any]:
        if self._only is None:
            return self._collect(slots)
        step, position = self._only
        value = slots[position]
        if value is SKIPPED:
            return {}
        return value if type(value) is dict else outputs_of(step, value)

    def _link(self, lineage: Lineage, slots: Slots) -> None:
        """Say which values that tasks were given may be paths of artifacts."""
        for step in self._steps:
            for argument in step.arguments:
                match argument.source:
                    case FromTask(task=task):
                        lineage.give(step.task.name, slots[self._compiler.slot_of[task]])
                    case FromOutput(task=task, output=name):
                        lineage.give(step.task.name, _named(slots[self._compiler.slot_of[task]], name))
                    case FromUpstream(tasks=tasks, whole=whole):
                        values = [slots[self._compiler.slot_of[task]] for task in tasks]
                        named = [value[argument.name] for value in values if _has(value, argument.name)]
                        alone = [] if whole is None or named else [slots[self._compiler.slot_of[whole]]]
                        for value in named + alone:
                            lineage.give(step.task.name, value)
                    case _:
                        pass

    def _undo_all(self, slots: Slots, error: BaseException) -> None:
        """Undo what this variant did, the latest first; a task for which a fallback stood in did nothing."""
        for k in reversed(range(len(slots) - self._first_task)):
            undo, name = self._undo[k], self._steps[k].task.name
            if undo is None or slots[self._first_task + k] is SKIPPED or name in self.trail.replaced:
                continue
            try:
                undo(slots)
            except Exception as broken:  # noqa: BLE001  the variant has failed already; both are told
                error.add_note(f"and the undo of task {name!r} raised {type(broken).__name__}: {broken}")

    def judge(self, error: BaseException) -> Any:
        """The `Outcome` of a variant that raised; `HANDED_BACK` when it is to run later.

        Raises
        ------
        KeyboardInterrupt
            As it came: whether it is the user's is for the caller to know.
        """
        if isinstance(error, HandedBackError):
            return HANDED_BACK
        if isinstance(error, SharedRunError):
            failure = error.failure
        elif isinstance(error, TaskFailedError):
            assert error.__cause__ is not None
            failure = Failure.of(error.__cause__, str(error), self._evidence())
        else:
            failure = Failure.of(error, self._steps[0].task.name, self._evidence())
        n_retries = self.trail.n_retries
        self.trail.clear()
        return Ran(failure, n_retries, None) if n_retries else failure

    def named(self, outcome: Any) -> Outcome:
        """An outcome of a single task as its named outputs."""
        if isinstance(outcome, Failure | Ran | Mapping):
            return outcome
        return outputs_of(self._steps[0], outcome)

    def take_seconds(self, n_variants: int) -> dict[str, NDArray[np.float32]]:
        """Seconds of each task's runs for the last *n_variants*, where there are several tasks; then forget them.

        NaN where the value came from a run for another variant.
        """
        n_tasks = len(self._steps)
        stamps, self.stamps[:] = np.array(self.stamps), []
        own_runs, self._own_runs[:] = list(self._own_runs), []
        if n_tasks == 1 or len(stamps) != n_variants * (n_tasks + 1):
            return {}
        seconds = np.diff(stamps.reshape(n_variants, n_tasks + 1), axis=1).astype(np.float32)
        for k, step in enumerate(self._steps):
            if step.task.name in self.shared:
                mine = [
                    n // (n_tasks + 1) for task, n in own_runs if task == step.task.name and n % (n_tasks + 1) == k + 1
                ]
                others = np.ones(n_variants, dtype=np.bool_)
                others[mine] = False
                seconds[others, k] = np.nan
        return {step.task.name: seconds[:, k] for k, step in enumerate(self._steps)}

    def take_origins(self, n_variants: int) -> dict[str, tuple[list[Mapping[str, Any]], NDArray[np.int64]]]:
        """Runs elsewhere whose values the last *n_variants* were given, by task; call it before `take_seconds`.

        For each task that there are any of: the runs, and for each variant which of them, -1 for none.
        """
        width = len(self._steps) + 1
        changes, self._origins[:] = list(self._origins), []
        before = dict(self._origin)
        self._origin |= {task: ran for task, _, ran in changes}
        if not changes and not any(before.values()):
            return {}
        found: dict[str, tuple[list[Mapping[str, Any]], NDArray[np.int64]]] = {}
        for task in self.shared:
            steps = [(0, before[task]), *((at // width, ran) for name, at, ran in changes if name == task)]
            runs: dict[int, Mapping[str, Any]] = {id(ran): ran for _, ran in steps if ran}
            places = {key: place for place, key in enumerate(runs)}
            codes = np.full(n_variants, -1, dtype=np.int64)
            for at, ran in steps:
                codes[at:] = places.get(id(ran), -1)
            if (codes >= 0).any():
                found[task] = list(runs.values()), codes
        return found

    def _note_origin(self, task: str, ran: Mapping[str, Any] | None) -> None:
        self._origins.append((task, len(self.stamps), ran))

    def _note_run(self, task: str) -> None:
        self._own_runs.append((task, len(self.stamps)))

    # -------------------------------------------------------------------------------------------------------- run one

    def run(self, row: Sequence[Any], attempt: int) -> Mapping[str, Any]:
        """Run every task for one variant, given its parameter values in order; for callers without a table.

        Raises
        ------
        TaskFailedError
            A task raised; its cause is what it raised.
        """
        self._compiler.attempt = attempt
        outcome = self._run([*row, *([None] * len(self._keyed))])
        result = outcome.result if isinstance(outcome, Ran) else outcome
        assert not isinstance(result, Failure)
        return result

    def keep(self, table: Table, task: str) -> bool:
        """Compute the value of a shared task for the one row of a table, and keep it or its failure for others.

        Returns
        -------
        bool
            False when the value cannot be sent to other processes.
        """
        columns = table.lists() + self.keys(table)
        slots: Slots = [column[0] for column in columns]
        needed = self._needed(task)
        for k, (step, call) in enumerate(zip(self._steps, self._calls, strict=True)):
            if step.task.name == task:
                self._live.task(k)
                break
            slots.append(call(slots) if step.task.name in needed else None)
        return self.shared[task].keep(slots)

    def _needed(self, task: str) -> set[str]:
        depends_on = {step.task.name: step.task.depends_on for step in self._steps}
        needed: set[str] = set()
        waiting = [*depends_on[task]]
        while waiting:
            name = waiting.pop()
            needed.add(name)
            waiting += depends_on[name]
        return needed

    def keep_for(self, table: Table) -> None:
        """Keep the values at hand that the variant of the one row of a table needs too."""
        for (task, _), keys in zip(self._keyed, self.keys(table), strict=True):
            self.shared[task].keep_for(keys[0])

    # -------------------------------------------------------------------------------------------------------- outputs

    def task_of(self, output: str) -> str:
        """Name the task that records *output* (for messages)."""
        for step, _ in self._recorded:
            if output == step.task.name or output in step.task.outputs:
                return step.task.name
        sinks = [step.task.name for step, _ in self._recorded if step.sink]
        return sinks[0] if len(sinks) == 1 else " or ".join(sinks)

    def _collect(self, slots: Slots) -> dict[str, Any]:
        record: dict[str, Any] = {}
        owner: dict[str, str] = {}
        for step, position in self._recorded:
            if slots[position] is SKIPPED:
                continue
            outputs = outputs_of(step, slots[position])
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


def _makes_artifacts(step: Step) -> bool:
    """Whether a task may: it gets the context."""
    gets_context = getattr(step.task.function, "gets_context", False) is True
    return gets_context or any(isinstance(argument.source, FromContext) for argument in step.arguments)


def _has(value: object, name: str) -> bool:
    return isinstance(value, Mapping) and name in value


def _named(value: Any, name: str) -> object:
    """One output of a task; a value that is no mapping is the one output."""
    return value.get(name) if isinstance(value, Mapping) else value
