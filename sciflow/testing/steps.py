"""The steps of a sweep at which a fault can be injected, by name, and who is who among its processes.

A step is an operation on a file whose name fits a pattern (``write segments/[0-9]*.seg``), or a call of a function
(``call package.module:Class.method``), which serves clusters and stores of other people too. `STEPS` has names for
those of sciflow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("open",),
    "write": ("write", "writev"),
    "sync": ("fsync", "fdatasync"),
    "publish": ("link", "rename", "replace"),
    "remove": ("unlink", "remove"),
}
"""Operation → the functions of `os` that do it."""

_FILES = {
    "sweep": "sweep.json",
    "definition": "definition/*.json",
    "environment": "environment/*.json",
    "session": "sessions/*.json",
    "heartbeat": "sessions/*.heartbeat",
    "fence": "sessions/*.fence",
    "end": "sessions/*.end",
    "compacted": "segments/*-compacted-*.seg",
    "lock": "segments/.compaction-*",
    "results": "results.h5",
    "state": ".results.state",
}


def _of_file(kind: str, pattern: str) -> dict[str, str]:
    """Files that appear whole are written under a temporary name beside their own."""
    folder, slash, name = pattern.rpartition("/")
    temporary = f"{folder}{slash}.{name}.*.tmp"
    written = {f"{kind}.{operation}": f"{operation} {temporary}" for operation in ("create", "write", "sync")}
    return {**written, f"{kind}.publish": f"publish {pattern}"}


STEPS: Final[Mapping[str, str]] = {
    "process.start": "start",
    # a commit: the file is created once, then each commit is a write and a sync
    **{f"segment.{operation}": f"{operation} segments/[0-9]*.seg" for operation in ("create", "write", "sync")},
    "segments.sync": "sync segments",
    # a batch ends when all of it is committed; its answer is settled after it came
    "batch": "call sciflow.engine.worker:BatchRunner.__call__",
    "answer": "call sciflow.clusters.protocol:Answer.__init__",
    **{step: what for kind, pattern in _FILES.items() for step, what in _of_file(kind, pattern).items()},
    "code.write": "write code/.*",
    "code.publish": "publish code/*",
    "segment.remove": "remove segments/[0-9]*.seg",
    "intermediate.publish": "publish intermediates/*",
    "checkpoint.publish": "publish checkpoints/*",
}
"""Name → step. ``KIND.create``, ``.write``, ``.sync`` (of a temporary file) and ``.publish`` (under its own name) exist
for sweep, definition, environment, session, heartbeat, fence, end, compacted, results and state; libhdf5 writes
results.h5 unseen."""


@dataclass(frozen=True, slots=True)
class Step:
    """An operation and what it is done to.

    Attributes
    ----------
    operation
        One of `OPERATIONS`, ``call``, or ``start`` for the start of a process.
    pattern
        How the path ends, with ``*``, ``?`` and ``[...]``; of a call, ``module:function``.
    """

    operation: str
    pattern: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The step called *text*, or written out.

        Raises
        ------
        ValueError
            There is no such step.
        """
        operation, _, pattern = STEPS.get(text, text).partition(" ")
        if operation != "start" and (operation not in {*OPERATIONS, "call"} or not pattern):
            raise ValueError(
                f"no step {text!r}; it is one of {', '.join(STEPS)}, or an operation and the end of a path, such as "
                "'write segments/*.seg', or a function, such as 'call package.module:function'"
            )
        if operation == "call" and ":" not in pattern:
            raise ValueError(f"step {text!r}: write a function as 'call package.module:function'")
        return cls(operation, pattern)

    def is_of(self, operation: str, path: str) -> bool:
        """Whether this operation on this path, or call of this function, is the step."""
        if operation != self.operation:
            return False
        if operation in {"call", "start"}:
            return path == self.pattern
        return _ending(self.pattern).match(path) is not None


@cache
def _ending(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(f"*/{pattern}"))


_PARSED = {name: Step.parse(name) for name in STEPS}


def name_of(operation: str, path: str) -> str | None:
    """What `STEPS` calls an operation on a path; None if it has no name."""
    return next((name for name, step in _PARSED.items() if step.is_of(operation, path)), None)


_ROLES = {
    "sciflow.clusters.child": "worker",
    "sciflow.store.consolidate": "consolidator",
    "sciflow.store.compact": "compactor",
    "distributed.cli.dask_worker": "nanny",
}
_ROLE_OF_CODE = {"multiprocessing.resource_tracker": "tracker", "multiprocessing.spawn": "worker"}


def role_of(command_line: Sequence[str]) -> str:
    """What a Python process is to a sweep, by its command line.

    ``worker`` (with or without Dask), ``nanny`` (of a Dask worker that was started as a program of its own),
    ``consolidator``, ``compactor``, ``guardian``, ``tracker`` (Python's own, of shared resources), else ``driver``.
    """
    for flag, what in pairwise(command_line):
        if flag == "-m":
            return _ROLES.get(what, "driver")
        if flag == "-c":
            return next((role for module, role in _ROLE_OF_CODE.items() if module in what), "driver")
    return "guardian" if any(one.endswith("sciflow/running/guardian.py") for one in command_line) else "driver"
