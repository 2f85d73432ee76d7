"""Modules that are not compiled as they are written: pytest adds to assertions, type checkers add checks."""

from __future__ import annotations

import ast
import inspect
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import TYPE_CHECKING, cast

from sciflow.provenance.bytecode import all_code, constant_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

_VARIABLE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def is_rewritten(module: ModuleType) -> bool:
    """Whether what loaded the module may have compiled something else than the text of its file."""
    loader: object = getattr(module, "__loader__", None)
    if loader is None:  # made by hand
        return False
    return getattr(type(loader), "source_to_code", None) is not SourceFileLoader.source_to_code


def may_come_from(written: ast.Module, filename: str) -> Callable[[CodeType], bool]:
    """What says of compiled code whether it may be a function of the file to which something was added.

    Such a function is where it was, has the same parameters, and all names and constants that are written there; those
    that the compiler made of them, such as ``-1`` or ``10**18``, may lie in what was changed. So an edit of it that
    moves no function and brings neither a new name nor a new constant goes unnoticed.
    """
    functions = {
        (one.co_name, one.co_firstlineno): one
        for one in all_code(compile(written, filename, "exec", dont_inherit=True))
    }
    literals = dict(_literals(written))

    def may_come(code: CodeType) -> bool:
        place = code.co_name, code.co_firstlineno
        if place not in functions or _parameters(functions[place]) != _parameters(code):
            return False
        names, constants = _names(functions[place]), _constants(functions[place])
        names_there, there = _names(code), _constants(code).keys()
        is_added_to = bool(names_there - names or there - constants.keys())
        lacking = {part for one in constants.keys() - there for part in _parts(constants[one])} - there
        return is_added_to and names <= names_there and not lacking & literals.get(place, set())

    return may_come


def _literals(written: ast.Module) -> Iterator[tuple[tuple[str, int], set[str]]]:
    """The constants that are written in each function, by its name and first line."""
    for node in ast.walk(written):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            yield (
                (node.name, first),
                {constant_text(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant)},
            )


def _parts(constant: object) -> Iterator[str]:
    """A constant, or what is in it."""
    if isinstance(constant, tuple | frozenset):
        for one in cast("Iterable[object]", constant):
            yield from _parts(one)
    else:
        yield constant_text(constant)


def _parameters(code: CodeType) -> tuple[object, ...]:
    n_named = code.co_argcount + code.co_kwonlyargcount
    return code.co_argcount, code.co_posonlyargcount, code.co_flags & _VARIABLE, code.co_varnames[:n_named]


def _names(code: CodeType) -> set[str]:
    return {*code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars}


def _constants(code: CodeType) -> dict[str, object]:
    """Those of a function, by their texts, but not of functions inside."""
    return {constant_text(one): one for one in code.co_consts if not isinstance(one, CodeType)}
