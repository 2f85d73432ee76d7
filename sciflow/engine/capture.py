"""Capture: how much is recorded of what makes numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Extent: TypeAlias = Literal["full", "minimal"]
"""How much: all of it, or what a sweep needs to go on (parameters, outcomes, times, fingerprints of the code)."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What is asked for.

    Parameters
    ----------
    extent : "minimal" leaves out repository, environment, measures of single variants, warnings and output of failures
    keeps_output : whether all that a variant prints is kept in its log
    measures_energy : whether the energy is estimated that the driver and its workers use on this machine
    """

    extent: Extent = "full"
    keeps_output: bool = False
    measures_energy: bool = False

    @property
    def is_full(self) -> bool:
        """Whether nothing is left out."""
        return self.extent == "full"


NOT_CAPTURED: Final[dict[str, Any]] = {"capture": "minimal"}
"""Stands for what was not looked at."""
