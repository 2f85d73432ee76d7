"""Policies: values that say when and how work may be done, and why; they decide from what is passed in alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sciflow.errors import PolicyError
from sciflow.scheduling.opening import Conditions, Opening, utc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sciflow.scheduling.priority import Priority

Sense = Literal["load", "n_pending"]
"""A fact of `Conditions` that costs something to find out."""

_MOST_STEPS = 100  # openings looked at for one at which all of several policies are open


class Policy(ABC):
    """When and how a sweep may work: ``policy & other`` holds to both."""

    __slots__ = ()

    @abstractmethod
    def opening(self, conditions: Conditions) -> Opening:
        """Whether work may start, how much of it, and until when."""

    @abstractmethod
    def reason(self, conditions: Conditions) -> str:
        """What holds, in a few words that stay true until the answer changes: no times that run down."""

    @abstractmethod
    def explain(self, conditions: Conditions) -> str:
        """One sentence that says what holds, for how long, or when that will change."""

    @abstractmethod
    def to_dict(self) -> dict[str, object]:
        """Plain data: the policy's name and its options."""

    def start_by(self, asked_at: datetime) -> datetime | None:  # noqa: ARG002  for policies that know
        """When a sweep asked for at *asked_at* starts regardless; None when it waits as long as it takes."""
        return None

    @property
    def priority(self) -> Priority | None:
        """How work stands behind that of others; None when nothing is said."""
        return None

    @property
    def senses(self) -> frozenset[Sense]:
        """The facts, beyond instants, that it wants to be told."""
        return frozenset()

    def __and__(self, other: object) -> All:
        if not isinstance(other, Policy):
            return NotImplemented
        return All([self, other])


@dataclass(frozen=True, slots=True)
class Immediate(Policy):
    """Work at any time."""

    def opening(self, conditions: Conditions) -> Opening:
        """Always open, with no end."""
        utc(conditions.now)
        return Opening(may_start=True)

    def start_by(self, asked_at: datetime) -> datetime | None:
        """At once."""
        return utc(asked_at)

    def reason(self, conditions: Conditions) -> str:  # noqa: ARG002  nothing to wait for
        """One sentence."""
        return "work may start at any time"

    def explain(self, conditions: Conditions) -> str:
        """One sentence."""
        return self.reason(conditions)

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"name": "immediate"}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class All(Policy):
    """Several policies at once: work may start when each of them lets it, and ends when the first closes.

    Parameters
    ----------
    policies : policies, at most one of them a `Priority`; written ``OffPeak() & Priority("low")``
    """

    policies: tuple[Policy, ...]

    def __init__(self, policies: Iterable[Policy]) -> None:
        flat = tuple(one for policy in policies for one in (policy.policies if isinstance(policy, All) else (policy,)))
        if not flat:
            raise PolicyError("policies: name at least one policy")
        if sum(one.priority is not None for one in flat) > 1:
            raise PolicyError(f"two priorities in one policy: {', '.join(map(repr, flat))}; leave one of them")
        object.__setattr__(self, "policies", flat)

    def __repr__(self) -> str:
        return " & ".join(map(repr, self.policies)) if len(self.policies) > 1 else f"All({list(self.policies)!r})"

    def opening(self, conditions: Conditions) -> Opening:
        """Open while all are; shut, it says when all will be open, if the clock alone decides."""
        openings = [one.opening(conditions) for one in self.policies]
        if not all(one.may_start for one in openings):
            return Opening(may_start=False, next_open=self._next_open(conditions))
        until = min((one.until for one in openings if one.until is not None), default=None)
        stop_by = min((one.stop_by for one in openings if one.stop_by is not None), default=None)
        opening = Opening(
            may_start=True,
            until=until,
            next_open=min((one.next_open for one in openings if one.next_open is not None), default=None),
            max_cores=min((one.max_cores for one in openings if one.max_cores is not None), default=None),
        )
        return opening if until is None or stop_by is None else replace(opening, spill=stop_by - until)

    def start_by(self, asked_at: datetime) -> datetime | None:
        """When the last of them starts regardless."""
        known = [one.start_by(asked_at) for one in self.policies]
        return max((one for one in known if one is not None), default=None) if all(known) else None

    def reason(self, conditions: Conditions) -> str:
        """Those that hold work up, or else all."""
        return "; ".join(one.reason(conditions) for one in self._decisive(conditions))

    def explain(self, conditions: Conditions) -> str:
        """Those that hold work up, or else all."""
        return "; ".join(one.explain(conditions) for one in self._decisive(conditions))

    @property
    def priority(self) -> Priority | None:
        """That of the one that has one."""
        return next((one.priority for one in self.policies if one.priority is not None), None)

    @property
    def senses(self) -> frozenset[Sense]:
        """What any of them wants to be told."""
        return frozenset[Sense]().union(*(one.senses for one in self.policies))

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"name": "all", "policies": [one.to_dict() for one in self.policies]}

    def _decisive(self, conditions: Conditions) -> list[Policy]:
        shut = [one for one in self.policies if not one.opening(conditions).may_start]
        telling = [one for one in self.policies if not isinstance(one, Immediate)]
        return shut or telling or list(self.policies)

    def _next_open(self, conditions: Conditions) -> datetime | None:
        for _ in range(_MOST_STEPS):
            shut = [one for one in (p.opening(conditions) for p in self.policies) if not one.may_start]
            if not shut:
                return conditions.now
            later = [one.next_open for one in shut if one.next_open is not None]
            if len(later) < len(shut):
                return None
            conditions = replace(conditions, now=max(later))
        return None
