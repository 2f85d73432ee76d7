"""How many variants of a sweep are done, failed and stale, kept up to date as frames come: only new ones are read."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from sciflow.errors import FormatError, SpaceError
from sciflow.planning.rows import RowSet
from sciflow.space.spec import from_dict
from sciflow.store.column import FAILURE, ID, MERGED, Category
from sciflow.store.directory import frozen_defaults
from sciflow.store.located import Locator, recorded_table, united

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.space import Space
    from sciflow.store.located import Bounds
    from sciflow.store.segment import FrameRef
    from sciflow.store.snapshot import Snapshot

_MOST_KNOWN: Final = 100_000  # texts of failures that are recognised without being taken apart


@dataclass(frozen=True, slots=True)
class FailedVariant:
    """One of several variants that failed for one reason: which, and where it ran."""

    id: str
    parameters: Mapping[str, Any]
    host: str


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Variants that failed for one reason.

    Attributes
    ----------
    fingerprint
        What they share: the type of the exception and the innermost line of the user's code.
    message, traceback
        Those of the example.
    """

    count: int
    cause: str
    task: str
    type: str
    message: str
    fingerprint: str
    traceback: str
    example: FailedVariant


@dataclass(slots=True)
class _Group:
    key: tuple[str, str, str]
    failure: dict[str, Any]
    place: int
    example: FailedVariant


