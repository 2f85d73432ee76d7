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
_KEPT = ("units", "long_name", "standard_name")  # attributes of a coordinate that mean something to readers


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
    What all say of the labels along a dim, such as units, is in ``coord_attributes``.
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
    told = {dim: same for dim in dims if (same := _shared([_attributes(array, dim) for array in arrays]))}
    if told:
        attributes["coord_attributes"] = told
    return {name: outputs([array.values for array in arrays], dims=dims, coords=common, **attributes), **varying}


def shared_coord_attributes(descriptions: Sequence[Mapping[str, Any]], dim: str) -> dict[str, str]:
    """What the descriptions of all columns say alike of the labels along *dim*."""
    return _shared([description.get("coord_attributes", {}).get(dim, {}) for description in descriptions])


def _shared(attributes: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = attributes
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _attributes(array: Any, dim: str) -> dict[str, str]:
    attributes: Mapping[str, Any] = array.coords[dim].attrs if dim in array.coords else {}
    return {key: str(attributes[key]) for key in _KEPT if key in attributes}


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
