"""What the store knows of the rows of a definition: recorded frames mapped onto today's space."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from sciflow.errors import PredicateError
from sciflow.planning.plan import Progress
from sciflow.planning.rows import RowSet
from sciflow.running.failure import INFRASTRUCTURE
from sciflow.space.rule import Rule
from sciflow.store.located import Locator, united

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from sciflow.space import Space
    from sciflow.space.table import Table
    from sciflow.store.located import Bounds
    from sciflow.store.segment import FrameRef

_ID: Final = re.compile(r"\bv[0-9a-f]{20}\b")
_IDS: Final = re.compile(rf"\s*{_ID.pattern}(?:[\s,]+{_ID.pattern})*\s*")


def look(
    frames: Iterable[FrameRef],
    space: Space,
    generation: str,
    revisions: Mapping[int, bool],
    defaults: Mapping[str, object],
) -> Progress:
    """Map recorded frames onto the rows of *space*.

    Parameters
    ----------
    frames : committed frames
    space : today's space
    generation : digest of today's code and inputs
    revisions : definition revision → whether its rows are the rows of *space*
    defaults : parameters that earlier definitions declared with a default; a recorded variant at such a default
        is the variant without that parameter
    """
    locator = Locator(space, revisions, defaults)
    spans: dict[tuple[str, bool], list[Bounds]] = defaultdict(list)
    attempts: dict[int, list[Bounds]] = defaultdict(list)
    causes: dict[str, list[Bounds]] = defaultdict(list)
    n_foreign = 0
    for frame in frames:
        header = frame.header
        bounds, n_elsewhere = locator.bounds(frame)
        n_foreign += n_elsewhere
        cause: str = header.get("cause", "")
        if cause in INFRASTRUCTURE:  # not the variant's fault: as if it had not been tried
            continue
        spans[header["status"], header["generation"] == generation].append(bounds)
        if header["status"] == "failed":
            causes[cause or "exception"].append(bounds)
        attempts[header["attempt"]].append(bounds)
    done = united(spans["done", True])
    stale = united(spans["done", False]) - done
    failed = united(spans["failed", True]) - done
    stale_failed = united(spans["failed", False]) - done - stale - failed
    return Progress(
        done=done,
        failed=failed,
        stale=stale - failed,
        stale_failed=stale_failed,
        attempts={attempt: united(rows) for attempt, rows in sorted(attempts.items())},
        n_foreign=n_foreign,
        causes={cause: united(rows) - done for cause, rows in causes.items()},
    )


def rows_where(space: Space, query: str) -> RowSet:
    """Rows of *space* for which the query holds, or whose ids it lists (``"v0a1…, v2b3…"``).

    Raises
    ------
    PredicateError
        It is no text, or not understood.
    """
    if not isinstance(cast("object", query), str):
        raise PredicateError(f"only={query!r} is no text; write a condition such as 'a > 1', or ids: 'v0a1…, v2b3…'")
    choose = _bearing(query) if _IDS.fullmatch(query) else Rule(query, space.names, "only").mask
    found: list[NDArray[np.int64]] = []
    step = 1 << 16
    for start in range(0, space.n_variants, step):
        rows = np.arange(start, min(start + step, space.n_variants))
        found.append(rows[choose(space.take(rows))])
    return RowSet.from_rows(np.concatenate(found)) if found else RowSet.empty()


def _bearing(ids: str) -> Callable[[Table], NDArray[np.bool_]]:
    """Which rows of a table bear one of these ids."""
    wanted = frozenset(_ID.findall(ids))
    return lambda table: np.array([one in wanted for one in table.ids()], dtype=np.bool_)
