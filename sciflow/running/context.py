"""TaskContext: what a task may ask about the run it is part of."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sciflow.errors import OutputError

if TYPE_CHECKING:
    import numpy as np

    from sciflow.space import Variant


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
    artifacts : Path or None
        Folder for files to keep; None where nothing is kept (a run outside a sweep).
    """

    def __init__(
        self, parameters: Variant, *, task: str, attempt: int, sweep_seed: int, artifacts: Path | None
    ) -> None:
        self.parameters = parameters
        self.task = task
        self.attempt = attempt
        self._sweep_seed = sweep_seed
        self._artifacts = artifacts

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
        if self._artifacts is None:
            raise OutputError(f"task {self.task!r} asks for artifact {name!r}, but this run keeps no files")
        folder = self._artifacts / self.variant_id
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise OutputError(f"artifact {name!r} of task {self.task!r} lies outside its folder; use a plain name")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """Remove the scratch folder, if one was made."""
        if "directory" in self.__dict__:
            self._scratch.cleanup()
