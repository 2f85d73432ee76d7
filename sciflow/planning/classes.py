"""Resource classes: which kind of worker runs which task, so that no task holds what another needs; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from sciflow.workflow.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciflow.workflow.binding import Definition

ANY = ""
"""The class of everything, where workers are all of one kind."""


@dataclass(frozen=True, slots=True)
class ResourceClass:
    """Tasks that ask for the same cores, memory and devices.

    Attributes
    ----------
    name
        One word.
    resources
        What a worker for them needs; its longest runtime is that of the longest of them, None if one has no limit.
    tasks
        Their names.
    """

    name: str
    resources: Resources
    tasks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Classes:
    """The resource classes of a workflow.

    Attributes
    ----------
    all
        Every class.
    final
        The one in which variants are run to their end, and recorded; the values of tasks of other classes reach it
        through files.
    travels
        The tasks whose values are needed by workers of another class than their own, and those that run elsewhere
        than where variants are run to their end.
    """

    all: tuple[ResourceClass, ...]
    final: str = ANY
    travels: frozenset[str] = frozenset()
    _of: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def one(cls, resources: Iterable[Resources] = ()) -> Self:
        """A single class that has what each of the tasks asks for."""
        return cls((ResourceClass(ANY, largest(resources), frozenset()),))

    @classmethod
    def of(cls, definition: Definition) -> Self:
        """Group the tasks of a workflow by what they ask for."""
        asked = {step.task.name: definition.resources.get(step.task.name, Resources()) for step in definition.steps}
        groups: dict[Resources, list[str]] = {}
        for task, resources in asked.items():
            groups.setdefault(replace(resources, max_runtime_s=None), []).append(task)
        if len(groups) < 2:
            return cls.one(asked.values())
        names = dict(zip(groups, _names(groups), strict=True))
        classes = tuple(
            ResourceClass(names[key], largest(asked[task] for task in tasks), frozenset(tasks))
            for key, tasks in groups.items()
        )
        of = {task: one.name for one in classes for task in one.tasks}
        final = of[definition.steps[-1].task.name]  # a sink: what it gives is recorded where it runs
        elsewhere = {task for task, name in of.items() if name != final}
        needed = {
            upstream for step in definition.steps if step.task.name in elsewhere for upstream in step.task.depends_on
        }
        return cls(classes, final, frozenset(elsewhere | needed), of)

    @property
    def is_mixed(self) -> bool:
        """Whether there are several."""
        return len(self.all) > 1

    def of_task(self, task: str) -> str:
        """The class of a task; of an empty name, the one in which variants are run to their end."""
        return self._of.get(task, self.final)


def largest(resources: Iterable[Resources]) -> Resources:
    """What is enough for each of these."""
    every = list(resources) or [Resources()]
    memory = [one.memory_bytes for one in every if one.memory_bytes is not None]
    runtimes = [one.max_runtime_s for one in every]
    return Resources(
        cores=max(one.cores for one in every),
        memory_bytes=max(memory, default=None),
        gpus=max(one.gpus for one in every),
        max_runtime_s=None if None in runtimes else max(one for one in runtimes if one is not None),
    )


def _names(groups: Iterable[Resources]) -> list[str]:
    """A word for each: ``cpu1``, ``cpu4``, ``gpu1``; numbered where two would be the same."""
    words = [f"gpu{one.gpus}" if one.gpus else f"cpu{one.cores}" for one in groups]
    return [word if words.count(word) == 1 else f"{word}x{words[:k].count(word) + 1}" for k, word in enumerate(words)]
