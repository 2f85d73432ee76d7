"""How many variants were computed in which environment, shared runs in other processes included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from sciflow.store.column import RAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sciflow.store.assembled import Assembled


def count_environments(assembled: Assembled) -> dict[str, int]:
    """How many variants were computed in each environment, wholly or in part, by its digest."""
    codes, digests = assembled.facts("environment")
    codes = codes.ravel()
    used: dict[str, NDArray[np.bool_]] = {str(one): codes == k for k, one in enumerate(digests) if one is not None}
    columns = {one["name"] for frame in assembled.snapshot.frames for one in frame.header["columns"]}
    for name in sorted(column for column in columns if column.startswith(RAN)):
        for frame, places, rows, reader in assembled.source.visit(name, None):
            runs = frame.table([name], reader)[name]
            chosen = runs.codes[rows]
            of_run = np.array([json.loads(run).get("environment", "") for run in runs.pool] + [""], dtype=object)
            for digest in {*of_run[chosen].tolist()} - {""}:
                mask = used.setdefault(digest, np.zeros(len(codes), dtype=np.bool_))
                mask[places[of_run[chosen] == digest]] = True
    counts = {digest: int(mask.sum()) for digest, mask in used.items()}
    return {digest: n for digest, n in counts.items() if n}
