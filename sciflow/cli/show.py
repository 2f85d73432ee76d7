"""Output of commands: JSON that other programs read, and values as people write them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import click


def print_json(data: object) -> None:
    """Print plain JSON: NaN is null, arrays are lists, what JSON does not know is text."""
    click.echo(json.dumps(to_json(data), indent=2, ensure_ascii=False, allow_nan=False))


def to_json(value: Any) -> Any:
    """Turn a value of a result into what JSON can say."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "tolist"):
        return to_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    return str(value)


def render_value(value: Any) -> str:
    """A value in a table: short, and enough digits to tell it from its neighbours."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
