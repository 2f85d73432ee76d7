"""Consolidating: results.h5 opens with plain xarray, by both engines, and says what the records say."""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from sciflow.canonical import Named
from sciflow.errors import StoreError, StoreWriteError
from sciflow.space.axis import Axis
from sciflow.space.product import Grid
from sciflow.store import column, netcdf, results_file
from sciflow.store.commits import is_consolidated
from sciflow.store.consolidate import Consolidation, consolidate, main
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.lease import Session
from sciflow.store.process import ProcessName
from sciflow.store.results_file import write_results


@pytest.fixture
def sweep(tmp_path):
    return SweepDirectory.create_or_open(tmp_path / "s", "w", seed=0)


def record(sweep, space, rows, *, failures=None, **outputs):
    rows = np.asarray(rows, dtype=np.int64)
    table = space.take(rows)
    columns = {
        known.name: column.category(table.columns[known.name].pool, table.columns[known.name].codes, kind="parameter")
        for known in table.parameters
    }
    columns |= column.variant_facts(
        table.id_bytes(), np.zeros(len(rows)), np.full(len(rows), 0.25), rows=rows, failures=failures
    )
    for name, values in outputs.items():
        columns[name] = values if isinstance(values, column.ColumnData) else column.outputs(values)
    header = {"revision": 1, "status": "failed" if failures else "done", "attempt": 1, "t0": 0.0}
    with sweep.segment_writer(1) as segment:
        segment.commit([Frame(header, columns)])


def opened(sweep, engine="h5netcdf"):
    import xarray as xr

    with warnings.catch_warnings():
        # netCDF4's compiled part warns of NumPy's size on some versions
        warnings.simplefilter("ignore", RuntimeWarning)
        with xr.open_dataset(sweep.path / "results.h5", engine=engine) as dataset:
            return dataset.load()


ENGINES = pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])


@ENGINES
def test_a_dense_sweep_opens_with_its_parameters_as_dimensions(sweep, engine):
    space = Grid(a=Axis("a", [1.5, 2.5], unit="K"), b=["x", "ü"], act=[Named("relu")], ok=[True, False])
    sweep.add_definition({"space": space.describe(), "name": "w"})
    record(sweep, space, [0, 3], y=column.outputs([1.0, 2.0], units="eV"), n=[1, 2], note=["é", "long text"])
    record(sweep, space, [5], failures=['{"type": "ValueError", "message": "ä"}'])
    write_results(sweep)

    ds = opened(sweep, engine)

    assert ds.y.dims == ("a", "b", "act", "ok")
    assert ds.a.values.tolist() == [1.5, 2.5]
    assert ds.a.attrs["units"] == "K"
    assert ds.b.values.tolist() == ["x", "ü"]
    assert ds.act.values.tolist() == ["relu"]
    assert json.loads(ds.act.attrs["values"]) == {"relu": {"$named": "relu"}}
    assert ds.ok.dtype == bool
    assert ds.y.attrs["units"] == "eV"
    assert ds.y.values.ravel()[[0, 3]].tolist() == [1.0, 2.0]
    assert ds.n.dtype == np.float64
    assert [t if isinstance(t, str) else t.decode() for t in ds.note.values.ravel()[[0, 1, 3]]] == [
        "é",
        "",
        "long text",
    ]
    assert ds.status.values.ravel().tolist() == [1, 0, 0, 1, 0, 2, 0, 0]
    assert ds.status.attrs["flag_meanings"] == "missing done failed"
    assert ds.status.attrs["flag_values"].tolist() == [0, 1, 2]
    assert ds.failure.values.ravel()[5] == 1
    assert json.loads(ds.failure.attrs["messages"]) == [{"type": "ValueError", "message": "ä"}]
    assert ds.runtime_s.attrs["units"] == "s"
    assert ds.attrs["Conventions"].startswith("CF-")


@ENGINES
def test_a_flat_sweep_opens_with_coordinates_along_variant(sweep, engine):
    space = Grid(opt=["sgd"], momentum=[0.5, 0.9]) | Grid(opt=["adam"], day=[dt.date(2020, 1, 2)])
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, [0, 1, 2], y=[1, 2, 3], flag=[True, False, True], z=[1j, 2j, 3.5])
    write_results(sweep)

    ds = opened(sweep, engine)

    assert ds.y.dims == ("variant",)
    assert set(ds.coords) == {"opt", "momentum", "day"}
    assert [t if isinstance(t, str) else t.decode() for t in ds.opt.values] == ["sgd", "sgd", "adam"]
    assert ds.momentum.values[:2].tolist() == [0.5, 0.9]
    assert np.isnan(ds.momentum.values[2])
    assert np.isnat(ds.day.values[0])
    assert ds.day.values[2] == np.datetime64("2020-01-02")
    assert ds.y.dtype == np.int64
    assert ds.flag.dtype == bool
    assert ds.z_imag.values.tolist() == [1.0, 2.0, 0.0]
    assert ds.z_real.values.tolist() == [0.0, 0.0, 3.5]


