"""Labels along the dims of output arrays, where they differ between variants: columns of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.store.column import ColumnData, outputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_LABEL = "@label."


def label_name(output: str, dim: str) -> str:
    """The name of the column with the labels along *dim* of each variant's array of *output*."""
    return _LABEL + json.dumps([output, dim])


def label_of(name: str) -> tuple[str, str]:
    """The output and the dim that a column of labels is for."""
    output, dim = json.loads(name.removeprefix(_LABEL))
    return output, dim


def labelled(name: str, arrays: Sequence[Any], **attributes: Any) -> dict[str, ColumnData]:
    """The columns for one ``xarray.DataArray`` per variant, all with the same dims.

    Labels that all of them share are part of the description (``coords``); others get a column per dim.
    """
    dims = [str(dim) for dim in arrays[0].dims]
    common: dict[str, Any] = {}
    varying: dict[str, ColumnData] = {}
    for dim in dims:
        labels = [_labels(array, dim) for array in arrays]
        present = [one for one in labels if one is not None]
        if not present:
            continue
        if len(present) == len(labels) and all(np.array_equal(one, present[0]) for one in present[1:]):
            common[dim] = present[0].tolist()
        else:
            varying[label_name(name, dim)] = label_column(labels)
    return {name: outputs([array.values for array in arrays], dims=dims, coords=common, **attributes), **varying}


def label_column(labels: Sequence[NDArray[Any] | None]) -> ColumnData:
    """A column with the labels of each variant; those of different types are kept as text."""
    present = [one for one in labels if one is not None]
    if len({one.dtype.kind in "biufc" for one in present}) > 1:
        labels = [None if one is None else one.astype(np.str_) for one in labels]
    return outputs(labels, kind="label")


def given_labels(description: Mapping[str, Any], dim: str) -> NDArray[Any] | None:
    """The labels along *dim* that the description of a column has for all its variants."""
    values = description.get("coords", {}).get(dim)
    return None if values is None else np.asarray(values)


def _labels(array: Any, dim: str) -> NDArray[Any] | None:
    if dim not in array.coords:
        return None
    values = np.asarray(array.coords[dim].values)
    return values.astype(np.str_) if values.dtype.kind in "OmM" else values
