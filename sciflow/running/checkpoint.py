"""Checkpoint: how far a run has come, kept where a killed worker cannot take it along."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import shutil
import struct
import uuid
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

_MAGIC: Final = b"sciflow checkpoint 1\n"
_TRAILER: Final = struct.Struct("<QI")  # bytes of the pickle, and their CRC-32
_SAVED: Final = "saved"
_OWN: Final = "own-"
_TEMPORARY: Final = ".tmp-"
_BLOCK: Final = 1 << 20


class Checkpoint:
    """How far one task of one variant has come; ``context.checkpoint`` of a task.

    What is saved survives the death of the worker, of the driver and of the machine, is found by the next attempt, and
    is removed when the variant is done. It belongs to the code that wrote it: after a change of the code a run starts
    from the beginning.

    Parameters
    ----------
    folder : Path
        Where the checkpoints of this task and variant are kept.
    generation : str
        Identity of the code.
    warn : callable
        Is told when a checkpoint is there but cannot be used.

    Examples
    --------
    A loop that carries on where it was killed::

        def train(learning_rate, context):
            state = context.checkpoint.load({"epoch": 0, "weights": None})
            for epoch in range(state["epoch"], 100):
                state = {"epoch": epoch + 1, "weights": step(state["weights"], learning_rate)}
                context.checkpoint.save(state)
                if context.should_stop():
                    return context.defer()
            return {"accuracy": evaluate(state["weights"])}
    """

    def __init__(self, folder: Path, generation: str, warn: Callable[[str], None]) -> None:
        self._task_folder = folder
        self._folder = folder / hashlib.sha256(generation.encode()).hexdigest()[:16]
        self._warn = warn
        self._is_swept = False

    def __repr__(self) -> str:
        return f"Checkpoint({str(self._folder)!r}, {'there' if self.exists else 'none'})"

    @property
    def exists(self) -> bool:
        """Whether there is one: saved, or in a format of your own."""
        return self._saved.exists() or bool(self._own_numbers())

    @property
    def _saved(self) -> Path:
        return self._folder / _SAVED

    # ------------------------------------------------------------------------------- a Python object

    def save(self, value: object) -> None:
        """Keep *value* in place of what was saved before; on return it is on disk.

        Killed in the middle, the earlier one stays.

        Parameters
        ----------
        value : object
            Anything that can be pickled.

        Raises
        ------
        OSError
            It cannot be written (the disk is full); the earlier one is still there.
        """
        with self._replacing(self._saved) as temporary, temporary.open("wb") as file:
            file.write(_MAGIC)
            counted = _Counted(file)
            cloudpickle.dump(value, cast("BinaryIO", counted), protocol=5)
            file.write(_TRAILER.pack(counted.n_bytes, counted.crc))

    def load(self, default: object = None) -> Any:
        """What was saved last, or *default* when there is nothing that can be used.

        A checkpoint that is damaged, that was written by other code, or whose classes are gone counts as none; the log
        of the variant says so.
        """
        try:
            file = self._saved.open("rb")
        except FileNotFoundError:
            self._tell_of_other_code()
            return default
        with file:
            problem = _find_damage(file)
            if problem is None:
                try:
                    return pickle.load(file)  # noqa: S301  our own file, written by this very task
                except MemoryError:
                    raise
                except Exception as error:  # noqa: BLE001  unpickling runs code of classes that may have changed
                    problem = f"{type(error).__name__}: {error}"
        self._warn(f"the checkpoint {self._saved} cannot be read and counts as none ({problem})")
        return default

    def _tell_of_other_code(self) -> None:
        with contextlib.suppress(OSError):
            others = [one for one in self._task_folder.iterdir() if one != self._folder and any(one.iterdir())]
            if others and not self._own_numbers():
                self._warn(f"the checkpoint in {others[0]} was written by other code and is left aside")

    # --------------------------------------------------------------------------- formats of your own

    @property
    def path(self) -> Path:
        """The newest checkpoint in a format of your own: a file or a folder, which may not exist yet.

        Read from it. To write, use `writing`: it keeps the earlier one until the new one is whole. A file written to
        this path itself survives too, but half written it is half a file.
        """
        numbers = self._own_numbers()
        if not numbers:
            self._prepare()
        return self._own(max(numbers, default=1))

    @contextmanager
    def writing(self) -> Generator[Path]:
        """Get a new path to write a checkpoint to, as a file or as a folder.

        When the block ends, what was written is synced and becomes `path` in one step; if it raises, or the process is
        killed, the earlier one stays.

        Examples
        --------
        ::

            with context.checkpoint.writing() as path:
                model.save(path)
            ...
            if context.checkpoint.path.exists():
                model.load(context.checkpoint.path)
        """
        number = max(self._own_numbers(), default=0) + 1
        with self._replacing(self._own(number)) as temporary:
            yield temporary
        for earlier in [one for one in self._own_numbers() if one < number]:
            _remove(self._own(earlier))

    def _own(self, number: int) -> Path:
        return self._folder / f"{_OWN}{number:06d}"

    def _own_numbers(self) -> list[int]:
        return [int(name.removeprefix(_OWN)) for name in _names(self._folder) if name.startswith(_OWN)]

    # ------------------------------------------------------------------------------------- both ways

    @contextmanager
    def _replacing(self, target: Path) -> Generator[Path]:
        """A temporary path whose content becomes *target*, in one step, when the block ends well."""
        self._prepare()
        temporary = self._folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield temporary
            _sync_tree(temporary)
            os.replace(temporary, target)  # noqa: PTH105  the atomic step, by its name
            _sync(self._folder)
        except BaseException:
            _remove(temporary)
            raise

    def _prepare(self) -> None:
        """Make the folder, and clear away what earlier attempts were writing when they were killed."""
        if self._is_swept:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for above in list(self._folder.parents)[:3]:  # of the task, of the variant, of all
            _sync(above)
        for name in _names(self._folder):
            if name.startswith(_TEMPORARY):
                _remove(self._folder / name)
        self._is_swept = True


def forget(checkpoints: Path, variant_id: str) -> None:
    """Remove every checkpoint of a variant that is done; called after its record is committed.

    Never raises OSError: a checkpoint that stays does no harm but take room.
    """
    shutil.rmtree(checkpoints / variant_id, ignore_errors=True)


class _Counted:
    """A file that is written to, with the length and the checksum of what went through."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.n_bytes = self.crc = 0

    def write(self, data: bytes | memoryview | pickle.PickleBuffer) -> int:
        view = memoryview(data)
        self.crc = zlib.crc32(view, self.crc)
        self.n_bytes += view.nbytes
        return self._file.write(view)


def _find_damage(file: BinaryIO) -> str | None:
    """What is wrong with the file of a checkpoint; None leaves it at the start of the pickle."""
    if file.read(len(_MAGIC)) != _MAGIC:
        return "it is not a checkpoint of this release"
    size = os.fstat(file.fileno()).st_size - len(_MAGIC) - _TRAILER.size
    if size < 0:
        return "it is cut off"
    crc, left = 0, size
    while left and (block := file.read(min(left, _BLOCK))):
        crc, left = zlib.crc32(block, crc), left - len(block)
    if _TRAILER.unpack(file.read(_TRAILER.size)) != (size, crc):
        return "it is damaged"
    file.seek(len(_MAGIC))
    return None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  names only
    except FileNotFoundError:
        return []


def _sync_tree(path: Path) -> None:
    """Make a file, or a folder with all that is in it, durable."""
    if not path.exists():
        raise FileNotFoundError(
            f"nothing was written to {path}: a checkpoint must have exactly this name "
            "(some libraries append a suffix: make it a folder, and write into it)"
        )
    if path.is_dir():
        for folder, _, files in os.walk(path):
            for name in files:
                _sync(path.__class__(folder, name))
            _sync(path.__class__(folder))
    else:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
