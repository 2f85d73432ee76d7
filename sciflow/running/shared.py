"""Values that variants share: kept in memory while variants that need them follow each other, in files for others.

A file is named after the task, its code and the values of its footprint, so it can be used by any worker, by the next
driver, and if the task is cached by the next sweep over the same directory. Values are pickled; no reader of results
opens them.
"""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import resource
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import cloudpickle
import numpy as np

from sciflow.running.evidence import no_evidence
from sciflow.running.failure import Failure, HandedBackError
from sciflow.space.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from sciflow.running.calls import Call, Slots
    from sciflow.running.evidence import Evidence

Key: TypeAlias = bytes
"""Ten bytes: the identity of the values of a footprint."""

MOST_BYTES = 256 << 20
"""Values read from files that a worker keeps in memory, beyond the newest."""

_IMMUTABLE: Final = frozenset({int, float, str, bool, bytes, complex, type(None)})
_FAILED = ".failed"
_KEY_BYTES = 10


def keys_of(table: Table, footprint: Iterable[str]) -> list[Key]:
    """What the run of a task with this footprint is known by, for each row of a table."""
    mine = table.only(footprint)
    counted = tuple(replace(parameter, derived=False) for parameter in mine.parameters)
    ids = Table(counted, mine.columns, mine.n_rows).id_bytes()
    return [ids[at : at + _KEY_BYTES] for at in range(0, len(ids), _KEY_BYTES)]


class SharedRunError(Exception):
    """Carries the failure of a shared run to each variant that needs it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.headline)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file holds.

    Parameters
    ----------
    value : what the run gave, or its failure
    ran : when and where the run took place, and what it took: JSON data; empty where nobody knows
    """

    value: Any
    ran: Mapping[str, Any]


_NOTHING: Final = Kept(None, {})


@dataclass(frozen=True, slots=True)
class Intermediates:
    """The files of shared values.

    Parameters
    ----------
    folder : where they are; None keeps none
    codes : task name → identity of its code and of the code that it depends on
    """

    folder: Path | None
    codes: Mapping[str, str]

    def path(self, task: str, key: Key) -> Path:
        """The file of a value."""
        assert self.folder is not None
        return self.folder / f"{task}-{self.codes.get(task, '')[:16]}-{key.hex()}"

    def read(self, task: str, key: Key) -> tuple[Kept, int]:
        """A value, or the failure of its run, and its size in bytes; `_NOTHING` when it is not there or not whole."""
        if self.folder is None:
            return _NOTHING, 0
        path = self.path(task, key)
        try:
            data = (path if path.exists() else _failed(path)).read_bytes()
            found = pickle.loads(data)  # noqa: S301  our own workers wrote it
        except FileNotFoundError:
            return _NOTHING, 0
        except Exception:  # noqa: BLE001  torn by a power cut, or of classes that changed: computed once more
            return _NOTHING, 0
        return found if isinstance(found, Kept) else Kept(found, {}), len(data)  # earlier releases kept values alone

    def has(self, task: str, key: Key) -> bool:
        """Whether a value is kept."""
        if self.folder is None:
            return False
        path = self.path(task, key)
        return path.exists() or _failed(path).exists()

    def write(self, task: str, key: Key, value: Any, ran: Mapping[str, Any] | None = None) -> bool:
        """Keep a value and where it is from; False when it cannot be sent to another process."""
        if self.folder is None:
            return False
        try:
            data = cloudpickle.dumps(Kept(value, ran or {}), protocol=5)
        except Exception:  # noqa: BLE001  a generator, a lock, an open file, whatever user classes raise
            return False
        self.folder.mkdir(exist_ok=True)
        path = self.path(task, key)
        if isinstance(value, Failure):
            path = _failed(path)
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            unfinished.write_bytes(data)
            os.replace(unfinished, path)  # noqa: PTH105  atomic
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        return True

    def remove(self, task: str, key: Key) -> None:
        """Forget a value."""
        with contextlib.suppress(OSError):
            self.path(task, key).unlink()

    def clear(self, cached: Collection[str] = ()) -> None:
        """Forget failures, and every value but those of the *cached* tasks as their code is now."""
        if self.folder is None or not self.folder.exists():
            return
        kept = tuple(f"{task}-{self.codes.get(task, '')[:16]}-" for task in cached)
        for path in self.folder.iterdir():
            if path.suffix == _FAILED or not path.name.startswith(kept):
                with contextlib.suppress(OSError):
                    path.unlink()


