"""Values and names as tables and figures show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_UNIT: Final = ("", "1", None)


def with_unit(name: str, unit: str | None) -> str:
    """``name [unit]``, or the name alone of what has no unit."""
    return name if unit in _NO_UNIT else f"{name} [{unit}]"


def label_values(values: Sequence[Any]) -> list[str]:
    """Short, distinct texts for values."""
    texts = [_label(value) for value in values]
    return texts if len(set(texts)) == len(texts) else [str(value) for value in values]


def _label(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, int | str | type(None)) else _shortened(str(value))


def _shortened(text: str, width: int = 24) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
