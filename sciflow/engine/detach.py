"""Results that a task may still change are copied when the task returns: a reused buffer must not rewrite history."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

_SAFE = frozenset({int, float, str, bool, bytes, complex, type(None)})
_OURS = 4  # references to an outcome that are ours: the list, the loop's variable, two arguments


def is_held_elsewhere(outcome: Any) -> bool:
    """Whether somebody else may hold the outcome, or an array in it, and change it before it is recorded."""
    if type(outcome) in _SAFE:
        return False
    if type(outcome) is dict:
        return sys.getrefcount(outcome) > _OURS or any(
            type(v) not in _SAFE and not _is_fresh(v) for v in outcome.values()
        )
    return not _is_fresh(outcome)


def _is_fresh(value: Any) -> bool:
    """Whether an array owns its memory; anything else that can be changed is not looked into."""
    if isinstance(value, np.generic):
        return True
    # a dict or list holds it once, our arguments and loop variables the rest
    return isinstance(value, np.ndarray) and value.base is None and sys.getrefcount(value) <= _OURS + 1


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
