"""What a figure says of variants without a value: marks where they are, and words under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciflow.analysis.plots.style import CROSS, FAILED
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from sciflow.analysis.plots.values import Column, Rows


def mark_failures(axes: Axes, rows: Rows, x: NDArray[np.float64]) -> list[str]:
    """Crosses at the bottom, where variants failed along x; gives the words that explain them."""
    places = np.unique(x[rows.failed & np.isfinite(x)])
    words = words_on_lacks(rows)
    if not len(places):
        return words
    axes.plot(
        places,
        np.full(len(places), 0.0),
        "x",
        color=FAILED,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        zorder=5,
        label="_failed",
        gid="failed",
        rasterized=len(places) > 2000,
    )
    return [f"{CROSS} {words[0]}", *words[1:]]


def words_on_lacks(rows: Rows) -> list[str]:
    """How many variants failed, are missing, or have values that are no finite number; nothing if none."""
    words: list[str] = []
    n_variants = rows.n // rows.n_each
    if n := int(rows.failed.sum()) // rows.n_each:
        words.append(f"{n:,} of {n_variants:,} failed")
    if n := int(rows.missing.sum()) // rows.n_each:
        words.append(f"{n:,} of {n_variants:,} not run yet")
    words += [words_on_infinite(name, n) for name, n in rows.n_infinite.items() if n]
    return words


def words_on_infinite(name: str, n: int) -> str:
    """How many values of a metric cannot be drawn."""
    return f"{n:,} {'value' if n == 1 else 'values'} of {name} NaN or infinite"


def words_on_mean(averaged: Sequence[str]) -> str:
    """Over what it is averaged, as a title says it."""
    return f"mean over {', '.join(averaged)}" if averaged else ""


def headed(title: str | None, automatic: str, means: str) -> tuple[str | None, list[str]]:
    """The title, and the words that go under a figure whose user gave one: over what its means are.

    A user's title takes the place of all of the automatic one; an empty one means none.
    """
    if title is None:
        return "\n".join(filter(None, [automatic, means])) or None, []
    return title or None, [means] if means else []


def need_values(rows: Rows, *columns: Column) -> NDArray[np.bool_]:
    """Where all the columns have values that can be drawn.

    Raises
    ------
    ResultsError
        Nowhere; the message says why and what to do.
    """
    there = np.ones(rows.n, dtype=np.bool_)
    for one in columns:
        if one.is_parameter and not one.is_numeric:
            there &= one.levels.codes >= 0
        else:
            there &= np.isfinite(one.numbers)
    if there.any():
        return there
    raise ResultsError(f"there is nothing to draw of {' and '.join(one.name for one in columns)}: {_why(rows)}")


def _why(rows: Rows) -> str:
    if not rows.n:
        return "the dataset has no variants"
    if rows.done.any():
        infinite = [name for name, n in rows.n_infinite.items() if n == int(rows.done.sum())]
        if infinite:
            return (
                f"every finished variant has a value of {infinite[0]} that is NaN or infinite; "
                "results.query(...) shows them"
            )
        return "no variant that is done has all of these; results.to_dataframe() shows which have what"
    if rows.failed.any() and not rows.missing.any():
        return "all variants failed; results.failures() says why"
    if rows.failed.any():
        return (
            f"no variant is done yet, {int(rows.failed.sum()):,} failed; results.failures() says why, "
            "results.refresh() looks again"
        )
    return "no variant is done yet; results.refresh() looks again"


def need_values_of_parameters(rows: Rows, columns: Sequence[Column]) -> NDArray[np.bool_]:
    """Where all of some parameters have a value; a metric need have none, for a lack of it can be drawn.

    Raises
    ------
    ResultsError
        No variant has all of them.
    """
    there = np.logical_and.reduce([one.levels.codes >= 0 for one in columns])
    if not there.any():
        names = ", ".join(one.name for one in columns)
        what = f"no variant has all of {names}" if rows.n else "the dataset has no variants"
        raise ResultsError(f"{what}; results.to_dataframe() shows which parameters each has")
    return there
