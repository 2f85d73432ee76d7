from __future__ import annotations

import importlib
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from sciflow.provenance.fingerprint import fingerprint

BASE = '''
import dataclasses
import enum
import functools
import logging
import math
import os
import threading
from pathlib import Path

import numpy as np

import physics
from physics import energy

RATE = 0.1
TABLE = {"a": [1, 2], "b": (3.0, None)}
GRID = np.arange(3)
MIXED = np.array([1, "a"], dtype=object)
PLACE = Path("data")
LOCK = threading.Lock()
LOG = logging.getLogger("there")
COLOURS = {"red", "green"}
WEIRD = slice(1, 2)


class Kind(enum.Enum):
    HOT = 1
    COLD = 2


CHOSEN = Kind.HOT


@dataclasses.dataclass
class Model:
    """A model."""

    scale: float = 2.0

    def predict(self, x):
        """Predict."""
        return scaled(x) * self.scale

    @property
    def area(self):
        return self.scale**2

    @staticmethod
    def build():
        return Model()


class Slotted:
    __slots__ = ("depth",)

    def __init__(self, depth):
        self.depth = depth


DEEP = Slotted(3)
FITTED = Model(5.0)


def scaled(x):
    return x * RATE


@functools.lru_cache
def remembered(x):
    return scaled(x)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


@logged
def decorated(x):
    return scaled(x)


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def task(x, power=2):
    """Say what it does."""
    # a remark
    y = scaled(x) ** power
    return {"y": y, "z": math.sqrt(y)}


def uses_constant(x):
    return x * RATE


def uses_values(x):
    return TABLE, GRID, MIXED, PLACE, LOCK, LOG, COLOURS, CHOSEN, DEEP, FITTED, WEIRD, os.environ


def uses_import(x):
    return energy(x)


def uses_attribute(x):
    return physics.energy(x)


def uses_module(x):
    module = physics
    return getattr(module, "energy")(x)


def uses_late_import(x):
    from physics import energy as late

    return late(x)


def uses_late_module(x):
    import physics as late
    import json

    return late.energy(x), json


def uses_unloaded_module(x):
    import optics.lens as late

    return late.focus(x)


def uses_unloaded_member(x):
    from optics import lens

    return lens.focus(x)


def uses_class(x):
    return Model(3.0).predict(x)


def uses_remembered(x):
    return remembered(x)


def rate_of(x):
    return x * RATE


vectorised = np.vectorize(rate_of)


class Lazy:
    @functools.cached_property
    def value(self):
        return scaled(1)


def uses_vectorised(x):
    return vectorised(x)


def uses_lazy(x):
    return Lazy().value


def uses_decorated(x):
    return decorated(x)


def make_closure(factor):
    def inner(x):
        return x * factor

    return inner


closed = make_closure(3)
bound = FITTED.predict
instance = FITTED
half = functools.partial(task, power=3)
first, second = (lambda x: x + 1), (lambda x: x + 2)
nested = lambda x: (lambda y: x + y)
unknown = lambda x: not_defined_anywhere(x) + physics.not_there(x)


async def waits(x):
    return scaled(x)
'''
PHYSICS = "CONSTANT = 9.81\n\n\ndef energy(x):\n    return mass(x) * CONSTANT\n\n\ndef mass(x):\n    return x + 1\n"
LENS = "from . import glass\nfrom .glass import INDEX\nimport json\n\n\ndef focus(x):\n    return x * INDEX\n"
FUNCTIONS = re.findall(r"^(?:async )?def (\w+)|^(\w+) = (?:make|FITTED|functools|lambda)", BASE, flags=re.MULTILINE)
NAMES = sorted({a or b for a, b in FUNCTIONS} | {"first", "second"})