class SharedCall:
    """The call of a task whose runs variants share: runs it when the key changes, else gives what it gave.

    Parameters
    ----------
    task : its name
    call : runs it
    key_slot : where the slots have the key
    files : where values are kept for other workers
    cached : whether every value is kept
    passes : what is no failure of the run, and is raised
    evidence : gives what a run that failed has said
    place : gives where a run takes place, as JSON data
    """

    def __init__(
        self,
        task: str,
        call: Call,
        key_slot: int,
        files: Intermediates,
        *,
        cached: bool,
        passes: tuple[type[BaseException], ...] = (HandedBackError, KeyboardInterrupt),
        evidence: Callable[[], Evidence] = no_evidence,
        place: Callable[[], Mapping[str, Any]] = dict[str, Any],
    ) -> None:
        self.task = task
        self._place = place
        self._ran: Mapping[str, Any] = {}  # of the last run here
        self._origin: Mapping[str, Any] | None = None
        self._passes, self._evidence = passes, evidence
        self._call, self._key_slot, self._files, self._cached = call, key_slot, files, cached
        self._key: Key | None = None
        self._give: Callable[[], Any] = _nothing
        self._once: Any = None
        self._memory: OrderedDict[Key, tuple[Callable[[], Any], int, Mapping[str, Any]]] = OrderedDict()
        self._n_bytes = 0
        self.kept = False
        """Whether some values may be in files."""
        self.on_run: Callable[[], None] = _nothing
        """Called after each run that was really done."""
        self.on_origin: Callable[[Mapping[str, Any] | None], None] = _ignore
        """Called when the value at hand is another one, with the run elsewhere that it is from; None if from here."""
        self.only_for: tuple[SharedCall, ...] = ()
        """If only these calls use the value: it is not fetched while they have what they need."""

    def has(self, slots: Slots) -> bool:
        """Whether the value for these slots is the one at hand."""
        return slots[self._key_slot] == self._key

    def __call__(self, slots: Slots) -> Any:
        """Give the value for these slots.

        Raises
        ------
        SharedRunError
            Its run failed, now or for another variant.
        """
        if self.only_for and all(call.has(slots) for call in self.only_for):
            self._is_from(None)
            return None
        key = slots[self._key_slot]
        if key != self._key:
            self._is_from(None)
            self._give = self._load(key, slots)
            self._key = key
            if self._give is _used_up:  # what gives its values once cannot be shared: each variant has its own
                self._key, once, self._once = None, self._once, None
                return once
        return self._give()

    def _load(self, key: Key, slots: Slots) -> Callable[[], Any]:
        remembered = self._memory.get(key)
        if remembered is not None:
            self._memory.move_to_end(key)
            self._is_from(remembered[2])
            return remembered[0]
        if self.kept or self._cached:
            kept, n_bytes = self._files.read(self.task, key)
            if kept is not _NOTHING:
                give = giver(kept.value)
                self._remember(key, give, n_bytes, kept.ran)
                self._is_from(kept.ran)
                return give
        value = self._run(slots)
        if hasattr(value, "__next__"):
            self._once = value
            return _used_up
        if self._cached and not isinstance(value, Failure):
            self._files.write(self.task, key, value, self._ran)
        return giver(value)

    def _is_from(self, ran: Mapping[str, Any] | None) -> None:
        if ran is not self._origin:
            self._origin = ran
            self.on_origin(ran)

    def _run(self, slots: Slots) -> Any:
        start, begun, cpu_s = time.time(), time.perf_counter(), _cpu_s()
        try:
            value = self._call(slots)
        except self._passes:
            raise
        except BaseException as error:  # noqa: BLE001  sys.exit() too fails every variant that needs it, once
            value = error.failure if isinstance(error, SharedRunError) else self._failure(error)
        self._ran = {
            "start": round(start, 3),
            "wall_s": round(time.perf_counter() - begun, 6),
            "cpu_s": round(_cpu_s() - cpu_s, 6),
            **self._place(),
        }
        self.on_run()
        return value

    def _failure(self, error: BaseException) -> Failure:
        return Failure.of(error, self.task, self._evidence())

    def _remember(self, key: Key, give: Callable[[], Any], n_bytes: int, ran: Mapping[str, Any]) -> None:
        self._memory[key] = give, n_bytes, ran
        self._n_bytes += n_bytes
        while self._n_bytes > MOST_BYTES and len(self._memory) > 1:
            _, (_, dropped, _) = self._memory.popitem(last=False)
            self._n_bytes -= dropped

    def keep(self, slots: Slots) -> bool:
        """Compute the value for these slots and keep it, or its failure, for other workers, unless it is there."""
        key = slots[self._key_slot]
        if self._files.has(self.task, key):
            return True
        value = self._run(slots)
        if hasattr(value, "__next__"):
            return False
        self._key, self._give = key, giver(value)
        self._is_from(self._ran)
        return self._files.write(self.task, key, value, self._ran)

    def keep_for(self, key: Key) -> None:
        """Keep the value at hand if variants that others will run need it."""
        if key == self._key and not self._files.has(self.task, key):
            try:
                value = self._give()
            except SharedRunError as error:
                value = error.failure
            self._files.write(self.task, key, value, self._ran)


def giver(value: Any) -> Callable[[], Any]:
    """What gives the value to one variant after another, each time as it was: a task may change what it is given."""
    if isinstance(value, Failure):
        failure = value

        def fail() -> Any:
            raise SharedRunError(failure)

        return fail
    if _is_immutable(value):
        return lambda: value
    if type(value) in {dict, list} and all(map(_is_immutable, value.values() if type(value) is dict else value)):
        return value.copy
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.copy

    def copied() -> Any:
        try:
            return copy.deepcopy(value)
        except Exception:  # noqa: BLE001  it cannot be copied: a model with a lock, an open database
            return value

    return copied


def _is_immutable(value: Any) -> bool:
    kind = type(value)
    return kind in _IMMUTABLE or isinstance(value, np.generic) or (kind is tuple and all(map(_is_immutable, value)))


def _nothing() -> None:
    return None


def _ignore(_: Mapping[str, Any] | None) -> None:
    return None


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _failed(path: Path) -> Path:
    """Where the failure of a run is kept instead of its value."""
    return path.with_name(path.name + _FAILED)


def _used_up() -> Any:
    raise AssertionError("an iterator is never given twice")
