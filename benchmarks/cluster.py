"""What worker jobs on a real SLURM cost: how busy workers are, what lost jobs do, and what the driver takes.

    .ci/slurm-local start && eval "$(.ci/slurm-local env)"
    python benchmarks/cluster.py                         every figure
    python benchmarks/cluster.py driver --minutes 5      one of: utilisation, two_lost, hundred_lost, driver

``two_lost`` and ``hundred_lost`` cancel worker jobs from outside, with ``scancel``. The jobs of others, and everything
said of how long a worker was there, are read off what the tasks themselves noted, and off squeue.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import sciflow
from sciflow.clusters.batch import SlurmCluster

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from sciflow.events import Event

SHIM = """#!/bin/sh
date +%s.%N >> {log}/{name}
exec {program} "$@"
"""
PROGRAMS = ("squeue", "sacct", "scontrol", "sbatch", "scancel", "sacctmgr")


def rest(a: int, seconds: float) -> dict[str, Any]:
    began = time.time()
    time.sleep(seconds)
    return {"square": a * a, "job": int(os.environ["SLURM_JOB_ID"]), "began": began, "ended": time.time()}


@dataclass
class Losses:
    """Cancels running worker jobs, one after another, once each has done some work."""

    n: int
    every_s: float
    cancelled: list[str] = field(default_factory=list)

    def __call__(self, over: threading.Event) -> None:
        """Go on until enough are cancelled, or the sweep is over."""
        while len(self.cancelled) < self.n and not over.wait(self.every_s):
            listed = subprocess.run(
                ["squeue", "-h", "-t", "R", "-o", "%i %j %M"], capture_output=True, text=True, check=False
            )
            rows = [line.split() for line in listed.stdout.splitlines()]
            mine = [row for row in rows if row[1].startswith("sf-") and row[0] not in self.cancelled]
            old = [row[0] for row in sorted(mine, key=lambda row: int(row[0])) if _seconds(row[2]) >= 8]
            if old:
                subprocess.run(["scancel", old[0]], check=False)
                self.cancelled.append(old[0])


def _seconds(text: str) -> int:
    total = 0
    for part in text.replace("-", ":").split(":"):
        total = 60 * total + int(part)
    return total


@dataclass
class Run:
    """A sweep that has ended."""

    results: pd.DataFrame
    events: list[Event]
    wall_s: float
    directory: Path

    def facts(self) -> dict[str, Any]:
        """What every run is asked."""
        table = self.results
        finished = next(e.facts for e in reversed(self.events) if e.name in {"sweep.finished", "sweep.stopped"})
        spans = table.groupby("job").agg(first=("began", "min"), last=("ended", "max"))
        ran_s = float((table["ended"] - table["began"]).sum())
        return {
            "variants": len(table),
            "right": bool((table["square"] == table["a"] ** 2).all() and (table["status"] == "done").all()),
            "most attempts": int(table["attempt"].max()),
            "jobs that finished any": int(table["job"].nunique()),
            "wall s": round(self.wall_s, 1),
            "busy / worker-seconds of the engine": round(finished["busy_s"] / finished["worker_s"], 4),
            "task seconds / (last end - first begin of each job)": round(
                ran_s / float((spans["last"] - spans["first"]).sum()), 4
            ),
            "task seconds / (workers x span of all)": round(
                ran_s / (8 * float(table["ended"].max() - table["began"].min())), 4
            ),
            "ends of jobs": dict(Counter(e.facts["how"] for e in self.events if e.name == "job.ended")),
            "causes of lost batches": dict(
                Counter(str(e.facts.get("cause")) for e in self.events if e.name == "worker.lost")
            ),
        }


def sweep(
    n: int,
    seconds: float,
    *,
    cores: int = 2,
    workers: int = 8,
    disturb: Callable[[threading.Event], None] | None = None,
) -> Run:
    """Run *n* variants that sleep; two cores for each worker, so that eight of them take four nodes."""
    directory = Path(tempfile.mkdtemp(prefix="sciflow-cluster-"))
    workflow = sciflow.ExperimentalWorkflow("bench")
    workflow.add_task("rest", rest)
    workflow.add_parameter_space({"a": range(n), "seconds": [seconds]})
    workflow.set_resource_requirements({"rest": {"cpu_cores": 2}})
    events: list[Event] = []
    over = threading.Event()
    threads = [threading.Thread(target=disturb, args=(over,))] if disturb else []
    for thread in threads:
        thread.start()
    began = time.monotonic()
    try:
        engine = sciflow.Engine(
            SlurmCluster(workers=8, interface="lo", walltime="30min"),
            directory=directory,
            on_event=events.append,
            progress=False,
        )
        results = engine.execute_parameter_sweep(workflow).to_dataframe()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return Run(results, events, time.monotonic() - began, directory)


def utilisation(args: argparse.Namespace) -> dict[str, Any]:
    """8 workers over 4 nodes, 1,000 variants of 1 s."""
    return sweep(args.variants, 1.0).facts()


def two_lost(args: argparse.Namespace) -> dict[str, Any]:
    """The same, with two workers lost on the way."""
    losses = Losses(2, 25.0)
    return sweep(args.variants, 1.0, disturb=losses).facts() | {"cancelled": len(losses.cancelled)}


def hundred_lost(args: argparse.Namespace) -> dict[str, Any]:
    """100 worker jobs cancelled one by one."""
    losses = Losses(args.losses, 0.3)
    run = sweep(args.variants, 1.0, disturb=losses)
    return run.facts() | {"cancelled": len(losses.cancelled)}


def driver(args: argparse.Namespace) -> dict[str, Any]:
    """What the driver takes in steady state, with 10^5 variants queued, and how often it asks SLURM."""
    folder = Path(tempfile.mkdtemp(prefix="sciflow-cluster-driver-"))
    path = _shims(folder)
    code = (
        "import runpy, sciflow, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import cluster\n"
        f"cluster.sweep({args.queued}, {args.seconds})"
    )
    process = psutil.Popen([sys.executable, "-c", code], env={**os.environ, "PATH": path})
    try:
        _until_steady(process, args.settle)
        before, since = process.cpu_times(), time.time()
        rss = []
        while time.time() - since < args.minutes * 60:
            time.sleep(1)
            rss.append(process.memory_info().rss)
        after, took = process.cpu_times(), time.time() - since
        asked = {name: _count(folder / name, since) for name in PROGRAMS}
    finally:
        process.send_signal(2)
        process.wait(120)
    cpu_s = after.user + after.system - before.user - before.system
    children_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "minutes": round(took / 60, 2),
        "RSS MiB": round(max(rss) / 2**20, 1),
        "CPU %": round(100 * cpu_s / took, 2),
        "CPU % of programs it ran": round(100 * children_s / took, 2),
        "questions": {name: n for name, n in asked.items() if n},
        "questions per minute": round(60 * sum(asked.values()) / took, 2),
    }


def _shims(folder: Path) -> str:
    """A PATH whose batch programs note when they are called."""
    bin_ = folder / "bin"
    bin_.mkdir()
    for name in PROGRAMS:
        where = subprocess.run(["which", name], capture_output=True, text=True, check=False).stdout.strip()
        if where:
            (bin_ / name).write_text(SHIM.format(log=folder, name=name, program=where))
            (bin_ / name).chmod(0o755)
    return f"{bin_}:{os.environ['PATH']}"


def _until_steady(process: psutil.Popen, settle_s: float) -> None:
    """Wait until its eight jobs run, and some more."""
    while process.is_running():
        listed = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%j"], capture_output=True, text=True, check=False)
        if sum(name.startswith("sf-") for name in listed.stdout.split()) >= 8:
            break
        time.sleep(1)
    time.sleep(settle_s)


def _count(log: Path, since: float) -> int:
    return sum(float(line) >= since for line in log.read_text().split()) if log.exists() else 0


FIGURES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    one.__name__: one for one in (utilisation, two_lost, hundred_lost, driver)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], default=[])
    parser.add_argument("--variants", type=int, default=1000)
    parser.add_argument("--losses", type=int, default=100)
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a variant, for driver")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long driver is looked at")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds before that")
    args = parser.parse_args()
    for name in args.figures or FIGURES:
        facts = FIGURES[name](args)
        print(f"\n{name}: {FIGURES[name].__doc__}")
        for what, value in facts.items():
            print(f"  {what:52} {json.dumps(value)}", flush=True)


if __name__ == "__main__":
    main()
