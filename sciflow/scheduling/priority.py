"""Priority: how work stands behind that of others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from sciflow.errors import PolicyError
from sciflow.scheduling.opening import Conditions, Opening, utc
from sciflow.scheduling.policy import Policy

if TYPE_CHECKING:
    from datetime import datetime

Level = Literal["low", "normal", "high"]
_LEVELS: Final[tuple[Level, ...]] = ("low", "normal", "high")

_NICENESS: Final = {"low": 10, "normal": 0, "high": 0}
_SLURM: Final = {"low": ("--nice=10000",), "normal": (), "high": ()}
_PBS: Final = {"low": ("-p -512",), "normal": (), "high": ("-p 512",)}
_QOS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,+-]*")


@dataclass(frozen=True, slots=True)
class Priority(Policy):
    """Work at any time, before or behind that of others; joined to other policies with ``&``.

    On this machine low priority is a nice value of 10: work yields to whatever else runs. On SLURM it is ``--nice``,
    on PBS ``-p``. Users of SLURM and of this machine may only lower priorities, so there *high* is no more than
    *normal*, unless the site has a QOS for it.

    Parameters
    ----------
    level : {"low", "normal", "high"}
        Before whom.
    qos : str, optional
        A quality of service of the site, on SLURM.

    Raises
    ------
    PolicyError
        For another level.

    Examples
    --------
    >>> from sciflow import OffPeak, Priority
    >>> policy = OffPeak("22:00-08:00") & Priority("low")
    >>> policy.priority.job_options("slurm")
    ('--nice=10000',)
    """

    level: Level = "normal"
    qos: str | None = None

    def __post_init__(self) -> None:
        if self.level not in _LEVELS:
            raise PolicyError(f"a priority is one of {', '.join(map(repr, _LEVELS))}, not {self.level!r}")
        if self.qos is not None and (not isinstance(self.qos, str) or not _QOS.fullmatch(self.qos)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise PolicyError(f"qos must be the name of a quality of service such as 'low', not {self.qos!r}")

    def opening(self, conditions: Conditions) -> Opening:
        """Always open, with no end."""
        utc(conditions.now)
        return Opening(may_start=True)

    def start_by(self, asked_at: datetime) -> datetime | None:
        """At once."""
        return utc(asked_at)

    def reason(self, conditions: Conditions) -> str:  # noqa: ARG002  it holds at any time
        """One sentence."""
        return f"work has {self.level} priority" + (f" and QOS {self.qos}" if self.qos else "")

    def explain(self, conditions: Conditions) -> str:
        """One sentence."""
        return self.reason(conditions)

    @property
    def priority(self) -> Priority:
        """Itself."""
        return self

    @property
    def niceness(self) -> int:
        """The nice value of processes on this machine: 0 is usual, 19 yields most."""
        return _NICENESS[self.level]

    def job_options(self, system: str) -> tuple[str, ...]:
        """Lines for a batch system, ``"slurm"`` or ``"pbs"``, without its prefix."""
        if system == "pbs":
            return cast("tuple[str, ...]", _PBS[self.level])
        return (*_SLURM[self.level], *([f"--qos={self.qos}"] if self.qos else []))

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"name": "priority", "level": self.level, **({"qos": self.qos} if self.qos else {})}
