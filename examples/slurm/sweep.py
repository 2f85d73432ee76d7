"""Where electrons stop: level spacings of the Anderson model on a cubic lattice, from weak to strong disorder.

Levels of extended states repel each other, those of localised states do not: the mean ratio of neighbouring spacings
goes from 0.5307 (random matrices) to 2 ln 2 - 1 = 0.3863 (Poisson), and crosses over near a disorder of 16.5. Lattices
are built by workers with one core and diagonalised by workers with two, in jobs of their own. See README.md.
"""

from __future__ import annotations

import numpy as np

import sciflow

EXTENDED, LOCALISED = 0.5307, 2 * np.log(2) - 1


def lattice(size: int) -> dict[str, np.ndarray]:
    """Hops between neighbours on a cube with periodic boundaries."""
    ring = np.eye(size, k=1) + np.eye(size, k=size - 1)
    ring, one = ring + ring.T, np.eye(size)
    along = [(ring, one, one), (one, ring, one), (one, one, ring)]
    return {"hops": np.sum([np.kron(np.kron(a, b), c) for a, b, c in along], axis=0)}


def levels(hops: np.ndarray, disorder: float, context: sciflow.TaskContext) -> dict[str, float]:
    """Mean ratio of neighbouring level spacings in the middle half of the spectrum."""
    energies = context.rng.uniform(-disorder / 2, disorder / 2, len(hops))
    spectrum = np.linalg.eigvalsh(hops + np.diag(energies))
    spacings = np.diff(spectrum[len(hops) // 4 : -len(hops) // 4])
    pairs = np.sort([spacings[:-1], spacings[1:]], axis=0)
    return {"ratio": float(np.mean(pairs[0] / pairs[1]))}


workflow = sciflow.ExperimentalWorkflow("anderson")
workflow.add_task("lattice", lattice, deterministic=True)
workflow.add_task("levels", levels, ["lattice"], timeout="10 min")
workflow.add_parameter_space({"size": [4, 6, 8], "disorder": [6.0, 11.0, 16.5, 25.0, 40.0]})
workflow.add_parameter_space(sciflow.Replicates(8))
workflow.set_resource_requirements({"lattice": {"cpu_cores": 1}, "levels": {"cpu_cores": 2, "memory_gb": 1}})

if __name__ == "__main__":
    results = sciflow.Engine("slurm").execute_parameter_sweep(workflow)
    ratio = results.dataset.ratio.mean("replicate")
    print(ratio.to_pandas().round(3), f"\nextended {EXTENDED:.3f}, localised {LOCALISED:.3f}")
    print(sciflow.create_reproducibility_package(workflow, results).export("."))
