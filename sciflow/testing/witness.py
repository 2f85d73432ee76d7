"""A reader that looks at a sweep again and again, and holds what it sees against what it saw and what is true."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, cast

import h5netcdf
import numpy as np

from sciflow.analysis.results import open_results
from sciflow.store.commits import RESULTS_NAME
from sciflow.testing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

_MOST_COMPLAINTS = 20


@dataclass(slots=True)
class Testimony:
    """What a witness saw.

    Attributes
    ----------
    n_looks
        How often it looked.
    n_lost
        Variants that were acknowledged, or seen, as done and were not there later.
    n_duplicates
        Variants that the dataset had twice.
    n_wrong
        Variants whose values are not those of their parameters.
    n_unreadable
        Looks at which the sweep could not be read.
    n_shrunk
        Looks at which fewer variants were done than before, or fewer in ``results.h5``.
    """

    n_looks: int = 0
    n_lost: int = 0
    n_duplicates: int = 0
    n_wrong: int = 0
    n_unreadable: int = 0
    n_shrunk: int = 0
    complaints: list[str] = field(default_factory=list[str])

    @property
    def is_clean(self) -> bool:
        """Whether all was well at every look."""
        return not any(getattr(self, one.name) for one in fields(self) if one.name != "n_looks")

    def complain(self, about: str, n: int, words: str) -> None:
        """Count *n* mishaps, and keep words for the first."""
        if n:
            setattr(self, about, getattr(self, about) + n)
            if len(self.complaints) < _MOST_COMPLAINTS:
                self.complaints.append(f"{about}: {n}, {words}")


class Witness(threading.Thread):
    """Looks at a sweep until it is told to stop.

    Parameters
    ----------
    sweep
        The sweep directory; it need not be there yet.
    is_right
        Given a table of finished variants, whether each has the values of its parameters.
    ledger
        The ledger of the sweep's tasks, with the values of *parameters* in their order; None without one.
    every_s
        Seconds between looks.

    Attributes
    ----------
    saw
        What it saw so far.

    Examples
    --------
    ::

        with Witness(path, lambda table: table["y"] == table["a"] ** 2) as witness:
            run_and_kill()
        assert witness.saw.is_clean, witness.saw
    """

    def __init__(
        self,
        sweep: Path,
        is_right: Callable[[pd.DataFrame], Sequence[bool]],
        *,
        ledger: Path | None = None,
        parameters: Sequence[str] = (),
        every_s: float = 0.2,
    ) -> None:
        super().__init__(name="witness", daemon=True)
        self.saw = Testimony()
        self.ledger = Ledger(ledger) if ledger is not None else None
        self._sweep, self._is_right, self._every_s = sweep, is_right, every_s
        self._parameters = list(parameters)
        self._done: frozenset[str] = frozenset()
        self._n_in_file = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        try:
            while not self._over.wait(self._every_s):
                if (self._sweep / "definition" / "000001.json").exists():
                    self.look()
        except Exception as error:  # noqa: BLE001  a witness that fell silent must not pass for one that saw nothing
            self.saw.complain("n_unreadable", 1, f"the witness itself failed: {type(error).__name__}: {error}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()
        if error[0] is None:
            self.look()

    def look(self) -> None:
        """Look once."""
        saw = self.saw
        saw.n_looks += 1
        acknowledged = self._acknowledged()
        try:
            table = open_results(self._sweep).to_dataframe()
            n_in_file = self._count_in_file()
        except Exception as error:  # noqa: BLE001  whatever a reader meets is what we look for
            saw.complain("n_unreadable", 1, f"{type(error).__name__}: {error}")
            return
        done = cast("pd.DataFrame", table[table["status"] == "done"])
        ids: frozenset[str] = frozenset(done.index)
        lost = self._done - ids
        saw.complain("n_lost", len(lost), f"done before: {sorted(lost)[:3]}")
        saw.complain("n_shrunk", int(len(ids) < len(self._done)), f"{len(self._done)} were done, then {len(ids)}")
        saw.complain("n_shrunk", int(n_in_file < self._n_in_file), f"results.h5: {self._n_in_file}, then {n_in_file}")
        saw.complain("n_duplicates", len(done) - len(ids), "in the dataset")
        if len(done):  # else there are no outputs yet
            saw.complain("n_wrong", int(np.sum(~np.asarray(self._is_right(done), dtype=bool))), "values")
        if acknowledged:
            there = {
                " ".join(map(str, row)) for row in cast("pd.DataFrame", done[self._parameters]).itertuples(index=False)
            }
            gone = acknowledged - there
            saw.complain("n_lost", len(gone), f"acknowledged: {sorted(gone)[:3]}")
        self._done, self._n_in_file = ids | self._done, n_in_file

    def _acknowledged(self) -> set[str]:
        if self.ledger is None:
            return set()
        self.ledger.read()
        return set(self.ledger.acknowledged)

    def _count_in_file(self) -> int:
        """The finished variants in ``results.h5``, read as those do who have no sciflow."""
        path = self._sweep / RESULTS_NAME
        if not path.exists():
            return 0
        with h5netcdf.File(path, "r", locking=False) as file:
            status = cast("Any", file.variables["status"])
            meanings: list[str] = status.attrs["flag_meanings"].split()
            return int(np.sum(status[...] == meanings.index("done")))
