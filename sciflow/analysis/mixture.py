"""Results that different code made are no experiment of one kind: say so where they are compared."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from sciflow.store.assembled import STALE

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants

    Chosen: TypeAlias = NDArray[np.bool_] | NDArray[np.int64]
    """Variants, as a mask or by their rows."""


def warn_of_mixture(variants: Variants, what: str, compared: Chosen, *, stacklevel: int) -> None:
    """Warn if what is *compared* was made by different code; silent otherwise."""
    words = mixture_words(variants, what, compared)
    if words:
        warnings.warn(words, UserWarning, stacklevel=stacklevel + 1)


def mixture_words(variants: Variants, what: str, compared: Chosen) -> str:
    """That what is *compared* was made by different code, how much by which, and what to do; empty if it was not.

    Parameters
    ----------
    what
        Such as ``values of loss``.
    """
    if not variants.stale[compared].any():
        return ""
    sizes = np.bincount(variants.generations[compared] + 1)[1:]
    sizes = sizes[sizes > 0]
    if len(sizes) < 2:
        return ""  # all of one code, which somebody chose to keep
    code = code_or_inputs(variants)
    n_old = int(variants.stale[compared].sum())
    n_today = int(sizes.sum()) - n_old
    if not n_today:
        each = ", ".join(f"{n:,}" for n in sizes.tolist())
        return f"{what} were made by different {code}, none of it today's ({each}); {_RERUN}"
    remedy = (
        f'where="not {STALE}" (of a table: the query "not {STALE}") leaves the older ones out, and {_RERUN}'
        if variants.shows_stale
        else f"which ones, no column says, since {STALE!r} is a name of the workflow's own; {_RERUN}"
    )
    return f"{what} were made by different {code}: {n_today:,} by today's and {n_old:,} by older; {remedy}"


def code_or_inputs(variants: Variants) -> str:
    """What may have changed."""
    return "code or inputs" if variants.has_inputs else "code"


_RERUN = "Engine(on_stale='rerun') (on the command line: --on-stale rerun) makes them again"
