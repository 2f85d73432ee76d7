"""Where the code comes from: found out by a thread while the sweep starts, and kept before its first variant."""

from __future__ import annotations

import inspect
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciflow.provenance.code import PATIENCE_S, Code, capture_code
from sciflow.provenance.patience import Patience
from sciflow.store.code import CodeShelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.provenance.sources import Sources
    from sciflow.workflow.binding import Definition


def folder_of(definition: Definition) -> Path:
    """Where the user's code lies: the folder of the first task that has a file, else the current one."""
    for step in definition.steps:
        code = getattr(inspect.unwrap(step.task.function), "__code__", None)
        path = Path(getattr(code, "co_filename", ""))
        if path.is_file():
            return path.parent
    return Path.cwd()


def look_at_code(folder: Path, sweep: Path) -> Mapping[str, Any]:
    """What Git says of the code around *folder*, without keeping any of it."""
    return capture_code(folder, outside=_outside(sweep)).facts


def capture(folder: Path, sweep: Path, **options: Any) -> Code:
    """The state of the code around *folder*, with its files kept in the directory *sweep*, which is no part of it.

    The sweep of a reduction lies in the one that it reduces, which has the files. The *options* are those of
    `capture_code`.
    """
    outside = _outside(sweep)
    shelf = CodeShelf(sweep) if len(outside) == 1 else None
    return capture_code(folder, outside=outside, shelf=shelf, **options)


def _outside(sweep: Path) -> list[Path]:
    """The directory of the sweep, and of those that it lies in."""
    above = [one for one in sweep.absolute().parents if (one / "sweep.json").exists()]
    return [one.resolve() for one in (sweep, *above)]


class CodeCapture:
    """The state of the code around a folder, while it is looked at; to be closed.

    Parameters
    ----------
    folder : where the code lies
    sweep : the directory of the sweep
    record : what is known already, in which case nothing is looked at
    """

    def __init__(self, folder: Path, sweep: Path, record: Mapping[str, Any] | None = None) -> None:
        self._folder, self._sweep, self._record = folder, sweep, record
        self._code: Code | None = None
        self._error: BaseException | None = None
        self._complaints: list[str] = []
        self._is_known, self._is_kept = threading.Event(), threading.Event()
        self._patience = Patience(PATIENCE_S)
        # not a daemon: it has a temporary folder to remove
        self._thread = threading.Thread(target=self._look, name="sciflow-code")
        if record is None:
            self._thread.start()

    def record(self, sources: Sources) -> dict[str, Any]:
        """The facts with those of the frozen *sources*, as soon as they are known.

        Raises
        ------
        StoreWriteError
            What is to be kept cannot be written.
        """
        if self._record is not None:
            return dict(self._record)
        self._is_known.wait()
        if self._code is None:
            assert self._error is not None
            raise self._error
        return self._code.record(sources)

    def finish(self) -> None:
        """Wait until the code is kept, and say what of it could not be.

        Raises
        ------
        StoreWriteError
            It cannot be written.
        """
        if self._record is None:
            self._is_kept.wait()
        if self._error is not None:
            raise self._error
        while self._complaints:
            print(f"sciflow: {self._complaints.pop()}", file=sys.stderr)  # noqa: T201  must be seen

    def close(self) -> None:
        """Look no further."""
        self._patience.end()
        if self._thread.ident is not None:
            self._thread.join()

    def _look(self) -> None:
        try:
            self._kept(capture(self._folder, self._sweep, patience=self._patience, known=self._known, kept=self._kept))
        except BaseException as error:  # noqa: BLE001  raised where the thread is waited for
            self._error = error
        finally:
            self._is_known.set()
            self._is_kept.set()

    def _known(self, code: Code) -> None:
        self._code = code
        self._is_known.set()

    def _kept(self, code: Code) -> None:
        if not self._is_kept.is_set():
            self._known(code)
            self._complaints = [*code.complaints]
            self._is_kept.set()
