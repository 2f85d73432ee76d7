"""Reductions: tasks that get what others returned along whole parameters, as sweeps of their own over the rest.

The sweep of a reduction lies in ``reductions/<task>`` of the sweep it reads, and is one like any other: it resumes, its
failures cost what they touch alone, and it runs again when its code or what it gathers has changed.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.analysis.dataset import to_dataset
from sciflow.errors import BindingError, UpstreamError, WorkflowError
from sciflow.provenance.fingerprint import fingerprint
from sciflow.space.derived import Derived
from sciflow.space.product import Product
from sciflow.space.table import Table
from sciflow.store.assemble import assemble
from sciflow.store.commits import Commits
from sciflow.store.directory import SweepDirectory
from sciflow.workflow.binding import FromContext, FromOutput, FromParameter, FromTask, FromUpstream
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from sciflow.space import Space
    from sciflow.store.assembled import Assembled
    from sciflow.workflow.binding import Argument, Definition, Step

FACTS = frozenset({"status", "attempt", "runtime_s", "failure"})


def reduced_workflows(definition: Definition, path: Path) -> list[ExperimentalWorkflow]:
    """A workflow for each reduction, to be run once the sweep in *path* has.

    Raises
    ------
    WorkflowError
        A reduction is over a parameter that varies together with others, so that it has no axis of its own.
    """
    return [_reduced(definition, step, path) for step in definition.steps if step.over]


def _reduced(definition: Definition, step: Step, path: Path) -> ExperimentalWorkflow:
    workflow = ExperimentalWorkflow(step.task.name, seed=definition.seed)
    space = _rest_of(definition.space, step)
    gather = Gather(str(path), step, tuple(space.names))
    task = step.task
    workflow.add_task(
        task.name, gather, units=task.units, retry=task.retry, fallback=task.fallback, timeout=step.timeout_s
    )
    workflow.add_parameter_space(space)
    return workflow


def _rest_of(space: Space, step: Step) -> Space:
    """The space without the axes that are gathered, and without those that do not matter."""
    while isinstance(space, Derived):
        space = space.of
    parts = space.parts if isinstance(space, Product) else (space,)
    over, needed = set(step.over), set(step.footprint)
    kept: list[Space] = []
    for part in parts:
        if over & set(part.names) and set(part.names) - over:
            together = ", ".join(sorted(set(part.names) - over))
            raise WorkflowError(
                f"task {step.task.name!r} is a reduction over {min(over & set(part.names))!r}, which varies "
                f"together with {together}; a reduction needs an axis of its own: multiply it in with *"
            )
        if needed & set(part.names):
            kept.append(part)
    return Product(*kept)


@dataclass
class Gather:
    """The function of a reduction: collects what was recorded along its axes, and calls the user's function.

    Parameters
    ----------
    path : the sweep to read
    step : the reduction
    names : the parameters of its own space
    """

    path: str
    step: Step
    names: tuple[str, ...]
    _read: tuple[Assembled, xr.Dataset] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        kind = inspect.Parameter.KEYWORD_ONLY
        self.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in self.names])
        self.__qualname__ = self.step.task.function_name

    def __reduce__(self) -> tuple[Any, ...]:
        return Gather, (self.path, self.step, self.names)

    def __sciflow_fingerprint__(self) -> list[Any]:
        """What makes the results other ones: the function, and all that it gathers from."""
        directory = SweepDirectory.open(self.path)
        newest = directory.newest_definition() or {}
        return [
            fingerprint(self.step.task.function),
            newest.get("generation", ""),
            list(self.step.over),
            Commits.of(directory, directory.snapshot()).to_dict(),
        ]

    def __call__(self, **parameters: Any) -> Any:
        """Reduce the values that belong to these parameters."""
        if self._read is None:
            assembled = assemble(SweepDirectory.open(self.path))
            self._read = assembled, to_dataset(assembled)
        cell = self._cell(*self._read, parameters)
        arguments = {one.name: self._value(one, cell, parameters) for one in self.step.arguments}
        given = {name: value for name, value in arguments.items() if value is not _LEFT_OUT}
        return self.step.task.function(**given)

    def _cell(self, assembled: Assembled, dataset: xr.Dataset, parameters: dict[str, Any]) -> xr.Dataset:
        """What is recorded for these parameters, along the axes of the reduction alone."""
        space = assembled.space
        if space is None or assembled.layout != "dense":
            raise UpstreamError("what was recorded has no dense form, so nothing can be gathered along an axis of it")
        first = {one.name: space[0][one.name] for one in space.parameters if not one.derived}
        row = int(space.find(Table.of_mapping({**first, **parameters}))[0])
        dims = [name for name in space.names if name in dataset.dims]
        place = dict(zip(dims, np.unravel_index(row, [dataset.sizes[name] for name in dims]), strict=True))
        fixed = {name: int(at) for name, at in place.items() if name not in self.step.over}
        cell = dataset.isel(fixed)
        n_missing = int((cell["status"] != "done").sum())
        if n_missing:
            along = ", ".join(self.step.over)
            raise UpstreamError(f"{n_missing} of {cell['status'].size} values along {along} are missing or failed")
        return cell.drop_vars([name for name in dataset.coords if name in fixed], errors="ignore")

    def _value(self, argument: Argument, cell: xr.Dataset, parameters: dict[str, Any]) -> Any:
        match argument.source:
            case FromParameter(name=name):
                along = name in self.step.over
                return np.asarray(cell.coords[name].values) if along else parameters.get(name, _LEFT_OUT)
            case FromOutput(output=output):
                return self._variable(cell, output)
            case FromTask(task=task):
                return self._whole(cell, task)
            case FromUpstream(whole=whole, optional=optional):
                if argument.name in cell.data_vars:
                    return self._variable(cell, argument.name)
                if whole is not None:
                    return self._whole(cell, whole)
                if optional:
                    return _LEFT_OUT
                raise BindingError(self._unknown(cell, argument.name))
            case FromContext():
                raise AssertionError("a reduction takes no context")

    def _variable(self, cell: xr.Dataset, name: str) -> xr.DataArray:
        if name not in cell.data_vars:
            raise BindingError(self._unknown(cell, name))
        return cell[name].load()

    def _whole(self, cell: xr.Dataset, task: str) -> Any:
        """The output named after the task, or all that was recorded."""
        if task in cell.data_vars:
            return cell[task].load()
        return cell[[str(name) for name in cell.data_vars if name not in FACTS]].load()

    def _unknown(self, cell: xr.Dataset, name: str) -> str:
        known = ", ".join(str(one) for one in cell.data_vars if one not in FACTS)
        return f"task {self.step.task.name!r}: nothing recorded provides {name!r}; there is {known}"


_LEFT_OUT = object()  # an argument whose default holds
