"""A script with a sweep that is run, killed and watched; what is true of it after whatever happened."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import sciflow
from sciflow.testing import processes
from sciflow.testing.faults import Faults
from sciflow.testing.ledger import Ledger, notes_of
from sciflow.testing.witness import Witness

SWEEP = """
import os, sys, time
import numpy as np
import sciflow
from sciflow.store.lease import Session
from sciflow.testing.ledger import ran
from sciflow.testing.nannies import NannyCluster

N, SECONDS = int(sys.argv[1]), {seconds}
CLUSTERS = {{
    "children": sciflow.LocalCluster(workers=2),
    "nannies": NannyCluster(workers=2),
    "inline": "inline",
}}
Session.acquire.__func__.__kwdefaults__["lease_s"] = 2.0  # no test waits for the ten seconds of every day

def work(a):
    time.sleep(SECONDS)
    ran("ledger", a)
    return {{"y": a * a, "text": f"<{{a}}>", "row": np.full(3, float(a))}}

workflow = sciflow.ExperimentalWorkflow("faults")
workflow.add_task("work", work{options})
workflow.add_parameter_space({{"a": range(N)}})
engine = sciflow.Engine(CLUSTERS[sys.argv[2]], progress=False)
print(engine.execute_parameter_sweep(workflow).status())
"""


def right(table):
    """Whether each finished variant has the values of its parameter."""
    a = table["a"]
    return (table["y"] == a * a) & (table["text"] == "<" + a.astype(str) + ">")


class Script:
    """The script in a folder of its own; every process of it that is started with faults keeps the ledger."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "sweeps" / "faults"
        self.ledger_file = folder / "ledger"
        self.n = 200
        self._n_faults = 0
        self._started = []
        self.write()

    def write(self, *, seconds=0.01, options=""):
        """Write the script; each variant takes so many seconds."""
        (self.folder / "sweep.py").write_text(SWEEP.format(seconds=seconds, options=options))

    def faults(self, *faults, watch=False):
        """Faults for the script."""
        self._n_faults += 1
        folder = self.folder / f"faults-{self._n_faults}"
        return Faults(folder, *faults, *notes_of(self.ledger_file), watch=watch)

    def start(self, faults=None, *, n=None, cluster="children"):
        """Start a driver."""
        self.n = n or self.n
        driver = subprocess.Popen(
            [sys.executable, "sweep.py", str(self.n), cluster],
            cwd=self.folder,
            env=(faults or self.faults()).environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(driver)
        return driver

    def run(self, faults=None, **options):
        """Run a driver to its end."""
        driver = self.start(faults, **options)
        out, said = driver.communicate(timeout=120)
        return subprocess.CompletedProcess(driver.args, driver.returncode, out, said)

    def finish(self, **options):
        """Run a driver without faults, which must finish the sweep."""
        done = self.run(**options)
        assert done.returncode == 0, done.stderr

    def wait_for_runs(self, n):
        """Return when *n* variants have run."""
        ledger = Ledger(self.ledger_file)
        deadline = time.monotonic() + 60
        while len(ledger.runs) < n:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            ledger.read()

    @contextmanager
    def watched(self):
        """Look at the sweep all the while, and judge it at the end: finished, right, and never less than before."""
        with Witness(self.path, right, ledger=self.ledger_file, parameters=("a",)) as witness:
            yield
        assert witness.saw.is_clean, witness.saw
        self.check(self.n)

    def check(self, n):
        """Every variant is there once, with its own values, for those who have sciflow and those who have not."""
        table = sciflow.open_results(self.path).to_dataframe()
        assert table["a"].tolist() == list(range(n)), "each variant once"
        assert (table["status"] == "done").all()
        assert right(table).all()
        dataset = sciflow.open_results(self.path).dataset
        assert (dataset["row"].values == np.arange(n, dtype=float)[:, None]).all()
        return table

    def events(self, name):
        """The events of this name, of all sessions."""
        logs = sorted((self.path / "events").iterdir())
        found = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        return [event for event in found if event["name"] == name]

    def runs(self):
        """How often each variant ran."""
        ledger = Ledger(self.ledger_file)
        ledger.read()
        return ledger.runs

    def close(self):
        """End what a failed test left running."""
        for driver in self._started:
            if driver.poll() is None:
                processes.kill(processes.all_of(driver.pid))
            driver.communicate()


@pytest.fixture
def script(tmp_path):
    """A sweep that can be run, killed and watched."""
    script = Script(Path(tmp_path))
    yield script
    script.close()


def strikes(faults, struck):
    """The faults among *struck* that did strike, as (step, when, role)."""
    given = faults.faults
    found = {strike.fault: strike.role for strike in faults.fired()}
    return [(one.at, one.when, found[k]) for k, one in enumerate(given) if one in struck and k in found]
