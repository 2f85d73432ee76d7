"""What a plot reads of a dataset: named columns with one entry per variant, and what became of each variant."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import numpy as np
import pandas as pd
import xarray as xr

from sciflow.analysis.labels import label_values, with_unit
from sciflow.analysis.variants import FACTS, unknown_metric, unknown_parameter
from sciflow.errors import ResultsError
from sciflow.store.assembled import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Role: TypeAlias = Literal["parameter", "metric", "column"]

VARIANT: Final = "variant"


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A column sorted into its distinct values.

    Attributes
    ----------
    values
        Numbers and dates ascend, other values keep their order.
    codes
        For each entry the index of its value, -1 where it has none.
    is_numeric
        Whether distances between the values mean something: texts, booleans and dates only have an order.
    """

    values: tuple[Any, ...]
    codes: NDArray[np.int64]
    is_numeric: bool

    @property
    def labels(self) -> list[str]:
        """A short text for each value."""
        return label_values(self.values)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Column:
    """A parameter or a metric, one entry per variant.

    Attributes
    ----------
    values
        NaN or None where there is none; of a metric also where the variant is not done.
    """

    name: str
    unit: str
    values: NDArray[Any]
    is_parameter: bool

    @property
    def label(self) -> str:
        """The name with its unit, for an axis."""
        return with_unit(self.name, self.unit)

    @cached_property
    def levels(self) -> Levels:
        """Its distinct values."""
        return levels_of(self.values)

    @property
    def is_numeric(self) -> bool:
        """Whether it is a number that has a place on a scale."""
        return self.values.dtype.kind in "iuf"

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """Its values as numbers, NaN where they are infinite or there is none.

        Raises
        ------
        ResultsError
            They are no real numbers.
        """
        if self.values.dtype.kind not in "biuf":
            example = next((repr(one) for one in self.values.tolist() if isinstance(one, str | complex)), "none")
            raise ResultsError(
                f"the values of {self.name!r} are not numbers ({example}), so they have no place on a scale; "
                "record a number in the task, or use it where categories go, as x of bars or as hue"
            )
        numbers = self.values.astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan)


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of a dataset, one entry per variant (and per element, if one of them is an array for each variant).

    Attributes
    ----------
    columns
        By name.
    done, failed, missing
        What became of each variant. Where the dataset does not say (its ``status`` was averaged away), what has
        values counts as done.
    others
        The other parameters, for telling what is averaged over.
    counts
        How many variants of the dataset are done, failed and missing.
    n_each
        How many entries each variant has: the elements of an array.
    """

    columns: dict[str, Column]
    done: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    others: dict[str, NDArray[Any]]
    n_infinite: dict[str, int]
    n_each: int = 1

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    @property
    def n(self) -> int:
        """The number of entries."""
        return len(self.done)

    def averaged(self, groups: NDArray[np.int64], within: NDArray[np.bool_]) -> tuple[str, ...]:
        """Parameters that differ between entries of one group, apart from those that others determine."""
        found: list[str] = []
        keys = groups[within]
        n_keys = len(pd.unique(keys))
        for name, values in self.others.items():
            codes, pool = pd.factorize(values[within])
            finer = keys * (len(pool) + 1) + codes + 1
            n_finer = len(pd.unique(finer))
            if n_finer > n_keys:
                found.append(name)
                if 2 * len(pool) <= len(keys):  # what has a value of its own in each variant determines everything
                    keys, n_keys = pd.factorize(finer)[0], n_finer
        return tuple(found)


def read_rows(
    dataset: xr.Dataset,
    *,
    parameters: Iterable[str | None] = (),
    metrics: Iterable[str | None] = (),
    columns: Iterable[str | None] = (),
) -> Rows:
    """The named columns of a dataset; None among the names is passed over.

    Raises
    ------
    ResultsError
        One is not there; the message lists what is.
    """
    asked: dict[str, Role] = {}
    for role, names in (("parameter", parameters), ("metric", metrics), ("column", columns)):
        asked |= {name: cast("Role", role) for name in names if name is not None}
    for name, role in asked.items():
        check_name(dataset, name, role)
    wanted = [dataset[name] for name in asked]
    dims = {dim for one in wanted for dim in one.dims}
    known = parameter_names(dataset)
    others = [name for name in known if name not in asked and dataset[name].dims and set(dataset[name].dims) <= dims]
    status = [dataset["status"]] if "status" in dataset and set(dataset["status"].dims) <= dims else []
    told = xr.broadcast(*wanted, *status, *(dataset[name] for name in others))
    flat = [np.ravel(one.values) for one in told]
    n = len(flat[0])
    done, failed, missing = np.ones(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    if status:
        words = flat[len(wanted)]
        done, failed, missing = words == "done", words == "failed", words == "missing"
    made: dict[str, Column] = {}
    infinite: dict[str, int] = {}
    for array, values in zip(wanted, flat, strict=False):
        name = cast("str", array.name)
        is_parameter = name not in dataset.data_vars  # or a place along an array, which is known as well as one
        if not is_parameter and not done.all():
            values = _blanked(values, ~done)  # noqa: PLW2901  a failed variant has a runtime, which is no result
        if not is_parameter and values.dtype.kind == "f":
            infinite[name] = int((~np.isfinite(values) & done).sum())
        made[name] = Column(name, str(array.attrs.get("units", "")), values, is_parameter)
    rest = dict(zip(others, flat[len(wanted) + len(status) :], strict=True))
    inner = dims - set(dataset["status"].dims) if status else set[Any]()
    for dim in inner - set(asked):  # a mean over elements says so
        rest[str(dim)] = np.ravel(dataset[dim].broadcast_like(told[0]).transpose(*told[0].dims).values)
    return Rows(made, done, failed, missing, rest, infinite, math.prod(dataset.sizes[dim] for dim in inner))


def check_name(dataset: xr.Dataset, name: str, role: Role) -> None:
    """See that a dataset has a parameter, a metric, or either, of this name.

    Raises
    ------
    ResultsError
        It has not; the message lists what it has.
    """
    known = parameter_names(dataset)
    if role == "parameter" and name not in known:
        raise unknown_parameter(name, known)
    metrics = [*metric_names(dataset), *(fact for fact in ("runtime_s", "attempt") if fact in dataset)]
    if role == "metric" and name not in metrics:
        raise unknown_metric(name, metrics)
    if name not in dataset and name not in dataset.dims:
        names = [*known, *metrics]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ResultsError(f"there is no parameter or metric {name!r}; there are {', '.join(names)}{hint}")


def parameter_names(dataset: xr.Dataset) -> list[str]:
    """The parameters of a dataset of results: its coordinates, but for those of arrays and the ids."""
    dims = set(dataset["status"].dims) if "status" in dataset else set(dataset.dims)
    return [cast("str", name) for name, one in dataset.coords.items() if name != VARIANT and set(one.dims) <= dims]


def metric_names(dataset: xr.Dataset) -> list[str]:
    """The outputs of a dataset of results."""
    return [cast("str", name) for name in dataset.data_vars if name not in {*FACTS, *FLAGS}]


def is_number(dataset: xr.Dataset, name: str) -> bool:
    """Whether a variable has one real number for each variant."""
    one = dataset[name]
    inner = "status" in dataset and not set(one.dims) <= set(dataset["status"].dims)
    return one.dtype.kind in "biuf" and not inner


def levels_of(values: NDArray[Any]) -> Levels:
    """Sort values into their distinct ones."""
    kind = values.dtype.kind
    ordered = kind in "biufM"
    codes, found = pd.factorize(values, sort=ordered)
    distinct = np.asarray(found)
    pool = distinct.astype("datetime64[us]").tolist() if kind == "M" else distinct.tolist()
    return Levels(tuple(pool), np.asarray(codes, dtype=np.int64), kind in "iuf")


def combine(*levels: Levels) -> tuple[NDArray[np.int64], int]:
    """One number for each combination of levels, the last varying fastest, and how many there may be; -1: a lack."""
    groups = np.zeros(len(levels[0].codes), dtype=np.int64)
    lacking = np.zeros(len(groups), dtype=np.bool_)
    n = 1
    for one in levels:
        groups = groups * len(one) + one.codes
        lacking |= one.codes < 0
        n *= len(one)
    groups[lacking] = -1
    return groups, n


def _blanked(values: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[Any]:
    """The values, with NaN or None in some places."""
    if values.dtype.kind in "biuf":
        return np.where(where, np.nan, values.astype(np.float64))
    if values.dtype.kind == "M":
        return np.where(where, np.datetime64("NaT"), values)
    blanked = values.astype(object)
    blanked[where] = None
    return blanked
