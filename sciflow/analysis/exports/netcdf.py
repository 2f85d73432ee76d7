"""NetCDF: the labelled dataset, arrays included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sciflow.errors import ResultsError
from sciflow.workflow.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray


def write_netcdf(dataset: xr.Dataset, path: Path, about: Mapping[str, Any]) -> None:
    """Write the dataset, with what it is of as the attribute ``sciflow``."""
    storable = storable_dataset(dataset)
    storable.assign_attrs(sciflow=json.dumps(about, ensure_ascii=False)).to_netcdf(path, engine="h5netcdf")


def select(dataset: xr.Dataset, rows: NDArray[np.int64] | None, columns: Iterable[str] | None) -> xr.Dataset:
    """Some variants of a flat dataset, and some variables of any.

    Raises
    ------
    ResultsError
        There is no such variable.
    """
    if rows is not None:
        dataset = dataset.isel(variant=rows)
    if columns is None:
        return dataset
    names = [columns] if isinstance(columns, str) else list(columns)
    known = list(map(str, dataset.variables))
    for name in names:
        if name not in dataset.variables:
            raise ResultsError(
                f"there is no variable {name!r}; there are {', '.join(known)}{did_you_mean(name, known)}"
            )
    return dataset[[name for name in names if name not in dataset.coords]]


def storable_dataset(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with what netCDF lacks put otherwise: mixed values as text, complex numbers as two."""
    changed: dict[str, Any] = {}
    dropped: list[str] = []
    for name, variable in dataset.variables.items():
        if variable.dtype == object:
            texts = ["" if pd.isna(value) is True else str(value) for value in variable.to_numpy().flat]
            # as objects each has its own length; an array of texts has that of the longest for all
            texts = np.array(texts, dtype=np.object_ if texts else np.str_)
            changed[str(name)] = (variable.dims, texts.reshape(variable.shape), variable.attrs)
        elif variable.dtype.kind == "c":
            dropped.append(str(name))
            for part in ("real", "imag"):
                values = getattr(variable.data, part)
                changed[f"{name}_{part}"] = (variable.dims, values, variable.attrs)
    return dataset.drop_vars(dropped).assign(changed) if dropped else dataset.assign(changed)
