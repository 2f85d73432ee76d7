"""The pieces that an expression is made of: each gives its value for one variant, and for many at once.

Both mean the same. For many variants a piece works on arrays of Python objects, so numbers are Python's, and what
Python would not evaluate (the right side of ``and`` where the left is false) is not evaluated for those rows.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.space.table import Codes, Mask, Objects, objects
from sciflow.space.variant import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MOST_BITS = 100_000
_MOST_ITEMS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Many:
    """One value per row, and where there is none (None: nowhere)."""

    values: Objects
    absent: Mask | None = None

    def at(self, rows: Codes) -> Many:
        """The values of these rows."""
        return Many(self.values[rows], None if self.absent is None else self.absent[rows])

    @property
    def truth(self) -> Mask:
        """For each row whether Python would call the value true."""
        return self.values.astype(np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The parameters' values for some rows."""

    by_name: Mapping[str, Many]
    n_rows: int

    @classmethod
    def of(cls, by_name: Mapping[str, Objects], n_rows: int) -> Columns:
        """Columns from arrays with ``ABSENT`` where a row lacks the parameter."""
        return cls({name: _marked(values) for name, values in by_name.items()}, n_rows)

    def at(self, rows: Codes) -> Columns:
        """The columns of these rows."""
        if len(rows) == self.n_rows:
            return self
        return Columns({name: column.at(rows) for name, column in self.by_name.items()}, len(rows))


def _marked(values: Objects) -> Many:
    absent = np.array([value is ABSENT for value in values.tolist()], dtype=np.bool_)
    return Many(values, absent if absent.any() else None)


def _either(parts: Iterable[Many]) -> Mask | None:
    """Where any of the parts is absent."""
    joint: Mask | None = None
    for part in parts:
        if part.absent is not None:
            joint = part.absent if joint is None else joint | part.absent
    return joint


class Piece(ABC):
    """One piece of an expression."""

    __slots__ = ()

    @abstractmethod
    def one(self, values: Mapping[str, Any]) -> Any:
        """Its value for one variant; ``ABSENT`` if that lacks a parameter it needs."""

    @abstractmethod
    def many(self, columns: Columns) -> Many:
        """Its value for each row."""


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Piece):
    """A number, a text, True, False or None."""

    value: Any

    def one(self, values: Mapping[str, Any]) -> Any:
        """The constant."""
        del values
        return self.value

    def many(self, columns: Columns) -> Many:
        """The constant in each row."""
        return Many(np.broadcast_to(objects([self.value]), columns.n_rows))


@dataclass(frozen=True, slots=True, eq=False)
class Name(Piece):
    """A parameter."""

    name: str

    def one(self, values: Mapping[str, Any]) -> Any:
        """The variant's value."""
        return values.get(self.name, ABSENT)

    def many(self, columns: Columns) -> Many:
        """The rows' values."""
        return columns.by_name[self.name]


@dataclass(frozen=True, slots=True, eq=False)
class Sequence(Piece):
    """Several values in parentheses or brackets; a tuple."""

    items: tuple[Piece, ...]

    def one(self, values: Mapping[str, Any]) -> Any:
        """The tuple of the items' values."""
        made = tuple([item.one(values) for item in self.items])
        return ABSENT if any(item is ABSENT for item in made) else made

    def many(self, columns: Columns) -> Many:
        """A tuple in each row."""
        if all(isinstance(item, Constant) for item in self.items):
            return Many(np.broadcast_to(objects([self.one({})]), columns.n_rows))
        parts = [item.many(columns) for item in self.items]
        made, absent = objects(zip(*(part.values.tolist() for part in parts), strict=True)), _either(parts)
        if absent is not None:
            made[absent] = ABSENT
        return Many(made, absent)


@dataclass(frozen=True, slots=True, eq=False)
class Not(Piece):
    """``not operand``."""

    operand: Piece

    def one(self, values: Mapping[str, Any]) -> Any:
        """Whether the operand is false."""
        return not self.operand.one(values)

    def many(self, columns: Columns) -> Many:
        """For each row whether the operand is false."""
        return Many((~self.operand.many(columns).truth).astype(object))