class Tally:
    """Counts of the newest definition of a sweep.

    As in `sciflow.store.assemble`: a success counts before a failure, and what today's code made before what other
    code made. A variant is known by its row, or, where a function decides the space, by its id.

    Parameters
    ----------
    definitions : all revisions of the definition, oldest first; not empty
    """

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        self.definition = definitions[-1]
        self.space: Space | None = _space_of(self.definition)
        self._generation = self.definition.get("generation")
        self._locator = None
        if self.space is not None:
            same = {old["revision"]: old.get("space") == self.definition["space"] for old in definitions}
            self._locator = Locator(self.space, same, frozen_defaults(definitions))
        self._done = {True: RowSet.empty(), False: RowSet.empty()}  # by today's code, by other code
        self._failed = {True: RowSet.empty(), False: RowSet.empty()}
        self._seen: dict[str, int] = {}
        self._groups: list[_Group] = []
        self._known: dict[tuple[str, str, str], int] = {}
        self._texts: dict[int, int] = {}
        # failed variants, each once: place, group, and where its record is
        self._places, self._group_of = np.empty(0, np.int64), np.empty(0, np.int64)
        self._records = np.empty((0, 2), np.int64)
        self._frames: list[FrameRef] = []

    # ------------------------------------------------------------------------------------------------------- counts

    @property
    def n_variants(self) -> int:
        """The variants of the space; where nobody knows, the recorded ones."""
        if "n_variants" in self.definition:
            return self.definition["n_variants"]
        if self.space is not None:
            return self.space.n_variants
        return len(self._done[True] | self._done[False] | self._failed[True] | self._failed[False])

    @property
    def n_done(self) -> int:
        """Variants with a result of today's code."""
        return len(self._done[True])

    @property
    def stale(self) -> RowSet:
        """Variants whose only result is of other code."""
        return self._done[False] - self._done[True] - self._failed[True]

    @property
    def n_failed(self) -> int:
        """Variants that failed and never succeeded."""
        failed = self._failed[True] - self._done[True]
        return len(failed | (self._failed[False] - self._done[True] - self._done[False]))

    def failures(self, most: int) -> tuple[list[FailureGroup], int]:
        """The reasons that most variants failed for, and how many there are."""
        members = self._still_failed()
        counts = np.bincount(self._group_of[members], minlength=len(self._groups))
        order = [k for k in np.argsort(-counts, kind="stable").tolist() if counts[k]]
        return [self._describe(k, int(counts[k]), members) for k in order[:most]], len(order)

    # ------------------------------------------------------------------------------------------------------- update

    def add(self, snapshot: Snapshot) -> None:
        """Count what was committed since the last call."""
        new = [
            frame
            for name, frames in snapshot.counted.items()
            for frame in frames[self._seen.get(name, 0) if len(frames) >= self._seen.get(name, 0) else 0 :]
        ]
        done: dict[bool, list[Bounds]] = defaultdict(list)
        failed: list[FrameRef] = []
        for frame in new:
            if frame.header["status"] == "done":
                done[self._is_current(frame)].append(self._bounds(frame))
            else:
                failed.append(frame)
        for current, bounds in done.items():
            self._done[current] = self._done[current] | united(bounds)
        if failed:
            self._add_failures(failed)
        self._seen = {name: len(frames) for name, frames in snapshot.counted.items()}

    def _is_current(self, frame: FrameRef) -> bool:
        return self._generation is None or frame.header.get("generation") == self._generation

    def _bounds(self, frame: FrameRef) -> Bounds:
        if self._locator is not None:
            return self._locator.bounds(frame)[0]
        places = _hashed(frame)
        return places, places + 1

    def _add_failures(self, frames: list[FrameRef]) -> None:
        frames.sort(key=lambda frame: (frame.session, frame.header.get("attempt", 1), frame.header.get("t0", 0.0)))
        parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        bounds: dict[bool, list[Bounds]] = defaultdict(list)
        for frame in frames:
            places = _hashed(frame) if self._locator is None else self._locator.rows(frame)
            bounds[self._is_current(frame)].append((places[places >= 0], places[places >= 0] + 1))
            told = places >= 0
            if MERGED in frame.header:  # put together from others, most of which were seen
                told &= ~np.isin(places, self._places)
            at = np.flatnonzero(told)
            if len(at):
                groups = self._groups_of(frame, places, at)
                self._frames.append(frame)
                records = np.column_stack([np.full(len(at), len(self._frames) - 1), at])
                parts.append((places[at], groups, records))
        for current, rows in bounds.items():
            self._failed[current] = self._failed[current] | united(rows)
        places = np.concatenate([self._places, *(part[0] for part in parts)])
        groups = np.concatenate([self._group_of, *(part[1] for part in parts)])
        records = np.concatenate([self._records, *(part[2] for part in parts)])
        # of several failures of a variant the last counts
        _, last = np.unique(places[::-1], return_index=True)
        keep = len(places) - 1 - last
        self._places, self._group_of, self._records = places[keep], groups[keep], records[keep]

    def _groups_of(self, frame: FrameRef, places: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The group of each of these variants of a frame."""
        texts = _texts(frame)
        found = np.empty(len(at), np.int64)
        for k, index in enumerate(at.tolist()):
            text = texts[index] or "{}"
            group = self._texts.get(hash(text))
            if group is None:
                failure = cast("dict[str, Any]", json.loads(text))
                key = (str(failure.get("cause", "")), str(failure.get("task", "")), str(failure.get("fingerprint", "")))
                group = self._known.setdefault(key, len(self._groups))
                if group == len(self._groups):
                    self._groups.append(_Group(key, failure, int(places[index]), _example(frame, index)))
                if len(self._texts) < _MOST_KNOWN:
                    self._texts[hash(text)] = group
            found[k] = group
        return found

    # ----------------------------------------------------------------------------------------------------- failures

    def _still_failed(self) -> NDArray[np.int64]:
        """Which of the failures are of variants that have no result since."""
        settled = _contains(self._done[True], self._places)
        old = ~_contains(self._failed[True], self._places)  # failed by other code only
        settled |= old & _contains(self._done[False], self._places)
        return np.flatnonzero(~settled)

    def _describe(self, number: int, count: int, members: NDArray[np.int64]) -> FailureGroup:
        group = self._groups[number]
        mine = members[self._group_of[members] == number]
        if group.place not in self._places[mine]:  # the example has succeeded since, or failed otherwise
            self._choose_example(group, int(mine[0]))
        failure = group.failure
        return FailureGroup(
            count,
            *group.key[:2],
            str(failure.get("type", "")),
            str(failure.get("message", "")),
            group.key[2],
            str(failure.get("traceback", "")),
            group.example,
        )

    def _choose_example(self, group: _Group, member: int) -> None:
        frame, index = self._frames[int(self._records[member, 0])], int(self._records[member, 1])
        group.place = int(self._places[member])
        try:
            group.example = _example(frame, index)
            group.failure = json.loads(_texts(frame)[index] or "{}")
        except (OSError, FormatError):  # its segment was put together with others
            if self.space is not None:
                variant = self.space[group.place]
                group.example = FailedVariant(variant.id, dict(variant), "")


def _space_of(definition: Mapping[str, Any]) -> Space | None:
    """The space of a definition; None if a function that nobody stored decides what is in it."""
    try:
        return from_dict(definition["space"])
    except (SpaceError, KeyError):
        return None


def _texts(frame: FrameRef) -> list[str | None]:
    stored = frame.table([FAILURE]).get(FAILURE)
    if stored is None:
        return [None] * frame.n
    return stored.values() if isinstance(stored, Category) else stored


def _example(frame: FrameRef, index: int) -> FailedVariant:
    table = recorded_table(frame).take(np.array([index]))
    ids: NDArray[np.uint8] = frame.table([ID])[ID]
    worker = str(frame.fact("worker")[index] or "")
    return FailedVariant("v" + ids[index].tobytes().hex(), dict(next(table.variants())), worker.rpartition(":")[0])


def _hashed(frame: FrameRef) -> NDArray[np.int64]:
    """A number for each variant, from its id: of a million, two have the same with a probability of 1e-7."""
    ids: NDArray[np.uint8] = frame.table([ID])[ID]
    return (np.ascontiguousarray(ids[:, :8]).view("<u8").ravel() >> 1).astype(np.int64)


def _contains(rows: RowSet, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(rows.starts):
        return np.zeros(len(places), dtype=np.bool_)
    at = np.searchsorted(rows.starts, places, side="right") - 1
    return (at >= 0) & (places < rows.stops[at])
