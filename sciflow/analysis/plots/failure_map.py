"""Where in the space variants failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.plots.bar import bar
from sciflow.analysis.plots.heatmap import heatmap
from sciflow.analysis.plots.line import line
from sciflow.analysis.plots.slots import MOST_SLOTS
from sciflow.analysis.plots.values import check_name, combine, parameter_names, read_rows
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sciflow.analysis.plots.values import Rows

SHARE: Final = "share that failed"


def failure_map(
    dataset: xr.Dataset,
    x: str | None = None,
    y: str | None = None,
    *,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw which share of the variants failed, over two parameters, or over the only one that varies.

    What has not run is hatched, and counts neither way.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x, y : str, optional
        Parameters. By default those, replicates apart, between whose values the share of failures differs most.
    title : str, optional
        Instead of one that says what is shown.
    style : {"paper", "notebook", "talk"}, optional
        Sizes of the figure and its letters.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ResultsError
        No variant failed, no parameter varies, or there is no such parameter.
    """
    given = [name for name in (x, y) if name is not None]
    for name in given:
        check_name(dataset, name, "parameter")
    rows = read_rows(dataset, parameters=parameter_names(dataset))
    if not rows.failed.any():
        raise ResultsError("there is nothing to draw: no variant failed")
    chosen = [*given, *(name for name in telling_parameters(rows) if name not in given)][:2]
    if not chosen:
        raise ResultsError("there is nothing to draw: all variants have the same parameters")
    shares = _shares(dataset)
    heading = f"{SHARE.capitalize()} by {' and '.join(chosen)}" if title is None else title
    if len(chosen) == 2:
        return heatmap(shares, chosen[0], chosen[1], SHARE, title=heading, style=style, ax=ax)
    draw = bar if len(rows[chosen[0]].levels) <= MOST_SLOTS else line
    return draw(shares, chosen[0], SHARE, band="none", title=heading, style=style, ax=ax)


def _shares(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with one metric: 1 where a variant failed, 0 where it is done, nothing where it has not run."""
    status = dataset["status"].astype(str)
    failed = (status == "failed").where(status != "missing").astype(np.float64)
    settled = status.where(status != "failed", "done")
    return dataset.drop_vars(list(dataset.data_vars)).assign({"status": settled, SHARE: failed})


def telling_parameters(rows: Rows) -> list[str]:
    """Parameters that vary, the one whose values tell most of what failed first."""
    settled = rows.done | rows.failed
    failed = rows.failed[settled].astype(np.float64)
    found: dict[str, float] = {}
    for name, column in rows.columns.items():
        groups = combine(column.levels)[0][settled] + 1
        n = np.bincount(groups)
        if len(column.levels) < 2 or name == REPLICATE:
            continue
        shares = np.bincount(groups, failed) / np.maximum(n, 1)
        # of a parameter with a value for each variant the share is always 0 or 1: chance is taken off
        excess = float((n * (shares - failed.mean()) ** 2).sum()) - (int((n > 0).sum()) - 1) * float(failed.var())
        found[name] = excess
    return sorted(found, key=lambda name: -found[name])
