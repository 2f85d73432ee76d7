"""Keys: who has them may run code as this user, so they lie outside the sweep directory, for this user alone."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sciflow.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Generator

    from distributed.security import Security

KEYS_VARIABLE = "SCIFLOW_KEYS"

_LOCK, _BOOT = "lock", "boot"


@contextmanager
def new_keys(owner: str) -> Generator[Security]:
    """A certificate and key for one scheduler and its workers, in files that are removed at the end.

    What an earlier driver of the same *owner*, a word, had no time to remove is removed at the beginning, and what any
    other left whose process was on this host and is dead.

    They are below ``$SCIFLOW_KEYS``, or else ``$XDG_STATE_HOME/sciflow/keys`` (``~/.local/state/sciflow/keys``), which
    the nodes must see.

    Raises
    ------
    SweepError
        The folder cannot be made, or others may read it.
    """
    above = _private(keys_folder())
    for found in above.iterdir():
        if found.name.startswith(f"{owner}-") or _is_left_behind(found):
            shutil.rmtree(found, ignore_errors=True)
    folder = above / f"{owner}-{uuid.uuid4().hex}"
    folder.mkdir(mode=0o700)
    try:
        with _held(folder):
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


@contextmanager
def _held(folder: Path) -> Generator[None]:
    """Keep a lock in a folder for as long as this process lives, unless its file system has none."""
    with _created(folder / _BOOT) as file:
        file.write(_boot())
    new = folder / f"{_LOCK}.new"
    with _created(new) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            new.unlink()
        else:
            new.rename(folder / _LOCK)  # one that can be seen is held, or its holder is dead
        yield


def _is_left_behind(folder: Path) -> bool:
    """Whether the process that held the lock in a folder was on this host and is certainly dead.

    Of locks of other hosts nothing is known: not all file systems share them.
    """
    try:
        boot = (folder / _BOOT).read_text()
        with (folder / _LOCK).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return boot != "" and boot == _boot()


def _created(path: Path) -> TextIO:
    """A new file that nobody else may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")


def _boot() -> str:
    """What tells this boot of this host from all others; empty where there is no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


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
        with _created(folder / f"{name}.pem") as file:
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
