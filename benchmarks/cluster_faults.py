"""Faults of minutes against sweeps on a real SLURM, and what became of every variant.

    .ci/slurm-local start && eval "$(.ci/slurm-local env)"
    python benchmarks/cluster_faults.py

Each fault hits a sweep on its way: a variant longer than its job, jobs that end by the clock, a lost node, a killed
slurmctld, a requeued job, and jobs that are cancelled all at once. The exit status is 0 when every sweep was complete.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sciflow
from sciflow.clusters.batch import SlurmCluster
from sciflow.testing.clusters import calls_of, resting, running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TOOL = Path(__file__).parents[1] / ".ci" / "slurm-local"


@dataclass(frozen=True)
class Fault:
    """A sweep, and what is done to it once some variants are done."""

    n: int
    seconds: float
    strike: Callable[[], object]
    cluster: Mapping[str, Any]
    cores: int = 1


def nothing() -> None:
    """The clock strikes by itself."""


def running_jobs(what: str = "%i") -> list[str]:
    listed = subprocess.run(["squeue", "-h", "-t", "R", "-o", f"{what} %j"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if " sf-" in line]


def local(*words: str) -> None:
    subprocess.run([str(TOOL), *words], check=True, capture_output=True)


def lose_node() -> None:
    node = running_jobs("%N")[0]
    local("fail-node", node)
    time.sleep(40)  # until slurmctld has noticed by itself
    local("heal-node", node)


def requeue() -> None:
    subprocess.run(["scontrol", "requeue", running_jobs()[0]], check=True)


def cancel_all() -> None:
    subprocess.run(["scancel", *running_jobs()], check=True)


FAULTS = {
    "a variant longer than its job": Fault(2, 100.0, nothing, {"walltime": "1min"}),
    "jobs that end by the clock": Fault(300, 1.0, nothing, {"walltime": "1min", "workers": 4}),
    "a node is lost": Fault(400, 0.5, lose_node, {"walltime": "10min", "workers": 4}, cores=4),
    "slurmctld is killed": Fault(100, 0.5, lambda: local("bounce"), {"walltime": "10min"}),
    "a job is requeued": Fault(100, 0.5, requeue, {"walltime": "10min", "options": ["--requeue"]}),
    "all jobs are cancelled": Fault(100, 0.5, cancel_all, {"walltime": "10min", "workers": 4}),
}


def suffer(name: str, fault: Fault) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="sciflow-faults-"))
    cluster = SlurmCluster(**{"interface": "lo", "workers": 2} | dict(fault.cluster))
    workflow = resting("faults", fault.n, folder, seconds=fault.seconds, cores=fault.cores)
    began = time.monotonic()
    with running(lambda **more: sciflow.Engine(cluster, directory=folder, progress=False, **more), workflow) as run:
        if fault.strike is not nothing:
            run.await_done(8)
            fault.strike()
        table = run.join(600)
    calls = calls_of(folder)
    left = running_jobs()
    is_complete = sorted(table["a"]) == list(range(fault.n)) and set(table["status"]) == {"done"} and not left
    print(f"\n{name}")
    for what, value in {
        "every variant once in the results, no job left": bool(is_complete),
        "most attempts": int(table["attempt"].max()),
        "variants that began more than once": sum(n > 1 for n in calls.values()),
        "causes of lost batches": Counter(str(facts["cause"]) for facts in run.told("worker.lost")),
        "ends of jobs": Counter(str(facts["how"]) for facts in run.told("job.ended")),
        "wall s": round(time.monotonic() - began, 1),
    }.items():
        print(f"  {what:48} {json.dumps(value)}", flush=True)
    return is_complete


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    only = parser.parse_args().only
    if "SLURM_CONF" in os.environ:  # .ci/slurm-local is told where its own cluster lies
        os.environ.setdefault("SLURM_LOCAL_DIR", str(Path(os.environ["SLURM_CONF"]).parents[1]))
    return 0 if all([suffer(name, fault) for name, fault in FAULTS.items() if only in name]) else 1  # noqa: C419  all


if __name__ == "__main__":
    sys.exit(main())
