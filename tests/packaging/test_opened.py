from __future__ import annotations

import json
import pickle
import zipfile
from typing import TYPE_CHECKING

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import sciflow
from sciflow.errors import PackageError
from sciflow.packaging import layout
from sciflow.packaging.create import Options, package_of_sweep
from sciflow.packaging.opened import Archive, MemberFile
from sciflow.packaging.records import ARRAYS, read_cells
from sciflow.running.failure import Failure
from sciflow.testing.sweeps import record_outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.store.directory import SweepDirectory


def model(a, b):
    return {}


def outcome(variant):
    a, b = variant["a"], variant["b"]
    if (a, b) == (1, 2):
        return Failure("exception", "model", "ValueError", "no", "", "f")
    return {
        "y": float(a * b),
        "plain": np.arange(6.0).reshape(2, 3) + a + 10 * b,
        "single": np.full(4, a, dtype=np.float32),
        "whole": np.arange(3) + a,  # integers: with a failure in between they are floats in results.h5
        "ragged": np.ones(1 + b),
        "complex": np.array([a + 1j * b]),
    }


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SweepDirectory:
    workflow = sciflow.ExperimentalWorkflow("arrays", seed=1)
    workflow.add_task("model", model)
    workflow.add_parameter_space({"a": range(3), "b": range(4)})
    return record_outcomes(tmp_path_factory.mktemp("arrays") / "sweep", workflow, outcome)


@pytest.fixture(scope="session")
def package(sweep: SweepDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_of_sweep(sweep, "arrays", Options()).export(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session", params=["zip", "folder"])
def opened(request, package: Path, tmp_path_factory: pytest.TempPathFactory):
    if request.param == "zip":
        return sciflow.open_package(package)
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return sciflow.open_package(folder)


def test_an_array_that_the_results_file_holds_bit_by_bit_is_nowhere_else(package: Path) -> None:
    opened = sciflow.open_package(package)
    filed = json.loads(opened.read(f"{layout.RECORDS}/{ARRAYS}"))

    assert sorted(filed["arrays"]) == ["plain", "single"]
    (segment,) = (name for name in opened.files if name.endswith(".seg"))
    content = opened.read(segment)
    assert (np.arange(6.0) + 2 + 30).tobytes() not in content
    assert np.array([2 + 3j]).tobytes() in content  # two real variables in the file, so it stays


@pytest.mark.parametrize("layout_", ["dense", "flat"])
def test_the_results_of_a_package_are_those_of_the_sweep(opened, sweep: SweepDirectory, layout_: str) -> None:
    mine, theirs = sciflow.open_results(sweep.path).to_dataset(layout_), opened.results.to_dataset(layout_)

    xr.testing.assert_identical(mine.load(), theirs.load())
    assert list(mine) == list(theirs)


def test_single_variants_are_read_without_the_others(opened) -> None:
    dataset = opened.results.dataset

    assert float(dataset.plain.sel(a=2, b=3)[1, 2]) == 37.0
    assert np.isnan(dataset.plain.sel(a=1, b=2)).all()
    assert float(dataset.single.sel(b=1).mean()) == 1.0


def test_the_analysis_works_on_a_package(opened) -> None:
    results = opened.results

    assert results.find_optimal_parameters("y") == {"a": 2, "b": 3}
    assert results.get_metric({"a": 2, "b": 2}, "y") == 4.0
    assert results.failures()["count"].tolist() == [1]
    assert results.status() == {"done": 11, "failed": 1, "missing": 0}
    assert results.provenance({"a": 0, "b": 1}).facts["outputs"]["plain"] == {"shape": [2, 3], "dtype": "float64"}
    values = [record["plain"].sum() for _, record in results.iter_variants("status == 'done' and b == 0")]
    assert values == [15.0, 21.0, 27.0]


def test_arrays_can_be_computed_in_other_processes(opened) -> None:
    array = dask.array.asarray(opened.results.to_dataset("flat").plain.data)
    again = pickle.loads(pickle.dumps(array))

    assert float(again[11, 0, 0].compute()) == 32.0


def test_files_of_a_package_can_be_read_by_name(opened) -> None:
    assert json.loads(opened.read(layout.SWEEP))["workflow"] == "arrays"
    assert layout.RESULTS_FILE in opened.files
    assert opened.record["name"] == "arrays"
    with pytest.raises(PackageError, match="has no file 'data/none'"):
        opened.read("data/none")


def test_what_is_no_package_is_told(tmp_path: Path, package: Path) -> None:
    with pytest.raises(PackageError, match="there is no package"):
        sciflow.open_package(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(PackageError, match="not a whole zip"):
        sciflow.open_package(tmp_path / "text.zip")
    (tmp_path / "cut.zip").write_bytes(package.read_bytes()[:-100])
    with pytest.raises(PackageError, match="not a whole zip"):
        sciflow.open_package(tmp_path / "cut.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(PackageError, match=r"no package of sciflow: it has no sciflow-package\.json"):
        sciflow.open_package(tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "newer.zip", "w") as archive:
        archive.writestr(layout.RECORD, json.dumps({"schema": layout.PACKAGE_SCHEMA + 1}))
    with pytest.raises(PackageError, match="upgrade sciflow"):
        sciflow.open_package(tmp_path / "newer.zip")


def test_a_package_without_results_says_so(sweep: SweepDirectory, tmp_path: Path) -> None:
    path = package_of_sweep(sweep, "code", Options(what="code")).export(tmp_path)

    with pytest.raises(PackageError, match="made without results"):
        sciflow.open_package(path).results  # noqa: B018  it is the attribute that raises


def test_a_member_that_would_lie_elsewhere_is_not_written(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("data/records/../../../evil", "x")

    with pytest.raises(PackageError, match="may lie elsewhere"):
        Archive.open(tmp_path / "x.zip").copy("data/records", tmp_path / "to")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x.zip"]


@given(steps=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 50))))
def test_a_member_is_read_in_any_order(tmp_path_factory: pytest.TempPathFactory, steps) -> None:
    content = bytes(range(100))
    path = tmp_path_factory.mktemp("member") / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("before", b"xyz")
        archive.writestr("member", content)
        entry = archive.getinfo("member")

    with MemberFile(path, entry) as file:
        for offset, n in steps:
            file.seek(offset)
            assert file.read(n) == content[offset : offset + n]


@settings(max_examples=30)
@given(data=st.data(), outer=st.sampled_from([(7,), (3, 4), (2, 3, 2)]))
def test_cells_are_read_as_by_index(data, outer) -> None:
    variable = np.arange(np.prod(outer) * 5).reshape(*outer, 5)
    cells = np.array(data.draw(st.lists(st.integers(0, int(np.prod(outer)) - 1))), dtype=np.int64)

    assert np.array_equal(read_cells(variable, cells, len(outer)), variable.reshape(-1, 5)[cells])
