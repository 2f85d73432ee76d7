"""The examples for clusters run as their README says: on a real SLURM, and on the stand-in for PBS."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from sciflow.testing.pbs import FakePbs

EXAMPLES = Path(__file__).parents[1] / "examples"


def follow(name: str, folder: Path) -> str:
    """Run what the README of an example says, in a copy of it; give what was printed."""
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)
    (commands,) = re.findall(r"^```sh\n(.*?)^```", (folder / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    # the interpreter of these tests, and the command beside it
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slurm
def test_the_example_for_slurm_runs_as_its_readme_says(slurm: object, tmp_path: Path) -> None:
    said = follow("slurm", tmp_path)

    assert "120 done, 0 failed" in said
    assert (tmp_path / "anderson.zip").is_file()
    assert len((tmp_path / "anderson.csv").read_text().splitlines()) == 121
    ratio = xr.open_dataset(tmp_path / "sweeps/anderson/results.h5", engine="h5netcdf").ratio.mean("replicate")
    # eight matrices of 512 levels: a standard error of 0.006
    assert float(ratio.sel(size=8, disorder=6.0)) == pytest.approx(0.5307, abs=0.03)
    assert float(ratio.sel(size=8, disorder=40.0)) == pytest.approx(0.40, abs=0.03)
    # both resource classes had jobs of their own
    kinds = {log.name.split("-")[1] for log in (tmp_path / "sweeps/anderson/logs").glob("job-*.log")}
    assert kinds == {"cpu1", "cpu2"}


def test_the_example_for_pbs_runs_as_its_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakePbs(tmp_path / "pbs") as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        said = follow("pbs", tmp_path / "example")
        pbs.await_end()

    assert "240 done, 0 failed" in said
    assert (tmp_path / "example/percolation.zip").is_file()
    results = xr.open_dataset(tmp_path / "example/sweeps/percolation/results.h5", engine="h5netcdf")
    spans = results.spans.sel(size=512).mean("replicate")
    assert float(spans.sel(probability=0.55)) == 0
    assert float(spans.sel(probability=0.65)) == 1
