"""Pilot: a few variants that tell most about what all will cost; pure.

They are spread so that the ends of each axis and, as far as they go, the labels of each parameter are among them, and
otherwise fill the space evenly in each parameter and in several together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.planning.features import Values
from sciflow.planning.forecast import rows_to_look_at
from sciflow.planning.rows import RowSet
from sciflow.space.axis import Axis
from sciflow.space.derived import Derived
from sciflow.space.product import Product

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sciflow.space import Space
    from sciflow.space.table import Table

    Rows = NDArray[np.int64]
    Floats = NDArray[np.float64]

PILOT_VARIANTS: Final = 8
_CANDIDATES = 2048
_CORNERS = 256
_LONG_AXIS = 1 << 16
_NEAR_END = 0.05  # of the values of a parameter: as good as the end where few variants have the end itself
_MOST_LABELS = 16


def pilot_rows(space: Space, rows: RowSet, n: int = PILOT_VARIANTS) -> RowSet:
    """*n* of *rows* that are spread over the space; all of them if they are no more.

    The same for the same space and rows. Looks at a few thousand of them at most, so a space may be of any size.

    Parameters
    ----------
    space : the space
    rows : which of its variants are to run
    """
    if len(rows) <= n:
        return rows
    if n < 1:
        return RowSet.empty()
    if n > _CANDIDATES // 2:  # so many are spread by themselves
        return RowSet.from_rows(rows_to_look_at(rows, n))
    candidates = _candidates(space, rows, np.random.Generator(np.random.Philox(n)))
    places, is_label = _places(space.take(candidates))
    return RowSet.from_rows(candidates[_choose(places, is_label, n)])


def _candidates(space: Space, rows: RowSet, rng: np.random.Generator) -> Rows:
    """Rows from everywhere, and of a product also those where its parts are at their ends."""
    n = len(rows)
    if n <= _CANDIDATES:
        return rows.rows()
    even = rows_to_look_at(rows, _CANDIDATES)
    random = rows.at(rng.integers(0, n, _CANDIDATES))
    corners = [row for row in _corners(space, rng) if row in rows]
    return np.unique(np.concatenate([even, random, np.array(corners, dtype=np.int64)]))


def _corners(space: Space, rng: np.random.Generator) -> list[int]:
    while isinstance(space, Derived):
        space = space.of
    if not isinstance(space, Product):
        return []
    sizes = [part.n_variants for part in space.parts]
    ends = [_ends(part) for part in space.parts]
    corners = [_row([one[side] for one in ends], sizes) for side in (0, 1)]
    for _ in range(_CORNERS):
        # each part at one of its ends, or anywhere
        sides = rng.integers(0, 3, len(sizes)).tolist()
        digits = [
            one[side] if side < 2 else int(rng.integers(0, size))
            for one, side, size in zip(ends, sides, sizes, strict=True)
        ]
        corners.append(_row(digits, sizes))
    return corners


def _row(digits: list[int], sizes: list[int]) -> int:
    row = 0
    for digit, size in zip(digits, sizes, strict=True):
        row = row * size + digit
    return row


def _ends(part: Space) -> tuple[int, int]:
    """Where the smallest and the largest value of a part stand; the first and the last where it has no such."""
    n = part.n_variants
    if isinstance(part, Axis) and n <= _LONG_AXIS:
        numbers = Values.of(part.take(np.arange(n)).columns[part.name]).numbers[:n]
        if not np.isnan(numbers).any():
            return int(np.argmin(numbers)), int(np.argmax(numbers))
    return 0, n - 1


def _places(table: Table) -> tuple[Floats, NDArray[np.bool_]]:
    """Where the rows stand, parameter by parameter: from 0 to 1 by rank, or the number of a label.

    Returns
    -------
    (n_rows, n_parameters) float64 and, for each parameter, whether it has labels
    """
    places: list[Floats] = []
    is_label: list[bool] = []
    for known in table.parameters:
        if known.derived:
            continue
        values = Values.of(table.columns[known.name])
        numbers = values.numbers[values.codes]
        if np.isnan(numbers).any():
            labels: list[Any] = [
                number if label is None else label
                for number, label in zip(values.numbers.tolist(), values.labels.tolist(), strict=True)
            ]
            order = {label: place for place, label in enumerate(dict.fromkeys(map(str, labels)))}
            places.append(np.array([order[str(label)] for label in labels], dtype=np.float64)[values.codes])
            is_label.append(True)
        else:
            distinct, rank = np.unique(numbers, return_inverse=True)
            places.append(rank / max(len(distinct) - 1, 1))
            is_label.append(False)
    matrix = np.stack(places, axis=1) if places else np.zeros((table.n_rows, 0))
    return matrix, np.array(is_label, dtype=np.bool_)


def _choose(places: Floats, is_label: NDArray[np.bool_], n: int) -> list[int]:
    """Choose *n* candidates, one after the other.

    Each is one that shows most of what was not shown yet (an end or a label of a parameter); among equals it is the
    one farthest from those chosen in all subsets of parameters (the MaxPro criterion of Joseph, Gul and Ba 2015).
    """
    shows = _shows(places, is_label)
    unseen = np.ones(shows.shape[1], dtype=np.bool_)
    crowding = np.zeros(len(places))
    # what two values in a row may be apart where *n* are spread over a parameter: nearer ones count as this near
    apart = (1 / (2 * n)) ** 2
    chosen: list[int] = []
    for _ in range(n):
        gain = shows[:, unseen].sum(axis=1).astype(np.float64)
        gain[chosen] = -1.0
        best = np.flatnonzero(gain == gain.max())
        pick = int(best[np.argmin(crowding[best])])
        chosen.append(pick)
        unseen &= ~shows[pick]
        distance = np.where(is_label, (places != places[pick]).astype(np.float64), np.abs(places - places[pick]))
        crowding += np.exp(-np.log(distance**2 + apart).mean(axis=1)) if places.shape[1] else 0.0
        crowding[pick] = math.inf
    return chosen


def _shows(places: Floats, is_label: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each candidate, which ends and labels it has: (n_candidates, n_ends_and_labels)."""
    columns: list[NDArray[np.bool_]] = []
    for mine, labelled in zip(places.T, is_label.tolist(), strict=True):
        if labelled:
            labels = np.unique(mine)
            columns += [mine == label for label in labels] if len(labels) <= _MOST_LABELS else []
        elif mine.max() > 0:
            low, high = mine <= _NEAR_END, mine >= 1 - _NEAR_END
            columns += [low, high]
    return np.stack(columns, axis=1) if columns else np.zeros((len(places), 0), dtype=np.bool_)
