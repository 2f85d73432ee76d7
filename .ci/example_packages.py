"""Small sweeps of every kind that a package tells apart, run and packed; usage: python example_packages.py FOLDER."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import numpy as np
import sciflow


def grid(n):
    return {"x": np.linspace(0.0, 1.0, n)}


def wave(x, frequency, noisy, context):
    if frequency == 3:
        raise ValueError("three is too many")
    context.artifact("note.txt").write_text(f"frequency {frequency}")
    field = np.sin(frequency * np.pi * np.linspace(0.0, 1.0, 50))
    noise = context.rng.normal(size=50) if noisy else 0.0
    return {"energy": float((field**2).mean()), "field": field + noise, "samples": x, "label": f"f{frequency}"}


workflow = sciflow.ExperimentalWorkflow("waves", seed=5)
workflow.add_task("grid", grid)
workflow.add_task("wave", wave, depends_on=["grid"], units={"energy": "J"})
workflow.add_input("input.csv")
workflow.add_parameter_space({"n": [4, 8], "frequency": [1, 2, 3], "noisy": [True, False]})
workflow.add_visualization(
    "energies", {"type": "heatmap", "x_axis": "frequency", "y_axis": "n", "value": "energy"}
)
results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
"""
MANY = """
import sciflow


def square(x):
    return {"y": x * x}


workflow = sciflow.ExperimentalWorkflow("many", seed=1)
workflow.add_task("square", square)
workflow.add_parameter_space({"x": range(600)})
results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
"""
LOCK = Path(__file__).parents[1] / "requirements-dev.txt"


def main(folder: Path) -> None:
    """Write the packages to *folder*."""
    project = folder / "project"
    project.mkdir(parents=True)
    (project / "waves.py").write_text(SCRIPT)
    (project / "many.py").write_text(MANY)
    (project / "input.csv").write_text("a,b\n1,2\n")
    # hashes come from the lock file of a project
    (project / "requirements-dev.txt").write_bytes(LOCK.read_bytes())
    identity = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        run(["git", *command], project, identity)
    (project / "waves.py").write_text(SCRIPT + "# changed since the commit\n")
    for script in ("waves.py", "many.py"):
        run([sys.executable, script], project)
    told = ["--license", "CC-BY-4.0", "--author", "Ada Lovelace (University of London)", "--author", "Plato"]
    sciflow = [sys.executable, "-m", "sciflow.cli.main", "package"]
    for sweep, name, options in (
        ("waves", "waves", told),
        ("waves", "waves_anonymous", ["--anonymise", "--title", "Waves, for a review"]),
        ("waves", "waves_code", [*told, "--what", "code"]),
        ("waves", "waves_results", [*told, "--what", "results", "--variants", "frequency < 3 and noisy"]),
        ("many", "many", told),
    ):
        command = [*sciflow, sweep, "--name", name, "-o", str(folder), *options]
        run(command, project)


def run(command: list[str], folder: Path, variables: dict[str, str] | None = None) -> None:
    """Run it there; whatever goes wrong is an error."""
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, **(variables or {})})  # noqa: S603  our own


if __name__ == "__main__":
    main(Path(sys.argv[1]))
