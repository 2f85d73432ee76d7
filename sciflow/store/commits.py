"""Which commits ``results.h5`` holds, so that a reader can tell cheaply whether it is current."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from sciflow.store.atomic import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sciflow.store.directory import SweepDirectory
    from sciflow.store.snapshot import Snapshot

RESULTS_NAME: Final = "results.h5"
STATE_NAME: Final = ".results.state"


@dataclass(frozen=True, slots=True)
class Commits:
    """How much was committed: as no record is ever changed or taken back, equal numbers are equal contents."""

    variants: int
    revision: int

    @classmethod
    def of(cls, directory: SweepDirectory, snapshot: Snapshot) -> Self:
        """The records in *snapshot*, and the newest revision of the definition."""
        return cls(snapshot.n_variants, directory.newest_revision())

    def to_dict(self) -> dict[str, int]:
        """The numbers as plain data."""
        return asdict(self)


def write_state(directory: SweepDirectory, commits: Commits, size: int, left_out: Sequence[str]) -> None:
    """Note what the ``results.h5`` of *size* bytes holds, and the outputs that it does not."""
    state = {**commits.to_dict(), "size": size, "left_out": list(left_out)}
    replace(directory.path / STATE_NAME, json.dumps(state).encode(), durable=False)


def is_consolidated(directory: SweepDirectory, snapshot: Snapshot) -> bool:
    """Whether ``results.h5`` holds all that *snapshot* does (arrays that it leaves out apart)."""
    try:
        state: dict[str, Any] = json.loads((directory.path / STATE_NAME).read_bytes())
        size = (directory.path / RESULTS_NAME).stat().st_size
    except (OSError, ValueError):
        return False
    return state == {**state, **Commits.of(directory, snapshot).to_dict(), "size": size}
