"""The order of tasks; a circle is reported as a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciflow.errors import CycleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def order_tasks(depends_on: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names of the tasks with dependencies first, otherwise as declared.

    Parameters
    ----------
    depends_on
        Task name to the names of tasks that run before it; each is a key too.

    Raises
    ------
    CycleError
        When tasks depend on each other in a circle, shown as ``a → b → a`` (each runs before the next).
    """
    waiting = {name: set(before) for name, before in depends_on.items()}
    ordered: list[str] = []
    while waiting:
        ready = next((name for name, before in waiting.items() if not before), None)
        if ready is None:
            circle = " \N{RIGHTWARDS ARROW} ".join(_circle(waiting))
            raise CycleError(f"tasks depend on each other in a circle: {circle}; remove one of the arrows")
        del waiting[ready]
        ordered.append(ready)
        for before in waiting.values():
            before.discard(ready)
    return tuple(ordered)


def _circle(waiting: Mapping[str, set[str]]) -> list[str]:
    """One circle, in the order in which the tasks would run, starting at the first declared."""
    rank = {name: k for k, name in enumerate(waiting)}
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(min(waiting[path[-1]], key=rank.__getitem__))
    circle = path[path.index(path[-1]) : -1][::-1]
    start = circle.index(min(circle, key=rank.__getitem__))
    rotated = circle[start:] + circle[:start]
    return [*rotated, rotated[0]]
