"""Digests of files that were read before, kept in the user's cache folder: a large input is read once.

The cache is a convenience: where it is absent, broken or cannot be written, files are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

WORTH_BYTES: Final = 4 << 20
"""Smaller files are read as fast as the cache is."""

Stamp: TypeAlias = "tuple[int, ...]"
"""Size, time of modification in ns, inode, time of change in ns, device: what a file that is the same has in common."""


def stamp_of(facts: os.stat_result) -> Stamp:
    """What a file is recognised by."""
    return facts.st_size, facts.st_mtime_ns, facts.st_ino, facts.st_ctime_ns, facts.st_dev


def cache_folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path | None:
    """Where the user's programs keep what they can make again; None where there is no such place."""
    given = environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "sciflow"
    if platform == "win32":
        local = environ.get("LOCALAPPDATA", "")
        return Path(local) / "sciflow" / "Cache" if local else None
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home
        return None
    return home / ("Library/Caches" if platform == "darwin" else ".cache") / "sciflow"


class DigestCache:
    """Digests by path and stamp.

    Parameters
    ----------
    folder : where they are kept; None keeps none
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "digests"

    def get(self, path: str, stamp: Stamp) -> str | None:
        """The digest of the file, if it is known and the file is the same."""
        if self._folder is None:
            return None
        try:
            known: Any = json.loads(self._entry(path).read_bytes())
            digest = known["sha256"] if known["path"] == path and tuple(known["stamp"]) == stamp else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return digest if isinstance(digest, str) and len(digest) == 64 else None

    def put(self, path: str, stamp: Stamp, digest: str) -> None:
        """Keep a digest."""
        if self._folder is None:
            return
        entry = self._entry(path)
        unfinished = entry.with_name(f".{uuid.uuid4().hex}.tmp")
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                unfinished.write_text(json.dumps({"path": path, "stamp": stamp, "sha256": digest}))
                os.replace(unfinished, entry)  # noqa: PTH105  atomic
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise

    def _entry(self, path: str) -> Path:
        assert self._folder is not None
        name = hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:32]
        return self._folder / f"{name}.json"
