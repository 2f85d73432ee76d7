"""What faults do inside a process: the functions of `os`, and those that faults name, are replaced.

Loaded by a ``sitecustomize`` that `Faults` writes, before anything else of the process, so that names which modules
take from `os` are the replaced ones. Writes of libraries in C are not seen here; `FileLimit` reaches them.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciflow.testing.faults import (
    FIRED,
    PLAN,
    STEPS_NOW,
    ClockJump,
    Delay,
    Fail,
    Fault,
    FileLimit,
    Kill,
    Note,
    Short,
    Stop,
)
from sciflow.testing.steps import OPERATIONS, name_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_STEP_BYTES: Final = 64
_REAL: Final[dict[str, Callable[..., Any]]] = {
    name: getattr(os, name) for names in OPERATIONS.values() for name in names
}
_CLOCKS: Final[dict[str, Callable[[], Any]]] = {"time": time.time, "time_ns": time.time_ns}


def inject(folder: str) -> None:
    """Have the faults of *folder* in this process from now on."""
    faults = [Fault.from_dict(data) for data in json.loads((Path(folder) / PLAN).read_bytes())]
    injection = _Injection(Path(folder), faults, role_of(sys.orig_argv))
    injection.replace_calls()
    injection.around("start", "", lambda: None)


class _Injection:
    """The faults of one process."""

    def __init__(self, folder: Path, faults: Sequence[Fault], role: str) -> None:
        self._fired, self._steps_now = folder / FIRED, folder / STEPS_NOW
        self._watches = self._steps_now.is_dir()
        self._role = role
        self._faults = [(k, one, one.step) for k, one in enumerate(faults) if one.role in {None, role}]
        self._passes: dict[tuple[int, int], itertools.count[int]] = defaultdict(itertools.count)
        self._at = lru_cache(maxsize=4096)(self._find)
        self._shift_s, self._now = 0.0, ""

    # ------------------------------------------------------------------ replace

    def replace_calls(self) -> None:
        """Put our functions in the place of those of `os`, of clocks, and of those that faults name."""
        for operation, names in OPERATIONS.items():
            for name in names:
                setattr(os, name, self._replacing(operation, name))
        named: dict[str, list[str]] = defaultdict(list)
        for _, _, step in self._faults:
            if step.operation == "call":
                module, _, function = step.pattern.partition(":")
                named[module].append(function)
        if named:
            sys.meta_path.insert(0, _Patcher(named, self._calling))
        if any(isinstance(fault.does, ClockJump) for _, fault, _ in self._faults):
            time.time = lambda: _CLOCKS["time"]() + self._shift_s
            time.time_ns = lambda: _CLOCKS["time_ns"]() + int(self._shift_s * 1e9)

    def _replacing(self, operation: str, name: str) -> Callable[..., Any]:
        real = _REAL[name]

        @functools.wraps(real)
        def call(*arguments: Any, **options: Any) -> Any:
            path = _path_of(operation, arguments, options)
            if not path:
                return real(*arguments, **options)
            return self.around(operation, path, lambda: real(*arguments, **options), _half(operation, arguments))

        return call

    def _calling(self, what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def call(*arguments: Any, **options: Any) -> Any:
            return self.around("call", what, lambda: real(*arguments, **options))

        return call

    # ------------------------------------------------------------------ strike

    def around(self, operation: str, path: str, go: Callable[[], Any], half: Callable[[], int] | None = None) -> Any:
        """Do a step, with the faults that strike there."""
        faults, name = self._at(operation, path)
        before = self._now
        if name and self._watches:
            self._tell(name)
        for k, fault in faults:
            if fault.when != "after" and self._is_due(k, fault, path):
                written = half() if fault.when == "half" and half is not None else None
                self._strike(fault)
                if written is not None:  # whoever wrote goes on with the rest
                    return written
        result = go()
        for k, fault in faults:
            if fault.when == "after" and self._is_due(k, fault, path):
                self._strike(fault)
        if name and self._watches:
            self._tell(before)
        return result

    def _find(self, operation: str, path: str) -> tuple[tuple[tuple[int, Fault], ...], str | None]:
        """The faults at a step, and its name."""
        return tuple((k, one) for k, one, step in self._faults if step.is_of(operation, path)), name_of(operation, path)

    def _is_due(self, k: int, fault: Fault, path: str) -> bool:
        """Whether the fault strikes at this pass; if so that is noted, for it may be the last that we do."""
        if next(self._passes[k, os.getpid()]) < fault.skip:
            return False
        strike = json.dumps({"fault": k, "pid": os.getpid(), "role": self._role, "where": path}).encode()
        places = itertools.count() if fault.times is None else range(fault.times)
        for place in places:
            try:
                descriptor = _REAL["open"](self._fired / f"{k}-{place}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue
            _REAL["write"](descriptor, strike)
            os.close(descriptor)
            return True
        return False

    def _strike(self, fault: Fault) -> None:
        match fault.does:
            case Kill():
                os.kill(os.getpid(), signal.SIGKILL)
            case Stop(seconds):
                if seconds is not None:
                    _wake_after(seconds)
                os.kill(os.getpid(), signal.SIGSTOP)
            case Fail(error):
                number = getattr(errno, error)
                raise OSError(number, os.strerror(number))
            case Delay(seconds):
                time.sleep(seconds)
            case ClockJump(seconds):
                self._shift_s += seconds
            case FileLimit(n_bytes):
                _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
            case Note(file, text):
                _append(file, f"{text} {os.getpid()}\n".encode())
            case Short():
                pass  # done when half was written

    def _tell(self, step: str) -> None:
        self._now = step
        flags = os.O_WRONLY | os.O_CREAT
        descriptor = _REAL["open"](self._steps_now / str(os.getpid()), flags, 0o644)
        os.pwrite(descriptor, step.encode().ljust(_STEP_BYTES, b"\0"), 0)
        os.close(descriptor)


def _path_of(operation: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    """The file of a call; empty if it is none, or the call does not do the operation."""
    if operation == "create":
        flags = options["flags"] if "flags" in options else arguments[1]
        return _absolute(arguments[0]) if flags & os.O_CREAT else ""
    if operation in {"write", "sync"}:
        return _path_of_descriptor(arguments[0])
    return _absolute(arguments[1 if operation == "publish" else 0])


def _absolute(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path))  # noqa: PTH100  links are not followed


def _path_of_descriptor(descriptor: int) -> str:
    try:
        if sys.platform == "linux":
            return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115  called for each write
        return fcntl.fcntl(descriptor, 50, bytes(1024)).rstrip(b"\0").decode()  # F_GETPATH of macOS
    except OSError:
        return ""


def _half(operation: str, arguments: tuple[Any, ...]) -> Callable[[], int] | None:
    """Writes half of the bytes of a write."""
    if operation != "write":
        return None
    descriptor, data = arguments[:2]

    def half() -> int:
        whole = data if isinstance(data, bytes | bytearray | memoryview) else b"".join(data)
        view = memoryview(whole).cast("B")
        return _REAL["write"](descriptor, view[: (view.nbytes + 1) // 2])  # one byte at least, or it would never end

    return half


def _append(file: str, line: bytes) -> None:
    descriptor = _REAL["open"](file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _REAL["write"](descriptor, line)
    os.close(descriptor)


def _wake_after(seconds: float) -> None:
    """Have somebody continue this process, which cannot do it itself."""
    subprocess.Popen(  # noqa: S603  a fixed command
        ["/bin/sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


class _Patcher:
    """Replaces functions of modules when they have just been imported (importlib.abc.MetaPathFinder)."""

    def __init__(
        self, named: dict[str, list[str]], replace: Callable[[str, Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._named, self._replace = named, replace

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as others do, and have it patched once it was executed."""
        if fullname not in self._named:
            return None
        functions = self._named.pop(fullname)
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next((s for f in others if (s := f.find_spec(fullname, path, target)) is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for function in functions:
                self._patch(module, function)

        spec.loader.exec_module = exec_module
        return spec

    def _patch(self, module: ModuleType, function: str) -> None:
        *owners, name = function.split(".")
        owner: Any = functools.reduce(getattr, owners, module)
        setattr(owner, name, self._replace(f"{module.__name__}:{function}", getattr(owner, name)))
