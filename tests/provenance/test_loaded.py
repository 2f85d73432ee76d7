"""Whether what is in memory is what the file says, for modules that were imported while this process lives."""

from __future__ import annotations

import importlib
import json
import os
import py_compile
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sciflow.provenance.loaded import is_as_loaded


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Import a module of this text, which leaves a compiled file as Python does by default."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    names = []

    def load(text):
        name = f"loaded_{tmp_path.name.rpartition('_')[2]}_{len(names)}".replace("-", "_")
        names.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        return module, tmp_path / f"{name}.py"

    yield load
    for name in names:
        sys.modules.pop(name, None)


def is_edited(module, path):
    return not is_as_loaded(module, str(path))


def test_a_file_is_what_was_loaded_until_it_is_edited_and_again_when_it_is_put_back(loaded):
    module, path = loaded("SIZES = [1, 2]\n")
    text, times = path.read_text(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    before = is_edited(module, path)

    path.write_text("SIZES = [1, 2, 3]\n")  # a list may be changed by anybody: only the compiled file tells
    edited = is_edited(module, path)
    path.write_text(text)
    os.utime(path, ns=times)

    assert (before, edited, is_edited(module, path)) == (False, True, False)


def test_a_file_that_is_gone_is_no_edit(loaded):
    module, path = loaded("SIZE = 1\n")
    path.unlink()

    assert not is_edited(module, path)


def test_a_file_from_before_this_process_began_is_not_compared():
    assert not is_edited(ModuleType("another"), json.__file__)


def test_a_module_made_by_hand_is_compared_with_the_file_it_was_made_of(tmp_path):
    path = tmp_path / "by_hand.py"
    path.write_text("def f():\n    return 1\n")
    module = ModuleType("by_hand")
    exec(compile(path.read_text(), str(path), "exec"), vars(module))
    before = is_edited(module, path)
    path.write_text("def f():\n    return 2\n")

    assert (before, is_edited(module, path)) == (False, True)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda compiled, _: compiled.unlink(), id="none"),
        pytest.param(lambda compiled, _: compiled.write_bytes(b"torn"), id="torn"),
        pytest.param(
            lambda _, path: py_compile.compile(
                str(path), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
            ),
            id="by hash",
        ),
    ],
)
@pytest.mark.parametrize(
    ("old", "new"), [("return 1", "return 2"), ("SIZE = 1", "SIZE = 2")], ids=["function", "constant"]
)
def test_where_no_compiled_file_tells_the_time_functions_and_constants_do(loaded, spoil, old, new):
    module, path = loaded("SIZE = 1\ndef f():\n    return 1\n")
    spoil(Path(module.__cached__), path)
    before = is_edited(module, path)
    path.write_text(path.read_text().replace(old, new))

    assert not before
    assert is_edited(module, path)


def test_a_constant_that_the_module_computes_or_binds_twice_is_not_held_against_its_file(loaded):
    module, path = loaded("N = 1\nN = N + 1\nM = N * 2\ndef count():\n    global K\n    K += 1\nK = 0\ncount()\n")
    Path(module.__cached__).unlink()

    assert (module.N, module.M, module.K) == (2, 4, 1)
    assert not is_edited(module, path)
