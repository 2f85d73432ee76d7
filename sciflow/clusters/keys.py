"""Keys: who has them may run code as this user, so they lie outside the sweep directory, for this user alone."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sciflow.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Generator

    from distributed.security import Security

KEYS_VARIABLE = "SCIFLOW_KEYS"


@contextmanager
def new_keys(owner: str) -> Generator[Security]:
    """A certificate and key for one scheduler and its workers, in files that are removed at the end.

    What an earlier driver of the same *owner*, a word, had no time to remove is removed at the beginning.

    They are below ``$SCIFLOW_KEYS``, or else ``$XDG_STATE_HOME/sciflow/keys`` (``~/.local/state/sciflow/keys``), which
    the nodes must see.

    Raises
    ------
    SweepError
        The folder cannot be made, or others may read it.
    """
    above = _private(keys_folder())
    for stale in above.glob(f"{owner}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = above / f"{owner}-{uuid.uuid4().hex}"
    folder.mkdir(mode=0o700)
    try:
        yield _written(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keys_folder() -> Path:
    """Where keys lie."""
    chosen = os.environ.get(KEYS_VARIABLE)
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "sciflow" / "keys"


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError as error:
        raise SweepError(
            f"keys for encrypted connections cannot be kept in {folder}: {error}; set {KEYS_VARIABLE} to a folder of "
            "your own that the nodes see"
        ) from error
    if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise SweepError(
            f"keys for encrypted connections cannot be kept in {folder}: others may look into it; run: chmod 700 "
            f"{folder}, or set {KEYS_VARIABLE} to a folder of your own"
        )
    return folder


def _written(folder: Path) -> Security:
    from distributed.security import Security  # noqa: PLC0415  loads Dask

    made = Security.temporary()
    files = {"ca": made.tls_ca_file, "cert": made.tls_scheduler_cert, "key": made.tls_scheduler_key}
    for name, content in files.items():
        descriptor = os.open(folder / f"{name}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(str(content))
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    return Security(
        tls_ca_file=str(folder / "ca.pem"),
        tls_scheduler_cert=cert,
        tls_scheduler_key=key,
        tls_worker_cert=cert,
        tls_worker_key=key,
        tls_client_cert=cert,
        tls_client_key=key,
        require_encryption=True,
    )
