"""The results of reductions, beside those of the sweep that they were made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sciflow.analysis.dataset import to_dataset
from sciflow.store.assemble import assemble
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

REDUCTIONS: Final = "reductions"
"""Folder of a sweep with a sweep for each of its reductions."""


def with_reductions(dataset: xr.Dataset, sweep: Path) -> xr.Dataset:
    """Add what the reductions of a sweep made: variables without the dimensions that were reduced."""
    folder = sweep / REDUCTIONS
    if not folder.is_dir():
        return dataset
    for path in sorted(folder.iterdir()):
        if (path / "sweep.json").exists():
            dataset = _added(dataset, path)
    return dataset


def _added(dataset: xr.Dataset, path: Path) -> xr.Dataset:
    assembled = assemble(SweepDirectory.open(path))
    if assembled.layout != "dense":
        return dataset
    reduced = to_dataset(assembled)
    mine = reduced[[name for name in assembled.outputs if name not in dataset]]
    dims = assembled.dims
    if "variant" in dataset.dims:  # a value for each variant, found by its parameters
        known = {dim: dataset[dim].isin(mine[dim]) for dim in dims}
        if all(bool(one.all()) for one in known.values()):
            mine = mine.sel({dim: dataset[dim] for dim in dims}).drop_vars(dims)
            return dataset.assign(mine.data_vars)
        return dataset
    # values that are no longer, or not yet, in both: those of the sweep count
    return dataset.assign(mine.reindex({dim: dataset[dim] for dim in dims}).data_vars)
