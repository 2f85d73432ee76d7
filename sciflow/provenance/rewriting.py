"""Modules that are not compiled as they are written: pytest adds to assertions, type checkers add checks."""

from __future__ import annotations

import inspect
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import TYPE_CHECKING

from sciflow.provenance.bytecode import all_code, constant_text

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable
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

    Such a function is where it was, has the same parameters, and all names and constants that are written there. So an
    edit of it that moves no function and brings neither a new name nor a new constant goes unnoticed.
    """
    functions = {
        (one.co_name, one.co_firstlineno): one
        for one in all_code(compile(written, filename, "exec", dont_inherit=True))
    }

    def may_come(code: CodeType) -> bool:
        function = functions.get((code.co_name, code.co_firstlineno))
        return function is not None and _parameters(function) == _parameters(code) and _used(function) < _used(code)

    return may_come


def _parameters(code: CodeType) -> tuple[object, ...]:
    n_named = code.co_argcount + code.co_kwonlyargcount
    return code.co_argcount, code.co_posonlyargcount, code.co_flags & _VARIABLE, code.co_varnames[:n_named]


def _used(code: CodeType) -> set[tuple[str, str]]:
    """Names and constants of a function, but not of those inside."""
    names = (*code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars)
    constants = (constant_text(one) for one in code.co_consts if not isinstance(one, CodeType))
    return {*(("name", one) for one in names), *(("constant", one) for one in constants)}
