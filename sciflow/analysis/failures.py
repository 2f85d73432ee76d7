"""What went wrong, grouped, and which parameter values only failed variants have."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.analysis.labels import label_values
from sciflow.canonical import identity_key
from sciflow.store.assembled import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants
    from sciflow.space.table import Column, Table

COLUMNS: Final = (
    "cause",
    "task",
    "type",
    "message",
    "count",
    "example",
    "separated_by",
    "fingerprint",
    "traceback",
    "warnings",
    "output",
)
_MOST_VALUES: Final = 6


def group_failures(variants: Variants, messages: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per reason, the most frequent first.

    Returns
    -------
    pandas.DataFrame
        ``cause``, ``task``, ``type``, ``message`` (of the example), ``count``, ``example`` (an id),
        ``separated_by`` (conditions that hold for all these failures, or as many as said, and for no variant
        that is done: on single parameters, or else on two together), ``fingerprint`` (what the failures of a
        row share), ``traceback``, ``warnings`` (a line each) and ``output`` (the end of what was printed), all of
        the example.
    """
    failed = np.flatnonzero((variants.status == FAILED) & (variants.failure > 0))
    groups: dict[tuple[str, str, str], int] = {}
    of_message = [groups.setdefault(_reason(message), len(groups)) for message in messages]
    of_failed = np.array(of_message, dtype=np.int64)[variants.failure[failed] - 1]
    done = np.flatnonzero(variants.done)
    rows: list[dict[str, Any]] = []
    for number in range(len(groups)):
        members = failed[of_failed == number]
        if not len(members):  # an earlier attempt, since then done or failed otherwise
            continue
        message = variants.failure_of(int(members[0]))
        rows.append(
            {
                "cause": message.get("cause", ""),
                "task": message.get("task", ""),
                "type": message.get("type", ""),
                "message": str(message.get("message", "")),
                "count": len(members),
                "example": variants.ids[int(members[0])],
                "separated_by": "; ".join(_separators(variants, members, done)),
                "fingerprint": message.get("fingerprint", ""),
                "traceback": message.get("traceback", ""),
                "warnings": "\n".join(warning_lines(message)),
                "output": message.get("output", ""),
            }
        )
    rows.sort(key=lambda row: -row["count"])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def warning_lines(failure: Mapping[str, Any]) -> list[str]:
    """What a run that failed warned of, one line for each."""
    warned: list[Mapping[str, str]] = failure.get("warnings") or []
    return [f"{one['category']}: {one['message']} ({one['where']})" for one in warned]


def _reason(message: Mapping[str, Any]) -> tuple[str, str, str]:
    return tuple(str(message.get(key, "")) for key in ("cause", "task", "fingerprint"))  # type: ignore[return-value]  # three


def _separators(variants: Variants, failed: NDArray[np.int64], done: NDArray[np.int64]) -> list[str]:
    if not len(done):
        return []  # without a success nothing tells them apart
    table = variants.table
    found = [
        _separator(known.name, table.columns[known.name], failed, done)
        for known in table.parameters
        if not known.derived
    ]
    return [words for words in found if words] or _separating_pair(table, failed, done)


def _separating_pair(table: Table, failed: NDArray[np.int64], done: NDArray[np.int64]) -> list[str]:
    """Two values that all of several failed variants have, and no done one has together."""
    shared: list[tuple[str, Any, NDArray[np.bool_]]] = []
    for known in table.parameters:
        column = table.columns[known.name]
        values = _values(column, failed)
        if known.derived or len(values) != 1 or (column.codes[failed] < 0).any() or len(failed) < 2:
            continue
        (key, value), *_ = values.items()
        has_it = np.array([*(identity_key(one) == key for one in column.pool.tolist()), False])
        shared.append((known.name, value, has_it[column.codes[done]]))
    for (name, value, has_it), (other, other_value, has_other) in itertools.combinations(shared, 2):
        if not (has_it & has_other).any():
            texts = [label_values([one])[0] for one in (value, other_value)]
            return [f"{name} = {texts[0]} and {other} = {texts[1]}"]
    return []


def _separator(name: str, column: Column, failed: NDArray[np.int64], done: NDArray[np.int64]) -> str:
    """How the values of one parameter tell the failed from the done, in words; empty if they do not.

    A statement about numbers beyond all that were done, or about values that no variant with results has.
    """
    bad, good = _values(column, failed), _values(column, done)
    only = {key: value for key, value in bad.items() if key not in good}
    if not only:
        return ""
    if len(only) == len(bad) and (beyond := _beyond(name, list(bad.values()), list(good.values()))):
        return beyond
    if len(only) > _MOST_VALUES:
        return ""  # a parameter with a value of its own for each variant tells nothing
    values = ", ".join(label_values(list(only.values())))
    words = f"{name} = {values}" if len(only) == 1 else f"{name} in {{{values}}}"
    if len(only) == len(bad):
        return words
    keys = [identity_key(value) for value in column.pool.tolist()]
    n = int(np.array([*(key in only for key in keys), False])[column.codes[failed]].sum())
    return f"{words} ({n} of {len(failed)})"


def _beyond(name: str, bad: list[Any], good: list[Any]) -> str:
    """A bound that all failed values are beyond and no good one is; empty if there is none or too few values."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in [*bad, *good])
    if not numbers or not good or len(bad) + len(good) < 3 or len(bad) == 1:
        return ""
    low, high = label_values([min(bad), max(bad)]) if min(bad) != max(bad) else label_values([min(bad)]) * 2
    if min(bad) > max(good):
        return f"{name} >= {low}"
    return f"{name} <= {high}" if max(bad) < min(good) else ""


def _values(column: Column, rows: NDArray[np.int64]) -> dict[Any, Any]:
    """The distinct values of some variants, by identity; variants without the parameter have none."""
    used = np.unique(column.codes[rows])
    values = column.pool[used[used >= 0]].tolist()
    return {identity_key(value): value for value in values}
