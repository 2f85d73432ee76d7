"""Values of columns as text from which the same values are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sciflow.analysis.exports.table import Values

NOT_NUMBERS = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}
"""As Frictionless Data and XML Schema write them."""


def texts(values: Values, missing: str = "", digits: int | None = None) -> list[str]:
    """One text per value.

    Parameters
    ----------
    missing
        Stands where there is no value.
    digits
        Significant digits of numbers; as many as it takes to read the same number unless given.
    """
    data = np.ma.getdata(values)
    match data.dtype.kind:
        case "b":
            found = ["true" if value else "false" for value in data.tolist()]
        case "f":
            found = _floats(data, digits)
        case "M":
            found = np.datetime_as_string(data, unit="D" if data.dtype == np.dtype("datetime64[D]") else "us").tolist()
        case _:
            found = list(map(str, data.tolist()))
    mask: list[bool] = np.ma.getmaskarray(values).tolist()
    if not any(mask):
        return found
    return [missing if absent else text for text, absent in zip(found, mask, strict=True)]


def _floats(data: Any, digits: int | None) -> list[str]:
    if digits is not None:
        found = [f"{value:.{digits}g}" for value in data.tolist()]
    elif data.dtype == np.float64:
        found = list(map(repr, data.tolist()))
    else:  # as many digits as tell it from its neighbours of the same precision
        found = [str(value) for value in data]
    if not np.isfinite(data).all():
        found = [NOT_NUMBERS.get(text, text) for text in found]
    return found
