"""The text of code without what does not matter: comments, layout and docstrings."""

from __future__ import annotations

import ast
import linecache
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, cast

from sciflow.provenance.bytecode import all_code, constant_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MEANINGLESS_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_LAMBDA = "<lambda>"
_MOST_VERSIONS = 4
_versions: dict[str, list[str]] = {}


def function_syntax(code: CodeType) -> str | None:
    """The normalised syntax of the function that *code* was compiled from; None if its source is not at hand.

    A file that was edited since it was loaded is not the source of *code*: then a version counts that this process
    saw earlier, else none.
    """
    read_source(code.co_filename)
    tree = next((tree for tree, is_source_of in _seen_versions(code.co_filename) if is_source_of(code)), None)
    if tree is None:
        return None
    found = [node for node in ast.walk(tree) if _is_function(node) and _starts(node, code)]
    if code.co_name == _LAMBDA:  # several may start on one line; the instructions know their columns
        found = [node for node in found if isinstance(node, ast.Lambda) and _spans(node, code)]
    return normalise(found[-1]) if found else None


def class_syntax(filename: str, qualified_name: str) -> str | None:
    """The normalised syntax of a class, or None if its source is not at hand."""
    parsed = parse_source(filename)
    node: ast.AST | None = None if parsed is None else parsed[0]
    for part in qualified_name.replace("<locals>.", "").split("."):
        node = None if node is None else _named_within(node, part)
    return normalise(node) if isinstance(node, ast.ClassDef) else None


def module_syntax(filename: str) -> tuple[str, list[ast.Import | ast.ImportFrom]] | None:
    """The normalised syntax of a whole file and its imports, or None if it is not Python source."""
    parsed = parse_source(filename)
    if parsed is None:
        return None
    imports = [node for node in ast.walk(parsed[0]) if isinstance(node, ast.Import | ast.ImportFrom)]
    return normalise(parsed[0]), imports


def literal_syntax(filename: str, name: str) -> str | None:
    """The syntax of the list, dict or set that a module binds *name* to, if it is a literal that only functions touch.

    Such a global may be a cache: what it holds changes while the code stays the same.
    """
    parsed = parse_source(filename)
    if parsed is None:
        return None
    outside = (
        one for one in parsed[0].body if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    )
    mentions = [one for one in outside if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(one))]
    match mentions:
        case [
            ast.Assign(targets=[ast.Name()], value=value) | ast.AnnAssign(target=ast.Name(), value=ast.expr() as value)
        ]:
            is_literal = isinstance(value, ast.List | ast.Dict | ast.Set) and not any(
                isinstance(node, ast.Name | ast.Call) for node in ast.walk(value)
            )
            return normalise(value) if is_literal else None
        case _:
            return None


def read_source(filename: str) -> str | None:
    """The text of a file or of a notebook cell, as the interpreter knows it."""
    linecache.checkcache(filename)
    source = "".join(linecache.getlines(filename)) or None
    if source is not None:
        seen = _versions.setdefault(filename, [])
        if source in seen:
            seen.remove(source)
        seen[:] = [source, *seen[: _MOST_VERSIONS - 1]]
    return source


def parse_source(filename: str) -> tuple[ast.Module, Callable[[CodeType], bool]] | None:
    """The syntax of a file as it is now, and what says of compiled code whether it comes from there."""
    source = read_source(filename)
    return None if source is None else _parse(filename, source)


def _seen_versions(filename: str) -> Iterator[tuple[ast.Module, Callable[[CodeType], bool]]]:
    """What this process has read of the file, newest first."""
    for source in _versions.get(filename, ()):
        parsed = _parse(filename, source)
        if parsed is not None:
            yield parsed


def normalise(node: object) -> str:
    """The syntax below *node* without positions, contexts and docstrings, alike in every release of Python."""
    tokens: list[str] = []
    waiting: list[tuple[bool, object]] = [(False, node)]  # a stack of our own: an expression may have many terms
    while waiting:
        is_token, one = waiting.pop()
        if is_token:
            tokens.append(str(one))
        elif isinstance(one, ast.AST):
            waiting.append((True, ")"))
            for name, value in reversed(_fields(one)):
                waiting += [(False, value), (True, f" {name}=")]
            waiting.append((True, f"{type(one).__name__}("))
        elif isinstance(one, list):
            waiting.append((True, "]"))
            waiting += [(False, part) for part in reversed(cast("list[object]", one))]
            waiting.append((True, "["))
        else:
            tokens.append(f"{type(one).__name__} {one!r},")
    return "".join(tokens)


def _fields(node: ast.AST) -> list[tuple[str, object]]:
    """What a node says, without what is empty: releases of Python differ in whether they mention that."""
    return [
        (name, _without_docstring(node, value) if name == "body" else value)
        for name, value in ast.iter_fields(node)
        if name not in _MEANINGLESS_FIELDS and value is not None and value != []
    ]


def _without_docstring(node: ast.AST, body: object) -> object:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
        return body
    return node.body if ast.get_docstring(node, clean=False) is None else node.body[1:]


@lru_cache(maxsize=64)
def _parse(filename: str, source: str) -> tuple[ast.Module, Callable[[CodeType], bool]] | None:
    try:
        tree = ast.parse(source)
        code = compile(tree, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # a notebook cell with a magic, say
        return None
    identities = frozenset(_identity(one) for one in all_code(code))
    return tree, lambda compiled: _identity(compiled) in identities


def _identity(code: CodeType) -> object:
    return code.co_firstlineno, code.co_name, code.co_code, code.co_names, code.co_varnames, _plain_constants(code)


def _plain_constants(code: CodeType) -> tuple[str, ...]:
    return tuple(constant_text(constant) for constant in code.co_consts if not isinstance(constant, CodeType))


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _starts(node: ast.AST, code: CodeType) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        return node.name == code.co_name and first == code.co_firstlineno
    return isinstance(node, ast.Lambda) and code.co_name == _LAMBDA and node.lineno == code.co_firstlineno


def _spans(node: ast.Lambda, code: CodeType) -> bool:
    """Whether the body of a lambda is exactly where the instructions of *code* come from."""
    body = node.body
    places = {
        ((line, column), (end_line, end_column))
        for line, end_line, column, end_column in code.co_positions()
        if line is not None and end_line is not None and column is not None and end_column is not None
    }
    places = {(start, end) for start, end in places if start != end}
    start, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    return bool(places) and min(one for one, _ in places) >= start and max(one for _, one in places) == end


def _named_within(node: ast.AST, name: str) -> ast.AST | None:
    """The last class or function of this name in the scope of *node*, in branches too."""
    found: ast.AST | None = None
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        child = waiting.pop(0)
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found = child if child.name == name else found
        else:
            waiting.extend(ast.iter_child_nodes(child))
    return found
