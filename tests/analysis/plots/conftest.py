from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from sciflow.space.table import objects

if TYPE_CHECKING:
    from collections.abc import Callable


def one_row_per_variant(space, values, *, status=None, units=None, **metrics) -> xr.Dataset:
    """A space with the metric ``value``, as `Results.dataset` gives it for a space that is no product."""
    table = space.take(np.arange(space.n_variants))
    units = units or {}
    coords: dict[str, Any] = {"variant": ("variant", np.array([f"v{at:020x}" for at in range(table.n_rows)]))}
    for name, array in table.arrays().items():
        coords[name] = ("variant", plain(array), {"units": units[name]} if name in units else {})
    values = np.asarray(values, dtype=float)
    found = np.isfinite(values) | np.isinf(values)
    words = np.where(found, "done", "missing") if status is None else np.asarray(status)
    named = {"value": values, **{name: np.asarray(one) for name, one in metrics.items()}}
    variables = {name: ("variant", one, {"units": units[name]} if name in units else {}) for name, one in named.items()}
    return xr.Dataset({"status": ("variant", words), **variables}, coords=coords, attrs={"workflow": "study"})


def plain(array):
    if not isinstance(array, np.ma.MaskedArray):
        return array
    mask, data = np.ma.getmaskarray(array), np.ma.getdata(array)
    if data.dtype.kind in "iuf":
        return np.where(mask, np.nan, data)
    return objects([None if absent else one for absent, one in zip(mask.tolist(), data.tolist(), strict=True)])


@pytest.fixture
def flat() -> Callable[..., xr.Dataset]:
    return one_row_per_variant


@pytest.fixture
def dense() -> Callable[..., xr.Dataset]:
    """The same with a dimension for each parameter."""

    def make(space, values, **more) -> xr.Dataset:
        table = one_row_per_variant(space, values, **more)
        names = [name for name in table.coords if name != "variant"]
        made = table.drop_vars("variant").set_index(variant=names).unstack("variant")
        for name in names:
            made[name].attrs = table[name].attrs
        made = made.reindex({name: list(dict.fromkeys(table[name].values.tolist())) for name in names})
        return made.assign(status=made.status.astype(str))

    return make