@ENGINES
def test_arrays_keep_their_dims_and_coords_and_ragged_ones_are_padded(sweep, engine):
    space = Grid(a=[1, 2, 3])
    sweep.add_definition({"space": space.describe()})
    curves = column.outputs([np.array([1.0, 2.0])] * 2, dims=["time"], coords={"time": [0.0, 0.5]})
    record(
        sweep,
        space,
        [0, 1],
        curve=curves,
        other=column.outputs([np.arange(3)] * 2, dims=["time"]),
        a_too=column.outputs([np.arange(2)] * 2, dims=["a"]),
        spectrum=[np.arange(3), np.ones((2, 2))],
        names=[np.array(["p", "qq"])] * 2,
        when=[np.array(["2020-01-01"], "M8[D]")] * 2,
        half=[np.zeros(1, np.float16)] * 2,
        **{"x/y": [1.0, 2.0]},
    )
    write_results(sweep)

    ds = opened(sweep, engine)

    assert ds.curve.dims == ("a", "time")
    assert ds.time.values.tolist() == [0.0, 0.5]
    assert np.isnan(ds.curve.values[2]).all()
    assert ds.other.dims == ("a", "other_time")
    assert ds.a_too.dims == ("a", "a_too_a")
    assert ds.spectrum.dims[0] == "a"
    assert ds.spectrum.shape == (3, 2, 3)
    assert ds.spectrum_size.values.tolist() == [[1, 3], [2, 2], [-1, -1]]
    assert ds.spectrum.values[0, 0].tolist() == [0.0, 1.0, 2.0]
    assert np.isnan(ds.spectrum.values[0, 1]).all()
    assert [t if isinstance(t, str) else t.decode() for t in ds.names.values[0]] == ["p", "qq"]
    assert ds.when.values[0, 0] == np.datetime64("2020-01-01")
    assert ds.x_y.attrs["long_name"] == "x/y"
    assert ds.half.dtype == np.float32


def test_the_metadata_of_the_sweep_travels_with_the_file(sweep):
    space = Grid(a=[1])
    sweep.add_definition({"space": space.describe(), "name": "w"})
    digest = sweep.add_environment({"packages": {f"p{i}": "1.0" for i in range(10_000)}})
    with Session.acquire(sweep):
        record(sweep, space, [0], y=[1.0])
    write_results(sweep)

    metadata = json.loads(opened(sweep).attrs["sciflow_metadata"])

    assert metadata["sweep"] == sweep.identity
    assert metadata["definition"]["name"] == "w"
    assert len(metadata["environments"][digest]["packages"]) == 10_000
    assert metadata["sessions"][0]["ended"]


def test_a_huge_definition_is_not_repeated_in_the_metadata(sweep, monkeypatch):
    monkeypatch.setattr(results_file, "_MOST_METADATA_CHARACTERS", 10)
    sweep.add_definition({"space": Grid(a=[1]).describe()})
    write_results(sweep)

    assert json.loads(opened(sweep).attrs["sciflow_metadata"])["definition"]["space"] == {
        "left_out": "see the coordinates"
    }


@ENGINES
@pytest.mark.parametrize("layout", ["dense", "flat"])
def test_a_hundred_thousand_variants_cost_at_most_twice_their_bytes(sweep, layout, engine):
    space = Grid(
        a=np.linspace(0, 1, 10).tolist(),
        b=np.logspace(0, 1, 20).tolist(),
        opt=["adam", "sgd", "a long name of an optimizer"] + [f"o{i}" for i in range(7)],
        c=list(range(50)),
    )
    sweep.add_definition({"space": space.describe()})
    rng = np.random.default_rng(0)
    y, z = rng.random((2, 100_000))
    record(sweep, space, range(100_000), y=column.fixed(y), z=column.fixed(z))
    path = write_results(sweep, layout)

    ds = opened(sweep, engine)

    assert path.stat().st_size <= 2 * 48 * 100_000
    assert (ds.y.values.ravel() == y).all()
    assert (ds.z.values.ravel() == z).all()


def test_what_compresses_is_chunked_and_floats_lie_in_one_piece(sweep):
    import h5py

    space = Grid(a=list(range(1000)), b=list(range(600)))
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, range(600_000), y=column.fixed(np.arange(600_000.0)))
    write_results(sweep)

    with h5py.File(sweep.path / "results.h5") as file:
        assert file["y"].chunks is None
        assert file["status"].chunks is not None
        assert file["status"].compression == "gzip"
        assert file["a"].chunks is None


