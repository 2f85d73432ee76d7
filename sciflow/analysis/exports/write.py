"""Results as a file of the kind that its name asks for."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.analysis.exports.delimited import add_to_datapackage, write_delimited
from sciflow.analysis.exports.latex import write_latex
from sciflow.analysis.exports.markdown import write_markdown
from sciflow.analysis.exports.netcdf import select, write_netcdf
from sciflow.analysis.exports.parquet import write_parquet
from sciflow.analysis.exports.table import about_sweep, make_table
from sciflow.analysis.exports.workbook import write_workbook
from sciflow.errors import ResultsError, StoreWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path
    from typing import Any

    import xarray as xr

    from sciflow.analysis.exports.table import ExportTable
    from sciflow.analysis.variants import Variants
    from sciflow.store.assembled import Assembled

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
FOR_PAPERS: Final = {".tex": write_latex, ".md": write_markdown}
FOR_PROGRAMS: Final[dict[str, Callable[[ExportTable, Path], None]]] = {
    ".parquet": write_parquet,
    ".xlsx": write_workbook,
}
ENDINGS: Final = (*DELIMITERS, *FOR_PROGRAMS, *FOR_PAPERS, ".nc")


def export_results(
    path: Path,
    assembled: Assembled,
    variants: Variants,
    metadata: Mapping[str, Any],
    dataset_of: Callable[[bool], xr.Dataset],
    *,
    where: str | None = None,
    columns: Iterable[str] | None = None,
    digits: int | None = None,
) -> Path:
    """Write results in the format that the name of the file asks for, and return its path.

    Parameters
    ----------
    dataset_of
        Gives the dataset, flat if so asked.

    Raises
    ------
    ResultsError
        The kind of file is unknown, something that was asked for is not there, or a package is not installed.
    StoreWriteError
        The file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in ENDINGS:
        raise ResultsError(
            f"cannot export to {path.name!r}: the kind of file goes by its ending, one of {', '.join(ENDINGS)}"
        )
    if digits is not None and (kind not in FOR_PAPERS or digits < 1):
        raise ResultsError(f"digits={digits} is for {' and '.join(FOR_PAPERS)} files, and at least 1; others are exact")
    if kind == ".nc":
        rows = None if where is None else np.flatnonzero(variants.matching(where))
        dataset = select(dataset_of(rows is not None), rows, columns)
        with _written(path) as temporary:
            write_netcdf(dataset, temporary, about_sweep(metadata, variants.n, where))
        return path
    table = make_table(assembled, variants, metadata, where=where, columns=columns, for_paper=kind in FOR_PAPERS)
    _write_table(table, path, kind, digits)
    if table.left_out:
        warnings.warn(
            f"{path.name} leaves out {', '.join(table.left_out)}: arrays for each variant are no cells of a table; "
            "a .nc file has them",
            UserWarning,
            stacklevel=3,
        )
    return path


def _write_table(table: ExportTable, path: Path, kind: str, digits: int | None) -> None:
    if kind in DELIMITERS:
        with _written(path) as temporary:
            resource = write_delimited(table, temporary, DELIMITERS[kind])
        # after the table: a description of what is not there misleads, a table without one does not
        name, text = add_to_datapackage(path.parent, resource)
        with _written(path.with_name(name)) as temporary:
            temporary.write_text(text, "utf-8")
        return
    with _written(path) as temporary:
        if kind in FOR_PAPERS:
            FOR_PAPERS[kind](table, temporary, digits)
        else:
            FOR_PROGRAMS[kind](table, temporary)


@contextlib.contextmanager
def _written(path: Path) -> Generator[Path]:
    """A file to write to, which takes the place of *path* in one step: whoever has the old one open keeps it whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            temporary = type(path)(folder) / path.name
            yield temporary
            os.replace(temporary, path)  # noqa: PTH105  as everywhere where names are exchanged
    except OSError as error:
        raise StoreWriteError(
            f"cannot write {path}: {error.strerror or error}; the results themselves are safe"
        ) from error
