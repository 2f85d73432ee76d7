"""How figures look: sizes and fonts for a paper, a talk or a notebook, and colours that everybody can tell apart."""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Generator

    from matplotlib.colors import Colormap
    from numpy.typing import NDArray

StyleName: TypeAlias = Literal["paper", "talk", "notebook"]

# Okabe & Ito, "Color Universal Design" (2008); the yellow and the black come last, where lines are rare
OKABE_ITO: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
FAILED: Final = "#D55E00"
"""The colour of what marks a failure, everywhere."""
CROSS: Final = "×"  # noqa: RUF001  a cross is meant, as it is drawn
GREY: Final = "#6b6b6b"
NO_RESULT: Final = "#e4e4e4"
SEQUENTIAL: Final = "viridis"
"""Perceptually uniform, and told apart by every kind of colour vision."""
DIVERGING: Final = "RdBu_r"


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes of a figure.

    Attributes
    ----------
    width, height
        Of a figure with one panel, in inches; `full_width` is the most that several panels may take.
    rc
        matplotlib's settings.
    """

    name: str
    width: float
    height: float
    full_width: float
    rc: dict[Any, Any]

    @property
    def scale(self) -> float:
        """Size of letters relative to those in a notebook."""
        return self.rc["font.size"] / 10


def _style(name: str, *, size: tuple[float, float], full_width: float, font: float, line: float, dpi: int) -> Style:
    rc: dict[Any, Any] = {
        "font.size": font,
        "axes.labelsize": "medium",
        "axes.titlesize": "medium",
        "figure.titlesize": "medium",
        "xtick.labelsize": "small",
        "ytick.labelsize": "small",
        "legend.fontsize": "small",
        "legend.title_fontsize": "small",
        "legend.frameon": False,
        "legend.borderaxespad": 0.3,
        "legend.handlelength": 1.6,
        "lines.linewidth": line,
        "lines.markersize": 3.4 * line,
        "patch.linewidth": 0.6 * line,
        "hatch.linewidth": 0.6,
        "axes.linewidth": 0.55 * line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.edgecolor": "#333333",
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-4, 5),
        "axes.formatter.use_mathtext": True,
        "xtick.major.width": 0.55 * line,
        "ytick.major.width": 0.55 * line,
        "xtick.minor.width": 0.4 * line,
        "ytick.minor.width": 0.4 * line,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.5 * line,
        "figure.constrained_layout.h_pad": 0.04,
        "figure.constrained_layout.w_pad": 0.04,
        "figure.dpi": dpi,
        "savefig.dpi": dpi if name != "notebook" else 150,
    }
    return Style(name, *size, full_width, rc)


STYLES: Final = {
    "paper": _style("paper", size=(3.4, 2.5), full_width=7.0, font=8, line=1.1, dpi=300),  # one column, two columns
    "notebook": _style("notebook", size=(6.4, 4.4), full_width=11.0, font=10, line=1.6, dpi=100),
    "talk": _style("talk", size=(8.0, 5.2), full_width=13.3, font=17, line=2.6, dpi=150),  # 13.3 in: a 16:9 slide
}
DEFAULT: Final = "notebook"


def find_style(name: str | None) -> Style:
    """The style of this name, the notebook's for None.

    Raises
    ------
    ResultsError
        There is none.
    """
    chosen = STYLES.get(DEFAULT if name is None else name)
    if chosen is None:
        close = difflib.get_close_matches(str(name), STYLES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ResultsError(f"style {name!r} is unknown; it is one of {', '.join(map(repr, STYLES))}{hint}")
    return chosen


@contextlib.contextmanager
def use_style(style: Style) -> Generator[Style]:
    """Make what is drawn inside look like this; nothing outside changes."""
    with mpl.rc_context(style.rc):
        yield style


def colour_map(name: str = SEQUENTIAL) -> Colormap:
    """A map of colours whose missing values are transparent."""
    return mpl.colormaps[name].with_extremes(bad=(1.0, 1.0, 1.0, 0.0))


def ordered_colours(n: int) -> list[str]:
    """Colours for *n* values that have an order: dark to light, none too light for a white page."""
    places = np.linspace(0.0, 0.86, n) if n > 1 else np.array([0.25])
    found = cast("NDArray[np.float64]", mpl.colormaps[SEQUENTIAL](places))
    return [to_hex(one) for one in found]


def is_dark(colour: tuple[float, ...]) -> bool:
    """Whether white letters are easier to read on it than black ones."""
    # relative luminance, ITU-R BT.709
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2] < 0.5
