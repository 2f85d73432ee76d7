"""A space to add to a sweep: around its best variant, or along a boundary."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from sciflow.analysis.grouping import known_parameters
from sciflow.analysis.objective import parse_maximize
from sciflow.analysis.optimum import find_best
from sciflow.analysis.refinement.around import around_variant
from sciflow.analysis.refinement.boundary import along_boundary
from sciflow.analysis.refinement.rules import completed, present_space, ruled
from sciflow.analysis.variants import unknown_parameter
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sciflow.analysis.objective import Metric
    from sciflow.analysis.variants import Variants
    from sciflow.space import Space

Around = Literal["optimum", "boundary"]

_MOST_CHECKED: Final = 10**6  # variants of a suggestion that are compared with those there are


def suggest(
    variants: Variants,
    description: Mapping[str, Any],
    metric: Metric,
    *,
    maximize: bool,
    factor: int,
    around: Around,
    parameters: Collection[str] | None,
    where: str | None,
    over: str | Iterable[str] | None,
    extend: bool,
) -> Space:
    """The sweep's space with variants to add; *description* is that of the sweep's space.

    While variants of the sweep's space have not run, it is that space alone, so that a script that was interrupted goes
    on with what it had begun.

    Raises
    ------
    ResultsError
        There is nothing to rank, an argument is not understood, or nothing finer can be suggested.
    """
    if isinstance(cast("object", factor), bool) or not isinstance(cast("object", factor), int) or factor < 2:
        raise ResultsError(f"factor={factor!r}: a step is divided into 2 or more, a whole number")
    maximize = parse_maximize(maximize)
    over = known_parameters(over, variants.table)
    refined = _refined(variants, parameters, over)
    if around not in get_args(Around):
        raise ResultsError(f"around={around!r} is not understood; it is 'optimum' or 'boundary'")
    present = present_space(description)
    if present is not None and (n_missing := variants.counts()["missing"]):
        counted = "1 variant" if n_missing == 1 else f"{n_missing:,} variants"
        warnings.warn(
            f"{counted} of the sweep did not run yet, so the suggestion is its present space and nothing finer: "
            "run that, then ask again",
            UserWarning,
            stacklevel=3,
        )
        return present
    match around:
        case "optimum":
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                (best,) = find_best(variants, metric, maximize=maximize, where=where, over=over, top=1)
            for one in told:  # as said by the line that asked for a suggestion
                warnings.warn(one.message, stacklevel=3)
            space = around_variant(variants, dict(best), refined, over, factor=factor, extend=extend)
        case "boundary":
            if not isinstance(metric, str):
                raise ResultsError("a boundary is where one metric changes most; name that metric")
            space = along_boundary(variants, metric, refined, over, factor=factor, where=where)
    finer = completed(ruled(space, description), variants)
    if not _has_new(finer, variants):
        raise ResultsError(
            "nothing finer can be suggested: no numeric parameter has room between the best value and its neighbours"
            + ("" if parameters is None else f" (of {', '.join(refined) or 'none'})")
        )
    return finer if present is None else present | finer


def _refined(variants: Variants, parameters: Collection[str] | None, over: Collection[str]) -> list[str]:
    """The parameters that may get finer values."""
    known = {one.name: one for one in variants.table.parameters}
    for name in parameters or ():
        if name not in known:
            raise unknown_parameter(name, known)
    return [
        name
        for name, one in known.items()
        if not one.derived and name not in over and (parameters is None or name in parameters)
    ]


def _has_new(space: Space, variants: Variants) -> bool:
    if space.n_up_to(_MOST_CHECKED) >= _MOST_CHECKED:
        return True
    if space.n_up_to(1) == 0:
        return False
    there = frozenset(variants.ids)
    return any(variant.id not in there for variant in space)
