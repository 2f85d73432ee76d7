"""What the choice of figures depends on, read from a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.plots.axes import is_logarithmic
from sciflow.analysis.plots.values import is_number, levels_of, metric_names, parameter_names
from sciflow.figures.defaults import ParameterFacts, default_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from sciflow.figures.spec import Figure


def choose_figures(dataset: xr.Dataset, first: Sequence[str] = ()) -> tuple[Figure, ...]:
    """Figures that suit a dataset.

    Parameters
    ----------
    first
        Metrics that matter most, such as those of the success criteria.
    """
    numbers = [name for name in metric_names(dataset) if is_number(dataset, name)]
    recorded = [name for name in numbers if bool(np.isfinite(dataset[name]).any())]
    metrics = sorted(recorded, key=lambda name: (name not in first, recorded.index(name)))
    facts: list[ParameterFacts] = []
    n_replicates = 1
    for name in parameter_names(dataset):
        levels = levels_of(np.ravel(dataset[name]))
        if name == REPLICATE:
            n_replicates = len(levels)
        else:
            facts.append(ParameterFacts(name, len(levels), levels.is_numeric))
    n_variants = int(dataset["status"].size) if "status" in dataset else 0
    logarithmic = [name for name in metrics if is_logarithmic(np.ravel(dataset[name]))]
    return default_figures(facts, metrics, n_variants, n_replicates, logarithmic)
