"""The recorded results of a sweep as arrays over its variants."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from sciflow.store.arrays import ArrayOutput, missing_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sciflow.space.algebra import Space
    from sciflow.space.table import Table
    from sciflow.store.snapshot import Snapshot
    from sciflow.store.source import RecordSource

Layout: TypeAlias = Literal["dense", "flat"]

MISSING, DONE, FAILED = 0, 1, 2
STATUS_MEANINGS = ("missing", "done", "failed")
STALE = "stale"
"""The name of the fact that a result was made by code or inputs other than those of the newest definition."""
INPUTS_CHANGED = "inputs_changed"
"""The name of the fact that a result may be of inputs that changed while it was made."""
FLAGS = {
    STALE: "made by code or inputs other than the newest",
    INPUTS_CHANGED: "made while an input changed, or after that in the same session",
}
"""Facts that are told of all variants as soon as they are true of one."""


@dataclass(frozen=True, slots=True, eq=False)
class Coordinate:
    """The values of one parameter along a dimension.

    Attributes
    ----------
    name
        The parameter.
    pool
        Distinct values: bool, int64, float64, datetime64, or text as objects. Values of other types appear
        as labels.
    codes
        For each variant the index of its value, -1 where it lacks the parameter; None for a dimension of
        its own, which has each value of the pool once.
    unit
        The parameter's unit, if it has one.
    plain
        For labels: each value of the pool as JSON data that keeps its type (`sciflow.canonical.from_plain`).
    """

    name: str
    pool: NDArray[Any]
    codes: NDArray[np.int64] | None
    unit: str | None = None
    plain: tuple[Any, ...] | None = None

    @property
    def values(self) -> NDArray[Any]:
        """One value per variant, or per place on the dimension; where absent NaN, NaT or None."""
        if self.codes is None:
            return self.pool
        if not (self.codes < 0).any():
            return self.pool[self.codes]
        pool = with_missing(self.pool)
        return pool[self.codes]


@dataclass(frozen=True, slots=True, eq=False)
class ScalarOutput:
    """An output with one number, text or moment per variant.

    Attributes
    ----------
    values
        In the shape of the dataset. Integers and bools are float64 as soon as a variant has none; a missing
        text is None, a missing moment NaT.
    attributes
        Such as ``units``.
    """

    name: str
    values: NDArray[Any]
    attributes: Mapping[str, Any]


Output: TypeAlias = ScalarOutput | ArrayOutput


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """What is known of every variant: the newest success, else the newest failure, else that it is missing.

    All arrays have the shape of the dataset: one dimension per parameter (dense), or one called ``variant``.

    Attributes
    ----------
    status
        Codes 0 missing, 1 done, 2 failed.
    attempt
        Which attempt it was; 0 where missing.
    runtime_s
        Wall time; NaN where missing.
    failure
        0, or one more than the index in `messages`.
    stale
        Whether it was made by code or inputs other than those of the newest definition.
    inputs_changed
        Whether it may be of inputs that changed while it was made; see `sciflow.store.doubt`.
    messages
        The distinct failures, as they were recorded.
    rows
        The position in the space of each place of the flattened dataset (-1: a place in the grid that is no
        variant); None if it is the same, and in a sweep whose space cannot be rebuilt (a filter or
        derivation that is a function).
    space
        The space of the newest definition, None if it cannot be rebuilt.
    n_superseded
        Records that count no longer because of a later one.
    """

    layout: Layout
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: Mapping[str, Coordinate]
    status: NDArray[np.uint8]
    attempt: NDArray[np.uint16]
    runtime_s: NDArray[np.float32]
    failure: NDArray[np.int32]
    stale: NDArray[np.bool_]
    inputs_changed: NDArray[np.bool_]
    messages: tuple[dict[str, Any], ...]
    outputs: Mapping[str, Output]
    rows: NDArray[np.int64] | None
    space: Space | None
    definition: Mapping[str, Any]
    snapshot: Snapshot = field(repr=False)
    source: RecordSource = field(repr=False)
    n_superseded: int = 0

    @property
    def n_cells(self) -> int:
        """The number of places in the dataset."""
        return math.prod(self.shape)

    @property
    def shows_stale(self) -> bool:
        """Whether `stale` is among the `flags`."""
        return STALE in self.flags

    @property
    def flags(self) -> dict[str, NDArray[np.bool_]]:
        """Those of `FLAGS` that are told of every variant: true of one, and nothing else has the name."""
        parameters = () if self.space is None else self.space.names
        taken = {*self.coords, *self.outputs, *parameters}
        known = {STALE: self.stale, INPUTS_CHANGED: self.inputs_changed}
        return {name: values for name, values in known.items() if name not in taken and values.any()}

    def facts(self, key: str) -> tuple[NDArray[np.int32], tuple[Any, ...]]:
        """What the frames say of each variant: a code per variant (-1 where missing), and the distinct values.

        *key* is ``generation``, ``environment``, ``worker``, ``revision`` or ``session``.
        """
        codes, values = self.source.fact(key)
        return codes.reshape(self.shape), values

    def table(self, cells: NDArray[np.int64]) -> Table | None:
        """The parameters of some variants, by their positions in the flattened dataset; None without a space."""
        if self.space is None:
            return None
        return self.space.take(cells if self.rows is None else self.rows[cells])


def with_missing(pool: NDArray[Any]) -> NDArray[Any]:
    """*pool* with one more value at the end, which says that there is none."""
    if pool.dtype.kind in "biu":
        pool = pool.astype(np.float64)
    if pool.dtype.kind in "OUS":
        longer = np.empty(len(pool) + 1, dtype=object)
        longer[:-1] = pool
        return longer
    return np.append(pool, np.array([missing_value(pool.dtype)], dtype=pool.dtype))
