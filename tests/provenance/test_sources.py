"""Which files are the user's code, and what they hold."""

from __future__ import annotations

import importlib
import sys

import pytest

from sciflow.provenance import sources
from sciflow.provenance.sources import read_sources


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's that is on the path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - known:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder, texts):
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    importlib.invalidate_caches()


def main_of(path):
    """What a script defines when it is run."""
    names = {"__name__": "__main__", "__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names


def test_an_instance_that_can_be_called_brings_the_script_of_its_class_and_what_that_imports(folder):
    write(folder, {f"{name}.py": "X = 1\n" for name in ("study_helper", "study_later", "unrelated_study")})
    text = "class Model:\n    def __call__(self, x):\n        import study_later\n        return x\nmodel = Model()\n"
    script = folder / "study.py"
    script.write_text(f"import study_helper\n{text}")

    read = read_sources([main_of(script)["model"]])

    assert read.scripts == {str(script): script.read_text()}
    assert {"study_helper", "study_later"} <= {*read.modules}
    assert "unrelated_study" not in read.modules
    assert read.files["__main__/study.py"] == script.read_bytes()


def test_a_module_whose_file_is_gone_is_left_out(folder):
    write(folder, {"vanished_study.py": "X = 1\n", "staying_study.py": "X = 1\n"})
    importlib.import_module("vanished_study")
    importlib.import_module("staying_study")
    (folder / "vanished_study.py").unlink()

    names = {*read_sources([]).modules}

    assert "vanished_study" not in names
    assert "staying_study" in names


class _Refusing:
    """A finder of somebody else's that does not do what finders do."""

    def find_spec(self, name, target=None):
        if name == "somewhere_else_study":
            raise ImportError(f"{name} is not for you")


def test_a_finder_that_raises_costs_what_it_would_have_found_and_nothing_else(folder, monkeypatch):
    def hook(path):
        if path == "refusing://":
            return _Refusing()
        raise ImportError

    text = "def f():\n    import somewhere_else_study\nimport found_study\n"
    write(folder, {"importing_study.py": text, "found_study.py": "X = 1\n"})
    monkeypatch.setattr(sys, "path_hooks", [hook, *sys.path_hooks])
    monkeypatch.setattr(sys, "path", [*sys.path, "refusing://"])
    importlib.import_module("importing_study")

    names = {*read_sources([]).modules}

    assert {"importing_study", "found_study"} <= names
    assert "somewhere_else_study" not in names


def test_a_package_that_also_holds_a_mountain_of_data_is_not_walked_to_its_end(folder, monkeypatch):
    monkeypatch.setattr(sources, "_MOST_VISITED", 10)
    late = "mountain/data/late.py"
    write(folder, {"mountain/__init__.py": "", "mountain/inner.py": "X = 1\n", late: "X = 1\n"})
    for k in range(20):
        (folder / "mountain" / "data" / f"{k}.csv").touch()
    importlib.import_module("mountain")

    names = {*read_sources([]).modules}

    assert {"mountain", "mountain.inner"} <= names
    assert "mountain.data.late" not in names
