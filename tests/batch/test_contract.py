"""SLURM and PBS keep the contract of a batch system: a real SLURM, and programs that behave as PBS was seen to."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from sciflow.batch.pbs import Pbs
from sciflow.batch.slurm import Slurm
from sciflow.testing.batch import BatchSystemContract
from sciflow.testing.pbs import FakePbs

STATES = {"PENDING": "waiting", "RUNNING": "running", "COMPLETING": "running"}
LETTERS = {"Q": "waiting", "W": "waiting", "H": "waiting", "R": "running", "E": "running"}


@pytest.mark.slurm
class TestSlurm(BatchSystemContract):
    @pytest.fixture
    def system(self, slurm):
        return Slurm(patience_s=5)

    def outside(self, system, job_id):
        done = subprocess.run(["squeue", "-h", "-j", job_id, "-o", "%T"], capture_output=True, text=True)
        return STATES.get(done.stdout.strip(), "gone")

    @contextmanager
    def elses_jobs(self, system):
        nobody = ["runuser", "-u", "nobody", "--", "env", f"SLURM_CONF={os.environ['SLURM_CONF']}"]
        all_nodes = ["sbatch", "--chdir=/", "--output=/dev/null", "--nodes=4", "--exclusive"]
        for further in ([], [], ["--hold"]):
            subprocess.run([*nobody, *all_nodes, *further, "--wrap", "sleep 100"], check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run(["scancel", "--user=nobody"], check=True)

    def unreachable(self, tmp_path):
        conf = Path(os.environ["SLURM_CONF"]).read_text()
        (tmp_path / "slurm.conf").write_text(conf.replace("/munge.sock", "/nobody.sock"))
        return Slurm({**os.environ, "SLURM_CONF": str(tmp_path / "slurm.conf")}, patience_s=0.1)


class TestPbs(BatchSystemContract):
    @pytest.fixture
    def pbs(self, tmp_path_factory, monkeypatch):
        with FakePbs(tmp_path_factory.mktemp("pbs")) as pbs:
            monkeypatch.setenv("PATH", pbs.environ()["PATH"])
            yield pbs

    @pytest.fixture
    def system(self, pbs):
        return Pbs(patience_s=5)

    def outside(self, system, job_id):
        done = subprocess.run(["qstat", "-f", job_id], capture_output=True, text=True)
        state = re.search(r"job_state = (\w)", done.stdout)
        return "gone" if state is None else LETTERS[state[1]]

    @pytest.fixture(autouse=True)
    def _known(self, pbs):
        self.fake = pbs

    def elses_jobs(self, system):
        return self.fake.jobs_of_others(1, n_held=1)

    def unreachable(self, tmp_path):
        with FakePbs(tmp_path / "pbs") as pbs:
            pass
        pbs.down()
        return Pbs(pbs.environ(), patience_s=0.1)
