"""What a job runs to become workers of a Dask scheduler: dask-jobqueue's own lines, with our surroundings."""

from __future__ import annotations

import contextlib
import shlex
import signal
from typing import TYPE_CHECKING, Any

import dask.config

from sciflow import interpreter
from sciflow.clusters import machine
from sciflow.clusters.office import SETTINGS_OF_JOBS

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from distributed.security import Security


@contextlib.contextmanager
def _signals_kept() -> Generator[None]:
    """The import below has Ctrl-C end this process without a word, and fails in other threads than the main one."""

    def ignored(*_: object) -> None:
        pass

    original, signal.signal = signal.signal, ignored
    try:
        yield
    finally:
        signal.signal = original


with _signals_kept():
    from dask_jobqueue.core import Job as DaskJob

DEATH_TIMEOUT_S = 120
"""Workers that reach no scheduler for so long leave by themselves, and their job with them."""


class _Lines(DaskJob):
    """The worker's command as dask-jobqueue writes it; submission and all else about jobs is sciflow.batch's."""

    config_name = "slurm"  # its defaults are overridden one by one below

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.job_header = ""


def worker_body(
    scheduler: str,
    name: str,
    security: Security,
    *,
    cores: int,
    processes: int,
    interface: str | None,
    python: str,
    prologue: Sequence[str],
    scratch: str | None,
) -> str:
    """Lines of a shell that run workers until their scheduler is gone.

    Parameters
    ----------
    name : of the worker
    cores : threads that libraries in each worker process may use
    processes : worker processes, each with one thread for batches
    prologue : lines that come first, such as ``module load gcc``
    scratch : where workers keep temporary files; None for the node's own folder
    """
    threads = machine.worker_environment(cores)
    settings = SETTINGS_OF_JOBS | {f"distributed.nanny.pre-spawn-environ.{key}": text for key, text in threads.items()}
    lines = _Lines(
        scheduler=scheduler,
        name=shlex.quote(name),
        cores=processes,
        processes=processes,
        memory="0 B",  # no limit of Dask's: the batch system and the watchdog of tasks keep theirs
        protocol="tls",
        interface=None if interface is None else shlex.quote(interface),
        death_timeout=DEATH_TIMEOUT_S,
        local_directory=shlex.quote(scratch) if scratch else '"${TMPDIR:-/tmp}"',
        # not its own page: it would listen on all interfaces, unencrypted
        worker_extra_args=["--dashboard-address", "127.0.0.1:0", *_certificates(security)],
        job_script_prologue=[
            *prologue,
            *interpreter.path_export(interpreter.python_path(python)),
            *(f"export {key}={shlex.quote(text)}" for key, text in threads.items()),
            f"export DASK_INTERNAL_INHERIT_CONFIG={shlex.quote(_rendered(settings))}",
        ],
        python=shlex.quote(python),
        shebang="",
        log_directory=None,
        job_extra_directives=[],
        job_directives_skip=[],
        worker_command="distributed.cli.dask_worker",
    )
    return lines.job_script().strip() + "\n"


def _certificates(security: Security) -> list[str]:
    """The options that dask-jobqueue would write, with paths that may hold anything."""
    files: dict[str, Any] = security.get_tls_config_for_role("worker")
    named = ((f"--tls-{name.replace('_', '-')}", path) for name, path in files.items() if path is not None)
    return [word for option, path in named for word in (option, shlex.quote(str(path)))]


def _rendered(settings: dict[str, Any]) -> str:
    """Settings as Dask's own processes inherit them."""
    nested: dict[str, Any] = {}
    with dask.config.set(settings, config=nested):
        return dask.config.serialize(nested)
