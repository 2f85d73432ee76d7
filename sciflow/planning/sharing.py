"""Sharing: which runs variants have in common, and an order in which variants that share a run are neighbours; pure.

A run of a task depends on the parameters of the task's footprint alone, so variants that agree on them share it. A
space is looked at as a product of factors: what a footprint takes of each factor gives the number of evaluations and
the variants of each by arithmetic, without listing the variants. Only a factor of which a footprint takes some
parameters and not others (a filtered space, a list of points) is looked through, once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from sciflow.planning.classes import Classes
from sciflow.space.derived import Derived
from sciflow.space.product import Product
from sciflow.space.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.planning.rows import RowSet
    from sciflow.space import Space
    from sciflow.workflow.binding import Definition, Step

    Numbers = NDArray[np.int64]

MOST_LISTED = 2 * 10**7
"""A factor with more rows than this is not looked through: its tasks count as shared by nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class _Factor:
    """One factor of the space, and the order in which its rows are taken; None for the order they have."""

    n: int
    row_at: Numbers | None = None
    place_of: Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What a footprint takes of one factor: all of it, or for each place a label."""

    factor: int  # among the factors in the order of the enumeration
    n_labels: int
    labels: Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SharedTask:
    """A task that is run fewer times than there are variants.

    Attributes
    ----------
    name, footprint
        The task, and the parameters that its runs depend on.
    n_evaluations
        How many distinct runs it has over the whole space.
    needs
        The shared tasks that it depends on, directly or not.
    is_local
        Whether the variants of a run are neighbours in the enumeration.
    shares, block
        What the footprint takes of each factor, and how many variants agree on the factors up to the last of them.
    """

    name: str
    footprint: tuple[str, ...]
    n_evaluations: int
    needs: frozenset[str]
    is_local: bool
    shares: tuple[Share, ...] = field(repr=False)
    block: int = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Sharing:
    """The shared tasks of a workflow, and the order in which its variants are best run.

    A *position* counts variants in that order; a *row* counts them in the order of the space.

    Attributes
    ----------
    n_variants
        Size of the space.
    n_evaluations
        Task name to the number of its distinct runs, for every task.
    tasks
        The shared tasks, those with the fewest runs first.
    is_natural
        Whether positions are rows.
    classes
        Which kind of worker runs which task. A task whose value travels between kinds is among `tasks` though each of
        its runs may be for one variant.
    """

    n_variants: int
    n_evaluations: Mapping[str, int]
    tasks: tuple[SharedTask, ...]
    is_natural: bool
    _factors: tuple[_Factor, ...] = field(repr=False)  # in the order of the enumeration
    _home: tuple[int, ...] = field(repr=False)  # where each stands in the space
    classes: Classes = field(default_factory=Classes.one)

    @classmethod
    def of(cls, definition: Definition, classes: Classes | None = None) -> Self:
        """Find what the tasks of a workflow share over its space."""
        space, steps = definition.space, definition.steps
        classes = classes or Classes.one()
        takes = {step.task.name: _takes(space, step) for step in steps}
        candidates = [step for step in steps if space and takes[step.task.name] is not None]
        factors = _factors_of(space, [name for step in candidates for name in step.footprint])
        n_all = space.n_variants
        counts = {step.task.name: n_all for step in steps}
        parts: dict[str, dict[int, tuple[int, Numbers | None]]] = {}
        for step in candidates:
            mine = _parts(factors, step.footprint)
            if mine is None:
                continue
            n = math.prod(n for n, _ in mine.values())
            counts[step.task.name] = n
            if n < n_all:
                parts[step.task.name] = mine
        for step in steps if space else ():
            if step.task.name in classes.travels and step.task.name not in parts:
                parts[step.task.name] = {k: (factor.n_variants, None) for k, factor in enumerate(factors)}
        shared = sorted((step for step in steps if step.task.name in parts), key=lambda step: counts[step.task.name])
        arranged = _arrange([parts[step.task.name] for step in shared], factors)
        order = [home for home, _ in arranged]
        return cls(
            n_variants=n_all,
            n_evaluations=counts,
            tasks=tuple(
                _shared_task(step, steps, parts[step.task.name], arranged, frozenset(parts)) for step in shared
            ),
            is_natural=order == sorted(order) and all(factor.row_at is None for _, factor in arranged),
            _factors=tuple(factor for _, factor in arranged),
            _home=tuple(order),
            classes=classes,
        )

    def rows(self, positions: Numbers) -> Numbers:
        """The row at each position."""
        if self.is_natural:
            return positions
        digits = dict(zip(self._home, self._places(positions), strict=True))
        rows = np.zeros(len(positions), dtype=np.int64)
        sizes = dict(zip(self._home, self._factors, strict=True))
        for home in range(len(self._home)):
            factor, place = sizes[home], digits[home]
            rows = rows * factor.n + (place if factor.row_at is None else factor.row_at[place])
        return rows

    def positions(self, rows: Numbers) -> Numbers:
        """The position of each row."""
        if self.is_natural:
            return rows
        digits: dict[int, Numbers] = {}
        sizes = dict(zip(self._home, self._factors, strict=True))
        for home in reversed(range(len(self._home))):
            rows, digits[home] = np.divmod(rows, sizes[home].n)
        positions = np.zeros(len(rows), dtype=np.int64)
        for home, factor in zip(self._home, self._factors, strict=True):
            digit = digits[home]
            positions = positions * factor.n + (digit if factor.place_of is None else factor.place_of[digit])
        return positions

    def evaluations(self, task: SharedTask, positions: Numbers) -> Numbers:
        """Which run of *task* the variant at each position needs, in [0, task.n_evaluations)."""
        shares = {share.factor: share for share in task.shares}
        found = np.zeros(len(positions), dtype=np.int64)
        for k, place in enumerate(self._places(positions)):
            share = shares.get(k)
            if share is not None:
                found = found * share.n_labels + (place if share.labels is None else share.labels[place])
        return found

    def span(self, task: SharedTask, evaluation: int) -> tuple[int, int]:
        """The positions, from the first to past the last, of the variants that need a run of a local task."""
        block = task.block
        last = task.shares[-1] if task.shares else None
        if last is None or last.labels is None:
            return evaluation * block, (evaluation + 1) * block
        before, label = divmod(evaluation, last.n_labels)
        n = self._factors[last.factor].n
        first, past = np.searchsorted(last.labels, [label, label + 1]).tolist()
        return (before * n + first) * block, (before * n + past) * block

    def _places(self, positions: Numbers) -> list[Numbers]:
        places: list[Numbers] = []
        for factor in reversed(self._factors):
            positions, place = np.divmod(positions, factor.n)
            places.append(place)
        return places[::-1]


def _takes(space: Space, step: Step) -> frozenset[str] | None:
    """The footprint, unless it is the whole variant."""
    taken = frozenset(step.footprint)
    counted = {parameter.name for parameter in space.parameters if not parameter.derived}
    return None if counted <= taken else taken


def _factors_of(space: Space, needed: Iterable[str]) -> tuple[Space, ...]:
    while isinstance(space, Derived) and not set(space.rules) & set(needed):
        space = space.of
    return space.parts if isinstance(space, Product) else (space,)


def _parts(factors: Sequence[Space], footprint: Iterable[str]) -> dict[int, tuple[int, Numbers | None]] | None:
    """For each factor that a footprint takes from, how many distinct things, and which each row is (None: itself).

    None when a factor is too long to look through.
    """
    names = frozenset(footprint)
    found: dict[int, tuple[int, Numbers | None]] = {}
    for k, factor in enumerate(factors):
        taken = names & set(factor.names)
        if not taken:
            continue
        if {parameter.name for parameter in factor.parameters if not parameter.derived} <= taken:
            found[k] = (factor.n_variants, None)
        elif factor.n_up_to(MOST_LISTED + 1) > MOST_LISTED:
            return None
        else:
            found[k] = _labels(factor, taken)
    return found


def _labels(factor: Space, names: frozenset[str]) -> tuple[int, Numbers | None]:
    """Number the distinct values that the rows of a factor have in some of its parameters."""
    digests: list[NDArray[np.bytes_]] = []
    for table in factor.tables(1 << 16):
        mine = table.only(names)
        counted = tuple(replace(parameter, derived=False) for parameter in mine.parameters)
        identities = Table(counted, mine.columns, mine.n_rows).id_bytes()
        digests.append(np.frombuffer(identities, dtype="S10"))
    _, first, labels = np.unique(np.concatenate(digests), return_index=True, return_inverse=True)
    if len(first) == len(labels):
        return len(labels), None
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))  # numbered as they come, so that neighbours need no reordering
    return len(first), rank[labels]


def _arrange(
    tasks: Sequence[Mapping[int, tuple[int, Numbers | None]]], factors: Sequence[Space]
) -> list[tuple[int, _Factor]]:
    """Order factors so that what the task with the fewest runs takes varies slowest, then that of the next.

    Returns
    -------
    list of (place of the factor in the space, factor)
    """
    order: list[int] = []
    for taken in tasks:
        order += [k for k in taken if k not in order]
    order += [k for k in range(len(factors)) if k not in order]
    arranged: list[tuple[int, _Factor]] = []
    for k in order:
        n = factors[k].n_variants
        keys = [taken[k][1] for taken in tasks if k in taken]
        labels = [key for key in keys if key is not None]
        if not labels or all(bool((np.diff(one) >= 0).all()) for one in labels):
            arranged.append((k, _Factor(n)))
            continue
        row_at = np.lexsort(labels[::-1])
        place_of = np.empty(n, dtype=np.int64)
        place_of[row_at] = np.arange(n)
        arranged.append((k, _Factor(n, row_at, place_of)))
    return arranged


def _shared_task(
    step: Step,
    steps: Sequence[Step],
    taken: Mapping[int, tuple[int, Numbers | None]],
    arranged: Sequence[tuple[int, _Factor]],
    shared: frozenset[str],
) -> SharedTask:
    name = step.task.name
    shares: list[Share] = []
    for k, (home, factor) in enumerate(arranged):
        if home not in taken:
            continue
        n, labels = taken[home]
        by_place = labels if labels is None or factor.row_at is None else labels[factor.row_at]
        shares.append(Share(k, n, by_place))
    leading = [share.factor for share in shares] == list(range(len(shares)))
    whole = all(share.labels is None for share in shares[:-1])
    last = shares[-1].labels if shares else None
    is_local = leading and whole and (last is None or bool((np.diff(last) >= 0).all()))
    return SharedTask(
        name=name,
        footprint=step.footprint,
        n_evaluations=math.prod(share.n_labels for share in shares),
        needs=_upstream(name, steps) & shared,
        is_local=is_local,
        shares=tuple(shares),
        block=math.prod(factor.n for _, factor in arranged[len(shares) :]),
    )


def _upstream(name: str, steps: Sequence[Step]) -> frozenset[str]:
    direct = {step.task.name: step.task.depends_on for step in steps}
    found: set[str] = set()
    waiting = [*direct[name]]
    while waiting:
        task = waiting.pop()
        if task not in found:
            found.add(task)
            waiting += direct[task]
    return frozenset(found)


def count_evaluations(sharing: Sharing, rows: RowSet) -> dict[str, int]:
    """How often each task is called to run the variants at *rows*."""
    n = len(rows)
    counts = dict.fromkeys(sharing.n_evaluations, n)
    if n == sharing.n_variants:
        return {**counts, **sharing.n_evaluations}
    for task in sharing.tasks if n else ():
        counts[task.name] = _n_distinct(sharing, task, (sharing.positions(some) for some in rows.chunks()))
    return counts


def count_runs(sharing: Sharing, task: SharedTask, positions: RowSet) -> int:
    """How many runs of a shared task the variants at these positions need."""
    n = len(positions)
    return task.n_evaluations if n == sharing.n_variants else _n_distinct(sharing, task, positions.chunks())


def _n_distinct(sharing: Sharing, task: SharedTask, positions: Iterable[Numbers]) -> int:
    needed = np.zeros(task.n_evaluations, dtype=np.bool_)
    for some in positions:
        needed[sharing.evaluations(task, some)] = True
    return int(needed.sum())
