"""``python -m sciflow.store.consolidate SWEEPDIR``: write ``results.h5`` in a process of its own.

On a full disk the HDF5 library may end the process it runs in, so neither a driver nor a worker calls it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

from sciflow import interpreter
from sciflow.errors import SciflowError, StoreError, StoreWriteError
from sciflow.store.commits import RESULTS_NAME
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_CANNOT_WRITE = 3  # exit status; the reason is on standard error


class Consolidation:
    """A child process that writes ``results.h5``; it can be started before it is needed, as starting takes longest.

    Parameters
    ----------
    layout
        ``dense``: one dimension per parameter; ``flat``: one dimension ``variant``; ``auto``: dense if and
        only if the space is a product of axes.
    all_arrays
        Include output arrays also when they are more than a gigabyte.
    """

    def __init__(
        self,
        directory: SweepDirectory,
        *,
        layout: Literal["auto", "dense", "flat"] = "auto",
        all_arrays: bool = False,
    ) -> None:
        self._path = directory.path / RESULTS_NAME
        options = ["--wait", "--layout", layout, *(["--all-arrays"] if all_arrays else [])]
        self._child = subprocess.Popen(  # noqa: S603  our own module, no shell
            interpreter.command("sciflow.store.consolidate", str(directory.path), *options),
            env=interpreter.environment({"HDF5_USE_FILE_LOCKING": "FALSE"}),
            start_new_session=True,  # Ctrl-C is the driver's to handle
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, ending: Mapping[str, object] | None = None, *, timeout_s: float | None = None) -> Path:
        """Write the file with all that is committed now, and return its path; once.

        Parameters
        ----------
        ending
            What the newest session's end will say, if it has only that left to do.
        timeout_s
            Give up after so many seconds.

        Raises
        ------
        StoreWriteError
            The file cannot be written; an older one stays as it is, and so does everything committed.
        StoreError
            The sweep cannot be read, or the time is over.
        """
        try:
            _, complaint = self._child.communicate(f"{json.dumps(dict(ending or {}))}\n", timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            self.close()
            raise StoreError(
                f"writing {self._path} took more than {timeout_s} s and was stopped; try again later"
            ) from error
        status = self._child.returncode
        if status == 0:
            return self._path
        words = complaint.strip().splitlines()
        if status < 0:
            raise StoreWriteError(
                f"writing {self._path} ended with {signal.Signals(-status).name}, which the HDF5 library does when the "
                "disk is full; what was committed is safe: free space and export again"
            )
        kind = StoreWriteError if status == _CANNOT_WRITE else StoreError
        raise kind(words[-1] if words else f"writing {self._path} failed without a word")

    def close(self) -> None:
        """End the child, whatever it does."""
        self._child.kill()
        self._child.communicate()


def consolidate(
    directory: SweepDirectory,
    *,
    layout: Literal["auto", "dense", "flat"] = "auto",
    all_arrays: bool = False,
    timeout_s: float | None = None,
) -> Path:
    """Write ``results.h5`` in a child process, and return its path; see `Consolidation`.

    Raises
    ------
    StoreWriteError
        The file cannot be written; an older one stays as it is, and so does everything committed.
    StoreError
        The sweep cannot be read, or the time is over.
    """
    return Consolidation(directory, layout=layout, all_arrays=all_arrays).write(timeout_s=timeout_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 3 when the file cannot be written, or 1."""
    parser = argparse.ArgumentParser(
        prog="python -m sciflow.store.consolidate", description="Write results.h5 of a sweep."
    )
    parser.add_argument("directory", help="the sweep directory")
    parser.add_argument("--layout", choices=["auto", "dense", "flat"], default="auto")
    parser.add_argument("--all-arrays", action="store_true", help="also when arrays are more than a gigabyte")
    parser.add_argument(
        "--wait", action="store_true", help="write when standard input says what the session's end will"
    )
    given = parser.parse_args(arguments)
    # only the child loads HDF5
    from sciflow.store.results_file import write_results  # noqa: PLC0415

    said = sys.stdin.readline() if given.wait else "{}"
    if not said:
        return 0  # whoever started us is gone, or needs us no more
    try:
        directory = SweepDirectory.open(given.directory)
        write_results(directory, given.layout, all_arrays=given.all_arrays, ending=json.loads(said))
    except StoreWriteError as error:
        print(error, file=sys.stderr)  # noqa: T201  the parent reads it
        return _CANNOT_WRITE
    except SciflowError as error:
        print(error, file=sys.stderr)  # noqa: T201  the parent reads it
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # after a failed write the HDF5 library may crash while it is unloaded
    os._exit(status)
