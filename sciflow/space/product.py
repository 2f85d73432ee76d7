"""Every combination of one variant from each of several spaces."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sciflow.errors import SpaceError
from sciflow.space.algebra import INT64_ROWS, Space
from sciflow.space.axis import Axis, axis_named
from sciflow.space.page import short_list
from sciflow.space.table import Column, Mask, Rows, Table
from sciflow.space.variant import Parameter, Schema, Variant

if TYPE_CHECKING:
    from sciflow.space.algebra import Encode


class Product(Space):
    """Every combination, in the order of ``itertools.product``: the first part varies slowest.

    With no parts it is the space of one variant without parameters.
    """

    __slots__ = ("_axes", "_parameters", "_parts", "_schema", "_sizes")

    _axes: tuple[Axis, ...] | None
    _sizes: tuple[int, ...]

    def __init__(self, *parts: Space) -> None:
        flat: list[Space] = []
        for part in parts:
            flat.extend(part.parts if isinstance(part, Product) else (part,))
        owners = Counter(name for part in flat for name in part.names)
        shared = sorted(name for name, n in owners.items() if n > 1)
        if shared:
            raise SpaceError(
                f"a product was given {short_list(map(repr, shared))} by more than one space, so one value would hide "
                "another; rename the parameter in one of them, vary both together with Zip, or unite the spaces with |"
            )
        self._parts = tuple(flat)
        self._parameters = tuple(parameter for part in flat for parameter in part.parameters)
        self._schema = Schema(self._parameters)
        axes: list[Axis] = []
        for part in flat:
            if part.axes is None:
                self._axes = None
                break
            axes.extend(part.axes)
        else:
            self._axes = tuple(axes)

    @property
    def parts(self) -> tuple[Space, ...]:
        """The spaces combined, slowest first; none of them is itself a product."""
        return self._parts

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of all parts."""
        return self._parameters

    @property
    def axes(self) -> tuple[Axis, ...] | None:
        """All axes, if every part has axes."""
        return self._axes

    @property
    def _n_each(self) -> tuple[int, ...]:
        try:
            return self._sizes
        except AttributeError:  # a filter among the parts counts only when asked
            self._sizes = tuple(part.n_variants for part in self._parts)
            return self._sizes

    @property
    def n_variants(self) -> int:
        """The product of the parts' numbers."""
        return math.prod(self._n_each)

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant has."""
        return frozenset().union(*(part.always_present for part in self._parts))

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """The keys of the part that has the parameter."""
        return next((part.keys_of(name) for part in self._parts if name in part.names), None)

    def take(self, rows: Rows) -> Table:
        """The table of these combinations."""
        columns: dict[str, Column] = {}
        remaining = rows
        for part, size in zip(reversed(self._parts), reversed(self._n_each), strict=True):
            if part is self._parts[0]:
                mine = remaining
            else:
                remaining, mine = _divmod(remaining, size)
            if mine.dtype == object and size < INT64_ROWS:
                mine = mine.astype(np.int64)
            if isinstance(part, Axis):
                columns[part.name] = part.column(mine)
            else:
                columns.update(part.take(mine).columns)
        return Table(self._parameters, columns, len(rows))

    def row(self, position: int) -> Variant:
        """The combination at a position."""
        if self._axes is None or len(self._axes) != len(self._parts):
            return super().row(position)
        values: list[Any] = []
        for axis, size in zip(reversed(self._axes), reversed(self._n_each), strict=True):
            position, mine = divmod(position, size)
            values.append(axis.value(mine))
        return Variant.of(self._schema, tuple(reversed(values)))

    def _find(self, table: Table) -> Rows:
        large = self.n_variants >= INT64_ROWS
        position: Rows = np.zeros(table.n_rows, dtype=object if large else np.int64)
        found = np.ones(table.n_rows, dtype=np.bool_)
        for part, size in zip(self._parts, self._n_each, strict=True):
            mine = part.find(table.only(part.names))
            found &= np.asarray(mine >= 0, dtype=np.bool_)
            position = position * size + (mine.astype(object) if large else mine)
        return position if found.all() else np.where(found, position, -1)

    def contains(self, table: Table) -> Mask:
        """Which rows have a variant of each part and nothing else."""
        own, foreign = self._own_part(table)
        here = ~foreign
        for part in self._parts:
            here &= part.contains(own.only(part.names))
        return here

    def _data(self, encode: Encode) -> dict[str, Any]:
        return {"kind": "product", "parts": [part._data(encode) for part in self._parts]}  # noqa: SLF001  a node's node

    def __repr__(self) -> str:
        if self._axes is None or len(self._axes) != len(self._parts):
            return super().__repr__()
        return f"<Grid({short_list(f'{axis.name}={axis.n_variants}' for axis in self._axes)}): {self._n_text()}>"


def _divmod(rows: Rows, size: int) -> tuple[Rows, Rows]:
    if size > INT64_ROWS and rows.dtype != object:
        return np.zeros_like(rows), rows
    quotient = rows // size
    return quotient, rows - quotient * size


def axes_of(parts: Sequence[Mapping[str, Iterable[object]] | Axis], named: Mapping[str, Any]) -> list[Axis]:
    """The axes that a constructor was given: mappings, axes, and keywords.

    Raises
    ------
    SpaceError
        If something else was given, or a name twice.
    """
    axes: list[Axis] = []
    for part in (*parts, named):
        if isinstance(part, Axis):
            axes.append(part)
        elif isinstance(cast("object", part), Mapping):
            axes.extend(axis_named(name, values) for name, values in part.items())
        else:
            raise SpaceError(
                f"a Grid is made of mappings from names to values, of axes and of keywords, not of {part!r}; "
                "multiply spaces with *"
            )
    return axes


class Grid(Product):
    """Every combination of the values of some parameters: ``Grid(a=[1, 2], b=[0.1, 0.2])`` or ``Grid({"a": [1, 2]})``.

    The first parameter varies slowest. An :class:`Axis` may stand among the arguments, or for a name's values.
    """

    __slots__ = ()

    def __init__(self, *parts: Mapping[str, Any] | Axis, **values: Any) -> None:
        super().__init__(*axes_of(parts, values))
