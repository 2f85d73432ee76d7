"""SIGKILLs at random instants over one sweep, with a reader that looks all the while.

    python benchmarks/kill_campaign.py                                     200 kills over 20,000 variants
    python benchmarks/kill_campaign.py --variants 1000 --kills 20 --seed 7

Each kill hits the driver, one worker, a nanny (where Dask has taken over), or all of them at once, as a lost node
does; a driver that died is started again. Tasks note every run in a ledger outside the sweep, so that what ran, what
was committed and what a reader saw can be compared. The schedule follows the seed; what it hits depends on timing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

import sciflow

SWEEP = """
import os, sys, time
import sciflow

MS, N_A, N_B, DASK_AFTER_S = {ms}, {n_a}, {n_b}, float(sys.argv[1])

def base(a):
    with open("shared-ledger", "ab", buffering=0) as ledger:
        ledger.write(f"{{a}}\\n".encode())
    return 10 * a

def work(base, a, b):
    end = time.perf_counter() + MS / 1000
    while time.perf_counter() < end:
        pass
    with open("ledger", "ab", buffering=0) as ledger:
        ledger.write(f"{{a}} {{b}}\\n".encode())
    return {{"product": a * b, "base": base, "text": f"{{a}}-{{b}}"}}

workflow = sciflow.ExperimentalWorkflow("campaign")
workflow.add_task("base", base)
workflow.add_task("work", work, ["base"])
workflow.add_parameter_space({{"a": range(N_A), "b": range(N_B)}})
cluster = sciflow.LocalCluster(workers=2, dask_after_s=DASK_AFTER_S)
status = sciflow.Engine(cluster, progress=False).execute_parameter_sweep(workflow).status()
print(status)
"""

VICTIMS = {"worker": 5, "driver": 3, "everything": 2}
"""How often each is chosen; a nanny is a worker's parent, and chosen as a worker."""

LONGEST_S = 0.9
"""A kill comes at most this long after work goes on."""


@dataclass
class Tally:
    """What the campaign saw."""

    kills: Counter[str] = field(default_factory=Counter)
    n_polls: int = 0
    n_lost: int = 0
    n_duplicates: int = 0
    n_wrong: int = 0
    n_unreadable: int = 0
    n_shrunk: int = 0
    n_failed: int = 0
    n_runs: int = 0
    n_variants: int = 0
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def is_clean(self):
        """Whether nothing went wrong."""
        return not (
            self.n_lost or self.n_duplicates or self.n_wrong or self.n_unreadable or self.n_shrunk or self.n_failed
        )


class Reader(threading.Thread):
    """Opens the sweep again and again, and compares what it sees with what it saw and with what is true."""

    def __init__(self, path, tally, every_s):
        super().__init__(daemon=True)
        self._path, self._tally, self._every_s = path, tally, every_s
        self._seen = None
        self._over = threading.Event()

    def run(self):
        """Look until told to stop."""
        while not self._over.wait(self._every_s):
            if (self._path / "definition" / "000001.json").exists():
                self.look()

    def look(self):
        """Look once."""
        tally = self._tally
        tally.n_polls += 1
        try:
            dataset = sciflow.open_results(self._path).dataset.load()
        except Exception as error:  # noqa: BLE001  whatever a reader meets is what the campaign looks for
            tally.n_unreadable += 1
            tally.complaints.append(f"{type(error).__name__}: {error}")
            return
        done = (dataset["status"] == "done").values
        if self._seen is not None:
            gone = int((self._seen & ~done).sum())
            tally.n_lost += gone
            tally.n_shrunk += int(done.sum() < self._seen.sum())
        self._seen = done
        if done.any():
            tally.n_wrong += wrong(dataset, done)

    def stop(self):
        """End, with a last look."""
        self._over.set()
        self.join()
        self.look()


def wrong(dataset, done):
    """How many cells hold anything but the values of their own parameters."""
    a, b = np.meshgrid(dataset["a"], dataset["b"], indexing="ij")
    text = np.char.add(np.char.add(a.astype(str), "-"), b.astype(str))
    right = (dataset["product"].values == a * b) & (dataset["base"].values == 10 * a)
    right &= dataset["text"].values.astype(str) == text
    return int((~right & done).sum())


def victims_of(driver):
    """The processes of a sweep: workers (children, nannies and what they started) of the driver."""
    with contextlib.suppress(psutil.Error):
        return [p for p in psutil.Process(driver.pid).children(recursive=True) if not _is_helper(p)]
    return []