def write(folder: Path, **changes: tuple[str, str]) -> None:
    texts = {
        "study.py": BASE,
        "physics.py": PHYSICS,
        "optics/__init__.py": "",
        "optics/lens.py": LENS,
        "optics/glass.py": "INDEX = 1.5\n",
    }
    for name, (old, new) in changes.items():
        file = f"{name.replace('__', '/')}.py"
        assert old in texts[file], f"{old!r} is not in {file}"
        texts[file] = texts[file].replace(old, new)
    (folder / "optics").mkdir(parents=True)
    for file, text in texts.items():
        (folder / file).write_text(text)


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in {"study", "physics", "optics"}]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def prints(tmp_path, monkeypatch):
    """Fingerprints of a function before and after a change of the files it lives in."""
    count = 0

    def take(name: str, **changes: tuple[str, str]) -> str:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        write(folder, **changes)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            patch.setattr(sys, "dont_write_bytecode", True)
            forget()
            try:
                return fingerprint(getattr(importlib.import_module("study"), name))
            finally:
                forget()

    return take


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    # a remark\n", ""),
        ("    # a remark\n", "\n\n    # another remark\n"),
        ('    """Say what it does."""\n', ""),
        ("x * RATE", "(x  *  RATE)"),
        ('{"y": y, "z"', "{\n        'y': y,\n        'z'"),
        ("def even(n)", "def unrelated():\n    return 3\n\n\ndef even(n)"),
        ("GRID = np.arange(3)", "GRID = np.arange(4)"),
    ],
)
def test_comments_layout_docstrings_and_unrelated_code_do_not_matter(prints, old, new):
    assert prints("task", study=(old, new)) == prints("task")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("task", {"study": ("** power", "* power")}),
        ("task", {"study": ("power=2", "power=3")}),
        ("task", {"study": ("RATE = 0.1", "RATE = 0.2")}),
        ("task", {"study": ("return x * RATE\n\n\n@func", "return x + RATE\n\n\n@func")}),
        ("task", {"study": ("math.sqrt(y)", "math.exp(y)")}),
        ("uses_constant", {"study": ("RATE = 0.1", "RATE = 1")}),
        ("uses_values", {"study": ("[1, 2]", "[1, 3]")}),
        ("uses_values", {"study": ("np.arange(3)", "np.arange(3.0)")}),
        ("uses_values", {"study": ('[1, "a"]', '[2, "a"]')}),
        ("uses_values", {"study": ('Path("data")', 'Path("other")')}),
        ("uses_values", {"study": ('"green"}', '"blue"}')}),
        ("uses_values", {"study": ("CHOSEN = Kind.HOT", "CHOSEN = Kind.COLD")}),
        ("uses_values", {"study": ("Slotted(3)", "Slotted(4)")}),
        ("uses_values", {"study": ("FITTED = Model(5.0)", "FITTED = Model(6.0)")}),
        ("uses_values", {"study": ("slice(1, 2)", "slice(1, 3)")}),
        ("uses_import", {"physics": ("x + 1", "x + 2")}),
        ("uses_import", {"physics": ("9.81", "1.62")}),
        ("uses_attribute", {"physics": ("x + 1", "x + 2")}),
        ("uses_module", {"physics": ("x + 1", "x + 2")}),
        ("uses_late_import", {"physics": ("x + 1", "x + 2")}),
        ("uses_late_module", {"physics": ("x + 1", "x + 2")}),
        ("uses_unloaded_module", {"optics__lens": ("x * INDEX", "x / INDEX")}),
        ("uses_unloaded_module", {"optics__glass": ("1.5", "1.6")}),
        ("uses_unloaded_member", {"optics__glass": ("1.5", "1.6")}),
        ("uses_class", {"study": ("* self.scale", "/ self.scale")}),
        ("uses_class", {"study": ("scale: float = 2.0", "scale: float = 3.0")}),
        ("uses_class", {"study": ("self.scale**2", "self.scale**3")}),
        ("uses_class", {"study": ("RATE = 0.1", "RATE = 0.2")}),
        ("uses_remembered", {"study": ("RATE = 0.1", "RATE = 0.2")}),
        ("uses_vectorised", {"study": ("RATE = 0.1", "RATE = 0.2")}),
        ("uses_lazy", {"study": ("RATE = 0.1", "RATE = 0.2")}),
        ("uses_decorated", {"study": ("return function(*args)", "return 2 * function(*args)")}),
        ("uses_decorated", {"study": ("RATE = 0.1", "RATE = 0.2")}),
        ("closed", {"study": ("make_closure(3)", "make_closure(4)")}),
        ("closed", {"study": ("x * factor", "x + factor")}),
        ("bound", {"study": ("FITTED = Model(5.0)", "FITTED = Model(6.0)")}),
        ("half", {"study": ("partial(task, power=3)", "partial(task, power=4)")}),
        ("second", {"study": ("x + 2", "x + 3")}),
        ("nested", {"study": ("x + y", "x - y")}),
        ("waits", {"study": ("RATE = 0.1", "RATE = 0.2")}),
        ("even", {"study": ("return False if n", "return None if n")}),
    ],
)
def test_a_change_of_code_or_value_that_a_function_reaches_changes_its_fingerprint(prints, name, change):
    assert prints(name, **change) != prints(name)


