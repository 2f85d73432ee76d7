"""What a package says of its results: the runs, the columns of the table, the numbers in short; of staged records."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.failures import group_failures
from sciflow.analysis.variants import Variants
from sciflow.canonical import plain
from sciflow.packaging.crate import Run
from sciflow.store.assemble import assemble
from sciflow.store.assembled import DONE, STATUS_MEANINGS, Assembled, ScalarOutput
from sciflow.store.column import FACT, ID, RUNTIME_S, START_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from sciflow.store.directory import SweepDirectory

_OF_RUNS: Final = ("attempt", "session", "worker", "environment", "generation", "job", "node", "cause")


@dataclass(frozen=True)
class Described:
    """A sweep that was staged for a package."""

    directory: SweepDirectory

    @cached_property
    def assembled(self) -> Assembled:
        """The results."""
        return assemble(self.directory)

    @cached_property
    def variants(self) -> Variants:
        """The results, one row per variant."""
        return Variants(self.assembled)

    @property
    def counts(self) -> dict[str, int]:
        """How many are done, failed and missing."""
        return self.variants.counts()

    @property
    def failures(self) -> pd.DataFrame:
        """Why variants failed."""
        return group_failures(self.variants, self.assembled.messages)

    @cached_property
    def parameters(self) -> dict[str, str | None]:
        """Names and units."""
        return {one.name: one.unit for one in self.variants.table.parameters}

    @cached_property
    def metrics(self) -> dict[str, str | None]:
        """Outputs with one value per variant, and their units."""
        return {
            name: str(one.attributes["units"]) if "units" in one.attributes else None
            for name, one in self.assembled.outputs.items()
            if isinstance(one, ScalarOutput)
        }

    @cached_property
    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """When each variant's run began and ended, in seconds since 1970; NaN where there is none."""
        start = np.full(self.variants.n, np.nan)
        took = np.full(self.variants.n, np.nan)
        for frame, places, rows, reader in self.assembled.source.visit(ID, None):
            told = frame.table([START_S, RUNTIME_S, FACT + "t0"], reader)
            began = np.asarray(told.get(FACT + "t0", np.full(frame.n, float(frame.header.get("t0", 0.0)))), float)
            start[places] = (began + np.asarray(told[START_S], np.float64))[rows]
            took[places] = np.asarray(told[RUNTIME_S], np.float64)[rows]
        return start, start + took

    @property
    def started(self) -> str:
        """When the first run began."""
        return moment(_first(np.nanmin, self.moments[0]))

    @property
    def ended(self) -> str:
        """When the last run ended: the date of the package, whenever it is exported."""
        return moment(_first(np.nanmax, self.moments[1]))

    def traces(self) -> bytes:
        """One line of JSON per variant that ran: when, where, by which attempt."""
        codes = {key: self.assembled.facts(key) for key in _OF_RUNS}
        columns = {key: (one.ravel(), values) for key, (one, values) in codes.items()}
        start, end = self.moments
        lines: list[str] = []
        for k in np.flatnonzero(self.variants.status).tolist():
            facts = {
                key: values[of[k]] for key, (of, values) in columns.items() if of[k] >= 0 and values[of[k]] is not None
            }
            status = STATUS_MEANINGS[int(self.variants.status[k])]
            told = {"variant": self.variants.ids[k], "status": status, "start": moment(start[k]), "end": moment(end[k])}
            lines.append(json.dumps({**told, **facts}, ensure_ascii=False))
        return "".join(f"{line}\n" for line in lines).encode()

    def runs(self, artifacts: Mapping[str, Sequence[str]]) -> list[Run]:
        """Each variant, for the crate; *artifacts* are the files inside the package that belong to it."""
        start, end = self.moments
        everything = np.arange(self.variants.n)
        found: list[Run] = []
        for k, (variant, record) in enumerate(self.variants.each(everything)):
            identity = self.variants.ids[k]
            found.append(
                Run(
                    identity,
                    {name: plain(value) for name, value in variant.items()},
                    str(record["status"]),
                    moment(start[k]),
                    moment(end[k]),
                    str(record["failure"]),
                    {name: _plain_metric(record[name]) for name in self.metrics if record.get(name) is not None},
                    artifacts.get(identity, ()),
                )
            )
        return found

    def numbers(self, tolerances: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
        """Each metric in short, for people."""
        done = self.variants.status == DONE
        for name, unit in self.metrics.items():
            values = self.variants.scalar(name)
            if values.dtype.kind not in "iuf" or not done.any():
                continue
            kept = values[done].astype(np.float64)
            kept = kept[np.isfinite(kept)]
            if not len(kept):
                continue
            tolerance = tolerances.get(name)
            yield {
                "name": name,
                "unit": unit or "",
                "mean": f"{kept.mean():.6g}",
                "least": f"{kept.min():.6g}",
                "most": f"{kept.max():.6g}",
                "tolerance": f"rtol {tolerance['rtol']}, atol {tolerance['atol']}" if tolerance else "the default",
            }


def moment(seconds: float) -> str:
    """A moment after ISO 8601, in UTC; empty for NaN."""
    if math.isnan(seconds):
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _first(choose: Any, values: NDArray[np.float64]) -> float:
    return float(choose(values)) if np.isfinite(values).any() else 0.0


def _plain_metric(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str) else str(value)
