"""What it takes to make, check, open and import a package: 10,000 variants with 100 MB of arrays, and no arrays."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import sciflow
from sciflow.packaging.create import Options, package_of_sweep
from sciflow.packaging.importing import import_package
from sciflow.testing.sweeps import record_outcomes

FLOATS = {"arrays": 1250, "scalars": 0}
"""How many numbers the array of a variant has."""


def model(a, b):
    """What made the results, as far as the definition knows."""
    return {"y": a * b}


@pytest.fixture(scope="module", params=FLOATS)
def sweep(request, tmp_path_factory):
    """10,000 variants, done."""
    workflow = sciflow.ExperimentalWorkflow(request.param, seed=1)
    workflow.add_task("model", model)
    workflow.add_parameter_space({"a": range(100), "b": range(100)})
    generator = np.random.default_rng(0)

    def outcome(variant):
        field = {"field": generator.normal(size=FLOATS[request.param])} if FLOATS[request.param] else {}
        return {"y": float(variant["a"] * variant["b"]), "z": float(generator.normal()), **field}

    return record_outcomes(tmp_path_factory.mktemp(request.param) / "sweep", workflow, outcome)


@pytest.fixture(scope="module")
def package(sweep, tmp_path_factory):
    """The package of it."""
    return package_of_sweep(sweep, "bench", Options(license="MIT")).export(tmp_path_factory.mktemp("package"))


def test_creation(benchmark, sweep, tmp_path):
    """Aim: 15 s with arrays."""
    made = package_of_sweep(sweep, "bench", Options(license="MIT"))
    path = benchmark.pedantic(made.export, [tmp_path], rounds=3, warmup_rounds=1)
    n_results = (sweep.path / "results.h5").stat().st_size if (sweep.path / "results.h5").exists() else None
    benchmark.extra_info |= {"package_bytes": path.stat().st_size, "results_bytes": n_results}


def test_verification(benchmark, package):
    """Aim: 15 s with arrays. Such a sweep has no code, which is told as incomplete."""
    report = benchmark.pedantic(sciflow.verify_package, [package], rounds=3)
    assert {one.check for one in report.errors} <= {"completeness"}


def test_opening(benchmark, package):
    """Until the table of results is there."""

    def table():
        return sciflow.open_package(package).results.to_dataframe()

    assert len(benchmark.pedantic(table, rounds=3, warmup_rounds=1)) == 10_000


def test_importing(benchmark, package, tmp_path):
    """Verification included."""
    names = map(str, itertools.count())
    benchmark.pedantic(lambda: import_package(package, tmp_path, name=next(names)), rounds=2)


def test_metadata_is_small(package):
    """All but the results: less than 5 % of them in a sweep of arrays."""
    opened = sciflow.open_package(package)
    n_results = opened.members.sizes["data/results/results.h5"]
    if json.loads(opened.read("data/workflow/definition.json"))["name"] == "arrays":
        assert package.stat().st_size - n_results < 0.05 * n_results