def _is_helper(process):
    with contextlib.suppress(psutil.Error):
        return any(word in " ".join(process.cmdline()) for word in ("resource_tracker", "sciflow.store"))
    return True


def kill(driver, chosen, chance):
    """Kill what was chosen; say what was hit, or nothing."""
    workers = victims_of(driver)
    if chosen == "worker":
        if not workers:
            return ""
        targets = [chance.choice(workers)]
    else:
        targets = [psutil.Process(driver.pid), *(workers if chosen == "everything" else [])]
    for target in targets:
        with contextlib.suppress(psutil.Error):
            target.kill()
    if chosen != "worker":
        driver.wait()
        psutil.wait_procs(workers, timeout=10)
    return chosen


def n_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def campaign(folder, *, n_variants, n_kills, seed, every_s=0.5):
    """Run one campaign in an empty folder."""
    n_a = max(1, n_variants // 100)
    n_b = n_variants // n_a
    ms = max(1.0, n_kills * LONGEST_S / n_variants * 1000)
    (folder / "sweep.py").write_text(SWEEP.format(ms=ms, n_a=n_a, n_b=n_b))
    chance = random.Random(seed)
    tally = Tally(n_variants=n_a * n_b)
    path = folder / "sweeps" / "campaign"
    reader = Reader(path, tally, every_s)
    reader.start()
    begun = time.monotonic()
    n_hits = 0
    driver = None
    while n_hits < n_kills:
        if driver is None or driver.poll() is not None:
            if driver is not None and driver.returncode == 0:
                break  # done before the last kill
            before = n_lines(folder / "ledger")
            dask_after_s = chance.choice(["1000", "0.3"])
            driver = subprocess.Popen([sys.executable, "sweep.py", dask_after_s], cwd=folder, stdout=subprocess.PIPE)
            # kill during the work as a rule, and while it starts now and then
            patience = time.monotonic() + (60 if chance.random() < 0.9 else chance.uniform(0, 1))
            while n_lines(folder / "ledger") == before and driver.poll() is None and time.monotonic() < patience:
                time.sleep(0.02)
        time.sleep(chance.uniform(0, LONGEST_S))
        (chosen,) = chance.choices(list(VICTIMS), list(VICTIMS.values()))
        if driver.poll() is None and kill(driver, chosen, chance):
            tally.kills[chosen] += 1
            n_hits += 1
    if driver is not None and driver.poll() is None:
        driver.wait()
    if driver is None or driver.returncode:
        subprocess.run([sys.executable, "sweep.py", "1000"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    reader.stop()
    tally.seconds = time.monotonic() - begun
    judge(path, folder, tally)
    return tally


def judge(path, folder, tally):
    """Compare the finished sweep with what is true."""
    results = sciflow.open_results(path)
    status = results.status()
    tally.n_failed = status["failed"] + status["missing"]
    table = results.to_dataframe()
    tally.n_duplicates = int(table.index.duplicated().sum()) + int(table.duplicated(["a", "b"]).sum())
    runs = Counter((folder / "ledger").read_text().split("\n"))
    tally.n_runs = sum(runs.values())


def show(tally):
    kills = ", ".join(f"{n} {what}" for what, n in sorted(tally.kills.items()))
    rows = [
        ("kills", f"{sum(tally.kills.values())} ({kills})"),
        ("variants", f"{tally.n_variants:,}"),
        ("committed and lost", tally.n_lost),
        ("duplicates in the dataset", tally.n_duplicates),
        ("wrong labels or values", tally.n_wrong),
        ("unreadable moments", f"{tally.n_unreadable} of {tally.n_polls} looks"),
        ("moments with fewer results than before", tally.n_shrunk),
        ("failed or missing at the end", tally.n_failed),
        ("runs repeated", f"{tally.n_runs - tally.n_variants:,} ({(tally.n_runs / tally.n_variants - 1):.1%})"),
        ("time", f"{tally.seconds:.0f} s"),
    ]
    for name, value in rows:
        print(f"{name:40} {value}")
    for complaint in tally.complaints[:5]:
        print(" ", complaint)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = campaign(Path(folder), n_variants=given.variants, n_kills=given.kills, seed=given.seed)
    if given.json:
        print(json.dumps(vars(tally)))
    else:
        show(tally)
    sys.exit(not tally.is_clean)


if __name__ == "__main__":
    main()
