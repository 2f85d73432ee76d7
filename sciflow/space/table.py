"""Rows of a space as dictionary-encoded columns: what makes spaces fast without listing their variants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from sciflow.space.identity import identities
from sciflow.space.typed import typed_column
from sciflow.space.variant import ABSENT, Parameter, Schema, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Objects: TypeAlias = "NDArray[np.object_]"
Codes: TypeAlias = "NDArray[np.int64]"
Rows: TypeAlias = "NDArray[Any]"
"""Row numbers: int64, or object (Python integers) in a space too large for that."""
Mask: TypeAlias = "NDArray[np.bool_]"


_SCALARS: Final = frozenset({int, float, str, bool, type(None)})


def objects(values: Iterable[object]) -> Objects:
    """A 1-d array of the values themselves, also when they are sequences or arrays."""
    listed = list(values)
    pool = np.empty(len(listed), dtype=object)
    if not set(map(type, listed)) <= _SCALARS:
        for place, value in enumerate(listed):
            pool[place] = value
    else:
        pool[:] = listed
    return pool


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One parameter's values in some rows: the distinct ones, and for each row which; -1 where a row lacks it."""

    pool: Objects
    codes: Codes

    def values(self) -> Objects:
        """One value per row, ``ABSENT`` where the row lacks the parameter."""
        if self.codes.size and self.codes.min() < 0:
            return np.append(self.pool, objects([ABSENT]))[self.codes]
        return self.pool[self.codes]

    def take(self, rows: Rows) -> Column:
        """The column of these rows."""
        return Column(self.pool, self.codes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Some rows of a space, in declared order of the parameters."""

    parameters: tuple[Parameter, ...]
    columns: Mapping[str, Column]
    n_rows: int

    @classmethod
    def of_mapping(cls, values: Mapping[str, Any], parameters: Iterable[Parameter] | None = None) -> Table:
        """The table of one row; the values are normalized already."""
        known = tuple(parameters) if parameters is not None else tuple(map(Parameter, values))
        columns = {name: Column(objects([value]), np.zeros(1, np.int64)) for name, value in values.items()}
        return cls(known, columns, 1)

    @classmethod
    def of_variant(cls, variant: Variant) -> Table:
        """The table of one variant."""
        return cls.of_mapping(dict(variant), variant.parameters)

    def lists(self) -> list[list[Any]]:
        """One Python list per parameter, ``ABSENT`` where a row lacks it."""
        return [self.columns[parameter.name].values().tolist() for parameter in self.parameters]

    def variants(self) -> Iterator[Variant]:
        """The rows as variants."""
        of = Variant.of
        if not self.parameters:
            return (of(Schema(()), ()) for _ in range(self.n_rows))
        rows = zip(*self.lists(), strict=True)
        if any((self.columns[parameter.name].codes < 0).any() for parameter in self.parameters):
            return self._ragged(rows)
        schema = Schema(self.parameters)
        return (of(schema, values) for values in rows)

    def _ragged(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[Variant]:
        schemas: dict[tuple[bool, ...], Schema] = {}
        for values in rows:
            present = tuple([value is not ABSENT for value in values])
            schema = schemas.get(present)
            if schema is None:
                schema = Schema(tuple(p for p, here in zip(self.parameters, present, strict=True) if here))
                schemas[present] = schema
            yield Variant.of(schema, tuple([value for value in values if value is not ABSENT]))

    def id_bytes(self) -> bytes:
        """Ten bytes per row: the identities, as ``variant_id`` gives them for each row."""
        counted = [
            (known, self.columns[known.name].pool, self.columns[known.name].codes)
            for known in self.parameters
            if not known.derived
        ]
        return identities(counted, self.n_rows)

    def ids(self) -> list[str]:
        """The identity of each row as text."""
        text = self.id_bytes().hex()
        return ["v" + text[at : at + 20] for at in range(0, len(text), 20)]

    def take(self, rows: Rows) -> Table:
        """The table of these rows."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Table(self.parameters, columns, len(rows))

    def select(self, mask: Mask) -> Table:
        """The table of the rows where *mask* holds."""
        return self.take(np.flatnonzero(mask))

    def only(self, names: Iterable[str]) -> Table:
        """The table with the parameters of these names alone."""
        kept = frozenset(names)
        parameters = tuple(parameter for parameter in self.parameters if parameter.name in kept)
        return Table(parameters, {known.name: self.columns[known.name] for known in parameters}, self.n_rows)

    def known_as(self, parameters: Iterable[Parameter], earlier: Mapping[str, object] | None = None) -> Table:
        """The table as a space with these parameters understands it, when it comes from elsewhere.

        Derived parameters are left out: they are no part of an identity.

        Parameters
        ----------
        parameters
            Their defaults become the table's, which may not know them.
        earlier
            Defaults of parameters that are gone from the space: a row at such a default lacks the parameter.
        """
        known = {parameter.name: parameter for parameter in parameters}
        kept: list[Parameter] = []
        columns: dict[str, Column] = {}
        for mine in self.parameters:
            parameter, column = known.get(mine.name), self.columns[mine.name]
            if mine.derived or (parameter is not None and parameter.derived):
                continue
            if parameter is None and earlier is not None and mine.name in earlier:
                column = _without(column, Parameter(mine.name, default=earlier[mine.name]))
                if column.codes.size and column.codes.max() < 0:
                    continue
            has_default = parameter is not None and parameter.has_default
            kept.append(replace(mine, default=parameter.default) if parameter is not None and has_default else mine)
            columns[mine.name] = column
        return Table(tuple(kept), columns, self.n_rows)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """One typed array per parameter; masked where a row lacks the parameter."""
        return {known.name: typed_column(*self._encoded(known)) for known in self.parameters}

    def _encoded(self, parameter: Parameter) -> tuple[Objects, Codes]:
        column = self.columns[parameter.name]
        return column.pool, column.codes


def _without(column: Column, parameter: Parameter) -> Column:
    """The column with a lack in place of values at the parameter's default."""
    counts = np.array([*map(parameter.counts_at, column.pool), False])
    return Column(column.pool, np.where(counts[column.codes], column.codes, -1))


def assemble(parameters: Sequence[Parameter], n_rows: int, pieces: Iterable[tuple[Rows | slice, Table]]) -> Table:
    """One table from the tables of some of its rows; a row lacks the parameters that its piece lacks."""
    codes = {parameter.name: np.full(n_rows, -1, np.int64) for parameter in parameters}
    pools: dict[str, list[Objects]] = {parameter.name: [] for parameter in parameters}
    for rows, table in pieces:
        for name, column in table.columns.items():
            parts = pools[name]
            if parts and parts[-1] is column.pool:
                offset = sum(map(len, parts[:-1]))
            else:
                offset = sum(map(len, parts))
                parts.append(column.pool)
            codes[name][rows] = np.where(column.codes < 0, -1, column.codes + offset)
    columns = {
        name: Column(parts[0] if len(parts) == 1 else np.concatenate([*parts, objects([])]), codes[name])
        for name, parts in pools.items()
    }
    return Table(tuple(parameters), columns, n_rows)
