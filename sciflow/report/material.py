"""What a report is made of: results, how the sweep is now, and what is kept about it, each read once."""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sciflow.analysis.follow import read_status
from sciflow.analysis.plots.values import is_number, metric_names, parameter_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from sciflow.analysis.performance import Performance
    from sciflow.analysis.results import Results
    from sciflow.analysis.status import Status


class Material:
    """The results of a sweep and what surrounds them."""

    def __init__(self, results: Results) -> None:
        self.results = results

    @cached_property
    def status(self) -> Status:
        """How the sweep is now."""
        return read_status(self.results.directory)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many variants are done, failed and missing, in what is reported."""
        return self.results.status()

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Code, inputs, environments, sessions, jobs."""
        return self.results.metadata

    @property
    def definition(self) -> Mapping[str, Any]:
        """What was asked, in its newest revision."""
        return self.metadata["definition"]

    @property
    def workflow(self) -> str:
        """Its name."""
        return str(self.metadata["sweep"]["workflow"])

    @cached_property
    def dataset(self) -> xr.Dataset:
        """Everything, labelled."""
        return self.results.dataset

    @cached_property
    def performance(self) -> Performance:
        """Where the time went."""
        return self.results.performance()

    @cached_property
    def runs(self) -> xr.Dataset:
        """When and where each run happened."""
        return self.results.runs()

    @cached_property
    def costs(self) -> xr.Dataset:
        """The dataset with what each variant took."""
        return self.results.costs()

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters."""
        return parameter_names(self.dataset)

    @property
    def metrics(self) -> list[str]:
        """Outputs with one number for each variant."""
        return [name for name in metric_names(self.dataset) if is_number(self.dataset, name)]

    def unit(self, name: str) -> str:
        """The unit of a parameter or metric; empty if it has none."""
        return str(self.dataset[name].attrs.get("units", "")) if name in self.dataset else ""

    def labelled(self, name: str) -> str:
        """A name with its unit."""
        unit = self.unit(name)
        return f"{name} [{unit}]" if unit not in {"", "1"} else name

    def values(self, name: str) -> list[Any]:
        """The distinct values of a parameter, in the order of the space."""
        found: NDArray[Any] = pd.unique(np.ravel(self.dataset[name].values))
        return [value for value in found.tolist() if not is_lack(value)]


def is_lack(value: object) -> bool:
    """Whether it stands for no value."""
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def file_name_of(text: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._")[:80] or "figure"
