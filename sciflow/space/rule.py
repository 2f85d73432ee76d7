"""A predicate or derivation, as a text or a function, applied to the rows of a table."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.canonical import normalize
from sciflow.errors import PredicateError, SpaceError
from sciflow.space.expression import Expression
from sciflow.space.page import short_list
from sciflow.space.table import Codes, Column, Mask, Table, objects
from sciflow.space.variant import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sciflow.space.table import Objects


class Rule:
    """What to compute from a variant's parameters.

    Parameters
    ----------
    given
        A text or a function.
    known
        The names of the parameters that there are.
    purpose
        How messages call it, such as ``where({})``.

    Raises
    ------
    PredicateError
        If the text is not understood, or a parameter is not known.
    """

    __slots__ = ("_arguments", "_optional", "given", "names", "purpose")

    def __init__(self, given: object, known: Iterable[str], purpose: str) -> None:
        self.purpose = purpose
        self._optional: frozenset[str] = frozenset()
        if isinstance(given, str):
            given = Expression(given)
        known = tuple(known)
        self.given: Expression | Callable[..., Any]
        if isinstance(given, Expression):
            self.given = given
            asked = given.names
        elif callable(given):
            self.given = given
            asked = self._arguments_of(given, known)
        else:
            raise PredicateError(
                f"{purpose.format('…')} takes a text such as 'a < b' or a function of parameters, not {given!r}"
            )
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise PredicateError(
                f"{self} names {short_list(map(repr, unknown))}, which this space does not have; "
                f"it has {short_list(known) or 'no parameters'}"
            )
        self.names: tuple[str, ...] = tuple(asked)

    def _arguments_of(self, function: Callable[..., Any], known: tuple[str, ...]) -> tuple[str, ...]:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            raise PredicateError(
                f"{self} has no signature to take parameters by name; wrap it in a lambda that has one"
            ) from None
        asked: dict[str, None] = {}
        optional: set[str] = set()
        for argument in signature.parameters.values():
            if argument.kind is argument.POSITIONAL_ONLY or argument.kind is argument.VAR_POSITIONAL:
                raise PredicateError(
                    f"{self} takes {argument.name!r} by position; parameters are passed by name, so write it without"
                )
            if argument.kind is argument.VAR_KEYWORD:
                asked.update(dict.fromkeys(known))
                optional.update(name for name in known if name not in signature.parameters)
            elif argument.default is argument.empty:
                asked[argument.name] = None
            elif argument.name in known:
                asked[argument.name] = None
                optional.add(argument.name)
        self._optional = frozenset(optional)
        return tuple(asked)

    def __str__(self) -> str:
        given = self.given
        text = repr(given.text) if isinstance(given, Expression) else getattr(given, "__qualname__", repr(given))
        return self.purpose.format(text)

    @property
    def source(self) -> str:
        """The text, or the function's source as far as it can be had."""
        if isinstance(self.given, Expression):
            return self.given.text
        try:
            return textwrap.dedent(inspect.getsource(self.given)).strip()
        except (OSError, TypeError):
            return getattr(self.given, "__qualname__", repr(self.given))

    def mask(self, table: Table) -> Mask:
        """For which rows it holds."""
        results, codes = self._each(table, lambda value: value is not ABSENT and bool(value))
        return np.array(results.tolist(), dtype=np.bool_)[codes]

    def column(self, table: Table) -> Column:
        """Its value for each row; a row lacks it if it lacks one of the parameters that it needs."""
        results, codes = self._each(table, lambda value: value if value is ABSENT else normalize(value))
        absent = np.array([result is ABSENT for result in results.tolist()], dtype=np.bool_)
        return Column(results, np.where(absent[codes], -1, codes) if absent.any() else codes)

    def _each(self, table: Table, finish: Callable[[Any], Any]) -> tuple[Objects, Codes]:
        """The finished results for the distinct combinations of values, and for each row which."""
        columns = [table.columns[name] for name in self.names]
        first, codes = combinations(columns, table.n_rows)
        arrays = [column.take(first).values() for column in columns]
        quick = self._at_once(dict(zip(self.names, arrays, strict=True)), len(first), finish)
        if quick is not None:
            return quick, codes
        values = [array.tolist() for array in arrays]
        results: list[Any] = []
        for place, row in enumerate(zip(*values, strict=True) if values else [()] * len(first)):
            try:
                results.append(finish(self._apply(dict(zip(self.names, row, strict=True)))))
            except Exception as error:
                variant = next(table.take(first[place : place + 1]).variants())
                told = str(error) if isinstance(error, SpaceError) else f"{type(error).__name__}: {error}"
                raise PredicateError(f"{self} failed on {variant!r}: {told}") from error
        return objects(results), codes

    def _at_once(self, values: dict[str, Objects], n_rows: int, finish: Callable[[Any], Any]) -> Objects | None:
        """The results of an expression; None if it fails somewhere, which going one by one finds out."""
        if not isinstance(self.given, Expression):
            return None
        try:
            return objects(map(finish, self.given.many(values, n_rows).tolist()))
        except Exception:  # noqa: BLE001  raised again, with the variant's name, one by one
            return None

    def _apply(self, values: dict[str, Any]) -> Any:
        if isinstance(self.given, Expression):
            return self.given(values)
        arguments: dict[str, Any] = {}
        for name, value in values.items():
            if value is not ABSENT:
                arguments[name] = value
            elif name not in self._optional:
                return ABSENT
        return self.given(**arguments)


def combinations(columns: list[Column], n_rows: int) -> tuple[Codes, Codes]:
    """A row of each distinct combination of codes, and for each row which combination it has."""
    if not columns:
        return np.zeros(min(n_rows, 1), np.int64), np.zeros(n_rows, np.int64)
    keys, radix = columns[0].codes + 1, len(columns[0].pool) + 1
    for column in columns[1:]:
        size = len(column.pool) + 1
        if radix * size > 2**62:
            _, keys = np.unique(keys, return_inverse=True)
            radix = n_rows
        keys = keys * size + (column.codes + 1)
        radix *= size
    if radix <= 4 * n_rows:  # few possible keys: no need to sort
        first = np.full(radix, -1, np.int64)
        first[keys[::-1]] = np.arange(n_rows - 1, -1, -1)
        used = np.flatnonzero(first >= 0)
        place = np.empty(radix, np.int64)
        place[used] = np.arange(len(used))
        return first[used], place[keys]
    _, first, codes = np.unique(keys, return_index=True, return_inverse=True)
    return first, codes
