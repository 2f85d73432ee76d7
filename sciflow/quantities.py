"""Durations and byte sizes: what people write, what the library computes with, and what people read."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from sciflow.errors import QuantityError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS_PER: dict[str, float] = {
    "ms": 0.001,
    "s": 1,
    "sec": 1,
    "second": 1,
    "seconds": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hour": 3600,
    "hours": 3600,
    "d": 86400,
    "day": 86400,
    "days": 86400,
}
# a bare letter is binary, as Slurm and PBS read it: 8G is 8 GiB; GB is 10^9 as the SI says
BYTES_PER: dict[str, float] = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)},
    **{letter: 1024**power for power, letter in enumerate("kmgtp", start=1)},
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d)(?::([0-5]\d))?")


def parse_seconds(text: float | str) -> float:
    """Seconds of a duration such as ``"2h"``, ``"1 h 30 min"``, ``"500 ms"`` or ``"1-12:00:00"``.

    A number is seconds. Two fields with a colon are hours and minutes.

    Raises
    ------
    QuantityError
        For anything else, and for a negative or infinite duration.
    """
    if not isinstance(text, str):
        return _number("duration", text)
    clock = _CLOCK.fullmatch(text.strip())
    if clock is not None:
        days, hours, minutes, seconds = (int(field or 0) for field in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return _parse_parts(text, SECONDS_PER, "duration", "write it as '2h', '1 h 30 min', '45 s' or '1-12:00:00'")


def parse_bytes(text: float | str) -> int:
    """Whole bytes of a size such as ``"4 GiB"``, ``"500 MB"`` or ``"8G"``.

    A bare letter is binary, as batch schedulers mean it; a number is bytes.

    Raises
    ------
    QuantityError
        For anything else, and for a negative or infinite size.
    """
    if not isinstance(text, str):
        return math.ceil(_number("size", text))
    return math.ceil(_parse_parts(text, BYTES_PER, "size", "write it as '4 GiB', '500 MB' or '8G'"))


def render_seconds(seconds: float) -> str:
    """A duration for people, in its two largest units: ``"3 h 12 min"``, ``"45 s"``, ``"0.2 s"``."""
    if seconds < 0:
        return "-" + render_seconds(-seconds)
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.2g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return _render_long(seconds)


def render_count(n: int, noun: str) -> str:
    """A number of things, such as ``1 variant`` and ``1,200 variants``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def render_bytes(n_bytes: float) -> str:
    """A size for people, in binary units: ``"512 B"``, ``"3.4 GiB"``."""
    size, unit = float(n_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(size) < 1023.95:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" or size == round(size) else f"{size:.1f} {unit}"


def _render_long(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise QuantityError(f"a {what} must be a finite number of at least 0, or a text, not {value!r}")
    return value


def _parse_parts(text: str, units: Mapping[str, float], what: str, remedy: str) -> float:
    total, position = 0.0, 0
    while position < len(text) or position == 0:
        part = _PART.match(text, position)
        unit = None if part is None else units.get(part[2].lower())
        if part is None or unit is None:
            raise QuantityError(f"{what} {text!r} is not understood; {remedy}")
        total += float(part[1]) * unit
        position = part.end()
    return total
