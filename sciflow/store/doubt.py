"""Which results may be of inputs that changed while a session ran: before the change or after it, nobody saw."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.store.column import RAN, RUNTIME_S, START_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from sciflow.store.source import RecordSource

MARGIN_S: Final = 5.0
"""Clocks of workers differ from the driver's by about this much."""


def doubtful(sessions: Iterable[Mapping[str, Any]], source: RecordSource) -> NDArray[np.bool_]:
    """Which variants ran, or were given a value that was computed, after the inputs were seen unchanged last.

    Parameters
    ----------
    sessions : what is known of each; ``changed_inputs`` of one names inputs that changed while it ran, and
        ``inputs_unchanged_until`` says when they were seen unchanged last, without which all that it ran is in doubt
    source : the records that count

    Returns
    -------
    (n,) array
        One for each place of the flattened dataset.
    """
    doubt = np.zeros(source.n_cells, dtype=np.bool_)
    begins = {one["session"]: _begin(one) for one in sessions if one.get("changed_inputs")}
    if not begins:
        return doubt
    codes, numbers = source.fact("session")
    begin = np.array([*(begins.get(number, np.inf) for number in numbers), np.inf])[codes.ravel()]
    doubt |= begin < np.inf
    names = {one["name"] for frame in source.frames for one in frame.header["columns"]}
    for frame, places, rows, reader in source.visit(RUNTIME_S, None):
        columns = frame.table([START_S, RUNTIME_S], reader)
        starts = np.array(frame.fact("t0", reader), dtype=np.float64) + columns[START_S]
        doubt[places] &= (starts + columns[RUNTIME_S])[rows] >= begin[places]
    for name in sorted(one for one in names if one.startswith(RAN)):
        for frame, places, rows, reader in source.visit(name, None):
            runs = frame.table([name], reader)[name]
            of_run = np.array([_is_doubtful(json.loads(run), begins) for run in runs.pool] + [False])
            doubt[places] |= of_run[runs.codes[rows]]
    return doubt


def _begin(session: Mapping[str, Any]) -> float:
    until = session.get("inputs_unchanged_until")
    return -np.inf if until is None else datetime.fromisoformat(until).timestamp() - MARGIN_S


def _is_doubtful(run: Mapping[str, Any], begins: Mapping[int, float]) -> bool:
    return run["start"] + run["wall_s"] >= begins.get(run.get("session", 0), np.inf)
