"""The finite values of a metric in a dataset, with the parameters behind them, as statistics take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.analysis.plots.marks import need_values
from sciflow.analysis.plots.values import read_rows
from sciflow.analysis.sample import Sample
from sciflow.space.table import Column, Table, objects
from sciflow.space.variant import Parameter

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
"""Of the intervals in figures."""


def sample_of(dataset: xr.Dataset, value: str) -> tuple[Sample, str]:
    """The values of a metric, and its name with its unit.

    Raises
    ------
    ResultsError
        There is no such metric, or no variant has a value of it.
    """
    rows = read_rows(dataset, metrics=(value,))
    metric = rows[value]
    there = np.flatnonzero(need_values(rows, metric))
    columns = {name: _column(array[there]) for name, array in rows.others.items()}
    table = Table(tuple(map(Parameter, columns)), columns, len(there))
    return Sample(value, there, metric.numbers[there], table), metric.label


def _column(values: NDArray[Any]) -> Column:
    codes, distinct = pd.factorize(values)
    return Column(objects(np.asarray(distinct).tolist()), codes.astype(np.int64))
