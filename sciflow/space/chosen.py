"""Spaces that are some rows of another: slices and samples."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.errors import SpaceError
from sciflow.space.algebra import INT64_ROWS, Space
from sciflow.space.axis import check_count, range_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.space.algebra import Encode
    from sciflow.space.table import Rows, Table
    from sciflow.space.variant import Parameter


class _Chosen(Space):
    """Rows of another space."""

    __slots__ = ("_of",)

    def __init__(self, of: Space) -> None:
        self._of = of

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The other space's parameters."""
        return self._of.parameters

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant has."""
        return self._of.always_present

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """The other space's keys, which include this one's."""
        return self._of.keys_of(name)


class Sliced(_Chosen):
    """Rows of another space at equal distances: ``space[10:100:5]``."""

    __slots__ = ("_rows",)

    def __init__(self, of: Space, rows: range) -> None:
        super().__init__(of)
        self._rows = rows

    @property
    def of(self) -> Space:
        """The space sliced."""
        return self._of

    @property
    def rows(self) -> range:
        """The rows of it."""
        return self._rows

    @property
    def n_variants(self) -> int:
        """The number of rows."""
        return range_size(self._rows)

    def take(self, rows: Rows) -> Table:
        """The table of these variants."""
        if max(self._rows.start, self._rows.stop) > INT64_ROWS:
            rows = rows.astype(object)
        return self._of.take(self._rows.start + rows * self._rows.step)

    def _find(self, table: Table) -> Rows:
        start, step = self._rows.start, self._rows.step
        rows = self._of.find(table)
        place = (rows - start) // step
        here = (rows >= 0) & (place >= 0) & (place < self.n_variants) & (place * step + start == rows)
        return np.where(here, place, -1)

    def _data(self, encode: Encode) -> dict[str, Any]:
        rows = [self._rows.start, self._rows.stop, self._rows.step]
        return {"kind": "slice", "of": self._of._data(encode), "rows": rows}  # noqa: SLF001  a node's node


class Sampled(_Chosen):
    """Distinct variants of another space, chosen uniformly, in its order."""

    __slots__ = ("_rows", "_seed")

    def __init__(self, of: Space, rows: Rows, seed: int) -> None:
        super().__init__(of)
        self._rows, self._seed = rows, seed

    @classmethod
    def draw(cls, of: Space, k: int, seed: int) -> Sampled:
        """*k* distinct variants of *of*."""
        k = check_count(k, "sample(k, seed)")
        n_variants = of.n_variants
        if k > n_variants:
            raise SpaceError(f"a sample of {k} distinct variants was asked of a space that has {n_variants}")
        return cls(of, distinct_rows(n_variants, k, check_seed(seed)), seed)

    @property
    def n_variants(self) -> int:
        """The number of variants drawn."""
        return len(self._rows)

    def take(self, rows: Rows) -> Table:
        """The table of these variants."""
        return self._of.take(self._rows[rows.astype(np.int64, copy=False)])

    def _find(self, table: Table) -> Rows:
        rows = self._of.find(table)
        place = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        return np.where(self._rows[place] == rows, place, -1)

    def _data(self, encode: Encode) -> dict[str, Any]:
        if self._rows.dtype == object:
            rows: Any = self._rows.tolist()
        else:
            rows = base64.b64encode(self._rows.astype("<i8").tobytes()).decode()
        return {"kind": "sample", "of": self._of._data(encode), "seed": self._seed, "rows": rows}  # noqa: SLF001  a node's node

    @classmethod
    def from_data(cls, of: Space, data: Mapping[str, Any]) -> Sampled:
        """The sample that :meth:`to_dict` wrote; its rows are read, not drawn again."""
        rows: Rows
        if isinstance(data["rows"], str):
            rows = np.frombuffer(base64.b64decode(data["rows"]), dtype="<i8").astype(np.int64)
        else:
            rows = np.array(data["rows"], dtype=object)
        return cls(of, rows, data["seed"])


def check_seed(seed: object) -> int:
    """*seed*, if it is a whole number that is not negative."""
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SpaceError(f"a seed is a whole number, not negative, not {seed!r}")
    return int(seed)


def distinct_rows(n_rows: int, k: int, seed: int) -> Rows:
    """*k* distinct numbers of ``range(n_rows)``, uniformly, sorted; in time and memory of O(k)."""
    if n_rows >= INT64_ROWS:
        source, chosen = random.Random(seed), set[int]()  # noqa: S311  not a secret
        while len(chosen) < k:
            chosen.add(source.randrange(n_rows))
        rows = np.empty(k, dtype=object)
        rows[:] = sorted(chosen)
        return rows
    if 2 * k > n_rows:
        left_out = distinct_rows(n_rows, n_rows - k, seed) if k < n_rows else np.zeros(0, np.int64)
        mask = np.ones(n_rows, dtype=np.bool_)
        mask[left_out] = False
        return np.flatnonzero(mask)
    generator = np.random.Generator(np.random.Philox(seed))
    drawn = np.zeros(0, np.int64)  # in order of drawing, without repeats: keeping the first k is uniform
    while len(drawn) < k:
        more = np.concatenate([drawn, generator.integers(n_rows, size=k + k // 8 + 16)])
        _, first = np.unique(more, return_index=True)
        drawn = more[np.sort(first)]
    return np.sort(drawn[:k])
