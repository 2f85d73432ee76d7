"""Small expressions over parameters, such as ``"a < b and layers * width <= 4096"``, read without ``eval``.

The text is parsed by Python's own parser into a tree, the tree is translated piece by piece, and whatever is not
listed here is refused: no calls, attributes, subscripts or comprehensions.
"""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.errors import PredicateError
from sciflow.space import pieces
from sciflow.space.pieces import Columns, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.space.table import Objects

_LONGEST = 10_000

_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: pieces.is_in,
    ast.NotIn: pieces.is_not_in,
}
_OPERATIONS: Final[dict[type[ast.unaryop | ast.operator], Callable[..., Any]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: pieces.times,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: pieces.modulo,
    ast.Pow: pieces.power,
}
_REFUSED: Final[dict[type[ast.expr], str]] = {
    ast.Call: "calls a function",
    ast.Attribute: "reads an attribute",
    ast.Subscript: "reads an item",
    ast.Lambda: "defines a function",
    ast.Compare: "compares with 'is' (write == or !=)",
}


class Expression:
    """An expression over parameters: comparisons, ``and``/``or``/``not``, ``in``, arithmetic, names and constants.

    It means what Python means by it, with one addition: a comparison that involves a parameter which a variant lacks
    is false.

    Raises
    ------
    PredicateError
        If the text is not such an expression; the message points at the piece.
    """

    __slots__ = ("_names", "_piece", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _LONGEST:
            raise PredicateError(f"an expression of {len(text)} characters is longer than the {_LONGEST} allowed")
        names: dict[str, None] = {}
        try:
            tree = ast.parse(text.strip(), mode="eval")
            self._piece = _translated(tree.body, text.strip(), names)
        except PredicateError:
            raise
        except (SyntaxError, ValueError) as error:
            raise PredicateError(f"{text!r} is not an expression: {error}") from None
        except (RecursionError, MemoryError):
            raise PredicateError("the expression is nested too deeply; simplify it") from None
        self._names = tuple(names)

    @property
    def text(self) -> str:
        """The expression as written."""
        return self._text

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters it names, in order of appearance."""
        return self._names

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Its value; a name that is missing from *values*, or ``ABSENT``, is a parameter that the variant lacks."""
        return self._piece.one(values)

    def many(self, columns: Mapping[str, Objects], n_rows: int) -> Objects:
        """Its value for each row of arrays of values, ``ABSENT`` where a row lacks a parameter."""
        with np.errstate(all="ignore"):  # Python does not warn of inf - inf, so neither does this
            return self._piece.many(Columns.of(columns, n_rows)).values

    def __repr__(self) -> str:
        return f"Expression({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Expression) else NotImplemented

    def __hash__(self) -> int:
        return hash((Expression, self._text))

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return Expression, (self._text,)


def _translated(node: ast.expr, text: str, names: dict[str, None]) -> Piece:  # noqa: PLR0911  one for each kind of piece
    """The piece that a node of the parser's tree means; names are noted in *names*."""

    def inner(*nodes: ast.expr) -> tuple[Piece, ...]:
        return tuple(_translated(each, text, names) for each in nodes)

    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
            return pieces.Constant(value)
        case ast.Name(id=name):
            names[name] = None
            return pieces.Name(name)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return pieces.Sequence(inner(*items))
        case ast.BoolOp(op=op, values=operands):
            return pieces.AllOrAny(isinstance(op, ast.Or), inner(*operands))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return pieces.Not(*inner(operand))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATIONS:
            return pieces.Apply(_OPERATIONS[type(op)], inner(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return pieces.Apply(_OPERATIONS[type(op)], inner(left, right))
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(type(op) in _COMPARISONS for op in ops):
            first, *others = inner(left, *rest)
            compare = [_COMPARISONS[type(op)] for op in ops]
            return pieces.Comparison(first, tuple(zip(compare, others, strict=True)))
        case _:
            piece = ast.get_source_segment(text, node) or text
            what = _REFUSED.get(type(node), f"uses {type(node).__name__}")
            raise PredicateError(
                f"in {text!r} the piece {piece!r} {what}, which is not allowed in a text; allowed are names, "
                "constants, and, or, not, comparisons, in, + - * / // % **; for more pass a function"
            )
