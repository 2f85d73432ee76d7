"""Backlog: the variants that wait, handed out in parcels so that what variants share is computed once; pure.

A parcel is cut where runs that are shared end, as far as its size allows. A shared run whose variants all lie in one
parcel is done there and kept nowhere. Any other is staged: a parcel of its own computes and keeps its value, the
parcels that need it wait for that, and the value is released when the last variant that needs it is settled.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sciflow.planning.rows import RowSet
from sciflow.planning.sharing import count_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sciflow.planning.sharing import SharedTask, Sharing

    Numbers = NDArray[np.int64]

Evaluation: TypeAlias = tuple[str, int]
"""A task and the number of one of its distinct runs."""

_MOST_BLOCKED = 64
"""Parcels that wait for shared runs while no worker of another resource class has anything to do."""

_MIXED_TOGETHER = 16
"""Most variants in a parcel where they wait for workers of another class, so that results come in all the time."""

_STAGED_TOGETHER = 16
"""Most shared runs in one parcel; one where nobody knows how long they take, so that several workers compute them."""


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """Variants to be sent together.

    Attributes
    ----------
    positions
        Which, in the order of the enumeration.
    attempt
        Which try this is for all of them.
    until
        The task whose value alone is wanted, to be kept; empty to run the variants whole.
    evaluations
        The runs of that task, one per position.
    kept
        Whether some values that the variants share may be kept already.
    careful
        Whether each variant is noted as it starts, so that one that kills its worker can be found.
    alone
        Whether the one variant has killed a worker before.
    memory
        How many times the memory that its class asks for its worker is to have; more than once only where it is alone.
    """

    positions: RowSet
    attempt: int
    until: str = ""
    evaluations: tuple[int, ...] = ()
    kept: bool = False
    careful: bool = False
    alone: bool = False
    memory: float = 1.0

    @property
    def is_large(self) -> bool:
        """Whether it has a worker of its own, which takes no room from others."""
        return self.memory > 1


@dataclass(slots=True, eq=False)
class _Blocked:
    """Variants, or a parcel that computes shared runs, and the shared runs that they wait for."""

    attempt: int
    positions: RowSet
    needs: set[Evaluation]
    stage: Parcel | None = None


@dataclass(slots=True, eq=False)
class _Needs:
    """What variants need before they can go.

    Attributes
    ----------
    missing
        Runs that are not kept.
    new
        Those of them that nobody computes yet: task → run → a position that needs it.
    any_kept
        Whether some that they need are kept.
    """

    missing: set[Evaluation] = field(default_factory=set[Evaluation])
    new: dict[str, dict[int, int]] = field(default_factory=dict[str, dict[int, int]])
    any_kept: bool = False


@dataclass(slots=True, eq=False)
class Backlog:
    """What waits, what is ready and what is kept.

    Parameters
    ----------
    sharing : what variants share
    todo : attempt number → positions to run
    """

    sharing: Sharing
    todo: Mapping[int, RowSet]
    _all: RowSet = field(init=False)
    _waiting: deque[tuple[int, RowSet]] = field(init=False)
    _ready: deque[Parcel] = field(init=False, default_factory=deque[Parcel])
    _blocked: list[_Blocked] = field(init=False, default_factory=list[_Blocked])
    _staging: set[Evaluation] = field(init=False, default_factory=set[Evaluation])
    _kept: dict[str, dict[int, int]] = field(init=False)  # task → run → variants that still need it
    _counts: dict[str, Numbers] = field(init=False, default_factory=dict[str, "Numbers"])
    _tasks: dict[str, SharedTask] = field(init=False)
    _together: dict[str, int] = field(init=False, default_factory=dict[str, int])  # runs of a task in one parcel
    _n_runs: dict[str, int] = field(init=False, default_factory=dict[str, int])  # that the variants need, of a task
    _n_kept: Counter[str] = field(init=False, default_factory=Counter[str])  # runs of a task that ever were

    def __post_init__(self) -> None:
        self._waiting = deque((attempt, positions) for attempt, positions in self.todo.items() if len(positions))
        self._all = RowSet.empty()
        for _, positions in self._waiting:
            self._all = self._all | positions
        self._tasks = {task.name: task for task in self.sharing.tasks}
        self._kept = {name: {} for name in self._tasks}

    def __bool__(self) -> bool:
        return bool(self._waiting or self._ready or self._blocked)

    @property
    def n_waiting(self) -> int:
        """Variants that no worker has yet, without those that have workers of their own."""
        return self.n_unready + sum(len(one.positions) for one in self._ready if not one.until and not one.is_large)

    @property
    def n_unready(self) -> int:
        """Those of them that wait for their turn, or for shared runs."""
        waiting = sum(len(positions) for _, positions in self._waiting)
        return waiting + sum(len(one.positions) for one in self._blocked if one.stage is None)

    def n_ready(self, resource_class: str) -> int:
        """Runs that only wait for a worker of this class."""
        classes = self.sharing.classes
        ready = (one for one in self._ready if not one.is_large)
        return sum(len(one.positions) for one in ready if classes.of_task(one.until) == resource_class)

    def n_unkept(self, task: str) -> int:
        """Runs of a shared task that are still to be done, or under way: no more will ever be asked for."""
        if task not in self._n_runs:
            self._n_runs[task] = count_runs(self.sharing, self._tasks[task], self._all)
        return self._n_runs[task] - self._n_kept[task]

    # ------------------------------------------------------------------------------------------------- handing out

    def take(self, size: Callable[[int], int], has_room: Callable[[str], bool] = lambda _: True) -> Parcel | None:
        """Give the next parcel, or None when all that is left waits for shared runs, or for room.

        Parameters
        ----------
        size
            How many variants a parcel should have, given how many wait.
        has_room
            Whether a resource class can take one.
        """
        classes = self.sharing.classes
        while (parcel := self._take_ready(has_room)) is None and self._waiting:
            if not classes.is_mixed and not has_room(classes.final):
                return None
            if self._ready and len(self._ready) + len(self._blocked) >= _MOST_BLOCKED:
                return None
            n = size(self.n_waiting)
            parcel = self._cut(min(n, _MIXED_TOGETHER) if classes.is_mixed else n)
            if not self._tasks:
                return parcel
            found = self._needs(parcel)
            if found.missing:
                self._block(parcel, found)
            else:
                self._ready.append(replace(parcel, kept=found.any_kept))
        return parcel

    def _take_ready(self, has_room: Callable[[str], bool]) -> Parcel | None:
        for k, one in enumerate(self._ready):
            if one.is_large or has_room(self.sharing.classes.of_task(one.until)):
                del self._ready[k]
                return one
        return None

    def _cut(self, n: int) -> Parcel:
        attempt, waiting = self._waiting.popleft()
        head, rest = waiting.split(max(n, 1))
        if len(rest) and self._tasks:
            head, rest = self._cut_where_runs_end(waiting, head, rest)
        if len(rest):
            self._waiting.appendleft((attempt, rest))
        return Parcel(head, attempt)

    def _cut_where_runs_end(self, waiting: RowSet, head: RowSet, rest: RowSet) -> tuple[RowSet, RowSet]:
        """Move the cut back to where a run ends, of the task with the fewest runs for which there is such a place."""
        first, following = int(head.starts[0]), int(rest.starts[0])
        for task in self.sharing.tasks:
            if not task.is_local:
                continue
            start, _ = self.sharing.span(task, self._run_at(task, following))
            if start > first:
                return waiting.within(first, start), waiting.within(start, int(waiting.stops[-1]))
        return head, rest

    # -------------------------------------------------------------------------------------------------- shared runs

    def _run_at(self, task: SharedTask, position: int) -> int:
        return int(self.sharing.evaluations(task, np.array([position]))[0])

    def _needs(self, parcel: Parcel) -> _Needs:
        """The shared runs that this parcel cannot do by itself, and those of them that nobody does yet."""
        needs = _Needs()
        for task in self.sharing.tasks:
            if parcel.until and task.name not in self._tasks[parcel.until].needs:
                continue
            kept = self._kept[task.name]
            for run, position in self._runs_of(task, parcel):
                if run in kept:
                    needs.any_kept = True
                elif parcel.until or not self._is_inside(task, run, parcel.positions):
                    needs.missing.add((task.name, run))
                    if (task.name, run) not in self._staging:
                        needs.new.setdefault(task.name, {})[run] = position
        return needs

    def _runs_of(self, task: SharedTask, parcel: Parcel) -> list[tuple[int, int]]:
        """Runs that the parcel needs, each with a position; of a local task those that may reach beyond the parcel."""
        positions = parcel.positions
        if not task.is_local or parcel.until or self._is_elsewhere(task):
            rows = positions.rows()
            runs, where = np.unique(self.sharing.evaluations(task, rows), return_index=True)
            return list(zip(runs.tolist(), rows[where].tolist(), strict=True))
        # a run reaches beyond the parcel only where an interval of the parcel begins or ends
        edges = np.concatenate([positions.starts, positions.stops - 1])
        runs_at = dict(zip(self.sharing.evaluations(task, edges).tolist(), edges.tolist(), strict=True))
        for run in self._kept[task.name]:
            inside = positions.within(*self.sharing.span(task, run))
            if len(inside):
                runs_at[run] = int(inside.starts[0])
        return list(runs_at.items())

    def _is_elsewhere(self, task: SharedTask) -> bool:
        """Whether workers of another class run the task than those that run variants to their end."""
        classes = self.sharing.classes
        return classes.of_task(task.name) != classes.final

    def _is_inside(self, task: SharedTask, run: int, positions: RowSet) -> bool:
        """Whether all variants to run that need this run are among *positions*, and their worker may do it."""
        if self._is_elsewhere(task):
            return False
        if not task.is_local:
            return len(positions) == len(self._all)
        return len(self._all.within(*self.sharing.span(task, run)) - positions) == 0

    def _block(self, parcel: Parcel, found: _Needs) -> None:
        """Put variants aside until their shared runs are kept, and have those computed that nobody computes yet."""
        aside = parcel.positions
        # the other variants of such a run would only wait too; those of the next run need not wait for them
        spans = [self.sharing.span(self._tasks[name], run) for name, run in found.missing if self._tasks[name].is_local]
        if self.sharing.classes.is_mixed:
            spans = []  # they have runs of their own to wait for, which others can do meanwhile
        if spans and self._waiting and self._waiting[0][0] == parcel.attempt:
            attempt, waiting = self._waiting.popleft()
            mates = waiting.within(min(start for start, _ in spans), max(stop for _, stop in spans))
            aside, rest = aside | mates, waiting - mates
            if len(rest):
                self._waiting.appendleft((attempt, rest))
        self._blocked.append(_Blocked(parcel.attempt, aside, found.missing))
        self._stage(parcel.attempt, found)

    def _stage(self, attempt: int, found: _Needs) -> None:
        for task, runs in found.new.items():
            # what a run before it in this loop needs may have been sent for meanwhile
            unsent = [(run, position) for run, position in runs.items() if (task, run) not in self._staging]
            by_position = sorted(unsent, key=itemgetter(1))
            together = self._together.get(task, 1)
            for k in range(0, len(by_position), together):
                some = by_position[k : k + together]
                positions = RowSet.from_rows([position for _, position in some])
                stage = Parcel(positions, attempt, until=task, evaluations=tuple(run for run, _ in some))
                self._staging |= {(task, run) for run in stage.evaluations}
                below = self._needs(stage)
                stage = replace(stage, kept=bool(self._tasks[task].needs))
                if below.missing:
                    self._blocked.append(_Blocked(attempt, positions, below.missing, stage))
                    self._stage(attempt, below)
                else:
                    self._ready.append(stage)

    def staged(self, parcel: Parcel, mean_s: float = math.inf, target_s: float = 0.0) -> None:
        """Note that the values of a parcel with `until` are kept now; free what waited for them.

        Parameters
        ----------
        mean_s
            Seconds that each of its runs took.
        target_s
            Seconds that a parcel of such runs is to take.
        """
        task = self._tasks[parcel.until]
        self._together[task.name] = max(1, min(_STAGED_TOGETHER, int(target_s / max(mean_s, 1e-6))))
        done = {(task.name, run) for run in parcel.evaluations}
        self._staging -= done
        for run in parcel.evaluations:
            self._keep(task, run)
        self._free(done)

    def keep(self, name: str, position: int) -> None:
        """Note that the failure of the shared run that this variant needs is kept: all who need it fail by it."""
        task = self._tasks[name]
        run = self._run_at(task, position)
        self._staging.discard((name, run))
        self._keep(task, run)
        self._free({(name, run)})

    def _keep(self, task: SharedTask, run: int) -> None:
        if run not in self._kept[task.name]:
            self._kept[task.name][run] = self._n_needing(task, run)
            self._n_kept[task.name] += 1

    def _free(self, done: set[Evaluation]) -> None:
        still: list[_Blocked] = []
        for one in self._blocked:
            one.needs -= done
            if one.needs:
                still.append(one)
            elif one.stage is not None:
                self._ready.append(one.stage)
            else:
                self._put_first(one.attempt, one.positions)
        self._blocked = still

    def reorder(self, order: Callable[[RowSet], list[RowSet]]) -> None:
        """Send what waits in another order: *order* cuts positions into segments."""
        by_attempt: dict[int, RowSet] = {}
        for attempt, positions in self._waiting:
            by_attempt[attempt] = by_attempt.get(attempt, RowSet.empty()) | positions
        self._waiting = deque((attempt, part) for attempt, rows in by_attempt.items() for part in order(rows))

    def _put_first(self, attempt: int, positions: RowSet) -> None:
        following = self._waiting[0] if self._waiting else None
        follows = following and following[0] == attempt and positions.stops[-1] <= following[1].starts[0]
        if follows:
            positions = positions | self._waiting.popleft()[1]
        self._waiting.appendleft((attempt, positions))

    def _n_needing(self, task: SharedTask, run: int) -> int:
        if task.is_local:
            return len(self._all.within(*self.sharing.span(task, run)))
        if task.name not in self._counts:
            counts = np.zeros(task.n_evaluations, dtype=np.int64)
            for positions in self._all.chunks():
                counts += np.bincount(self.sharing.evaluations(task, positions), minlength=task.n_evaluations)
            self._counts[task.name] = counts
        return int(self._counts[task.name][run])

    # -------------------------------------------------------------------------------------------------- coming back

    def settle(self, positions: RowSet) -> list[tuple[str, int]]:
        """Note that variants are settled; give the task of each kept run that nobody needs now, with a position.

        Call it before `give_back` of what was handed back with them.
        """
        released: list[tuple[str, int]] = []
        for name, kept in self._kept.items():
            if not kept or not len(positions):
                continue
            for run, position, n in self._needing(self._tasks[name], positions):
                if run in kept:
                    kept[run] -= n
                    if kept[run] <= 0:
                        del kept[run]
                        released.append((name, position))
        return released

    def _needing(self, task: SharedTask, positions: RowSet) -> list[tuple[int, int, int]]:
        """Kept runs that some of *positions* need: the run, one of them, and how many."""
        if task.is_local:
            inside = {run: positions.within(*self.sharing.span(task, run)) for run in self._kept[task.name]}
            return [(run, int(mine.starts[0]), len(mine)) for run, mine in inside.items() if len(mine)]
        rows = positions.rows()
        runs, where, counts = np.unique(self.sharing.evaluations(task, rows), return_index=True, return_counts=True)
        return list(zip(runs.tolist(), rows[where].tolist(), counts.tolist(), strict=True))

    def give_back(self, parcel: Parcel, left: RowSet) -> None:
        """Put back what a worker handed back; it kept the values that what it did and what is left share."""
        done = parcel.positions - left
        if len(done):
            before = int(done.stops[-1]) - 1
            position = int(left.starts[0])
            for task in self.sharing.tasks:
                run = self._run_at(task, position)
                if task.is_local and run not in self._kept[task.name] and run == self._run_at(task, before):
                    self._kept[task.name][run] = len(left.within(*self.sharing.span(task, run)))
        self._put_first(parcel.attempt, left)

    def put_last(self, attempt: int, positions: RowSet) -> None:
        """Put variants that asked for it behind all others."""
        self._waiting.append((attempt, positions))

    def again(self, parcel: Parcel) -> None:
        """Send a parcel once more, as it is, before anything else that is cut."""
        self._ready.append(parcel)