def test_a_large_variable_is_written_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(netcdf, "_BLOCK_BYTES", 200)
    values = np.arange(3 * 5 * 7 * 2, dtype=float).reshape(3, 5, 7, 2)
    read = []

    def block(start, stop):
        read.append((start, stop))
        return values.reshape(-1, 2)[start:stop]

    with netcdf.NetcdfFile(tmp_path / "f.h5") as file:
        for dim, length in zip("abcd", values.shape, strict=True):
            file.dimension(dim, length)
        file.streamed("y", "abcd", netcdf.Blocks(values.dtype, (2,), block), {})
    import h5netcdf

    with h5netcdf.File(tmp_path / "f.h5") as file:
        assert (file["y"][...] == values).all()
    assert len(read) == 15
    assert [start for start, _ in read] == [stop for _, stop in [(0, 0), *read[:-1]]]


def test_arrays_beyond_the_limit_wait_until_asked_for(sweep, monkeypatch):
    monkeypatch.setattr(results_file, "MOST_ARRAY_BYTES", 100)
    space = Grid(a=[1, 2])
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, [0, 1], y=[1.0, 2.0], big=[np.zeros(10), np.zeros(10)])

    write_results(sweep)
    assert json.loads(opened(sweep).attrs["sciflow_left_out"]) == ["big"]
    assert is_consolidated(sweep, sweep.snapshot())
    write_results(sweep, all_arrays=True)
    assert "big" in opened(sweep)


def test_a_sweep_without_records_or_parameters_can_be_written(sweep):
    write_results(sweep)
    assert opened(sweep).sizes == {"variant": 0}
    sweep.add_definition({"space": Grid().describe()})
    write_results(sweep)
    assert opened(sweep).status.shape == ()


def test_many_different_failures_are_cut_short(sweep):
    space = Grid(a=list(range(1500)))
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, range(1500), failures=[f'{{"message": "{k}"}}' for k in range(1500)])
    write_results(sweep)

    ds = opened(sweep)

    messages = json.loads(ds.failure.attrs["messages"])
    assert len(messages) == 1001
    assert messages[ds.failure.values[3] - 1] == {"message": "3"}
    assert "many others" in messages[ds.failure.values[1400] - 1]["message"]


# --------------------------------------------------------------------------------------------- current or not


def test_a_reader_can_tell_whether_the_file_is_current(sweep):
    space = Grid(a=[1, 2])
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, [0], y=[1.0])
    assert not is_consolidated(sweep, sweep.snapshot())

    consolidate(sweep)
    assert is_consolidated(sweep, sweep.snapshot())
    record(sweep, space, [1], y=[1.0])
    assert not is_consolidated(sweep, sweep.snapshot())

    consolidate(sweep)
    assert is_consolidated(sweep, sweep.snapshot())
    sweep.add_definition({"space": Grid(a=[1, 2, 3]).describe()})
    assert not is_consolidated(sweep, sweep.snapshot())

    consolidate(sweep, layout="flat")
    (sweep.path / "results.h5").write_bytes(b"cut")
    assert not is_consolidated(sweep, sweep.snapshot())


def test_the_child_loads_only_what_it_needs(sweep):
    sweep.add_definition({"space": Grid(a=[1, 2]).describe()})
    script = (
        "import sys; from sciflow.store.consolidate import main; main([sys.argv[1]]); "
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(sweep.path)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())

    assert {"numpy", "h5py", "h5netcdf"} <= loaded
    assert not loaded & {"xarray", "pandas", "dask", "distributed", "scipy", "matplotlib", "netCDF4"}


def test_left_over_files_of_dead_processes_are_removed_and_others_are_not(sweep):
    mine = ProcessName.of_this_process()
    dead = ProcessName(mine.host, 2**22 + 1, mine.boot, "1")
    elsewhere = ProcessName("elsewhere", 1, "b", "1")
    for process in (mine, dead, elsewhere):
        (sweep.path / f".results.h5.{process.tag}.tmp").write_text("")
    (sweep.path / ".results.h5.strange.tmp").write_text("")

    results_file.remove_leftovers(sweep)

    left = {path.name for path in sweep.path.glob(".results.h5.*")}
    assert left == {f".results.h5.{mine.tag}.tmp", f".results.h5.{elsewhere.tag}.tmp", ".results.h5.strange.tmp"}


