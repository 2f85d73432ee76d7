"""What users see of the package: names, docstrings, values that travel, and an import that costs nothing."""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sciflow

ROOT = Path(__file__).parents[1]
HEAVY = {"numpy", "scipy", "xarray", "pandas", "dask", "distributed", "matplotlib", "h5py", "h5netcdf", "click"}

VALUES = {
    "Axis": lambda: sciflow.Axis("a", [1, 2], unit="K"),
    "Grid": lambda: sciflow.Grid(a=[1, 2]) * sciflow.Grid(b=["x"]),
    "Immediate": sciflow.Immediate,
    "LatinHypercube": lambda: sciflow.LatinHypercube({"a": sciflow.Range(0, 1)}, n=4, seed=1),
    "LoadAware": lambda: sciflow.LoadAware(max_load=0.7),
    "LocalCluster": lambda: sciflow.LocalCluster(workers=2),
    "Named": lambda: sciflow.Named("two", 2),
    "OffPeak": lambda: sciflow.OffPeak("22:00-08:00", weekend_preferred=True),
    "PBSCluster": lambda: sciflow.PBSCluster(queue="long", prologue=["module load gcc"]),
    "Points": lambda: sciflow.Points([{"a": 1}, {"a": 2}]),
    "Priority": lambda: sciflow.Priority("low"),
    "Random": lambda: sciflow.Random({"a": sciflow.Range(0, 1)}, n=4, seed=1),
    "Range": lambda: sciflow.Range(1e-3, 1, scale="log"),
    "Replicates": lambda: sciflow.Replicates(3),
    "ReproductionReport": lambda: sciflow.ReproductionReport(
        "a.zip", "a", "0f", "w", "", sciflow.VerificationReport(Path("a.zip"), "a", "0f", (), None)
    ),
    "Retry": lambda: sciflow.Retry(attempts=5, delay_s="2 s", on=(OSError,)),
    "SKIP": lambda: sciflow.SKIP,
    "SciflowError": lambda: sciflow.SciflowError("what to do"),
    "SlurmCluster": lambda: sciflow.SlurmCluster(partition="long", workers=4),
    "Sobol": lambda: sciflow.Sobol({"a": sciflow.Range(0, 1)}, n=4, seed=1),
    "StopAfter": lambda: sciflow.StopAfter(same_failure=20),
    "Variant": lambda: sciflow.Variant({"a": 1}),
    "VerificationReport": lambda: sciflow.VerificationReport(Path("a.zip"), "a", "0f", (), None),
    "Zip": lambda: sciflow.Zip(a=[1, 2], b=[3, 4]),
}
NOT_VALUES = {
    "Engine": "acts on the world",
    "ExperimentalWorkflow": "is built step by step; what travels is its Definition",
    "Package": "is a handle on a directory",
    "Results": "is a handle on a directory",
    "SweepHandle": "is a handle on a directory",
    "TaskContext": "belongs to one run",
    "adaptive": "is a module",
    "attach": "is a function",
    "create_reproducibility_package": "is a function",
    "open_package": "is a function",
    "open_results": "is a function",
    "plots": "is a module",
    "reproduce_package": "is a function",
    "shell": "is a function; what it returns travels",
    "verify_package": "is a function",
}


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def modules_after(code: str) -> set[str]:
    return set(run_python(f"import sys\n{code}\nprint(*sys.modules)").split())


def test_the_public_names_are_sorted_and_there() -> None:
    assert sciflow.__all__ == sorted(sciflow.__all__)
    assert set(sciflow.__all__) <= set(dir(sciflow))
    for name in sciflow.__all__:
        thing = getattr(sciflow, name)
        assert getattr(thing, "__name__", getattr(thing, "name", None)).rpartition(".")[2] == name


def test_the_stub_names_what_the_package_names() -> None:
    tree = ast.parse((ROOT / "sciflow/__init__.pyi").read_text("utf-8"))
    imported = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]

    assert sorted(alias.name for alias in imported) == sciflow.__all__
    assert sciflow.__all__ == next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert all(alias.asname == alias.name for alias in imported), "a stub re-exports with `import X as X`"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Grit"):
        _ = sciflow.Grit


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert sciflow.__version__ == project["version"]


def public_members(thing: object) -> list[tuple[str, object]]:
    if not inspect.isclass(thing):
        return []
    return [
        (f"{thing.__name__}.{name}", member)
        for name, member in vars(thing).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod))
    ]


@pytest.mark.parametrize("name", sciflow.__all__)
def test_what_is_public_has_a_docstring(name: str) -> None:
    thing = getattr(sciflow, name)
    documented = [(name, thing), *public_members(thing)]

    assert not [label for label, one in documented if not (one.__doc__ or "").strip()]
    # a dataclass without a docstring is given its signature as one
    assert not thing.__doc__.startswith(f"{name}(")


def test_every_public_name_is_a_value_that_travels_or_says_why_not() -> None:
    assert sorted([*VALUES, *NOT_VALUES]) == sciflow.__all__


@pytest.mark.parametrize("name", VALUES)
def test_public_values_travel_between_processes(name: str) -> None:
    value = VALUES[name]()

    returned = pickle.loads(pickle.dumps(value))

    assert type(returned) is type(value)
    assert returned == value or str(returned) == str(value)


def test_importing_sciflow_loads_nothing_heavy() -> None:
    loaded = {module.partition(".")[0] for module in modules_after("import sciflow")}

    assert not loaded & HEAVY


def test_plots_can_be_imported_and_are_the_attribute() -> None:
    code = "import sciflow; a = sciflow.plots; import sciflow.plots as b; from sciflow.plots import line; print(a is b)"

    assert run_python(code).strip() == "True"


def test_names_that_need_no_numpy_load_none() -> None:
    loaded = modules_after("import sciflow; sciflow.Named('a', 1); sciflow.SciflowError; sciflow.LocalCluster")

    assert "numpy" not in loaded


def test_spaces_load_neither_scipy_nor_what_reads_results() -> None:
    loaded = modules_after("import sciflow; sciflow.Grid(a=[1, 2]); sciflow.ExperimentalWorkflow('w')")

    assert not loaded & (HEAVY - {"numpy"})


def test_importing_sciflow_takes_no_time_to_speak_of() -> None:
    code = "import time; t = time.perf_counter(); import sciflow; print(time.perf_counter() - t)"

    assert min(float(run_python(code)) for _ in range(3)) < 0.15
