"""When and where each run of a sweep happened, as a dataset: what figures of the run itself are drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from sciflow.space.table import objects
from sciflow.store.column import FACT, RUNTIME_S, START_S
from sciflow.store.records import Records

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sciflow.store.assembled import Assembled
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.snapshot import Snapshot

PEAK_BYTES: Final = "peak_bytes"


def read_runs(directory: SweepDirectory) -> xr.Dataset:
    """One entry per recorded attempt at a variant, those that later ones replaced included, in no order.

    Returns
    -------
    xarray.Dataset
        Along ``run``: ``start_s`` (Unix seconds), ``runtime_s``, ``worker`` (``host:process``), ``session`` and
        ``status`` (``done`` or ``failed``).
    """
    found, _ = directory.read(_read)
    found.attrs["workflow"] = directory.workflow
    return found


def _read(snapshot: Snapshot) -> xr.Dataset:
    records = Records(snapshot.frames)
    n = len(records)
    runtime_s, start_s = np.zeros(n), np.zeros(n)
    for frame, where, columns in records.tables(lambda _: [RUNTIME_S, START_S, FACT + "t0"]):
        runtime_s[where] = columns.get(RUNTIME_S, 0.0)
        start_s[where] = columns.get(START_S, 0.0)  # single precision, which seconds since 1970 would lose
        start_s[where] += columns.get(FACT + "t0", frame.header.get("t0", 0.0))
    facts = {name: _fact(records, name) for name in ("worker", "session", "status")}
    return xr.Dataset(
        {
            "start_s": ("run", start_s, {"units": "s", "long_name": "start, since 1970"}),
            "runtime_s": ("run", runtime_s, {"units": "s"}),
            **{name: ("run", values) for name, values in facts.items()},
        }
    )


def _fact(records: Records, name: str) -> NDArray[Any]:
    codes, values = records.fact(name)
    return objects(values)[codes] if values else np.empty(0, dtype=object)


def with_memory(dataset: xr.Dataset, assembled: Assembled) -> xr.Dataset:
    """A dataset of results with ``peak_bytes``: the most memory of the process that ran a variant.

    A process that ran several since it last wrote down results says it of them together. NaN where it was not measured.
    """
    codes, values = assembled.facts(PEAK_BYTES)
    known = np.array([*(float(value) if value else np.nan for value in values), np.nan])
    peaks = known[codes].reshape(dataset["status"].shape)
    return dataset.assign({PEAK_BYTES: (dataset["status"].dims, peaks, {"units": "B"})})
