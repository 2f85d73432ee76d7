"""Conditions on variants, such as ``"learning_rate < 0.05 and status == 'done'"``."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_QUOTED = re.compile(r"`([^`]*)`")
_OF_COLUMNS: Final = frozenset(
    {
        *("abs", "between", "clip", "duplicated", "isin", "isna", "isnull", "max", "mean", "median", "min", "notna"),
        *("notnull", "quantile", "rank", "round", "std", "sum"),
    }
)
_ACCESSORS: Final = frozenset({"str", "dt"})


def holds(query: str, frame: pd.DataFrame, also: Mapping[str, Any] | None = None) -> NDArray[np.bool_]:
    """For which rows of a table a condition holds, after `pandas.DataFrame.query`.

    Where a value that is true or false is missing neither it nor its opposite holds. Of methods only those are called
    that compute (a condition may come from a file or another person, and columns can also write files).

    Parameters
    ----------
    also
        Columns that are understood besides those of the table.

    Raises
    ------
    ResultsError
        It is not understood, or is no condition.
    pandas.errors.UndefinedVariableError
        It names something that is not there.
    """
    query = query.strip()
    try:
        _refuse_calls(query, _parsed(query)[0])
        # empty scopes: a query sees the table, not the variables of whoever calls
        table = _with_truths(frame)
        found: Any = table.eval(query, engine="python", local_dict={}, global_dict={}, resolvers=[also or {}])
    except (pd.errors.UndefinedVariableError, ResultsError):
        raise
    except Exception as error:
        raise ResultsError(
            f"the query {query!r} is not understood ({type(error).__name__}: {error}); "
            "write it like \"learning_rate < 0.05 and status == 'done'\""
        ) from error
    if np.shape(found) != (len(frame),) or not _is_truth(found):
        raise ResultsError(
            f"the query {query!r} is not a condition; compare something, such as 'runtime_s > 10' or \"name == 'a'\""
        )
    return np.asarray(pd.array(found, dtype="boolean").fillna(value=False), dtype=np.bool_)


def _refuse_calls(query: str, tree: ast.Expression) -> None:
    """Let a condition call functions of numbers and methods that only compute.

    Raises
    ------
    ResultsError
        It calls something else.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            raise _not_allowed(query, node.attr)
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            accessed = isinstance(owner, ast.Attribute) and owner.attr in _ACCESSORS
            if not accessed and name not in _OF_COLUMNS:
                raise _not_allowed(query, name)


def _not_allowed(query: str, name: str) -> ResultsError:
    return ResultsError(
        f"the query {query!r} asks for {name!r}, which conditions must not; of columns they may call "
        f"{', '.join(sorted(_OF_COLUMNS))} and what .str and .dt have; to_dataframe() has all of pandas"
    )


def _with_truths(frame: pd.DataFrame) -> pd.DataFrame:
    """The table, and what is true or false with gaps in it as values that can be missing."""
    return frame.assign(
        **{
            str(name): frame[name].astype("boolean")
            for name, dtype in frame.dtypes.items()
            if dtype == np.dtype(object) and _is_truth(frame[name])
        }
    )


def _is_truth(values: Any) -> bool:
    """Whether values are true, false or missing."""
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    return inferred == "boolean" or (inferred == "empty" and not len(values))


def names_in(query: str, known: Iterable[str]) -> frozenset[str] | None:
    """The columns that a condition names; None if it names anything else, or cannot be read."""
    try:
        tree, originals = _parsed(query.strip())
    except (SyntaxError, ValueError):
        return None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found = frozenset(originals.get(name, name) for name in names)
    return found if found <= set(known) else None


def _parsed(query: str) -> tuple[ast.Expression, dict[str, str]]:
    """A condition as Python reads it, and the quoted names for which others stand in it.

    Raises
    ------
    SyntaxError, ValueError
        It cannot be read.
    """
    quoted: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        return quoted.setdefault(match[1], f"_quoted_{len(quoted)}")

    tree = ast.parse(_QUOTED.sub(stand_in, query), mode="eval")
    return tree, {standing: name for name, standing in quoted.items()}