def test_a_change_of_one_lambda_leaves_its_neighbour_on_the_line(prints):
    assert prints("first", study=("x + 2", "x + 3")) == prints("first")
    assert prints("first") != prints("second")


def test_running_an_import_inside_a_function_does_not_change_its_fingerprint(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    study = importlib.import_module("study")
    before = [fingerprint(study.uses_unloaded_module), fingerprint(study.uses_unloaded_member)]

    study.uses_unloaded_module(1)
    study.uses_unloaded_member(1)

    assert [fingerprint(study.uses_unloaded_module), fingerprint(study.uses_unloaded_member)] == before
    forget()


def test_functions_that_call_each_other_have_fingerprints(prints):
    assert prints("even") == prints("even")
    assert prints("even") != prints("odd")


def test_names_that_lead_nowhere_are_no_error(prints):
    assert prints("unknown") == prints("unknown")


def test_every_process_finds_the_same_fingerprints(tmp_path):
    write(tmp_path)
    program = textwrap.dedent(
        f"""
        import study
        from sciflow.provenance.fingerprint import fingerprint
        for name in {NAMES}:
            print(name, fingerprint(getattr(study, name)))
        """
    )
    repository = Path(__file__).parents[2]

    def run(seed: str) -> str:
        environment = os.environ | {
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{repository}",
            "PYTHONHASHSEED": seed,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    first = run("1")

    assert first.count("\n") == len(NAMES)
    assert run("2") == first


def test_a_script_has_the_fingerprint_it_has_as_a_module(tmp_path):
    write(tmp_path)
    script = tmp_path / "study.py"
    printing = "\n\nfrom sciflow.provenance.fingerprint import fingerprint\nprint(fingerprint(uses_class))\n"
    script.write_text(BASE + printing)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert run(str(script)) == run("-c", "import study")


def compiled(source: str, name: str = "f", filename: str = "<typed at a prompt>"):
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(textwrap.dedent(source), filename, "exec"), names)
    return names[name]


def test_without_source_the_compiled_code_counts():
    function = compiled("def f(x):\n    'Say.'\n    return [x + i for i in (1, 2)]")
    with_remark = compiled("def f(x):\n\n    'Say more.'\n    return [x + i\n            for i in (1, 2)]")
    changed = compiled("def f(x):\n    'Say.'\n    return [x + i for i in (1, 3)]")
    membership = compiled("def f(x):\n    return x in {'a', 'b'}, (lambda: 3)")

    assert fingerprint(function) == fingerprint(with_remark)
    assert fingerprint(function) != fingerprint(changed)
    assert fingerprint(membership) == fingerprint(membership)


def test_an_expression_of_very_many_terms_has_a_fingerprint(tmp_path):
    file = tmp_path / "long.py"
    prints = []
    for last in ("1", "2"):
        source = f"def f(x):\n    return {' + '.join(['x'] * 500)} + {last}  # {last}\n"
        file.write_text(source)
        prints.append(fingerprint(compiled(source, filename=str(file))))

    assert prints[0] != prints[1]


def test_a_class_without_source_counts_by_its_members():
    one = compiled("class f:\n    size = 1\n    def __call__(self, x):\n        return x + 1")
    other = compiled("class f:\n    size = 2\n    def __call__(self, x):\n        return x + 1")

    assert fingerprint(one()) != fingerprint(other())
    assert fingerprint(one) == fingerprint(one)


def test_a_file_edited_since_it_was_loaded_is_not_taken_for_the_source(tmp_path):
    file = tmp_path / "edited.py"
    function = compiled("def f(x):\n    return x + 1\n", filename=str(file))
    file.write_text("def f(x):\n    return x + 2\n")
    after_edit = fingerprint(function)
    file.write_text("def f(x:\n")
    after_mistake = fingerprint(function)
    file.write_text("def f(x):\n    return x + 2\n")

    assert after_edit == after_mistake
    assert after_edit != fingerprint(compiled(file.read_text(), filename=str(file)))


def test_editing_a_file_does_not_change_the_fingerprint_of_what_is_in_memory(tmp_path):
    file = tmp_path / "edited.py"
    file.write_text("def f(x):\n    return x + 1\n")
    function = compiled(file.read_text(), filename=str(file))
    before = fingerprint(function)

    for text in ("def f(x):\n    return x + 2\n", "def f(x:\n", "# a remark\ndef f(x):\n    return x + 1\n"):
        file.write_text(text)
        assert fingerprint(function) == before


def test_builtins_and_library_functions_count_by_name():
    import numpy as np

    assert fingerprint(max) != fingerprint(min)
    assert fingerprint(np.sin) != fingerprint(np.cos)
    assert fingerprint(np.linspace) != fingerprint(np.logspace)
    assert fingerprint(textwrap.dedent) != fingerprint(textwrap.indent)
    assert fingerprint(dict) == fingerprint(dict)


def test_a_value_that_holds_itself_has_a_fingerprint():
    function = compiled("loop = []\nloop.append(loop)\ndef f(x):\n    return loop")

    assert fingerprint(function) == fingerprint(function)


def test_a_value_whose_repr_fails_counts_by_its_class():
    def fail(self):
        raise RuntimeError

    library_class = type("Broken", (), {"__module__": "json", "__repr__": fail})
    function = compiled("def f(x):\n    return value")
    function.__globals__["value"] = library_class()

    assert fingerprint(function) == fingerprint(function)


def test_an_unfilled_closure_cell_is_no_error():
    function = compiled("def make():\n    def g():\n        return later\n    return g\n    later = 1\nf = make()")

    assert fingerprint(function) == fingerprint(function)


def test_what_a_cache_of_the_module_holds_does_not_matter_but_its_literal_does(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    script = tmp_path / "caching.py"
    script.write_text("seen: list = []\nlimits = {'a': 1}\ndef f(x):\n    seen.append(x)\n    return limits['a']\n")
    module = importlib.import_module("caching")
    before = fingerprint(module.f)
    module.f(3)

    assert fingerprint(module.f) == before

    script.write_text(script.read_text().replace("'a': 1", "'a': 2"))
    os.utime(script, (1, 1))
    importlib.invalidate_caches()
    assert fingerprint(importlib.reload(module).f) != before


@pytest.mark.parametrize("bound", ["TABLE = {}\nTABLE['a'] = 1", "TABLE = dict(a=1)"])
def test_a_table_that_the_module_fills_itself_counts_by_its_content(tmp_path, bound):
    def of(number):
        file = tmp_path / f"table{number}.py"
        file.write_text(f"{bound.replace('1', str(number))}\ndef f(x):\n    return TABLE[x]\n")
        return fingerprint(compiled(file.read_text(), filename=str(file)))

    assert of(1) == of(1)
    assert of(1) != of(2)


def test_the_members_of_a_set_count_and_their_order_does_not():
    def of(members):
        return fingerprint(compiled(f"def f(x, allowed={members}):\n    return x in allowed"))

    assert of("frozenset(['b', 'a', 'c'])") == of("frozenset(['c', 'a', 'b'])")
    assert of("{max, min}") == of("{min, max}")
    assert len({of("frozenset(['a'])"), of("{'a'}"), of("{'b'}"), of("{max, min}"), of("{max, sum}")}) == 5


class _Tensor:
    """Has of a torch.Tensor what matters here; its pickle holds where its memory lies."""

    __module__ = "torch"

    def __init__(self, *numbers):
        self._numbers = np.array(numbers)

    def __reduce__(self):
        return _Tensor, (id(self),)

    def __repr__(self):
        return "tensor(...)"

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self._numbers


def test_a_tensor_counts_by_its_numbers():
    def of(*numbers):
        function = compiled("def f(x):\n    return WEIGHTS * x")
        function.__globals__["WEIGHTS"] = _Tensor(*numbers)
        return fingerprint(function)

    assert of(1.0, 2.0) == of(1.0, 2.0)
    assert of(1.0, 2.0) != of(1.0, 2.5)


PROJECT = {
    "study.py": """
        from dataclasses import dataclass, field
        import project.steps
        import plain
        from project import steps
        from project.steps import run as renamed
        from project.base import Base


        @dataclass
        class Settings(Base):
            depth: int = 3
            widths: list = field(default_factory=lambda: [1, 2])


        def by_module(x): return project.steps.run(x)
        def by_member(x): return steps.run(x)
        def by_alias(x): return renamed(x)
        def by_class(x): return Settings().total(x)
        def by_parent(x): return Base.scaled(x)
        def by_default(x, how=renamed): return how(x)
        def by_nested(x):
            def inner(y):
                return [renamed(z) for z in y]
            return inner([x])
        def by_table(x): return plain.TABLE["run"](x)
        def by_annotation(x: Settings) -> Base: return x
    """,
    "plain.py": "from project.steps import run\nTABLE = {'run': run, 'other': len}\n",
    "project/__init__.py": "VERSION = 1\n",
    "project/base.py": """
        class Meta(type):
            pass


        class Base(metaclass=Meta):
            factor = 2

            @classmethod
            def scaled(cls, x): return x * cls.factor

            def total(self, x): return self.scaled(x) + sum(self.widths) + self.depth
    """,
    "project/steps.py": """
        from . import deeper
        from .deeper import far as near


        def run(x): return near(x) + deeper.also(x)


        def unrelated(): return 1
    """,
    "project/deeper.py": "LIMIT = 5\n\n\ndef far(x): return min(x, LIMIT)\n\n\ndef also(x): return 2 * x\n",
}
ALL_BUT_CLASSES = ["by_module", "by_member", "by_alias", "by_default", "by_nested", "by_table"]


@pytest.fixture
def project_prints(tmp_path, monkeypatch):
    count = 0

    def take(**edits: tuple[str, str]) -> dict[str, str]:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        (folder / "project").mkdir(parents=True)
        for file, text in PROJECT.items():
            old, new = edits.get(file.removesuffix(".py").replace("/", "__"), ("", ""))
            assert old in text
            (folder / file).write_text(textwrap.dedent(text).replace(old, new) if old else textwrap.dedent(text))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            patch.setattr(sys, "dont_write_bytecode", True)
            try:
                study = importlib.import_module("study")
                return {name: fingerprint(one) for name, one in vars(study).items() if name.startswith("by_")}
            finally:
                for name in [name for name in sys.modules if name.split(".")[0] in {"study", "project", "plain"}]:
                    del sys.modules[name]
                importlib.invalidate_caches()

    return take


@pytest.mark.parametrize(
    ("edit", "stale"),
    [
        ({"project__deeper": ("min(x, LIMIT)", "max(x, LIMIT)")}, ALL_BUT_CLASSES),
        ({"project__deeper": ("LIMIT = 5", "LIMIT = 6")}, ALL_BUT_CLASSES),
        ({"project__deeper": ("2 * x", "3 * x")}, ALL_BUT_CLASSES),
        ({"project__base": ("factor = 2", "factor = 3")}, ["by_class", "by_parent"]),
        ({"project__base": ("x * cls.factor", "x + cls.factor")}, ["by_class", "by_parent"]),
        ({"study": ("depth: int = 3", "depth: int = 4")}, ["by_class"]),
        ({"study": ("[1, 2]", "[1, 3]")}, ["by_class"]),
        ({"project__steps": ("return 1", "return 2")}, []),
        ({"project__deeper": ("LIMIT = 5", "# a remark\nLIMIT = 5  # another\nUNUSED = 7")}, []),
        ({"project____init__": ("VERSION = 1", "VERSION = 2")}, []),
        ({"plain": ("'other': len", "'other': max")}, ["by_table"]),
    ],
)
def test_exactly_the_functions_that_reach_a_change_however_far_away_get_another_fingerprint(
    project_prints, edit, stale
):
    before, after = project_prints(), project_prints(**edit)

    assert [name for name in before if before[name] != after[name]] == stale


def test_arrays_inside_objects_of_libraries_count_although_their_repr_does_not_show_them():
    from scipy.interpolate import CubicSpline
    from scipy.sparse import csr_array

    def using(value):
        function = compiled("def f(x):\n    return value")
        function.__globals__["value"] = value
        return fingerprint(function)

    table = pd.DataFrame({"a": np.arange(1000.0)})
    changed = table.copy()
    changed.loc[500, "a"] += 1e-9
    labelled, relabelled = xr.DataArray(np.arange(1000), dims="t"), xr.DataArray(np.arange(1000), dims="u")

    assert using(table) == using(table.copy())
    assert using(table) != using(changed)
    assert using(labelled) != using(relabelled)
    assert using(CubicSpline([0, 1, 2], [0, 1, 4])) == using(CubicSpline([0, 1, 2], [0, 1, 4]))
    assert using(CubicSpline([0, 1, 2], [0, 1, 4])) != using(CubicSpline([0, 1, 2], [0, 1, 5]))
    assert using(csr_array(np.eye(3))) != using(csr_array(2 * np.eye(3)))


def test_random_generators_and_services_count_by_their_class_for_they_change_as_they_are_used():
    function = compiled("def f(x):\n    return rng, old, lock, log")
    function.__globals__.update(rng=np.random.default_rng(1), old=np.random.RandomState(1), lock=threading.Lock())
    function.__globals__.update(log=logging.getLogger("there"))
    before = fingerprint(function)

    function.__globals__.update(rng=np.random.default_rng(2), old=np.random.RandomState(2), lock=threading.Lock())

    assert fingerprint(function) == before


def test_an_object_may_say_itself_what_makes_it_another_one():
    class Told:
        def __init__(self, what, noise):
            self.what, self.noise = what, noise

        def __call__(self):
            return self.what

        def __sciflow_fingerprint__(self):
            return {"what": self.what}

    assert fingerprint(Told(1, 2)) == fingerprint(Told(1, 3))
    assert fingerprint(Told(1, 2)) != fingerprint(Told(2, 2))


def test_methods_of_a_class_on_the_command_line_count_and_those_a_dataclass_makes_do_not():
    program = """
        from dataclasses import dataclass
        from sciflow.provenance.fingerprint import fingerprint

        @dataclass
        class Model:
            depth: int = 3
            def run(self, x):
                return x + 1

        print(fingerprint(lambda x: Model().run(x)))
    """

    def run(text: str) -> str:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", textwrap.dedent(text)]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert run(program) == run(program)
    assert run(program) != run(program.replace("x + 1", "x + 2"))
    assert run(program) != run(program.replace("= 3", "= 4"))


def test_a_module_that_counts_as_a_whole_counts_as_it_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "wholly.py"
    file.write_text("def say():\n    return 1\n")
    module = importlib.import_module("wholly")
    function = compiled("def f(x):\n    return getattr(module, x)()")
    function.__globals__["module"] = module
    file.write_text("def say():\n    return 2\n")
    edited = fingerprint(function)

    importlib.reload(module)

    assert fingerprint(function) != edited
