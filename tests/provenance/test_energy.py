"""Energy is estimated with codecarbon, silently and offline, where somebody asked for it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sciflow
from sciflow.analysis.metadata import provenance_text
from sciflow.errors import SweepError
from sciflow.provenance import energy
from sciflow.provenance.energy import measured_energy

pytestmark = pytest.mark.measured

ROOT = Path(__file__).parents[2]

STUDY = """
    import sys

    def no_network(event, arguments):
        if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
            raise AssertionError(f"{event} {arguments}")

    sys.addaudithook(no_network)

    import time
    import sciflow

    def work(a):
        until = time.process_time() + 0.5
        while time.process_time() < until:
            sum(range(1000))
        return a

    workflow = sciflow.ExperimentalWorkflow("energetic")
    workflow.add_task("work", work)
    workflow.add_parameter_space({"a": [1, 2, 3, 4]})
    sciflow.Engine("inline", progress=False, energy=True).execute_parameter_sweep(workflow)
"""


def test_a_sweep_says_what_energy_it_used_and_how_that_is_known_and_nothing_is_sent_written_or_printed(tmp_path):
    (tmp_path / "study.py").write_text(textwrap.dedent(STUDY))
    # somebody who uses codecarbon has said this; it is about their programs
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nsave_to_api = true\napi_key = secret\nemissions_endpoint = http://192.0.2.1\n"
        "electricitymaps_api_token = secret\nlog_level = debug\n"
    )
    done = subprocess.run(
        [sys.executable, "study.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CODECARBON_SAVE_TO_FILE": "true"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".coverage.")}
    assert made == {"study.py", ".codecarbon.config", "sweeps"}
    results = sciflow.open_results(tmp_path / "sweeps" / "energetic")
    (session,) = results.metadata["sessions"]
    said = session["energy"]
    assert results.metadata["energy_kwh"] == session["energy_kwh"] > 0
    assert session["energy_kwh"] == pytest.approx(said["cpu_kwh"] + said["gpu_kwh"] + said["ram_kwh"], abs=1e-8)
    assert said["cpu_kwh"] > 0
    assert said["seconds"] >= 2
    assert said["hardware"]
    assert "co2" not in repr(session).lower()
    text = provenance_text(results.metadata, {}, {}, results.origins())
    (line,) = [line for line in text.splitlines() if line.startswith("used")]
    assert f"core-hours, {session['energy_kwh']:.3g} kWh (estimated by codecarbon {said['codecarbon']}" in line


def test_sessions_without_it_are_told_apart():
    sessions = [{"session": 1}, {"session": 2, "energy_kwh": 0.5, "energy": {"codecarbon": "3.3.2"}}]
    metadata = {"sessions": sessions, "energy_kwh": 0.5, "core_hours": 2.0, "environments": {}, "jobs": []}

    text = provenance_text({**metadata, "inputs": [], "code": {"repository": None}}, {}, {})

    assert "2 core-hours, 0.5 kWh in 1 of 2 sessions (estimated by codecarbon 3.3.2" in text


def test_nothing_is_measured_unless_it_is_asked_for():
    with measured_energy(wanted=False) as used:
        pass

    assert used == {}


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)

    with pytest.raises(SweepError, match=r'pip install "sciflow\[energy\]"'):
        sciflow.Engine("inline", energy=True)


@pytest.mark.parametrize("cluster", ["slurm", "tcp://127.0.0.1:1"])
def test_workers_elsewhere_are_refused(cluster):
    with pytest.raises(SweepError, match="measures the processes of this machine"):
        sciflow.Engine(cluster, energy=True)


def test_a_tracker_that_fails_is_no_failure_of_the_sweep_and_no_number(monkeypatch):
    class Tracker:
        """Starts and stops, and has nothing to tell, as one that swallowed an error."""

        def stop(self):
            return None

    monkeypatch.setattr(energy, "_started", Tracker)
    log = logging.getLogger("codecarbon")
    before = log.disabled, log.level
    with measured_energy(wanted=True) as used:
        assert log.disabled

    assert used == {"energy": {"problem": "codecarbon did not measure"}}
    assert (log.disabled, log.level) == before
