"""Spaces whose variants were listed one by one: points, and parameters varied together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sciflow.canonical import from_plain, identity_key, normalize, plain
from sciflow.errors import SpaceError
from sciflow.space.algebra import Space
from sciflow.space.axis import Axis, axis_named, listed_values, parameter_data
from sciflow.space.page import short_list
from sciflow.space.rowindex import RowIndex
from sciflow.space.table import Codes, Column, Objects, Rows, Table, objects
from sciflow.space.variant import ABSENT, NO_DEFAULT, Parameter, check_name

if TYPE_CHECKING:
    from sciflow.space.algebra import Encode


class Listed(Space):
    """Variants held as a table; the base of :class:`Points` and :class:`Zip`."""

    __slots__ = ("_coders", "_index", "_table")

    _kind = "points"
    _index: RowIndex

    def __init__(self, table: Table) -> None:
        self._table = table
        self._coders = {known.name: _Coder(known, table.columns[known.name].pool) for known in table.parameters}
        codes = [coder.own_codes(table.columns[name].codes) for name, coder in self._coders.items()]
        self._index = RowIndex(codes, [coder.size for coder in self._coders.values()], table.n_rows)
        if self._index.n_distinct < table.n_rows:
            first, second = self._index.first_repeated()
            raise SpaceError(
                f"variants number {first} and {second} (from 0) are one, "
                f"{next(table.take(np.array([first])).variants())!r}; keep one of each"
            )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in order of appearance."""
        return self._table.parameters

    @property
    def n_variants(self) -> int:
        """The number of variants listed."""
        return self._table.n_rows

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant has."""
        return frozenset(name for name, column in self._table.columns.items() if column.codes.min() >= 0)

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """Identity keys of the parameter's values."""
        return frozenset(self._coders[name].codes)

    def take(self, rows: Rows) -> Table:
        """The table of these variants."""
        return self._table.take(rows.astype(np.int64, copy=False))

    def _find(self, table: Table) -> Rows:
        columns = [coder.foreign_codes(table.columns.get(name), table.n_rows) for name, coder in self._coders.items()]
        return self._index.find(columns, table.n_rows)

    def _data(self, encode: Encode) -> dict[str, Any]:
        del encode
        parameters: list[dict[str, Any]] = []
        for known in self.parameters:
            column = self._table.columns[known.name]
            values = {"values": list(map(plain, column.pool.tolist())), "codes": column.codes.tolist()}
            parameters.append({"name": known.name} | values | parameter_data(known))
        return {"kind": self._kind, "n": self.n_variants, "parameters": parameters}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Listed:
        """The space that :meth:`to_dict` wrote."""
        parameters: list[Parameter] = []
        columns: dict[str, Column] = {}
        for entry in data["parameters"]:
            name = check_name(entry["name"])
            default = from_plain(entry["default"]) if "default" in entry else NO_DEFAULT
            parameters.append(Parameter(name, entry.get("unit"), default))
            pool = objects(map(from_plain, entry["values"]))
            columns[name] = Column(pool, np.array(entry["codes"], dtype=np.int64))
        space = cls.__new__(cls)
        Listed.__init__(space, Table(tuple(parameters), columns, data["n"]))
        return space


class _Coder:
    """Codes of one parameter's values in an index: 0 for a lack and for the default, else the pool's code plus 1."""

    __slots__ = ("codes", "size")

    def __init__(self, parameter: Parameter, pool: Objects) -> None:
        self.codes: dict[Any, int] = {}
        for value in pool.tolist():
            self.codes.setdefault(identity_key(value), len(self.codes) + 1)
        if parameter.has_default:
            self.codes[identity_key(parameter.default)] = 0
        self.size = len(pool) + 1

    def own_codes(self, codes: Codes) -> Codes:
        """The index codes of the space's own column, whose pool has each value once."""
        table = np.array([*self.codes.values(), 0], dtype=np.int64)
        return table[np.where(codes < 0, len(table) - 1, codes)]

    def foreign_codes(self, column: Column | None, n_rows: int) -> Codes:
        """The index codes of a column from elsewhere; -1 for values that are not here."""
        if column is None:
            return np.zeros(n_rows, np.int64)
        table = [self.codes.get(identity_key(value), -1) for value in column.pool.tolist()]
        return np.array([*table, 0], dtype=np.int64)[column.codes]


def coded(values: Iterable[Any]) -> Column:
    """A column from one value per row, each distinct value once in its pool; ``ABSENT`` becomes -1."""
    places: dict[Any, int] = {}
    pool: list[Any] = []
    codes: list[int] = []
    for value in values:
        if value is ABSENT:
            codes.append(-1)
            continue
        key = identity_key(value)
        place = places.get(key)
        if place is None:
            place = places[key] = len(pool)
            pool.append(value)
        codes.append(place)
    return Column(objects(pool), np.array(codes, dtype=np.int64))


class Points(Listed):
    """Variants one by one: ``Points([{"a": 1, "b": 2}, {"a": 3}])``; each has the names it is given.

    Parameters
    ----------
    variants
        Mappings from names to values; no two alike.
    units
        Units of parameters, by name.
    """

    __slots__ = ()

    def __init__(self, variants: Iterable[Mapping[str, object]], *, units: Mapping[str, str] | None = None) -> None:
        rows: list[dict[str, Any]] = []
        for given in variants:
            if not isinstance(cast("object", given), Mapping):
                raise SpaceError(f"Points takes mappings from names to values, not {given!r}")
            rows.append({name: normalize(value, name=name) for name, value in given.items()})
        if not rows:
            raise SpaceError("Points was given no variants; give at least one")
        names = [check_name(name) for name in dict.fromkeys(name for row in rows for name in row)]
        unknown = sorted(set(units or ()) - set(names))
        if unknown:
            raise SpaceError(f"Points was given units for {short_list(unknown)}, which no variant has")
        parameters = tuple(Parameter(name, (units or {}).get(name)) for name in names)
        columns = {name: coded(row.get(name, ABSENT) for row in rows) for name in names}
        super().__init__(Table(parameters, columns, len(rows)))


class Zip(Listed):
    """Parameters varied together: ``Zip(a=[1, 2], b=[10, 20])`` has two variants.

    All lists have the same length; values may repeat, whole variants may not. An :class:`Axis` may stand among the
    arguments, or for a name's values.
    """

    __slots__ = ()

    _kind = "zip"

    def __init__(self, *parts: Mapping[str, Any] | Axis, **values: Any) -> None:
        listed: dict[str, tuple[Parameter, Sequence[Any]]] = {}
        for part in (*parts, values):
            entries: Any = {part.name: part} if isinstance(part, Axis) else part
            if not isinstance(entries, Mapping):
                raise SpaceError(f"Zip takes mappings from names to values, axes and keywords, not {part!r}")
            for name, given in cast("Mapping[str, Any]", entries).items():
                if name in listed:
                    raise SpaceError(f"Zip was given the parameter {name!r} twice")
                if isinstance(given, Axis):
                    listed[name] = (axis_named(name, given).parameters[0], given.values)
                else:
                    listed[name] = (Parameter(check_name(name)), listed_values(name, given))
        lengths = {name: len(given) for name, (_, given) in listed.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            shown = short_list(f"{name}: {length}" for name, length in lengths.items()) or "no parameters"
            raise SpaceError(
                f"Zip varies parameters together, so their lists have one length, at least 1 ({shown}); "
                "for every combination use Grid"
            )
        columns = {name: coded(given) for name, (_, given) in listed.items()}
        n_rows = next(iter(lengths.values()))
        super().__init__(Table(tuple(known for known, _ in listed.values()), columns, n_rows))