def _limit_file_size():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_on_a_full_disk_the_old_file_stays_and_the_error_says_so(sweep, tmp_path):
    space = Grid(a=list(range(10_000)))
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, range(10), y=[1.0] * 10)
    (sweep.path / "results.h5").write_bytes(b"old")

    script = (
        "import sys; from sciflow.errors import StoreError; from sciflow.store.directory import SweepDirectory\n"
        "from sciflow.store.consolidate import consolidate\n"
        "try: consolidate(SweepDirectory.open(sys.argv[1]))\n"
        "except StoreError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(sweep.path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=_limit_file_size,
    )

    assert done.stdout.startswith("StoreWriteError")
    assert "results.h5" in done.stdout
    assert (sweep.path / "results.h5").read_bytes() == b"old"


def test_a_sweep_that_cannot_be_read_is_told_by_the_child(sweep):
    (sweep.segments / "000001-x-1-1.seg").write_bytes(b"sciflow segment 9\n")

    with pytest.raises(StoreError, match="upgrade sciflow"):
        consolidate(sweep, all_arrays=True)


def test_a_consolidation_that_takes_too_long_is_stopped(sweep):
    with pytest.raises(StoreError, match=r"more than 0\.001 s"):
        consolidate(sweep, timeout_s=0.001)


def test_a_file_that_cannot_be_replaced_is_a_write_error(sweep, capsys):
    (sweep.path / "results.h5").mkdir()

    with pytest.raises(StoreWriteError, match=r"cannot write .*results\.h5"):
        write_results(sweep)
    assert main([str(sweep.path)]) == 3
    assert "cannot write" in capsys.readouterr().err
    assert not [path for path in sweep.path.iterdir() if path.name.endswith(".tmp")]


def test_a_child_that_crashes_is_told_as_a_full_disk(sweep, monkeypatch, tmp_path):
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))

    with pytest.raises(StoreWriteError, match="SIGSEGV, which the HDF5 library does when the disk is full"):
        consolidate(sweep)


def test_the_command_has_help_and_refuses_a_place_without_a_sweep(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "there is no sweep" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []  # noqa: PTH208  names only


HOSTILE = {
    "a/b": [1, 2],
    "a_b": [3, 4],
    "y": [1j, 2j],
    "y_real": [5, 6],
    "r": [np.arange(1), np.arange(2)],
    "r_size": [7, 8],
    "q": [np.arange(1), np.arange(2)],
    "q_rank": [9, 10],
    ".": [11, 12],
    "n\0": [13, 14],
    "\udc80": ["half \udc80", "x"],
}


@ENGINES
def test_names_and_texts_that_hdf5_cannot_have_do_not_cost_the_file(sweep, engine):
    space = Grid(a=Axis("a", ["\udc80", "z\0z"], unit="\0\udc80"))
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, [0, 1], s=column.outputs([np.arange(2), np.arange(2)], dims=["status"]), **HOSTILE)
    write_results(sweep)

    ds = opened(sweep, engine)

    assert ds.s.dims == ("a", "s_status")
    for name in ("a_b", "y_real", "r_size", "q_rank"):
        assert ds[name].values.tolist() == HOSTILE[name]
    original = {variable.attrs.get("long_name"): variable.values.tolist() for variable in ds.variables.values()}
    assert original["a/b"] == [1, 2]
    assert original["n\0".replace("\0", " ")] == [13, 14]
    assert [text if isinstance(text, str) else text.decode() for text in ds["?"].values] == ["half ?", "x"]


@ENGINES
def test_values_of_several_types_that_are_equal_are_written_apart(sweep, engine):
    space = Grid(a=range(5))
    sweep.add_definition({"space": space.describe()})
    record(sweep, space, range(5), y=[1, True, 1.0, "1", 0])
    write_results(sweep)

    texts = [text if isinstance(text, str) else text.decode() for text in opened(sweep, engine).y.values]

    assert texts == ["1", "True", "1.0", "1", "0"]


def test_a_child_that_was_started_before_writes_what_is_committed_when_it_is_told(sweep):
    space = Grid(a=[1, 2])
    sweep.add_definition({"space": space.describe()})
    writing = Consolidation(sweep)
    record(sweep, space, [0, 1], y=[1.0, 2.0])

    assert writing.write() == sweep.path / "results.h5"
    assert opened(sweep).y.values.tolist() == [1.0, 2.0]


def test_a_child_that_is_not_needed_ends_and_writes_nothing(sweep):
    waiting = Consolidation(sweep)
    waiting.close()
    forgotten = Consolidation(sweep)
    forgotten._child.stdin.close()  # as when its parent dies

    assert forgotten._child.wait(timeout=60) == 0
    forgotten._child.stderr.close()
    assert not (sweep.path / "results.h5").exists()
