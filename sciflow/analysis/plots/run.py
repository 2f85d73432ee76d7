"""The run of a sweep: what each worker did when, and how many of them were busy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from sciflow.analysis.plots.axes import add_grid, set_limits, set_ticks
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.style import CROSS, FAILED, GREY, OKABE_ITO
from sciflow.errors import ResultsError
from sciflow.quantities import render_seconds

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_BARS: Final = 1_500
"""More runs than this are drawn as how busy each worker was, not one by one."""
MOST_ROWS: Final = 120
"""More workers than this share rows."""

_N_BINS: Final = 240
_MOST_NAMED: Final = 24
_PAUSE: Final = 0.1  # of the time in which something ran: a longer pause is left out
_GAP: Final = 0.02
_UNITS: Final = ((2 * 86400.0, 86400.0, "d"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
_BUSY: Final = OKABE_ITO[0]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Runs on one axis of time that begins at 0 and leaves long pauses out.

    Attributes
    ----------
    start, end
        Of each run, in `unit`.
    worker
        A number for the worker of each run; `names` has their names.
    cuts
        Where pauses were left out, and `left_out_s`, how long they were together.
    """

    start: Floats
    end: Floats
    worker: NDArray[np.int64]
    session: NDArray[np.int64]
    failed: NDArray[np.bool_]
    names: tuple[str, ...]
    cuts: Floats
    left_out_s: float
    unit: str

    @property
    def n_in_row(self) -> int:
        """How many workers share a row."""
        return -(-len(self.names) // MOST_ROWS)

    @property
    def length(self) -> float:
        """From the first start to the last end."""
        return float(self.end.max())


def timeline(runs: xr.Dataset, *, title: str | None = None, style: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw what each worker did when: a bar for each run, or, of many, how busy each worker was.

    Failures are crossed. Pauses in which nothing ran, as between sessions, are left out and marked.

    Parameters
    ----------
    runs : xarray.Dataset
        As `Results.runs` gives it.
    title : str, optional
        Above the figure.
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
        Nothing has run.
    """
    course = course_of(runs)
    n = -(-len(course.names) // course.n_in_row)
    with drawing(runs, ax, style, title=title, size=(1.25, float(np.clip(0.25 + 0.06 * n, 0.45, 1.4)))) as axes:
        words = _draw_bars(axes, course) if len(course.start) <= MOST_BARS else _draw_shares(axes, course)
        _set_time(axes, course)
        set_limits(axes.yaxis, n - 0.5, -0.5)
        failures = [f"{CROSS}: {int(course.failed.sum()):,} failed"] if course.failed.any() else []
        add_note(axes, [*words, *failures, *_words_on_cuts(course)])
    return cast("Figure", axes.get_figure(root=True))


def utilisation(
    runs: xr.Dataset, *, title: str | None = None, style: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw how many workers were busy over time, and how many there were.

    A worker is there from the start of its first run of a session to the end of its last.

    Parameters
    ----------
    runs : xarray.Dataset
        As `Results.runs` gives it.
    title : str, optional
        Above the figure.
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
        Nothing has run.
    """
    course = course_of(runs)
    edges, busy, there = _busy_and_there(course)
    with drawing(runs, ax, style, title=title, size=(1.25, 0.7)) as axes:
        axes.stairs(busy, edges, fill=True, color=_BUSY, alpha=0.85, label="busy", zorder=2)
        axes.stairs(
            there, edges, color="black", linewidth=mpl.rcParams["lines.linewidth"] * 0.8, label="there", zorder=3
        )
        axes.yaxis.set_label_text("workers")
        axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=2))
        set_limits(axes.yaxis, 0.0, 1.08 * float(max(there.max(), busy.max())))
        add_grid(axes)
        _set_time(axes, course)
        share = float(busy.sum() / there.sum()) if there.sum() > 0 else 0.0
        words = [f"filled: busy in runs, {share:.0%} of their time", "line: workers that were there"]
        add_note(axes, [*words, *_words_on_cuts(course)])
    return cast("Figure", axes.get_figure(root=True))


def busy_over_time(runs: xr.Dataset) -> pd.DataFrame:
    """How many workers were busy, and how many there were, on average in each step of time.

    Raises
    ------
    ResultsError
        Nothing has run.
    """
    course = course_of(runs)
    edges, busy, there = _busy_and_there(course)
    return pd.DataFrame(
        {f"from_{course.unit}": edges[:-1], f"until_{course.unit}": edges[1:], "busy": busy, "there": there}
    )


def _busy_and_there(course: Course) -> tuple[Floats, Floats, Floats]:
    edges = np.linspace(0.0, course.length, _N_BINS + 1)
    first, last = _presence(course)
    busy = np.diff(busy_until(edges, course.start, course.end)) / edges[1]
    return edges, busy, np.diff(busy_until(edges, first, last)) / edges[1]


def course_of(runs: xr.Dataset) -> Course:
    """Put runs on one axis of time.

    Raises
    ------
    ResultsError
        Nothing has run.
    """
    start, runtime_s = (runs[name].to_numpy().astype(np.float64) for name in ("start_s", "runtime_s"))
    if not len(start):
        raise ResultsError("there is nothing to draw: no run is recorded yet; results.refresh() looks again")
    order = np.argsort(start, kind="stable")
    start = start[order] - start[order[0]]
    end = start + np.nan_to_num(runtime_s[order])
    start, end, cuts, left_out_s = _without_pauses(start, end)
    span = max(float(end.max()), 1e-9)
    factor, unit = next((factor, unit) for least, factor, unit in _UNITS if span >= least)
    worker, names = pd.factorize(runs["worker"].to_numpy()[order])
    session, _ = pd.factorize(runs["session"].to_numpy()[order])
    return Course(
        start=start / factor,
        end=np.maximum(end, 1e-9) / factor,
        worker=np.asarray(worker, dtype=np.int64),
        session=np.asarray(session, dtype=np.int64),
        failed=runs["status"].to_numpy()[order] == "failed",
        names=tuple(str(name) for name in np.asarray(names).tolist()),
        cuts=cuts / factor,
        left_out_s=left_out_s,
        unit=unit,
    )


