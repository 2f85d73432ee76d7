"""Limits of a site as batch systems write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sciflow.batch.system import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable


def parse_duration(text: str) -> int | None:
    """Seconds of ``[days-]hours:minutes:seconds`` and what SLURM leaves out of it; None for ``UNLIMITED`` and the like.

    One number is minutes, two are minutes and seconds, or with days hours and minutes.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", text)
    if match is None:
        return None
    fields = [int(field) for field in match[2].split(":")]
    if match[1] is not None:
        hours, minutes, seconds = (*fields, 0, 0)[:3]
        return ((int(match[1]) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(fields) == 1:
        return fields[0] * 60
    seconds = fields.pop()
    minutes = fields.pop()
    return (sum(fields) * 60 + minutes) * 60 + seconds


def parse_count(text: str) -> int | None:
    """A number of jobs or cores; None for anything else, which is no limit."""
    return int(text) if text.isdigit() else None


def least_limits(limits: Iterable[Limits]) -> Limits:
    """What holds when several limits hold."""
    kept = list(limits)

    def least(name: str) -> int | None:
        return min((n for one in kept if (n := getattr(one, name)) is not None), default=None)

    return Limits(least("walltime_s"), least("n_submitted"), least("n_running"), least("n_cores"))
