"""Results that a task may still change are copied when the task returns: a reused buffer must not rewrite history.

Who else holds an object is told by its number of references, compared with that of a new object looked at in the same
way, for that number differs between releases of Python.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

_SAFE = frozenset({int, float, str, bool, bytes, complex, type(None)})


def is_held_elsewhere(outcome: Any) -> bool:
    """Whether somebody else may hold the outcome, or an array in it, and change it before it is recorded.

    Call it with the outcome in one list and one variable, and nowhere else of ours.
    """
    if type(outcome) in _SAFE:
        return False
    own, inner = _references(outcome)
    alone_own, alone_inner = _when_alone(type(outcome) is dict)
    return own > alone_own or any(n is None or n > alone_inner for n in inner)


def _references(outcome: Any) -> tuple[int, list[int | None]]:
    """How often the outcome and the arrays in it are referred to; None for what is not known to be its own."""
    if type(outcome) is not dict:
        return sys.getrefcount(outcome), [] if _owns_itself(outcome) else [None]
    inner = [
        sys.getrefcount(value) if _owns_itself(value) else None
        for value in outcome.values()
        if type(value) not in _SAFE and not isinstance(value, np.generic)
    ]
    return sys.getrefcount(outcome), inner


def _owns_itself(value: Any) -> bool:
    return isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.base is None)


@cache
def _when_alone(in_mapping: bool) -> tuple[int, int]:  # noqa: FBT001  the key of a cache
    """The numbers of references of a result that nobody else holds."""

    def result() -> Any:
        return {"array": np.empty(1)} if in_mapping else np.empty(1)

    listed = [result()]
    for outcome in listed:  # one list, one variable, as where results come from
        return _seen_from_here(outcome)
    raise AssertionError("there is one")


def _seen_from_here(outcome: Any) -> tuple[int, int]:
    """Look at an outcome as deep in calls as `is_held_elsewhere` does."""
    own, inner = _references(outcome)
    return own, max((n for n in inner if n is not None), default=0)


def detached(outcome: Any) -> Any:
    """The outcome with copies of what can be changed."""
    if isinstance(outcome, Mapping):
        return {name: _copied(value) for name, value in outcome.items()}
    return _copied(outcome)


def _copied(value: Any) -> Any:
    if type(value) in _SAFE or isinstance(value, np.generic):
        return value
    if isinstance(value, np.ndarray):
        return value.copy()
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001  what cannot be copied cannot be recorded either, and is refused there
        return value
