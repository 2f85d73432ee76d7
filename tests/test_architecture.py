"""The layers of sciflow: who may import whom. A new arrow is a visible edit of this table."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1] / "sciflow"
BASE = frozenset({"errors", "canonical", "quantities", "events", "interpreter"})

PURE = frozenset({"base", "space", "scheduling", "figures", "workflow"})
BELOW_STORE = PURE | {"provenance", "planning", "running"}
MAY_IMPORT: dict[str, frozenset[str]] = {
    "base": frozenset(),
    "space": frozenset({"base"}),
    "scheduling": frozenset({"base"}),
    "figures": frozenset({"base"}),
    "batch": frozenset({"base"}),
    "workflow": frozenset({"base", "space", "scheduling", "figures"}),
    "provenance": PURE,
    "planning": PURE | {"provenance"},
    "running": PURE | {"provenance", "planning"},
    "store": BELOW_STORE,
    "clusters": BELOW_STORE | {"batch"},
    "analysis": BELOW_STORE | {"store"},
    "engine": BELOW_STORE | {"store", "batch", "clusters", "analysis"},
    # asks an optimiser, has the engine run what it wants, and tells it what the sweep directory says of it
    "adaptive": BELOW_STORE | {"store", "batch", "clusters", "analysis", "engine"},
    # a laptop opens, packs and reports what a cluster made: these know neither engine nor clusters
    "plots": frozenset({"analysis"}),  # another name for a part of it
    "report": BELOW_STORE | {"store", "analysis"},
    "packaging": BELOW_STORE | {"store", "analysis", "report"},
    "cli": BELOW_STORE | {"store", "batch", "clusters", "analysis", "engine", "report", "packaging"},
    "testing": BELOW_STORE | {"store", "batch", "clusters", "analysis", "engine", "report", "packaging"},
}

# what each layer may use beyond the standard library; layers that are not named may use anything we depend on
MAY_USE: dict[str, frozenset[str]] = {
    "base": frozenset({"numpy"}),  # inside functions that were handed an array; a test of `import sciflow` sees to it
    "scheduling": frozenset({"holidays"}),  # inside a function, for those who name a country
    "figures": frozenset(),
    "space": frozenset({"numpy", "scipy"}),
    "workflow": frozenset({"numpy", "tenacity"}),
    "planning": frozenset({"numpy"}),
}
# the arrows that point up, each between two modules and followed only when called: `Results` is the handle that users
# hold, so it offers the report, which is written by the layer above out of what `Results` says
POINT_UP = frozenset({("sciflow.analysis.results", "sciflow.report.page")})

NOT_BELOW_CLUSTERS = frozenset({"dask", "distributed", "dask_jobqueue"})


class Import(NamedTuple):
    """One import of one module, with the line it stands on."""

    module: str
    target: str
    line: int
    at_import: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer_of(module: str) -> str:
    first = module.split(".")[1]
    return "base" if first in BASE else first


def lazy_lines(tree: ast.Module) -> set[int]:
    """Lines that do not run when the module is imported: for type checkers only, or in functions."""
    lazy = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return {line for node in lazy for line in range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1)}


def imports_of(module: str) -> list[Import]:
    """Every import in the module, wherever it stands: in functions and for type checkers too."""
    path = MODULES[module]
    tree = ast.parse(path.read_text("utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    later = lazy_lines(tree)
    found: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            # `from package import submodule` imports the submodule
            targets = [f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names]
        else:
            continue
        found += [Import(module, target, node.lineno, node.lineno not in later) for target in targets]
    return found


IMPORTS = [one for module in MODULES for one in imports_of(module)]
OURS = [one for one in IMPORTS if one.target.split(".")[0] == "sciflow"]
THIRD_PARTY = [
    one for one in IMPORTS if one.target.split(".")[0] not in {"sciflow", "__future__", *sys.stdlib_module_names}
]


def where(one: Import) -> str:
    return f"{one.module}:{one.line} imports {one.target}"


def test_the_layer_table_itself_has_no_cycle() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()  # raises CycleError


def test_every_module_belongs_to_a_layer_of_the_table() -> None:
    strays = [module for module in MODULES if module != "sciflow" and layer_of(module) not in MAY_IMPORT]

    assert not strays, f"{strays}: put them into a layer, or name the layer in MAY_IMPORT"


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_imports_follow_the_layer_table(layer: str) -> None:
    wrong = [
        where(one)
        for one in OURS
        if one.module != "sciflow"
        and layer_of(one.module) == layer
        and one.target != "sciflow"
        and layer_of(one.target) not in MAY_IMPORT[layer] | {layer}
        and (one.module, one.target) not in POINT_UP
    ]

    assert not wrong, f"{layer} may import {sorted(MAY_IMPORT[layer])}"


def test_arrows_that_point_up_are_followed_only_when_called() -> None:
    upward = [one for one in OURS if (one.module, one.target) in POINT_UP]

    assert {(one.module, one.target) for one in upward} == POINT_UP, "a pair that is no longer there"
    assert not [where(one) for one in upward if one.at_import]


def facade_names(tree: ast.Module) -> set[str]:
    """Names that a module takes from the façade; `sciflow.__file__` is a fact about the package, not one of them."""
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "sciflow"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "sciflow":
            used |= {alias.name for alias in node.names}
    return {name for name in used if not name.startswith("__") and f"sciflow.{name}" not in MODULES}


def test_the_facade_is_for_users_alone() -> None:
    taken = {module: facade_names(ast.parse(path.read_text("utf-8"))) for module, path in MODULES.items()}

    assert not {module: names for module, names in taken.items() if names}


def test_the_facade_names_only_the_lazy_loader() -> None:
    assert {one.target for one in IMPORTS if one.module == "sciflow"} == {"lazy_loader"}


def test_no_modules_need_each_other_in_a_circle_to_be_imported() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for one in OURS:
        # a package's __init__ re-exports its own modules; they name each other directly
        if one.at_import and one.target != one.module.rpartition(".")[0]:
            graph[one.module].add(one.target)

    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


@pytest.mark.parametrize("layer", MAY_USE)
def test_pure_layers_use_no_other_libraries_than_the_table_says(layer: str) -> None:
    wrong = [
        where(one)
        for one in THIRD_PARTY
        if one.module != "sciflow" and layer_of(one.module) == layer and one.target.split(".")[0] not in MAY_USE[layer]
    ]

    assert not wrong, f"{layer} may use {sorted(MAY_USE[layer])}"


def test_below_the_clusters_nothing_knows_dask() -> None:
    below = BELOW_STORE | {"store"}
    wrong = [
        where(one)
        for one in THIRD_PARTY
        if one.module != "sciflow" and layer_of(one.module) in below and one.target.split(".")[0] in NOT_BELOW_CLUSTERS
    ]

    assert not wrong