def busy_until(edges: Floats, start: Floats, end: Floats) -> Floats:
    """The time of all spans together that lies before each edge."""
    return _time_since(edges, start) - _time_since(edges, end)


def _time_since(edges: Floats, moments: Floats) -> Floats:
    """The sum over moments of how long ago each was, for those before an edge."""
    ordered = np.sort(moments)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    n = np.searchsorted(ordered, edges, side="right")
    return n * edges - sums[n]


def _without_pauses(start: Floats, end: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Times, which ascend, with long pauses shortened; where they were, and how much shorter it is."""
    latest = np.maximum.accumulate(end)
    pauses = np.maximum(start[1:] - latest[:-1], 0.0)
    active = float(latest[-1]) - float(pauses.sum())
    gap = _GAP * active
    cut = pauses > max(_PAUSE * active, 1e-9)
    shorter = np.concatenate([[0.0], np.cumsum(np.where(cut, pauses - gap, 0.0))])
    moved = start - shorter
    return moved, end - shorter, moved[1:][cut] - gap / 2, float(shorter[-1])


def _presence(course: Course) -> tuple[Floats, Floats]:
    """The first start and the last end of each worker in each session."""
    keys, places = np.unique(course.session * (len(course.names) + 1) + course.worker, return_inverse=True)
    first, last = np.full(len(keys), np.inf), np.full(len(keys), -np.inf)
    np.minimum.at(first, places, course.start)
    np.maximum.at(last, places, course.end)
    return first, last


def _draw_bars(axes: Axes, course: Course) -> list[str]:
    rows, words = _rows(course)
    long = (course.end - course.start) > 0.004 * course.length
    for failed, colour in ((False, _BUSY), (True, FAILED)):
        mine = course.failed == failed
        if mine.any():
            axes.barh(
                rows[mine],
                course.end[mine] - course.start[mine],
                0.72,
                course.start[mine],
                color=colour,
                edgecolor=["white" if one else colour for one in long[mine].tolist()],
                linewidth=0.4,
                gid="failed" if failed else "done",
            )
    _cross(axes, (course.start + course.end)[course.failed] / 2, rows[course.failed])
    _name_rows(axes, course)
    return words


def _draw_shares(axes: Axes, course: Course) -> list[str]:
    rows, words = _rows(course)
    n = int(rows.max()) + 1
    edges = np.linspace(0.0, course.length, _N_BINS + 1)
    shares = np.zeros((n, _N_BINS))
    order = np.argsort(rows, kind="stable")
    ends = np.cumsum(np.bincount(rows, minlength=n))
    for row, members in enumerate(np.split(order, ends[:-1])):
        shares[row] = np.diff(busy_until(edges, course.start[members], course.end[members])) / edges[1]
    per_row = np.bincount(np.unique(np.column_stack([rows, course.worker]), axis=0)[:, 0], minlength=n)
    image = axes.imshow(
        shares / np.maximum(per_row, 1)[:, None],
        cmap="Blues",
        vmin=0.0,
        vmax=1.0,
        aspect="auto",
        interpolation="none",
        extent=(0.0, course.length, n - 0.5, -0.5),
        rasterized=True,
    )
    bar = cast("Any", axes.figure).colorbar(image, ax=axes, label="share of time busy", pad=0.02, aspect=20)
    bar.outline.set_visible(False)
    failed = np.flatnonzero(course.failed)
    cells = np.unique(
        np.column_stack([rows[failed], np.searchsorted(edges, course.start[failed], side="right") - 1]), axis=0
    )
    _cross(axes, edges[cells[:, 1]] + edges[1] / 2, cells[:, 0])
    _name_rows(axes, course)
    return [f"{len(course.start):,} runs, in {_N_BINS} steps of time", *words]


def _cross(axes: Axes, x: Floats, y: NDArray[np.int64]) -> None:
    if len(x):
        size = 0.8 * mpl.rcParams["lines.markersize"]
        axes.plot(x, y, "x", color="black", markersize=size, gid="crosses", scalex=False, scaley=False)


def _rows(course: Course) -> tuple[NDArray[np.int64], list[str]]:
    """The row of each run, and what is to be said of rows that several workers share."""
    each = course.n_in_row
    return course.worker // each, [f"each row: {each} of {len(course.names):,} workers"] if each > 1 else []


def _name_rows(axes: Axes, course: Course) -> None:
    n = len(course.names)
    if n <= _MOST_NAMED:
        hosts = {name.rpartition(":")[0] for name in course.names}
        short = len(hosts) == 1
        set_ticks(axes.yaxis, [name.rpartition(":")[2] if short else name for name in course.names], _MOST_NAMED)
        axes.yaxis.set_label_text(f"worker on {hosts.pop()}" if short else "worker")
    else:
        axes.yaxis.set_label_text(f"{n:,} workers")
        axes.set_yticks([])


def _set_time(axes: Axes, course: Course) -> None:
    axes.xaxis.set_label_text(f"time since the first run [{course.unit}]")
    set_limits(axes.xaxis, 0.0, course.length)
    for place in course.cuts.tolist():
        axes.axvline(place, color=GREY, linestyle=":", zorder=4, gid="pause")


def _words_on_cuts(course: Course) -> list[str]:
    if not len(course.cuts):
        return []
    return [f"dotted: pauses left out, {render_seconds(course.left_out_s)} together"]
