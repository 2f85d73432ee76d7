"""TaskContext: what a task may ask about the run it is part of."""

from __future__ import annotations

import hashlib
import math
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciflow.errors import OutputError
from sciflow.running.evidence import no_evidence
from sciflow.running.log import RunLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from sciflow.running.checkpoint import Checkpoint
    from sciflow.running.evidence import Evidence
    from sciflow.running.lineage import Lineage
    from sciflow.space import Variant


def _never() -> bool:
    return False


def _nobody_asks(_fraction: float) -> None:
    pass


@dataclass(frozen=True, slots=True)
class RunSite:
    """What surrounds a run; the defaults are those of a run outside a sweep.

    Parameters
    ----------
    artifacts : folder for files to keep; None where nothing is kept
    checkpoints : folder for checkpoints; None keeps them in the scratch folder of the run, so that they go with it
    logs : folder for what runs say; None sends it to standard error
    should_stop : whether a run should save and hand its variant back now
    progress : is told the fraction of the running task that is done
    generation : identity of the code; checkpoints of other code are not loaded
    evidence : gives what the running variant has said so far
    lineage : told which artifacts are made and used; None where nobody asks
    place : gives where a run takes place (worker, session, job, environment), as JSON data
    """

    artifacts: Path | None = None
    checkpoints: Path | None = None
    logs: Path | None = None
    should_stop: Callable[[], bool] = _never
    progress: Callable[[float], None] = _nobody_asks
    generation: str = ""
    evidence: Callable[[], Evidence] = no_evidence
    lineage: Lineage | None = None
    place: Callable[[], Mapping[str, Any]] = dict[str, Any]


class Deferred:
    """What a task returns that saved a checkpoint and wants to be called again later; see `TaskContext.defer`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DEFERRED"

    def __reduce__(self) -> str:
        return "DEFERRED"  # there is one, in every process


DEFERRED = Deferred()
"""The one `Deferred`."""


class TaskContext:
    """Handed to every task that names an argument ``context``.

    Parameters
    ----------
    parameters : Variant
        Name → value of every parameter of this variant.
    task : str
        Name of the task.
    attempt : int
        Which try of this variant this is; the first is 1.
    sweep_seed : int
        Seed of the workflow.
    site : RunSite
        What surrounds the run.
    """

    def __init__(self, parameters: Variant, *, task: str, attempt: int, sweep_seed: int, site: RunSite) -> None:
        self.parameters = parameters
        self.task = task
        self.attempt = attempt
        self._sweep_seed = sweep_seed
        self._site = site

    def __repr__(self) -> str:
        return f"TaskContext(task={self.task!r}, variant={self.variant_id}, attempt={self.attempt})"

    @property
    def variant_id(self) -> str:
        """Identity of the variant: ``v`` and 20 hex digits."""
        return self.parameters.id

    @cached_property
    def _entropy(self) -> list[int]:
        # the variant's id leaves out parameters at their default, so extending a sweep changes no random number
        digest = hashlib.sha256(f"{self.task}\n{self.variant_id}".encode()).digest()
        return [self._sweep_seed, *(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4))]

    @cached_property
    def rng(self) -> np.random.Generator:
        """Random numbers of this run (Philox): the same on any machine, in any order, after any extension."""
        from numpy.random import Generator, Philox, SeedSequence  # noqa: PLC0415  only tasks that draw pay for it

        return Generator(Philox(SeedSequence(self._entropy)))

    @property
    def seed(self) -> int:
        """A whole number in [0, 2^63) for libraries that want a seed; fixed like `rng`."""
        digest = hashlib.sha256(repr(self._entropy).encode()).digest()
        return int.from_bytes(digest[:8], "little") >> 1

    @cached_property
    def directory(self) -> Path:
        """An empty scratch folder of this run, removed when the run is over."""
        self._scratch = tempfile.TemporaryDirectory(prefix=f"sciflow-{self.variant_id}-")
        return Path(self._scratch.name)

    def artifact(self, name: str) -> Path:
        """Where to write a file that is kept with the results, as ``artifacts/<variant>/<name>``.

        Raises
        ------
        OutputError
            If *name* would leave the folder, or nothing is kept in this run.
        """
        if self._site.artifacts is None:
            raise OutputError(f"task {self.task!r} asks for artifact {name!r}, but this run keeps no files")
        folder = self._site.artifacts / self.variant_id
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise OutputError(f"artifact {name!r} of task {self.task!r} lies outside its folder; use a plain name")
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._site.lineage is not None:
            self._site.lineage.make(self.task, path)
        return path

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """How far this task has come for this variant: ``save``, ``load``, or ``path`` for a format of your own."""
        from sciflow.running.checkpoint import Checkpoint  # noqa: PLC0415  only long tasks pay for it

        kept = self._site.checkpoints
        folder = self.directory / "checkpoint" if kept is None else kept / self.variant_id
        return Checkpoint(folder / self.task, self._site.generation, self.log)

    def should_stop(self) -> bool:
        """Whether the window or the walltime is about to end: save a checkpoint and return `defer`."""
        return self._site.should_stop()

    def defer(self) -> Deferred:
        """Get what to return instead of a result, so that this variant runs again later, from its checkpoint.

        Examples
        --------
        ::

            if context.should_stop():
                context.checkpoint.save(state)
                return context.defer()
        """
        return DEFERRED

    def progress(self, fraction: float) -> None:
        """Say how much of this task is done; 0 is nothing and 1 is all.

        Parameters
        ----------
        fraction : float
            What lies outside is taken for the nearer end.

        Raises
        ------
        ValueError
            If it is NaN.
        """
        done = float(fraction)
        if math.isnan(done):
            raise ValueError(f"task {self.task!r} says that its progress is NaN; give a fraction between 0 and 1")
        self._site.progress(min(max(done, 0.0), 1.0))

    def log(self, *things: object) -> None:
        """Append a line with the time to the log of this variant, like ``print``.

        Parameters
        ----------
        *things : object
            Anything. A log is full at 1 MiB; it then says so, and what follows is not kept.
        """
        self.run_log.line(" ".join(map(str, things)))

    @cached_property
    def run_log(self) -> RunLog:
        """The log of this run, ``logs/<variant>.log``."""
        logs = self._site.logs
        path = None if logs is None else logs / f"{self.variant_id}.log"
        return RunLog(path, f"{self.task}[{self.attempt}]")

    def close(self) -> None:
        """Remove the scratch folder, if one was made."""
        if "directory" in self.__dict__:
            self._scratch.cleanup()
