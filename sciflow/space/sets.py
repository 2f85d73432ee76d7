"""Union, difference and intersection of spaces, by the identity of variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.errors import SpaceError
from sciflow.space.algebra import Space, row_numbers
from sciflow.space.disjoint import are_disjoint, n_common
from sciflow.space.selection import Selection
from sciflow.space.table import Mask, Rows, Table, assemble
from sciflow.space.variant import Parameter, merge_parameters

if TYPE_CHECKING:
    from sciflow.space.algebra import Encode


def joint_parameters(left: Space, right: Space) -> tuple[Parameter, ...]:
    """What both spaces say about their parameters.

    Raises
    ------
    SpaceError
        If they contradict each other, or a default known to one alone would make two variants of the other one.
    """
    for one, other in ((left, right), (right, left)):
        known = {parameter.name: parameter for parameter in one.parameters}
        for parameter in other.parameters:
            mine = known.get(parameter.name)
            if mine is None or mine.has_default or not parameter.has_default or mine.derived:
                continue
            if parameter.name not in one.always_present:
                raise SpaceError(
                    f"parameter {parameter.name!r} has a default in one space, and in the other some variants lack it "
                    "without one; declare the default in both"
                )
    return merge_parameters(left.parameters, right.parameters)


class Union(Space):
    """The variants of one space, then those of another that are not in it.

    It counts at once if the two are seen to be disjoint, or are grids; else when asked, and remembers.
    """

    __slots__ = ("_common", "_disjoint", "_extra", "_left", "_parameters", "_right")

    _common: int | None

    def __init__(self, left: Space, right: Space) -> None:
        self._parameters = joint_parameters(left, right)
        self._left, self._right = left, right
        self._disjoint = are_disjoint(left, right, self._parameters)
        self._common = 0 if self._disjoint else n_common(left, right)
        self._extra = Selection(right, self._new)

    def _new(self, rows: range) -> Mask:
        return ~self._left.contains(self._right.take(row_numbers(rows)).known_as(self._parameters))

    @property
    def parts(self) -> tuple[Space, Space]:
        """The two spaces."""
        return self._left, self._right

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of both."""
        return self._parameters

    @property
    def n_variants(self) -> int:
        """The number of variants in either."""
        if self._common is not None:
            return self._left.n_variants + self._right.n_variants - self._common
        return self._left.n_variants + self._extra.count()

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant of both has."""
        return self._left.always_present & self._right.always_present

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """The keys of both."""
        keys: frozenset[Any] = frozenset()
        for part in self.parts:
            if name in part.names:
                mine = part.keys_of(name)
                if mine is None:
                    return None
                keys |= mine
        return keys

    def n_up_to(self, limit: int) -> int:
        """``min(n_variants, limit)``, counting no further than needed."""
        n_left = self._left.n_up_to(limit)
        if n_left >= limit:
            return limit
        if self._common is not None:
            return min(limit, n_left + self._right.n_up_to(limit + self._common) - self._common)
        return n_left + self._extra.up_to(limit - n_left)

    def take(self, rows: Rows) -> Table:
        """The table of these variants."""
        n_left = self._left.n_up_to(int(rows.max()) + 1) if len(rows) else 0
        is_left = np.asarray(rows < n_left, dtype=np.bool_)
        left, right = np.flatnonzero(is_left), np.flatnonzero(~is_left)
        pieces: list[tuple[Rows, Table]] = []
        if len(left):
            pieces.append((left, self._left.take(rows[left])))
        if len(right):
            beyond = rows[right] - n_left
            pieces.append((right, self._right.take(beyond if self._disjoint else self._extra.rows(beyond))))
        return assemble(self._parameters, len(rows), pieces)

    def contains(self, table: Table) -> Mask:
        """Which rows are in either; needs no count."""
        table = table.known_as(self._parameters)
        return self._left.contains(table) | self._right.contains(table)

    def _find(self, table: Table) -> Rows:
        found = self._left.find(table)
        missing = np.flatnonzero(found < 0)
        rows = self._right.find(table.take(missing))
        here = np.flatnonzero(rows >= 0)
        if not len(here):
            return found
        places = rows[here] if self._disjoint else self._extra.positions(rows[here])
        n_left = self._left.n_variants
        if found.dtype != object and n_left + self._right.n_variants >= 2**62:
            found = found.astype(object)
        else:
            found = found.copy()
        found[missing[here]] = places + n_left
        return found

    def _data(self, encode: Encode) -> dict[str, Any]:
        return {"kind": "union", "parts": [part._data(encode) for part in self.parts]}  # noqa: SLF001  a node's node

    def _n_text(self) -> str:
        return super()._n_text() if self._common is not None else "counted when asked"


class _Restricted(Space):
    """The variants of a space that are, or are not, in another."""

    __slots__ = ("_common", "_left", "_parameters", "_right", "_selection")

    _kind: str
    _keeps_common: bool

    def __init__(self, left: Space, right: Space) -> None:
        joint = {parameter.name: parameter for parameter in joint_parameters(left, right)}
        self._parameters = tuple(joint[name] for name in left.names)
        self._left, self._right = left, right
        parameters = tuple(joint.values())
        self._common = 0 if are_disjoint(left, right, parameters) else n_common(left, right)
        self._selection = Selection(left, self._chosen)

    def _chosen(self, rows: range) -> Mask:
        if self._common == 0:
            return np.full(len(rows), not self._keeps_common)
        return self._right.contains(self._left.take(row_numbers(rows)).known_as(self._parameters)) == self._keeps_common

    @property
    def parts(self) -> tuple[Space, Space]:
        """The two spaces."""
        return self._left, self._right

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The first space's parameters."""
        return self._parameters

    @property
    def n_variants(self) -> int:
        """How many variants are left; tests all of the first space, unless the two are grids."""
        if self._common is None:
            return self._selection.count()
        return self._common if self._keeps_common else self._left.n_variants - self._common

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant has."""
        return self._left.always_present

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """The first space's keys, which include this one's."""
        return self._left.keys_of(name)

    def n_up_to(self, limit: int) -> int:
        """``min(n_variants, limit)``, testing no more than needed."""
        return min(limit, self.n_variants) if self._common is not None else self._selection.up_to(limit)

    def take(self, rows: Rows) -> Table:
        """The table of these variants."""
        table = self._left.take(self._selection.rows(rows))
        return Table(self._parameters, table.columns, table.n_rows)

    def contains(self, table: Table) -> Mask:
        """Which rows are here; needs no count."""
        table = table.known_as(self._parameters)
        return self._left.contains(table) & (self._right.contains(table) == self._keeps_common)

    def _find(self, table: Table) -> Rows:
        rows = self._left.find(table)
        here = np.flatnonzero((rows >= 0) & (self._right.contains(table) == self._keeps_common))
        found = np.full(len(rows), -1, np.int64)
        found[here] = self._selection.positions(rows[here])
        return found

    def _data(self, encode: Encode) -> dict[str, Any]:
        return {"kind": self._kind, "parts": [part._data(encode) for part in self.parts]}  # noqa: SLF001  a node's node

    def _n_text(self) -> str:
        return super()._n_text() if self._common is not None else "counted when asked"


class Difference(_Restricted):
    """The variants of one space that are not in another, in its order."""

    __slots__ = ()

    _kind = "difference"
    _keeps_common = False


class Intersection(_Restricted):
    """The variants of one space that are in another too, in its order."""

    __slots__ = ()

    _kind = "intersection"
    _keeps_common = True
