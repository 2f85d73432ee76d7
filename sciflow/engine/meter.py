"""Meter: what variants take of the machine: processor time, memory, bytes read and written.

Looking costs microseconds, so only variants that take much longer are looked at one by one; of shorter ones a stretch
of many is measured as a whole.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

CPU_EACH_S: Final = 5e-4
"""Variants that take longer, in the mean, are asked for their processor time one by one: 2 µs."""

ALL_EACH_S: Final = 1e-2
"""Variants that take longer are asked for their memory and their reading and writing too: 20 µs."""

TIMES: Final = ("cpu_s", "system_s", "children_s")
"""Processor time with that of child processes; what of it the kernel took for this process; what of it children."""

BYTES: Final = ("read_bytes", "written_bytes")
"""What went through system calls, of children that ended too: files, also those that are cached, and pipes."""

PEAK: Final = "peak_bytes"

_Look: TypeAlias = "tuple[float, ...]"


@dataclass(frozen=True, slots=True)
class Usage:
    """What consecutive variants took.

    Parameters
    ----------
    total : name → amount, of all of them; `PEAK` is the most at one time
    each : name → amounts, (n,); empty for variants too short to be measured one by one
    """

    total: Mapping[str, float] = field(default_factory=dict[str, float])
    each: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, "NDArray[Any]"])

    def take(self, members: NDArray[np.int64], share: float) -> Usage:
        """The part of some of them, to which *share* of a total falls where each was not measured."""
        each = {name: values[members] for name, values in self.each.items()}
        total = {name: value if name == PEAK else value * share for name, value in self.total.items()}
        total |= {name: (values.max if name == PEAK else values.sum)().item() for name, values in each.items()}
        return replace(self, total=total, each=each)


class Meter:
    """Measures this process.

    Parameters
    ----------
    own : whether the process does nothing else, so that its record of most memory may be begun anew
    each : whether variants are measured one by one where that is free
    """

    def __init__(self, *, own: bool = True, each: bool = True) -> None:
        self._is_for_each = each
        self._io = _opened("io") if each else None
        self._status = _opened("status") if own else None
        self._clear = _opened("clear_refs", os.O_WRONLY) if own else None
        self._n_read = self._n_written = 0  # by looking
        self._looks: list[_Look] = []
        self._look: Callable[[], _Look] | None = None
        self._before = self._all()

    def metered(
        self, iterator: Iterator[Any], variant_s: float | None, begin: Callable[[], object] = lambda: None
    ) -> Iterator[Any]:
        """The iterator over variants that take about so long, each measured if that costs nothing to speak of.

        Then *begin* is called before each.
        """
        if not self._is_for_each or (variant_s is not None and variant_s < CPU_EACH_S):
            self._look = None
            return iterator
        self._look = self._all if variant_s is None or variant_s >= ALL_EACH_S else _times
        return _Each(iterator, self._look, self._looks, begin)

    def begin(self) -> None:
        """Count from here."""
        self._looks.clear()
        self._before = self._all()

    def take(self, n: int) -> Usage:
        """What was used since `begin`, by *n* variants."""
        after = self._all()
        named = dict(zip((*TIMES, *BYTES), np.subtract(after[:-1], self._before[:-1]).tolist(), strict=False))
        total = {name: value for name, value in named.items() if value > 0 or name == "cpu_s"} | {PEAK: after[-1]}
        if self._look is None:
            return Usage(total)
        looks = (self._looks + [after] * n)[:n]  # one that is ended from outside has no look of its own
        width = min(map(len, looks))
        counts = np.array([look[:width] for look in [self._before, *looks]])
        names = TIMES if width <= len(TIMES) else (*TIMES, *BYTES)[: width - 1]
        each = {name: np.diff(counts[:, k]) for k, name in enumerate(names)}
        each |= {name: each[name].astype(np.float32) for name in TIMES}
        each |= {name: each[name].astype(np.int64) for name in BYTES if name in each}
        if width > len(TIMES):
            each[PEAK] = counts[1:, -1].astype(np.int64)
            total[PEAK] = max(after[-1], float(counts[1:, -1].max()))
        return Usage({name: total[name] for name in ("cpu_s", PEAK)}, each)

    def close(self) -> None:
        """Close the files that are looked into."""
        for descriptor in (self._io, self._status, self._clear):
            if descriptor is not None:
                os.close(descriptor)
        self._io = self._status = self._clear = None

    def _all(self) -> _Look:
        return (*_times(), *self._read_and_written(), self._peak_bytes())

    def _read_and_written(self) -> tuple[float, ...]:
        if self._io is None:
            return ()
        text = os.pread(self._io, 256, 0)
        fields = text.split(None, 4)  # proc(5): "rchar: N", "wchar: N", ...
        found = float(int(fields[1]) - self._n_read), float(int(fields[3]) - self._n_written)
        self._n_read += len(text)
        return found

    def _peak_bytes(self) -> float:
        """The most memory since the last call, where the system lets itself be asked that."""
        if self._status is not None and self._clear is not None:
            with contextlib.suppress(OSError, IndexError, ValueError):
                text = os.pread(self._status, 4096, 0)
                self._n_read += len(text)
                peak = int(text.partition(b"VmHWM:")[2].split(None, 1)[0]) << 10
                self._n_written += os.pwrite(self._clear, b"5", 0)  # forget it: the next peak is the next variants'
                return float(peak)
        scale = 1 if sys.platform == "darwin" else 1 << 10
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)


class _Each:
    """An iterator that takes a look after each item, also after one that raised."""

    __slots__ = ("_begin", "_iterator", "_look", "_looks")

    def __init__(
        self,
        iterator: Iterator[Any],
        look: Callable[[], _Look],
        looks: list[_Look],
        begin: Callable[[], object],
    ) -> None:
        self._iterator, self._look, self._looks, self._begin = iterator, look, looks, begin

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._begin()
        try:
            return next(self._iterator)
        finally:
            self._looks.append(self._look())


def _times() -> _Look:
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    of_children = children.ru_utime + children.ru_stime
    return mine.ru_utime + mine.ru_stime + of_children, mine.ru_stime, of_children


def _opened(name: str, flags: int = os.O_RDONLY) -> int | None:
    """A file of this process, kept open: opening it takes longer than reading it; None where there is none."""
    try:
        return os.open(f"/proc/self/{name}", flags | os.O_CLOEXEC)
    except OSError:
        return None
