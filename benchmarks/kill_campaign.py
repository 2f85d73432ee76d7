"""SIGKILLs at random instants over one sweep, with a reader that looks all the while.

    python benchmarks/kill_campaign.py                                     200 kills over 20,000 variants
    python benchmarks/kill_campaign.py --variants 1000 --kills 20 --seed 7

Each kill hits the driver, one worker, the nanny of a Dask worker, the process that consolidates or compacts, or all at
once, as a lost node does; a driver that died is started again at once, while its orphans may still write. Tasks and
commits are noted in a ledger outside the sweep, so that what ran, what was acknowledged and what a reader saw can be
compared. The schedule (who, when in the sweep, with which workers) follows from the seed; the step that a kill hits
depends on timing too. The exit status is 0 when nothing was lost, doubled, mislabelled or unreadable.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

import sciflow
from sciflow.testing import processes
from sciflow.testing.faults import Faults
from sciflow.testing.ledger import Ledger, driver_dies, notes_of
from sciflow.testing.witness import Testimony, Witness

SWEEP = """
import sys, time
import sciflow
from sciflow.testing.ledger import ran
from sciflow.testing.nannies import NannyCluster

MS, N_A, N_B = {ms}, {n_a}, {n_b}
CLUSTERS = {{
    "children": sciflow.LocalCluster(workers=2, dask_after_s=1000),
    "dask": sciflow.LocalCluster(workers=2, dask_after_s=0.3),
    "nannies": NannyCluster(workers=2),
}}

def base(a):
    return 10 * a

def work(base, a, b):
    end = time.perf_counter() + MS / 1000
    while time.perf_counter() < end:
        pass
    ran("ledger", a, b)
    return {{"product": a * b, "base": base, "text": f"{{a}}-{{b}}"}}

