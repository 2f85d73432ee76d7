"""What went wrong, grouped, and which parameter values only failed variants have."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
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
    "in_common",
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
        ``cause``, ``task``, ``type``, ``message`` (where they differ: what they share, with ``…`` for the rest, or
        "e.g." and that of the example), ``count``, ``example`` (an id),
        ``separated_by`` (conditions that hold for all these failures, or as many as said, and for no variant
        that is done: on single parameters, or else on two together), ``in_common`` (where there are none: conditions
        that hold for all these failures, and for how many variants that are done), ``fingerprint`` (what the failures
        of a row share), ``traceback``, ``warnings`` (a line each) and ``output`` (the end of what was printed), all of
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
        codes = dict.fromkeys(variants.failure[members].tolist())
        separators = _separators(variants, members, done)
        rows.append(
            {
                "cause": message.get("cause", ""),
                "task": message.get("task", ""),
                "type": message.get("type", ""),
                "message": shared_message([_text_of(messages[code - 1]) for code in codes]),
                "count": len(members),
                "example": variants.ids[int(members[0])],
                "separated_by": "; ".join(separators),
                "in_common": "" if separators else _in_common(variants.table, members, done),
                "fingerprint": message.get("fingerprint", ""),
                "traceback": message.get("traceback", ""),
                "warnings": "\n".join(warning_lines(message)),
                "output": message.get("output", ""),
            }
        )
    rows.sort(key=lambda row: -row["count"])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shared_message(messages: Sequence[str]) -> str:
    """What several messages share, with ``…`` where they differ; "e.g." and the first where that is nothing.

    Of messages of several lines only the first lines are shared: what follows, such as a log, is the first one's.
    """
    first, *others = messages
    if all(other == first for other in others):
        return first
    if "\n" in first:
        rest = first.partition("\n")[2]
        head = shared_message([message.partition("\n")[0] for message in messages])
        return f"{head}\n{rest}"
    start = _shared_start(messages)
    end = _shared_start([message[len(start) :][::-1] for message in messages])[::-1]
    # numbers and words are shared whole or not at all
    start, end = re.sub(r"[\w.+-]*$", "", start), re.sub(r"^[\w.+-]*", "", end)
    return f"{start}…{end}" if re.search(r"\w", start + end) else f"e.g. {first}"


def _shared_start(texts: Sequence[str]) -> str:
    return os.path.commonprefix(list(texts))  # noqa: RUF071  by character is what is wanted


def _text_of(message: Mapping[str, Any]) -> str:
    return str(message.get("message", ""))


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


@dataclass(frozen=True, slots=True, eq=False)
class _Condition:
    """What all of several failed variants have and not all done ones: in words, and which of these have it."""

    words: str
    of_done: NDArray[np.bool_]


def _conditions(table: Table, failed: NDArray[np.int64], done: NDArray[np.int64]) -> list[_Condition]:
    """Single values, then bounds on numbers; none for a single failure, whose every value would be one."""
    values: list[_Condition] = []
    bounds: list[_Condition] = []
    for known in table.parameters:
        column = table.columns[known.name]
        bad = _values(column, failed)
        if known.derived or not bad or (column.codes[failed] < 0).any() or len(failed) < 2:
            continue
        pool = column.pool.tolist()
        if len(bad) == 1:
            (key, value), *_ = bad.items()
            has_it = np.array([*(identity_key(one) == key for one in pool), False])
            words = f"{known.name} = {label_values([value])[0]}"
            values.append(_Condition(words, has_it[column.codes[done]]))
        elif all(map(_is_number, [*bad.values(), *_values(column, done).values()])):
            least, most = min(bad.values()), max(bad.values())
            texts = label_values([least, most])
            for words, has_it in (
                (f"{known.name} >= {texts[0]}", [*(_is_number(one) and one >= least for one in pool), False]),
                (f"{known.name} <= {texts[1]}", [*(_is_number(one) and one <= most for one in pool), False]),
            ):
                bounds.append(_Condition(words, np.array(has_it)[column.codes[done]]))
    return [condition for condition in [*values, *bounds] if not condition.of_done.all()]


def _separating_pair(table: Table, failed: NDArray[np.int64], done: NDArray[np.int64]) -> list[str]:
    """Two conditions that hold for all of several failed variants, and for no done one together."""
    for one, other in itertools.combinations(_conditions(table, failed, done), 2):
        if not (one.of_done & other.of_done).any():
            return [f"{one.words} and {other.words}"]
    return []


def _in_common(table: Table, failed: NDArray[np.int64], done: NDArray[np.int64]) -> str:
    """The one or two conditions on all these failures that fewest variants that are done meet, and how many do."""
    found = _conditions(table, failed, done)
    if not found:
        return ""
    pairs = [
        _Condition(f"{one.words} and {other.words}", one.of_done & other.of_done)
        for one, other in itertools.combinations(found, 2)
    ]
    best = min([*found, *pairs], key=lambda condition: int(condition.of_done.sum()))
    n = int(best.of_done.sum())
    those = "1 variant that is done has" if n == 1 else f"{n:,} variants that are done have"
    return f"all have {best.words}, which {those} too"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
    if not all(map(_is_number, [*bad, *good])) or not good or len(bad) + len(good) < 3 or len(bad) == 1:
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
