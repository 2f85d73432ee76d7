from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from sciflow.errors import ResultsError, StoreWriteError
from sciflow.space import Points

if TYPE_CHECKING:
    from pathlib import Path


def test_a_csv_holds_the_table(results, tmp_path: Path) -> None:
    path = results.export(tmp_path / "new" / "table.csv")
    table = pd.read_csv(path, index_col="variant", keep_default_na=False, na_values=[""])

    assert path == tmp_path / "new" / "table.csv"
    pd.testing.assert_frame_equal(
        table[["accuracy", "energy"]], results.to_dataframe()[["accuracy", "energy"]], check_index_type=False
    )
    assert table.status.tolist() == results.to_dataframe().status.tolist()


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_an_nc_file_holds_the_dataset(results, tmp_path: Path, engine) -> None:
    path = results.export(str(tmp_path / "all.nc"))

    with xr.open_dataset(path, engine=engine) as read:
        assert np.array_equal(read.accuracy.values, results.dataset.accuracy.values, equal_nan=True)
        assert np.array_equal(read.loss_curve.values, results.dataset.loss_curve.values, equal_nan=True)
        assert read.status.to_numpy().tolist() == results.dataset.status.to_numpy().tolist()
        assert read.learning_rate.attrs["units"] == "1/s"
        assert read.device.sel(learning_rate=0.1, layers=3, replicate=0).item() == ""


def test_what_netcdf_lacks_is_written_otherwise(recorded, tmp_path: Path) -> None:
    space = Points([{"x": (1, 2)}, {"x": "s"}, {"x": None}])
    results = recorded(space, lambda v: {"z": 1.0 + 2.0j, "n": 1, "s": "text" if v["x"] else None})

    with xr.open_dataset(results.export(tmp_path / "odd.nc"), engine="h5netcdf") as read:
        assert read.z_real.to_numpy().tolist() == [1.0, 1.0, 1.0]
        assert read.z_imag.to_numpy().tolist() == [2.0, 2.0, 2.0]
        assert read.s.to_numpy().tolist() == ["text", "text", ""]
        assert read.x.to_numpy().tolist()[1] == "s"


def test_an_old_file_is_replaced_and_nothing_else_is_left(results, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("old")

    results.export(tmp_path / "t.csv")

    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text().startswith("variant,learning_rate")


def test_an_unknown_kind_of_file_lists_the_known_ones(results, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"goes by its ending, one of \.csv, \.nc, \.parquet"):
        results.export(tmp_path / "table.xls")


def test_parquet_needs_a_package_and_says_which(results, tmp_path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(ResultsError, match="pip install pyarrow"):
            results.export(tmp_path / "t.parquet")
        assert list(tmp_path.iterdir()) == []
    else:
        assert len(pd.read_parquet(results.export(tmp_path / "t.parquet"))) == 18


def test_a_place_that_cannot_be_written_is_named(results, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreWriteError, match=r"cannot write .*file/t\.csv"):
        results.export(tmp_path / "file" / "t.csv")
