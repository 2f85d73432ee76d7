"""One variant's value of a metric, found by its id or by its parameters."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.analysis.grouping import REPLICATE, group
from sciflow.analysis.mixture import warn_of_mixture
from sciflow.analysis.variants import headline, unknown_parameter
from sciflow.canonical import identity_key, normalize
from sciflow.errors import ResultsError, SpaceError
from sciflow.store.assembled import DONE, FAILED
from sciflow.store.column import ID_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants
    from sciflow.space.variant import Parameter

_NEAR = 0.01  # numbers that differ by this share are taken for the same with fewer digits
_ID = re.compile(f"v[0-9a-f]{{{2 * ID_BYTES}}}")


def rows_of(variants: Variants, wanted: Mapping[str, object] | str) -> NDArray[np.int64]:
    """The one variant that is meant, or its replicates.

    An id, and a mapping without ``replicate``, stand for all replicates: what has ``replicate`` in it, for one.

    Raises
    ------
    ResultsError
        There is none, or several variants fit.
    """
    near = ""
    if isinstance(wanted, str):
        rows = _rows_of_id(variants, wanted)
        wanted = f"id {wanted}"
    else:
        rows = _rows_of_mapping(variants, wanted)
        near = "" if len(rows) else _near(variants, wanted)
        wanted = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
    table = variants.table
    if not len(rows):
        raise ResultsError(f"no variant of this sweep has {wanted}{near}")
    groups = group(table.take(rows), [REPLICATE])
    if len(groups.first) > 1:
        free = [
            known.name
            for known in table.parameters
            if known.name != REPLICATE and not known.derived and _varies(table.columns[known.name].codes[rows])
        ]
        have = f"have {wanted}" if wanted else "are in this sweep"
        raise ResultsError(f"{len(rows):,} variants {have}; they differ in {', '.join(free)}: say which you mean")
    return rows


def _rows_of_id(variants: Variants, wanted: str) -> NDArray[np.int64]:
    if not _ID.fullmatch(wanted):
        raise ResultsError(f"{wanted!r} is no id of a variant (v and {2 * ID_BYTES} hexadecimal digits)")
    rows = np.flatnonzero(np.array(variants.ids, dtype=object) == wanted)
    table = variants.table
    replicate = next((known for known in table.parameters if known.name == REPLICATE), None)
    if not len(rows) or replicate is None or replicate.counts_at(next(table.take(rows[:1]).variants())[REPLICATE]):
        return rows
    # replicate 0 has the id that the variant had before there were replicates: it stands for all of them
    groups = group(table, [REPLICATE])
    return np.flatnonzero(groups.of_variant == groups.of_variant[rows[0]])


def _rows_of_mapping(variants: Variants, wanted: Mapping[str, object]) -> NDArray[np.int64]:
    table = variants.table
    known = {parameter.name: parameter for parameter in table.parameters}
    mask = np.ones(table.n_rows, dtype=np.bool_)
    for name, value in wanted.items():
        if name not in known:
            raise unknown_parameter(name, known)
        mask &= _equal(variants, known[name], value)
    # a parameter that is not given is at its default, if that leaves something to choose
    for name, parameter in known.items():
        if name not in wanted and name != REPLICATE and parameter.has_default:
            narrowed = mask & _equal(variants, parameter, parameter.default)
            mask = narrowed if narrowed.any() else mask
    return np.flatnonzero(mask)


def _equal(variants: Variants, parameter: Parameter, value: object) -> NDArray[np.bool_]:
    """Which variants have this value of a parameter, as identities compare values."""
    column = variants.table.columns[parameter.name]
    try:
        key = identity_key(normalize(value, name=parameter.name))
    except SpaceError as error:
        raise ResultsError(str(error)) from error
    return np.array([*(identity_key(known) == key for known in column.pool.tolist()), False])[column.codes]


def _near(variants: Variants, wanted: Mapping[str, object]) -> str:
    """The recorded numbers that are almost what was asked for, in words: people copy them with fewer digits."""
    found: list[str] = []
    for name, value in wanted.items():
        column = variants.table.columns.get(name)
        if column is None or not isinstance(value, int | float) or isinstance(value, bool):
            continue
        numbers = [one for one in column.pool.tolist() if isinstance(one, int | float) and not isinstance(one, bool)]
        close = min(numbers, key=lambda one, asked=value: abs(one - asked), default=value)
        if close != value and abs(close - value) <= _NEAR * abs(close):
            found.append(f"{name}={close!r}")
    return f"; the nearest is {', '.join(found)}" if found else ""


def _varies(codes: NDArray[np.int64]) -> bool:
    return bool((codes != codes[0]).any())


def metric_of(variants: Variants, wanted: Mapping[str, object] | str, metric: str) -> Any:
    """The value of *metric* of one variant; over replicates, the mean of those that have one.

    Raises
    ------
    ResultsError
        There is no such metric or variant, several variants fit, or none of them is done.
    """
    rows = rows_of(variants, wanted)
    arrays = variants.array_output(metric)
    if arrays is None:
        variants.scalar(metric)  # an unknown name is told before the state of the variant
    done = rows[variants.status[rows] == DONE]
    if not len(done):
        raise ResultsError(f"there is no {metric} of {_named(wanted)}: {_why(variants, int(rows[0]))}")
    if len(done) < len(rows):
        warnings.warn(
            f"{len(rows) - len(done)} of {len(rows)} replicates of {_named(wanted)} have no result; "
            f"{metric} is the mean of the other {len(done)}",
            UserWarning,
            stacklevel=3,
        )
    warn_of_mixture(variants, f"values of {metric} that are averaged", done, stacklevel=3)
    if arrays is not None:
        found = arrays.gather(done)
        return found[0] if len(done) == 1 else np.mean(np.stack(list(found)), axis=0)
    values = variants.scalar(metric)[done]
    if len(values) == 1:
        return values.tolist()[0]
    if values.dtype.kind not in "biufc":
        raise ResultsError(f"{metric!r} is not a number, so it has no mean over replicates; name a replicate")
    return values.mean().item()


def _named(wanted: Mapping[str, object] | str) -> str:
    if isinstance(wanted, Mapping):
        return ", ".join(f"{name}={value!r}" for name, value in wanted.items()) or "the variant"
    return wanted


def _why(variants: Variants, row: int) -> str:
    if variants.status[row] == FAILED:
        return f"it failed ({headline(variants.failure_of(row))})"
    return "it has not run yet"
