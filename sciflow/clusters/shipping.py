"""Shipment: work on its way to worker processes, with the user's code as it is when the sweep starts."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import socket
import sys
import uuid
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.reduction import ForkingPickler
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

import cloudpickle

from sciflow.clusters.frozen import FINDER, show_lines
from sciflow.clusters.unsendable import explain
from sciflow.errors import WorkflowError
from sciflow.provenance.local import is_local_file
from sciflow.provenance.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from sciflow.clusters.protocol import Work
    from sciflow.planning.batch import Ack, Batch

_THIS_PROCESS: Final = uuid.uuid4().hex
_LARGE_BYTES: Final = 100_000
_MAKERS: Final = frozenset({"_make_function", "_make_skeleton_class", "_make_skeleton_enum"})
_mains: list[ModuleType] = []


@dataclass
class Shipment:
    """Work that pickles together with the code it runs.

    Functions of the main script or notebook travel by value. Modules of the user's travel as source, and the worker
    imports them from there: to edit a file changes nothing for workers that start later. Unpickled, it is the work.

    Parameters
    ----------
    work : what the workers do
    sources : the user's modules
    """

    work: Work
    sources: Sources = field(default_factory=Sources)

    def __call__(self, batch: Batch) -> Ack:
        """Run a batch in this process."""
        return self.work(batch)

    @property
    def is_spent(self) -> bool:
        """Whether the process should be replaced: not when it is this one."""
        return False

    def drain(self) -> None:
        """Start no further variant in this process."""
        self.work.drain()

    def close(self) -> None:
        """Give back what is held open in this process."""
        self.work.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return open_shipment, (self.contents,)

    @cached_property
    def contents(self) -> bytes:
        """What `open_shipment` takes; made once, so that workers of later hours get the same."""
        with _by_value(self.sources.edited):
            try:
                work = cloudpickle.dumps(self.work)
            except Exception as error:
                raise WorkflowError(explain(self.work, error)) from error
        contents = pickle.dumps(
            ((_THIS_PROCESS, os.getpid()), _search_path(), self.sources.modules, self.sources.scripts, work)
        )
        return b"z" + zlib.compress(contents, 1) if len(contents) > _LARGE_BYTES else b"p" + contents


def open_shipment(contents: bytes) -> Work:
    """Unpickle the work of a shipment, with its modules as they were frozen.

    Raises
    ------
    WorkflowError
        A module is not there, or an object does not come back from its pickle.
    """
    data = zlib.decompress(contents[1:]) if contents[:1] == b"z" else contents[1:]
    origin, path, modules, scripts, work = pickle.loads(data)  # noqa: S301  ours
    if origin == (_THIS_PROCESS, os.getpid()):  # a worker that is a thread of the driver has its modules
        return cast("Work", cloudpickle.loads(work))
    _extend(sys.path, path)
    FINDER.add(modules)
    for filename, text in scripts.items():
        show_lines(filename, text)
    unpickler = _Unpickler(io.BytesIO(work))
    try:
        loaded = unpickler.load()
    except ImportError as error:
        raise WorkflowError(
            f"worker processes on {socket.gethostname()} cannot import {_module_of(error)}, which the workflow's code "
            f"uses ({error}); install it for {sys.executable} there, or, if this process made it by hand, put its "
            "code into a file beside the script"
        ) from error
    except Exception as error:
        raise WorkflowError(
            f"the workflow reaches worker processes, but cannot be loaded there: {type(error).__name__}: {error}; an "
            "object that a task uses from outside does not come back from its pickle: make it inside the task"
        ) from error
    _stand_in_for_main(unpickler.made)
    _let_tasks_start_processes()
    return cast("Work", loaded)


class _Unpickler(pickle.Unpickler):
    """Notes the functions and classes that were sent by value."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.made: list[Any] = []

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Give the global of this name; those of cloudpickle that make something note what they made."""
        found = super().find_class(module_name, global_name)
        if module_name.startswith("cloudpickle") and global_name in _MAKERS:

            def make(*arguments: Any) -> Any:
                one = found(*arguments)
                self.made.append(one)
                return one

            return make
        return found


def _stand_in_for_main(made: Iterable[Any]) -> None:
    """Let the names of the user's main script be found in ``__main__``, as `pickle` and `torch.save` expect."""
    ours = [one for one in made if getattr(one, "__module__", None) == "__main__"]
    if not ours:
        return
    main = ModuleType("__main__")
    for one in ours:
        vars(main).update(getattr(one, "__globals__", {}))
    vars(main).update({one.__qualname__: one for one in ours if one.__qualname__.isidentifier()})
    # with a file, a process that a task spawns would run the user's script once more
    vars(main).pop("__file__", None)
    _mains.append(sys.modules["__main__"])  # what it holds is in use
    sys.modules["__main__"] = main


def _let_tasks_start_processes() -> None:
    """Let `multiprocessing` work in a task as it does in the user's script."""
    ForkingPickler.reducer_override = _reduce_for_multiprocessing  # pyright: ignore[reportAttributeAccessIssue]  # a hook of pickle
    # Dask makes its workers daemons, to which Python refuses children; workers end when their nanny does all the same
    multiprocessing.current_process()._config["daemon"] = False  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]  # no other way from inside


def _reduce_for_multiprocessing(pickler: ForkingPickler, value: Any) -> Any:
    """Send functions and classes of the main script by value to processes that a task starts."""
    del pickler
    if isinstance(value, FunctionType | type) and value.__module__ == "__main__":
        return cloudpickle.loads, (cloudpickle.dumps(value),)
    return NotImplemented


def _search_path() -> list[str]:
    """Where this process finds modules, none of it relative to a folder that a task may leave."""
    path = [os.path.abspath(one) for one in sys.path]  # noqa: PTH100  "" is the current folder
    return [*dict.fromkeys(path)]


def _extend(path: list[str], wanted: Iterable[str]) -> None:
    """Bring the folders of the user's code to the front, in their order; the libraries are the worker's own."""
    path[:0] = [one for one in wanted if one not in path and is_local_file(os.path.join(one, "any.py"))]  # noqa: PTH118


def _module_of(error: ImportError) -> str:
    return f"module {error.name!r}" if error.name else "a module"


@contextmanager
def _by_value(names: Iterable[str]) -> Generator[None]:
    """Pickle the functions of these modules themselves, and not their names."""
    already: set[str] = cloudpickle.list_registry_pickle_by_value()
    # a module that is not here has left its functions behind, which travel themselves anyway
    modules = [sys.modules[name] for name in names if name not in already and name in sys.modules]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
