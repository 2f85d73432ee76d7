"""What a worker's variants run in: compared with the driver's before anything runs, recorded with their results."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sciflow.errors import EnvironmentMismatchError
from sciflow.store.environments import keep_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sciflow.provenance.environment import Surroundings

OnMismatch = Literal["warn", "error"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a driver tells its workers of its own environment.

    Parameters
    ----------
    surroundings : what it found; a worker of the same place need not look again
    on_mismatch : what a worker does that has another Python or other versions of packages
    """

    surroundings: Surroundings
    on_mismatch: OnMismatch = "warn"


class WorkerEnvironment:
    """The environment of a worker process.

    Parameters
    ----------
    expected : the driver's
    root : the sweep directory

    Raises
    ------
    EnvironmentMismatchError
        It is another than the driver's, and that is an error.
    """

    def __init__(self, expected: Expected, root: Path) -> None:
        self._root = root
        self._surroundings = expected.surroundings.of_this_process()
        self._record: dict[str, Any] = {}
        self._digest, self._n_modules = "", -1
        self.mismatch: Mapping[str, Any] | None = None
        """In what it differs from the driver's: ``host``, ``differences``; None when in nothing that matters."""
        if self._surroundings is expected.surroundings:
            return
        from sciflow.provenance.mismatch import mismatch_words, mismatches  # noqa: PLC0415  workers on other nodes

        found = mismatches(expected.surroundings.facts, self._surroundings.facts)
        if found and expected.on_mismatch == "error":
            raise EnvironmentMismatchError(
                f"a worker on {socket.gethostname()} has another environment than the driver ({mismatch_words(found)}) "
                f"and runs nothing; give both the same ({sys.executable} is the worker's Python), or "
                "pass on_environment_mismatch='warn' to run all the same and record both"
            )
        if found:
            self.mismatch = {"host": socket.gethostname(), "differences": found}

    def digest(self) -> str:
        """The digest of the environment as it is now, which the sweep directory has from then on.

        It is looked at again when modules were imported since, which may bring and set numeric libraries.
        """
        if len(sys.modules) != self._n_modules:
            record = self._surroundings.record()
            if record != self._record:
                self._digest = keep_environment(self._root, record)
                self._record = record
            self._n_modules = len(sys.modules)
        return self._digest