@dataclass(frozen=True, slots=True, eq=False)
class AllOrAny(Piece):
    """``a and b and …``, or with ``stops_at`` True ``a or b or …``: the operand that settles it."""

    stops_at: bool
    operands: tuple[Piece, ...]

    def one(self, values: Mapping[str, Any]) -> Any:
        """The first operand that settles it, or the last."""
        result: Any = None
        for operand in self.operands:
            result = operand.one(values)
            if bool(result) is self.stops_at:
                break
        return result

    def many(self, columns: Columns) -> Many:
        """The same for each row; operands are evaluated for the rows that reach them."""
        results = np.empty(columns.n_rows, dtype=object)
        absent = np.zeros(columns.n_rows, dtype=np.bool_)
        open_rows = np.arange(columns.n_rows)
        for operand in self.operands:
            mine = operand.many(columns.at(open_rows))
            results[open_rows] = mine.values
            absent[open_rows] = False if mine.absent is None else mine.absent
            open_rows = open_rows[mine.truth != self.stops_at]
        return Many(results, absent if absent.any() else None)


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Piece):
    """An arithmetic operation on one or two operands; absent if one of them is."""

    operation: Callable[..., Any]
    operands: tuple[Piece, ...]

    def one(self, values: Mapping[str, Any]) -> Any:
        """The operation's result."""
        made = [operand.one(values) for operand in self.operands]
        return ABSENT if any(value is ABSENT for value in made) else self.operation(*made)

    def many(self, columns: Columns) -> Many:
        """The operation's result in each row."""
        parts = [operand.many(columns) for operand in self.operands]
        operation = VECTORIZED[self.operation]
        absent = _either(parts)
        if absent is None:
            return Many(operation(*(part.values for part in parts)))
        here = np.flatnonzero(~absent)
        results = np.full(columns.n_rows, ABSENT, dtype=object)
        results[here] = operation(*(part.values[here] for part in parts))
        return Many(results, absent)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Piece):
    """``a < b <= c``; false where an operand is absent."""

    first: Piece
    links: tuple[tuple[Callable[[Any, Any], Any], Piece], ...]

    def one(self, values: Mapping[str, Any]) -> Any:
        """The first comparison's result that is false, or the last one's."""
        left = self.first.one(values)
        result: Any = False
        for compare, operand in self.links:
            right = operand.one(values)
            if left is ABSENT or right is ABSENT:
                return False
            result = compare(left, right)
            if not result:
                break
            left = right
        return result

    def many(self, columns: Columns) -> Many:
        """The same for each row; further operands are evaluated where the comparisons before them hold."""
        results = np.full(columns.n_rows, fill_value=False, dtype=object)
        open_rows = np.arange(columns.n_rows)
        left = self.first.many(columns)
        for compare, operand in self.links:
            right = operand.many(columns.at(open_rows))
            absent = _either((left, right))
            if absent is not None:
                results[open_rows[absent]] = False
                here = np.flatnonzero(~absent)
                left, right, open_rows = left.at(here), right.at(here), open_rows[here]
            compared = Many(VECTORIZED[compare](left.values, right.values))
            results[open_rows] = compared.values
            holds = np.flatnonzero(compared.truth)
            left, open_rows = right.at(holds), open_rows[holds]
        return Many(results)


# --------------------------------------------------------------------------------------------------------- operations


def is_in(item: Any, items: Any) -> Any:
    """``item in items``."""
    return item in items


def is_not_in(item: Any, items: Any) -> Any:
    """``item not in items``."""
    return item not in items


def power(base: Any, exponent: Any) -> Any:
    """``base ** exponent``, unless that is an integer of absurd length."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _MOST_BITS:
        raise OverflowError(f"{base} ** {exponent} has more digits than this is meant for")
    return base**exponent


def times(left: Any, right: Any) -> Any:
    """``left * right``, unless that is a sequence of absurd length."""
    for items, n in ((left, right), (right, left)):
        if isinstance(items, str | bytes | tuple) and isinstance(n, int) and len(items) * n > _MOST_ITEMS:
            raise OverflowError(f"a sequence repeated {n} times is longer than this is meant for")
    return left * right


def modulo(left: Any, right: Any) -> Any:
    """``left % right`` of numbers; ``%`` formats no text here."""
    if isinstance(left, str | bytes):
        raise TypeError("% formats no text here")
    return left % right


def _ufunc(operation: Callable[..., Any]) -> Callable[..., Objects]:
    return lambda *arrays: operation(*arrays, dtype=object)


VECTORIZED: Final[Mapping[Callable[..., Any], Callable[..., Objects]]] = {
    operator.eq: _ufunc(np.equal),
    operator.ne: _ufunc(np.not_equal),
    operator.lt: _ufunc(np.less),
    operator.le: _ufunc(np.less_equal),
    operator.gt: _ufunc(np.greater),
    operator.ge: _ufunc(np.greater_equal),
    is_in: np.frompyfunc(is_in, 2, 1),
    is_not_in: np.frompyfunc(is_not_in, 2, 1),
    operator.add: _ufunc(np.add),
    operator.sub: _ufunc(np.subtract),
    times: np.frompyfunc(times, 2, 1),
    operator.truediv: _ufunc(np.true_divide),
    operator.floordiv: _ufunc(np.floor_divide),
    modulo: np.frompyfunc(modulo, 2, 1),
    power: np.frompyfunc(power, 2, 1),
    operator.neg: _ufunc(np.negative),
    operator.pos: _ufunc(np.positive),
}
"""Each operation for arrays of objects: NumPy calls Python's own operator on each pair."""
