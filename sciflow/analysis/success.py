"""Which variants meet the success criteria of a workflow."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sciflow.analysis.grouping import group, known_parameters
from sciflow.analysis.ranking import choose, unlisted
from sciflow.analysis.variants import parameter_frame
from sciflow.errors import ResultsError
from sciflow.workflow.criteria import RELATIONS, Criterion, parse_criteria

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants

PASSED, NOT_PASSED, UNKNOWN = VERDICTS = ("passed", "not passed", "no result")


@dataclass(frozen=True, slots=True, eq=False)
class Success:
    """What became of the success criteria.

    Attributes
    ----------
    variants : a row per variant: parameters, the verdict on each criterion, and ``success``: ``passed``,
        ``not passed``, or ``no result`` where a variant failed, is missing, or lacks a metric
    criteria : a row per criterion: how many variants have ``passed``, ``not passed``, ``no result``, and the ``share``
        that passed of those with a result
    """

    variants: pd.DataFrame
    criteria: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """How many variants passed all criteria, did not, or have no result."""
        found = self.variants["success"].to_numpy()
        return {verdict: int((found == verdict).sum()) for verdict in (PASSED, NOT_PASSED, UNKNOWN)}

    @property
    def passed(self) -> bool:
        """Whether every variant passed every criterion."""
        return bool(len(self.variants)) and self.counts[PASSED] == len(self.variants)

    def __str__(self) -> str:
        n = len(self.variants)
        counts = self.counts
        more = f", {counts[UNKNOWN]:,} without a result" if counts[UNKNOWN] else ""
        lines = [f"{counts[PASSED]:,} of {n:,} variants meet all criteria{more}"]
        columns = [self.criteria[name].tolist() for name in (PASSED, NOT_PASSED, "share")]
        for text, passed, not_passed, share in zip(self.criteria.index, *columns, strict=True):
            lines.append(f"  {text}: {passed:,} passed, {not_passed:,} did not ({share:.0%} passed)")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table: Any = self.criteria
        return f"<p>{html.escape(str(self).splitlines()[0])}</p>{table._repr_html_()}"


def judge(
    variants: Variants,
    stored: Sequence[Mapping[str, Any]],
    criteria: Mapping[str, object] | None,
    *,
    where: str | None = None,
    over: str | Iterable[str] | None = None,
) -> Success:
    """Hold each variant against criteria: those given, or those of the workflow.

    Parameters
    ----------
    stored
        The workflow's criteria, as its definition has them.
    where
        Only variants for which this condition holds; of means, as in `sciflow.analysis.ranking.choose`.
    over
        Parameters to average over first.

    Raises
    ------
    ResultsError
        There are no criteria, one is about a metric that nobody recorded, or no variant satisfies *where*.
    WorkflowError
        A criterion is not understood.
    """
    wanted = [Criterion(**entry) for entry in stored] if criteria is None else list(parse_criteria(criteria))
    if not wanted:
        raise ResultsError(
            "the workflow has no success criteria; set them with "
            "workflow.set_success_criteria({'accuracy': '>= 0.9'}), or give some here"
        )
    known = known_parameters(over, variants.table)
    groups = group(variants.table, known)
    chosen = choose(variants, where, groups, known)
    if where is not None and not chosen.any():
        raise ResultsError(f"no variant satisfies {where!r}")
    rows, lacking = np.flatnonzero(chosen), unlisted(variants, groups, known)
    shown = np.flatnonzero(np.bincount(groups.of_variant[rows], minlength=len(groups)))
    verdicts: dict[str, NDArray[np.int8]] = {}
    for criterion in wanted:
        means = np.where(lacking, np.nan, groups.average(variants.numbers(criterion.metric), rows).mean)[shown]
        holds = cast("NDArray[np.bool_]", RELATIONS[criterion.relation](cast("Any", means), criterion.limit))
        verdicts[str(criterion)] = np.where(np.isnan(means), 2, np.where(holds, 0, 1)).astype(np.int8)
    table = variants.table.take(groups.first[shown])
    parameters = parameter_frame(table.only(name for name in table.columns if name not in known))
    overall = np.stack(list(verdicts.values())).max(axis=0)  # one that is not known leaves all open
    words = {text: pd.Categorical.from_codes(codes, VERDICTS) for text, codes in verdicts.items()}
    counted = {text: np.bincount(codes, minlength=len(VERDICTS)) for text, codes in verdicts.items()}
    per_criterion = pd.DataFrame.from_dict(counted, orient="index", columns=[*VERDICTS]).rename_axis("criterion")
    judged = per_criterion[PASSED] + per_criterion[NOT_PASSED]
    per_criterion["share"] = per_criterion[PASSED] / judged.where(judged > 0)
    verdict = pd.Categorical.from_codes(overall, VERDICTS)
    return Success(parameters.assign(**words, success=verdict), per_criterion)
