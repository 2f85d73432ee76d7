"""What every parameter space can do: a lazy, immutable, ordered set of variants."""

from __future__ import annotations

import operator
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from sciflow.canonical import canonical_text, normalize
from sciflow.errors import SpaceError
from sciflow.space.page import html_table, short_list
from sciflow.space.table import Mask, Rows, Table
from sciflow.space.variant import Parameter, Variant, check_name

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from sciflow.space.axis import Axis
    from sciflow.space.rule import Rule

    Encode = Callable[[Rule], object]

INT64_ROWS: Final = 2**62
"""Rows from here on are numbered with Python integers, in arrays of objects."""
_PIECE = 2**14


def row_numbers(rows: range) -> Rows:
    """The numbers of a range as an array, int64 if they are small enough."""
    if max(rows.start, rows.stop) <= INT64_ROWS:
        return np.arange(rows.start, rows.stop, rows.step, dtype=np.int64)
    numbers = np.empty(len(rows), dtype=object)
    numbers[:] = list(rows)
    return numbers


class Space(ABC):
    """A set of variants in a fixed order: counted, indexed and searched without listing it.

    ``A * B`` is every combination, ``A | B`` both without repeats, ``A - B`` and ``A & B`` as for sets (in A's
    order); ``where`` filters, ``derive`` computes further parameters, slices and ``sample`` choose rows.
    """

    __slots__ = ("__weakref__", "_structure_text")

    _structure_text: str

    # ------------------------------------------------------------------------------------------ what a node tells

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in declared order."""

    @property
    @abstractmethod
    def n_variants(self) -> int:
        """The number of variants, exact; a filter counts when asked, and remembers."""

    @abstractmethod
    def take(self, rows: Rows) -> Table:
        """The table of the variants at these positions, each in ``range(n_variants)``.

        Parameters
        ----------
        rows
            int64, or object (Python integers), as :func:`row_numbers` makes them.
        """

    @abstractmethod
    def _find(self, table: Table) -> Rows:
        """The position of each row of a table that has only this space's columns and defaults."""

    @abstractmethod
    def _data(self, encode: Encode) -> dict[str, Any]:
        """The node as plain data, with *encode* for predicates and derivations."""

    # ------------------------------------------------------------------------------ what a node may know better

    @property
    def axes(self) -> tuple[Axis, ...] | None:
        """The axes if this is a plain product of axes, enumerated in their order; else None."""
        return None

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant has."""
        return frozenset(self.names)

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """Identity keys of all values that a parameter may have here, or None where that is not cheap to say."""
        del name
        return None

    def contains(self, table: Table) -> Mask:
        """Which rows of a table from anywhere are variants of this space."""
        return np.asarray(self.find(table) >= 0, dtype=np.bool_)

    def n_up_to(self, limit: int) -> int:
        """``min(n_variants, limit)``, without counting further than needed."""
        return min(self.n_variants, limit)

    def row(self, position: int) -> Variant:
        """The variant at a position in ``range(n_variants)``."""
        return next(self.take(row_numbers(range(position, position + 1))).variants())

    # --------------------------------------------------------------------------------------------- what follows

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in declared order."""
        return tuple(parameter.name for parameter in self.parameters)

    def find(self, table: Table) -> Rows:
        """The position of each row of a table, from this space or from elsewhere, by identity; -1 if it is not here.

        A parameter that a row lacks counts as its default, if it has one. Derived columns are ignored. A row with a
        value, not at its default, of a parameter that this space does not have is not here.
        """
        own, foreign = self._own_part(table)
        found = self._find(own)
        return np.where(foreign, -1, found) if foreign.any() else found

    def _own_part(self, table: Table) -> tuple[Table, Mask]:
        """The columns of a table that count here, and which rows have others that count."""
        table = table.known_as(self.parameters)
        known = {parameter.name: parameter for parameter in self.parameters}
        foreign = np.zeros(table.n_rows, dtype=np.bool_)
        mine: list[str] = []
        for parameter in table.parameters:
            if parameter.name in known:
                mine.append(parameter.name)
            else:
                column = table.columns[parameter.name]
                counts = np.array([*map(parameter.counts_at, column.pool.tolist()), False], dtype=np.bool_)
                foreign |= counts[column.codes]
        return table.only(mine), foreign

    def tables(self, n_rows: int = _PIECE) -> Iterator[Table]:
        """The whole space as tables of at most *n_rows* rows, one after the other."""
        start = 0
        while (stop := self.n_up_to(start + n_rows)) > start:
            yield self.take(row_numbers(range(start, stop)))
            start = stop

    def columns(self, start: int = 0, stop: int | None = None) -> dict[str, NDArray[Any]]:
        """The variants of ``range(start, stop)`` as one typed array per parameter.

        Arrays are masked where a variant lacks the parameter.
        """
        start, stop, _ = self._bounds(slice(start, stop))
        return self.take(row_numbers(range(start, max(start, stop)))).arrays()

    def _bounds(self, cut: slice) -> tuple[int, int, int]:
        """``cut.indices(n_variants)``, without a full count where the cut does not need it."""
        start, stop, step = cut.start, cut.stop, cut.step
        if step is not None and operator.index(step) == 0:
            raise SpaceError("the step of a slice of a space cannot be zero")
        start_, stop_ = (None if edge is None else operator.index(edge) for edge in (start, stop))
        if stop_ is not None and stop_ >= 0 and (start_ or 0) >= 0 and (step is None or step > 0):
            return cut.indices(self.n_up_to(max(stop_, start_ or 0)))
        return cut.indices(self.n_variants)

    def __len__(self) -> int:
        n_variants = self.n_variants
        if n_variants > sys.maxsize:
            raise OverflowError(
                f"this space has {n_variants} variants, more than Python's len() can say; use .n_variants"
            )
        return n_variants

    def __bool__(self) -> bool:
        return self.n_up_to(1) > 0

    def __getitem__(self, key: int | slice) -> Any:
        """One variant, or a lazy space of some."""
        if isinstance(key, slice):
            start, stop, step = self._bounds(key)
            return _operations().sliced(self, range(start, stop, step))
        position = operator.index(key)
        if position < 0:
            position += self.n_variants
            if position < 0:
                raise IndexError(f"position {key} is before the first of {self.n_variants} variants")
        elif self.n_up_to(position + 1) <= position:
            raise IndexError(f"position {key} is beyond the last of {self.n_variants} variants")
        return self.row(position)

    def __iter__(self) -> Iterator[Variant]:
        for table in self.tables():
            yield from table.variants()

    def __reversed__(self) -> Iterator[Variant]:
        return iter(self[::-1])

    def __contains__(self, variant: object) -> bool:
        if isinstance(variant, Variant):
            return bool(self.contains(Table.of_variant(variant))[0])
        if not isinstance(variant, Mapping):
            return False
        try:
            values = {
                check_name(name): normalize(value) for name, value in cast("Mapping[str, object]", variant).items()
            }
        except SpaceError:  # what cannot be a variant is in no space
            return False
        return bool(self.contains(Table.of_mapping(values))[0])

    # ----------------------------------------------------------------------------------------------- operations

    def __mul__(self, other: object) -> Space:
        """Every combination of one variant from each; ``self`` varies slowest."""
        return _operations().product(self, other) if isinstance(other, Space) else NotImplemented

    def __or__(self, other: object) -> Space:
        """The variants of ``self``, then those of ``other`` that are not in it."""
        return _operations().union(self, other) if isinstance(other, Space) else NotImplemented

    def __sub__(self, other: object) -> Space:
        """The variants of ``self`` that are not in ``other``."""
        return _operations().difference(self, other) if isinstance(other, Space) else NotImplemented

    def __and__(self, other: object) -> Space:
        """The variants of ``self`` that are in ``other`` too."""
        return _operations().intersection(self, other) if isinstance(other, Space) else NotImplemented

    def where(self, predicate: str | Callable[..., object]) -> Space:
        """The variants for which *predicate* holds.

        Parameters
        ----------
        predicate
            A text such as ``"a < b and layers * width <= 4096"``, or a function that takes parameters by name.
            A comparison with a parameter that a variant lacks is false.

        Raises
        ------
        PredicateError
            If the text is not understood, or names a parameter that the space does not have.
        """
        return _operations().where(self, predicate)

    def derive(self, rules: Mapping[str, Any] | None = None, /, **more: str | Callable[..., object]) -> Space:
        """The same variants with further parameters computed from theirs: ``derive(area="width * height")``.

        Derived parameters are not part of a variant's identity.
        """
        return _operations().derived(self, {**(rules or {}), **more})

    def sample(self, k: int, seed: int) -> Space:
        """*k* distinct variants chosen uniformly, in the space's order; the same for the same seed."""
        return _operations().sampled(self, k, seed)

    # -------------------------------------------------------------------------------------------- plain data, text

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON data, from which :meth:`from_dict` makes an equal one.

        Raises
        ------
        SpaceError
            If a predicate or derivation is a function; write it as a text.
        """
        return self._data(_operations().encode_strictly)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Space:
        """The space that :meth:`to_dict` wrote."""
        return _operations().from_dict(data)

    def describe(self) -> dict[str, Any]:
        """As :meth:`to_dict`, but functions appear as their source, for people to read."""
        return self._data(_operations().encode_for_people)

    def _structure(self) -> str:
        try:
            return self._structure_text
        except AttributeError:
            self._structure_text = canonical_text(self._data(_operations().encode_by_object))
            return self._structure_text

    def __eq__(self, other: object) -> bool:
        """Whether both are built alike of equal values; spaces of the same variants may differ in this."""
        return self._structure() == other._structure() if isinstance(other, Space) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._structure())

    def _n_text(self) -> str:
        return f"{self.n_variants:,} variants"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({short_list(self.names)}): {self._n_text()}>"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self._n_text(), self.parameters, next(self.tables(5), None), self.axes)


def _operations() -> ModuleType:
    from sciflow.space import operations  # noqa: PLC0415  the operations make spaces, which have these methods

    return operations
