"""Descriptions of environments in the sweep directory, one file each, named by its content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sciflow.canonical import content_digest
from sciflow.store.atomic import publish

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def keep_environment(root: Path, data: Mapping[str, Any]) -> str:
    """Keep the description of an environment below the sweep directory *root*, once, and return its digest.

    Raises
    ------
    StoreWriteError
        It cannot be written.
    """
    digest = content_digest(dict(data))
    path = root / "environment" / f"{digest}.json"
    if not path.exists():
        publish(path, json.dumps(dict(data), indent=1).encode())
    return digest
