"""Conditions on variants, such as ``"learning_rate < 0.05 and status == 'done'"``."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_QUOTED = re.compile(r"`([^`]*)`")


def holds(query: str, frame: pd.DataFrame, also: Mapping[str, Any] | None = None) -> NDArray[np.bool_]:
    """For which rows of a table a condition holds, after `pandas.DataFrame.query`.

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
    try:
        # empty scopes: a query sees the table, not the variables of whoever calls
        found: Any = frame.eval(query, engine="python", local_dict={}, global_dict={}, resolvers=[also or {}])
    except pd.errors.UndefinedVariableError:
        raise
    except Exception as error:
        raise ResultsError(
            f"the query {query!r} is not understood ({type(error).__name__}: {error}); "
            "write it like \"learning_rate < 0.05 and status == 'done'\""
        ) from error
    mask = np.asarray(found)
    if mask.shape != (len(frame),) or mask.dtype.kind not in "bO":
        raise ResultsError(f"the query {query!r} is not a condition; compare something, such as 'runtime_s > 10'")
    return cast("NDArray[np.bool_]", mask.astype(bool))


def names_in(query: str, known: Iterable[str]) -> frozenset[str] | None:
    """The columns that a condition names; None if it names anything else, or cannot be read."""
    quoted: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        return quoted.setdefault(match[1], f"_quoted_{len(quoted)}")

    try:
        tree = ast.parse(_QUOTED.sub(stand_in, query), mode="eval")
    except (SyntaxError, ValueError):
        return None
    originals = {standing: name for name, standing in quoted.items()}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found = frozenset(originals.get(name, name) for name in names)
    return found if found <= set(known) else None
