"""Results as a file for other tools."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.errors import ResultsError, StoreWriteError

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from sciflow.analysis.results import Results


def export_results(results: Results, path: Path) -> Path:
    """Write *results* in the format that the name of the file asks for, and return its path.

    Raises
    ------
    ResultsError
        The format is unknown, or needs a package that is not installed.
    StoreWriteError
        The file cannot be written.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise ResultsError(
            f"cannot export to {path.name!r}: the kind of file goes by its ending, one of {', '.join(_WRITERS)}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # written beside it and renamed: whoever has the old file open keeps it whole
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            temporary = Path(folder) / path.name
            write(results, temporary)
            os.replace(temporary, path)  # noqa: PTH105  as everywhere where names are exchanged
    except OSError as error:
        raise StoreWriteError(
            f"cannot write {path}: {error.strerror or error}; the results themselves are safe"
        ) from error
    return path


def _write_csv(results: Results, path: Path) -> None:
    _table(results).to_csv(path)


def _write_parquet(results: Results, path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise ResultsError("a .parquet file needs the package pyarrow, which is not installed; pip install pyarrow")
    _table(results).to_parquet(path)


def _table(results: Results) -> pd.DataFrame:
    table = results.to_dataframe()
    table.attrs = {}
    return table


def _write_netcdf(results: Results, path: Path) -> None:
    storable_dataset(results.dataset).to_netcdf(path, engine="h5netcdf")


def storable_dataset(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with what netCDF lacks put otherwise: mixed values as text, complex numbers as two."""
    changed: dict[str, Any] = {}
    dropped: list[str] = []
    for name, variable in dataset.variables.items():
        if variable.dtype == object:
            texts = np.array(
                ["" if pd.isna(value) is True else str(value) for value in variable.to_numpy().flat], dtype=np.str_
            )
            changed[str(name)] = (variable.dims, texts.reshape(variable.shape), variable.attrs)
        elif variable.dtype.kind == "c":
            dropped.append(str(name))
            for part in ("real", "imag"):
                values = getattr(variable.data, part)
                changed[f"{name}_{part}"] = (variable.dims, values, variable.attrs)
    return dataset.drop_vars(dropped).assign(changed) if dropped else dataset.assign(changed)


_WRITERS: Final[dict[str, Callable[[Results, Path], None]]] = {
    ".csv": _write_csv,
    ".nc": _write_netcdf,
    ".parquet": _write_parquet,
}
