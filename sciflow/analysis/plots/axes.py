"""Axes that suit their values: a logarithmic scale where values span orders, categories where they are no numbers."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatterSciNotation, MaxNLocator, NullFormatter

from sciflow.analysis.labels import label_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from numpy.typing import ArrayLike, NDArray

    from sciflow.analysis.plots.values import Column, Levels

MOST_TICKS: Final = 16
_FEW_VALUES: Final = 8  # so many values of a parameter are the ticks themselves
_ORDERS: Final = 100.0
_ORDERS_OF_COLOURS: Final = 10**2.5
_FEW_TO_COMPARE: Final = 64


def set_axis(axis: Axis, column: Column) -> NDArray[np.float64]:
    """Label an axis after a column and choose its scale; gives the place of each entry along it."""
    axis.set_label_text(column.label)
    if column.is_numeric or not column.is_parameter:
        numbers = column.numbers
        set_scale(axis, numbers, levels=column.levels if column.is_parameter else None)
        return numbers
    return set_categories(axis, column.levels)


def set_categories(axis: Axis, levels: Levels) -> NDArray[np.float64]:
    """Ticks at 0, 1, … with the values beside them; gives the place of each entry, NaN for a lack."""
    set_ticks(axis, levels.values)
    set_limits(axis, -0.5, max(len(levels), 1) - 0.5)
    return np.where(levels.codes < 0, np.nan, levels.codes.astype(np.float64))


def set_ticks(axis: Axis, values: Sequence[Any], most: int = MOST_TICKS) -> None:
    """A tick at 0, 1, … for each value, or for every second, third, … of many."""
    step = max(1, math.ceil(len(values) / most))
    labels = label_values(values)
    axis.set_ticks(list(range(0, len(values), step)), labels=labels[::step])
    shown = labels[::step]
    if is_x(axis) and sum(map(len, shown)) + 2 * len(shown) > 60:
        tilt(axis.axes)


def tilt(axes: Axes, degrees: float = 40) -> None:
    """Turn the labels of the x axis, so that long ones do not run into each other."""
    axes.tick_params(axis="x", rotation=degrees)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")


def set_limits(axis: Axis, low: float, high: float) -> None:
    """The ends of an axis, x or y."""
    (axis.axes.set_xlim if is_x(axis) else axis.axes.set_ylim)(low, high)


def set_scale(axis: Axis, values: NDArray[np.float64], levels: Levels | None = None) -> None:
    """A logarithmic scale for values that span orders of magnitude; few values of a parameter become the ticks."""
    logarithmic = is_logarithmic(values) if levels is None else is_logarithmic(levels.values, series=True)
    if logarithmic:
        (axis.axes.set_xscale if is_x(axis) else axis.axes.set_yscale)("log")
    if levels is not None and levels.is_numeric and 1 <= len(levels) <= _FEW_VALUES and _are_apart(levels, logarithmic):
        axis.set_major_locator(FixedLocator(cast("Any", levels.values)))
        texts = dict(zip(levels.values, levels.labels, strict=True))
        axis.set_major_formatter(FuncFormatter(partial(_text_at, texts)))
        axis.set_minor_formatter(NullFormatter())
    elif logarithmic:
        axis.set_major_formatter(LogFormatterSciNotation())
    elif levels is not None and all(isinstance(one, int) for one in levels.values):
        axis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    if levels is not None and len(levels) == 1:  # a scale of no length has no ticks
        one = float(levels.values[0])
        margin = abs(one) * 0.5 or 0.5
        set_limits(axis, one - margin, one + margin)


def is_logarithmic(values: ArrayLike, *, series: bool = False) -> bool:
    """Whether values are better seen on a logarithmic scale.

    So it is if all are positive and they are a geometric series, or span two orders of magnitude and are spread more
    evenly by factors than by differences.

    Parameters
    ----------
    series
        They are those that somebody gave to a parameter: a series that was refined somewhere stays logarithmic.
    """
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    if len(found) < 3 or found.min() <= 0:
        return False
    low, high = float(found.min()), float(found.max())
    if low == high:
        return False
    if len(found) <= _FEW_TO_COMPARE:
        distinct = np.unique(found)
        steps = np.diff(np.log(distinct))
        if len(steps) >= 2 and np.allclose(steps, steps[0], rtol=1e-6) and high / low >= 4:
            return True
        # of values at even distances a tenth is below a tenth of the largest, whatever is the smallest
        small = float((distinct <= high / 10 * (1 + 1e-9)).mean())
        if series and high >= _ORDERS * low * (1 - 1e-9) and small >= 0.2 and steps.max() < 0.6 * steps.sum():
            return True
    return high / low >= _ORDERS and (float(np.median(found)) - low) / (high - low) < 0.15


def spans_orders(low: float, high: float) -> bool:
    """Whether a scale of colours between two values is better logarithmic."""
    return low > 0 and high / low >= _ORDERS_OF_COLOURS


def is_x(axis: Axis) -> bool:
    """Whether it is the horizontal one."""
    return axis is axis.axes.xaxis


def add_grid(axes: Axes, which: str = "y") -> None:
    """Faint lines behind the data, across the axis that is read off."""
    axes.grid(visible=True, axis=cast("Any", which))
    axes.set_axisbelow(True)


def _are_apart(levels: Levels, logarithmic: bool) -> bool:  # noqa: FBT001  one of two scales
    """Whether labels at the values would not run into each other."""
    numbers = np.array(levels.values, dtype=np.float64)
    places = np.log(numbers) if logarithmic else numbers
    span = float(np.ptp(places))
    return len(numbers) == 1 or float(np.diff(places).min()) >= 0.09 * span


def _text_at(texts: dict[Any, str], x: float, _at: int | None = None) -> str:
    return next((text for value, text in texts.items() if math.isclose(value, x, rel_tol=1e-9, abs_tol=1e-300)), "")
