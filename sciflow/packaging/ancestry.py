"""Ancestry: the package that a sweep was made of, which packages of that sweep name in turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE: Final = "imported.json"
"""Name of the file in a sweep directory."""

_KEPT: Final = ("name", "authors", "license", "made_at", "counts", "based_on")


def keep_ancestry(sweep: Path, package_id: str, record: Mapping[str, Any]) -> None:
    """Write down what package a new sweep is made of.

    Parameters
    ----------
    record
        What the package says of itself.
    """
    commit = (record.get("code") or {}).get("commit")
    known = {"package_id": package_id, "commit": commit, **{key: record.get(key) for key in _KEPT}}
    (sweep / FILE).write_text(json.dumps(known, indent=1) + "\n", "utf-8")


def ancestry_of(sweep: Path) -> dict[str, Any] | None:
    """The package that a sweep was made of; None if it was not made of one."""
    try:
        return json.loads((sweep / FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None


def ancestry_words(known: Mapping[str, Any]) -> str:
    """One sentence for people."""
    authors = ", ".join(known.get("authors") or ()) or "authors who are not named"
    license_ = known.get("license") or "no stated licence"
    n = sum((known.get("counts") or {}).values())
    return f"package `{known['name']}` by {authors}, with {n:,} variants, under {license_} (id {known['package_id']})."