workflow = sciflow.ExperimentalWorkflow("campaign")
workflow.add_task("base", base)
workflow.add_task("work", work, ["base"])
workflow.add_parameter_space({{"a": range(N_A), "b": range(N_B)}})
sciflow.Engine(CLUSTERS[sys.argv[1]], progress=False).execute_parameter_sweep(workflow)
"""

VICTIMS = {"worker": 10, "driver": 6, "everything": 3, "nanny": 4, "helper": 1}
"""How often each is chosen. Where there is no nanny or helper at the time, a worker is hit."""

CLUSTERS = {"children": 6, "dask": 2, "nannies": 2}
"""How often a driver works with each kind of workers."""

HELPERS = ("consolidator", "compactor")
EARLY = 0.1
"""So many of the kills come while the driver starts, the others while it works."""


# ------------------------------------------------------------------------------------------ the schedule


@dataclass(frozen=True)
class Shot:
    """One kill of the schedule.

    Attributes
    ----------
    after
        The fraction of the variants that have run.
    later_s
        Seconds after that; of an early one, after the driver was started.
    """

    victim: str
    after: float
    later_s: float
    is_early: bool
    cluster: str
    choice: float


def schedule(seed, n_kills):
    """The kills of a campaign: the same for the same seed."""
    chance = random.Random(seed)
    return [
        Shot(
            victim=chance.choices(list(VICTIMS), list(VICTIMS.values()))[0],
            after=after,
            later_s=chance.uniform(0, 0.3),
            is_early=chance.random() < EARLY,
            cluster=chance.choices(list(CLUSTERS), list(CLUSTERS.values()))[0],
            choice=chance.random(),
        )
        for after in sorted(chance.uniform(0, 0.97) for _ in range(n_kills))
    ]


# ------------------------------------------------------------------------------------------ the campaign


@dataclass
class Tally:
    """What became of a campaign."""

    n_variants: int
    seed: int
    saw: Testimony = field(default_factory=Testimony)
    kills: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    n_undone: int = 0
    n_runs: int = 0
    n_repeated: int = 0
    n_left_running: int = 0
    n_given_up: int = 0
    seconds: float = 0.0

    @property
    def is_clean(self):
        """Whether nothing went wrong."""
        return self.saw.is_clean and not (self.n_undone or self.n_left_running or self.n_given_up)


class Campaign:
    """One campaign in an empty folder."""

    def __init__(self, folder, *, n_variants, n_kills, seed, ms):
        n_a = max(1, n_variants // 100)
        n_b = n_variants // n_a
        (folder / "sweep.py").write_text(SWEEP.format(ms=ms, n_a=n_a, n_b=n_b))
        self.shots = schedule(seed, n_kills)
        self.tally = Tally(n_a * n_b, seed)
        self.sweep = folder / "sweeps" / "campaign"
        self._folder, self._ledger_file = folder, folder / "ledger"
        self._faults = Faults(folder / "faults", *notes_of(self._ledger_file), watch=True)
        self._ledger = Ledger(self._ledger_file)
        self._driver = None
        self._orphans = []

    def run(self):
        """Kill as the schedule says, then let the sweep finish; give the tally."""
        begun = time.monotonic()
        names = ("a", "b")
        with Witness(self.sweep, right, ledger=self._ledger_file, parameters=names, every_s=0.3) as witness:
            for shot in self.shots:
                self._aim(shot)
                self._fire(shot)
            self._finish()
        self.tally.saw = witness.saw
        self.tally.seconds = time.monotonic() - begun
        self._judge()
        return self.tally

    def _start(self, cluster):
        with (self._folder / "errors").open("ab") as errors:
            self._driver = subprocess.Popen(
                [sys.executable, "sweep.py", cluster],
                cwd=self._folder,
                env=self._faults.environment(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self._ledger.read()
        self._started, self._runs_before = time.monotonic(), self._ledger.runs.total()

    def _aim(self, shot):
        """Wait for the moment, with a driver that lives."""
        self._keep_alive(shot)
        if shot.is_early:
            time.sleep(max(0.0, self._started + 5 * shot.later_s - time.monotonic()))
            return
        # the sweep is so far, and this driver has got to work
        while self._ran() < shot.after * self.tally.n_variants or not self._works():
            self._keep_alive(shot)
            time.sleep(0.01)
        time.sleep(shot.later_s)

    def _ran(self):
        self._ledger.read()
        return len(self._ledger.runs)

    def _works(self):
        return self._ledger.runs.total() > self._runs_before

    def _keep_alive(self, shot):
        if self._driver is None:
            self._start(shot.cluster)
        elif self._driver.poll() is not None:
            self.tally.n_given_up += self._driver.returncode != 0
            if self.tally.n_given_up > 10:
                sys.exit(f"drivers give up:\n{(self._folder / 'errors').read_text()[-2000:]}")
            self._start(shot.cluster)

    def _fire(self, shot):
        found = processes.processes_of(self._driver.pid)
        workers = found.get("worker", [])
        helpers = [one for role in HELPERS for one in found.get(role, [])]
        choose = {"worker": workers, "nanny": found.get("nanny") or workers, "helper": helpers or workers}
        everything = [process for group in found.values() for process in group]
        # a driver that starts has no workers yet
        group = choose.get(shot.victim) or found.get("driver", [])
        victims = everything if shot.victim == "everything" else [group[int(shot.choice * len(group))]] if group else []
        if victims:
            roles = {one: role for role, group in found.items() for one in group}
            self._kill(shot.victim if len(victims) > 1 else roles[victims[0]], victims, everything)

    def _kill(self, role, victims, everything):
        with contextlib.suppress(psutil.Error):
            victims[0].suspend()  # so that the step that is noted is the one that it dies at
        step = self._faults.step_of(victims[0].pid)
        dies = any(one.pid == self._driver.pid for one in victims)
        if dies:
            driver_dies(self._ledger_file)
        processes.kill(victims)
        self.tally.kills[role] += 1
        self.tally.phases[f"{role}: {step or ('working' if self._works() else 'starting')}"] += 1
        if dies:
            self._driver.wait()
            self._driver = None
            self._orphans += everything

    def _finish(self):
        for _ in range(3):
            if self._driver is None:
                self._start("children")
            if self._driver.wait() == 0:
                break
            self.tally.n_given_up += 1
            self._driver = None

    def _judge(self):
        """Compare the finished sweep with what is true."""
        tally = self.tally
        results = sciflow.open_results(self.sweep)
        status = results.status()
        tally.n_undone = status["failed"] + status["missing"]
        table = results.to_dataframe()
        tally.saw.complain("n_duplicates", int(table.duplicated(["a", "b"]).sum()), "of one pair of values")
        self._ledger.read()
        tally.n_runs, tally.n_repeated = self._ledger.runs.total(), self._ledger.n_repeated
        if not processes.await_end(self._orphans):
            tally.n_left_running = sum(one.is_running() for one in self._orphans)


def right(table):
    """Whether each row has the values of its own parameters."""
    a, b = table["a"], table["b"]
    text = a.astype(str) + "-" + b.astype(str)
    return (table["product"] == a * b) & (table["base"] == 10 * a) & (table["text"] == text)


# ------------------------------------------------------------------------------------------ the table


def show(tally):
    kills = ", ".join(f"{n} {what}" for what, n in tally.kills.most_common())
    saw = tally.saw
    rows = [
        ("kills", f"{tally.kills.total()} ({kills})"),
        ("variants", f"{tally.n_variants:,}"),
        ("acknowledged and lost", saw.n_lost),
        ("duplicates in the dataset", saw.n_duplicates),
        ("wrong labels or values", saw.n_wrong),
        ("unreadable moments", f"{saw.n_unreadable} of {saw.n_looks} looks"),
        ("moments with fewer results than before", saw.n_shrunk),
        ("failed or missing at the end", tally.n_undone),
        ("drivers that gave up", tally.n_given_up),
        ("processes left running", tally.n_left_running),
        ("runs repeated", f"{tally.n_repeated:,} of {tally.n_runs:,} ({tally.n_repeated / tally.n_runs:.1%})"),
        ("time", f"{tally.seconds:.0f} s"),
    ]
    for name, value in rows:
        print(f"{name:40} {value}")
    print("\nkilled at")
    for phase, n in tally.phases.most_common():
        print(f"  {phase:38} {n}")
    for complaint in saw.complaints:
        print(complaint)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--ms", type=float, default=5.0, help="of computing per variant")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--schedule", action="store_true", help="print the schedule alone")
    given = parser.parse_args()
    if given.schedule:
        for shot in schedule(given.seed, given.kills):
            print(json.dumps(asdict(shot)))
        return
    folder = Path(tempfile.mkdtemp(prefix="sciflow-campaign-"))
    campaign = Campaign(folder, n_variants=given.variants, n_kills=given.kills, seed=given.seed, ms=given.ms)
    tally = campaign.run()
    if given.json:
        print(json.dumps({**vars(tally), "saw": asdict(tally.saw)}))
    else:
        show(tally)
    if not tally.is_clean:
        print(f"the sweep is kept in {folder}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
