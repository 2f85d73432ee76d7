"""Small expressions over parameters, such as ``"a < b and layers * width <= 4096"``, read without ``eval``.

The text is parsed by Python's own parser into a tree, the tree is translated into functions piece by piece, and
whatever is not listed here is refused: no calls, attributes, subscripts or comprehensions.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sciflow.errors import PredicateError
from sciflow.space.variant import ABSENT

Evaluate: TypeAlias = Callable[[Mapping[str, Any]], Any]

_LONGEST = 10_000
_MOST_BITS = 100_000
_MOST_ITEMS = 100_000

_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_REFUSED: Final[dict[type[ast.expr], str]] = {
    ast.Call: "calls a function",
    ast.Attribute: "reads an attribute",
    ast.Subscript: "reads an item",
    ast.Lambda: "defines a function",
    ast.Compare: "compares with 'is' (write == or !=)",
}
_UNARY: Final[dict[type[ast.unaryop], Callable[[Any], Any]]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _MOST_BITS:
        raise OverflowError(f"{base} ** {exponent} has more digits than this is meant for")
    return base**exponent


def _times(left: Any, right: Any) -> Any:
    for items, n in ((left, right), (right, left)):
        if isinstance(items, str | bytes | tuple) and isinstance(n, int) and len(items) * n > _MOST_ITEMS:
            raise OverflowError(f"a sequence repeated {n} times is longer than this is meant for")
    return left * right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str | bytes):
        raise TypeError("% formats no text here")
    return left % right


_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _modulo,
    ast.Pow: _power,
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

    __slots__ = ("_evaluate", "_names", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _LONGEST:
            raise PredicateError(f"an expression of {len(text)} characters is longer than the {_LONGEST} allowed")
        try:
            tree = ast.parse(text.strip(), mode="eval")
            names: dict[str, None] = {}
            self._evaluate = _Translator(text.strip(), names).translate(tree.body)
        except (SyntaxError, ValueError) as error:
            if isinstance(error, PredicateError):
                raise
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
        return self._evaluate(values)

    def __repr__(self) -> str:
        return f"Expression({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Expression) else NotImplemented

    def __hash__(self) -> int:
        return hash((Expression, self._text))

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return Expression, (self._text,)


class _Translator:
    """From the parser's tree to functions."""

    def __init__(self, text: str, names: dict[str, None]) -> None:
        self._text, self._names = text, names

    def translate(self, node: ast.expr) -> Evaluate:  # noqa: PLR0911  one return for each kind of piece
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return lambda _: value
            case ast.Name(id=name):
                self._names[name] = None
                return lambda values: values.get(name, ABSENT)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return self._sequence(items)
            case ast.BoolOp(op=op, values=operands):
                return self._bool_op(op, list(map(self.translate, operands)))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.translate(operand)
                return lambda values: not inner(values)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _unary(_UNARY[type(op)], self.translate(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _binary(_BINARY[type(op)], self.translate(left), self.translate(right))
            case ast.Compare():
                return self._comparison(node)
            case _:
                raise self._refusal(node)

    def _refusal(self, node: ast.expr) -> PredicateError:
        piece = ast.get_source_segment(self._text, node) or self._text
        what = _REFUSED.get(type(node), f"uses {type(node).__name__}")
        return PredicateError(
            f"in {self._text!r} the piece {piece!r} {what}, which is not allowed in a text; allowed are names, "
            "constants, and, or, not, comparisons, in, + - * / // % **; for more pass a function"
        )

    def _sequence(self, items: list[ast.expr]) -> Evaluate:
        parts = list(map(self.translate, items))

        def sequence(values: Mapping[str, Any]) -> Any:
            made = tuple([part(values) for part in parts])
            return ABSENT if any(item is ABSENT for item in made) else made

        return sequence

    def _bool_op(self, op: ast.boolop, operands: list[Evaluate]) -> Evaluate:
        stops_at = isinstance(op, ast.Or)

        def bool_op(values: Mapping[str, Any]) -> Any:
            result: Any = None
            for operand in operands:
                result = operand(values)
                if bool(result) is stops_at:
                    break
            return result

        return bool_op

    def _comparison(self, node: ast.Compare) -> Evaluate:
        if any(type(op) not in _COMPARISONS for op in node.ops):
            raise self._refusal(node)
        first = self.translate(node.left)
        links = [
            (_COMPARISONS[type(op)], self.translate(right))
            for op, right in zip(node.ops, node.comparators, strict=True)
        ]

        def comparison(values: Mapping[str, Any]) -> Any:
            left = first(values)
            result: Any = False
            for compare, operand in links:
                right = operand(values)
                if left is ABSENT or right is ABSENT:
                    return False
                result = compare(left, right)
                if not result:
                    return result
                left = right
            return result

        return comparison


def _unary(apply: Callable[[Any], Any], operand: Evaluate) -> Evaluate:
    def unary(values: Mapping[str, Any]) -> Any:
        value = operand(values)
        return ABSENT if value is ABSENT else apply(value)

    return unary


def _binary(apply: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    def binary(values: Mapping[str, Any]) -> Any:
        one, other = left(values), right(values)
        return ABSENT if one is ABSENT or other is ABSENT else apply(one, other)

    return binary
