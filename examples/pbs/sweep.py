"""When water gets through: site percolation on a square lattice.

A site is open with a probability; whether open sites connect the top with the bottom depends on it ever more sharply as
the lattice grows, and in the limit on whether it exceeds 0.5927. See README.md.
"""

from __future__ import annotations

from scipy import ndimage

import sciflow


def percolate(size: int, probability: float, context: sciflow.TaskContext) -> dict[str, bool | float]:
    """Whether a cluster of open sites spans the lattice, and the share of sites in the largest one."""
    is_open = context.rng.random((size, size)) < probability
    clusters, n = ndimage.label(is_open)
    spanning = set(clusters[0]) & set(clusters[-1]) - {0}
    largest = ndimage.sum_labels(is_open, clusters, range(1, n + 1)).max() if n else 0
    return {"spans": bool(spanning), "largest": float(largest / size**2)}


workflow = sciflow.ExperimentalWorkflow("percolation")
workflow.add_task("percolate", percolate, timeout="10 min")
workflow.add_parameter_space({"size": [32, 128, 512], "probability": [0.50, 0.55, 0.59, 0.60, 0.65]})
workflow.add_parameter_space(sciflow.Replicates(16))

if __name__ == "__main__":
    results = sciflow.Engine("pbs").execute_parameter_sweep(workflow)
    print(results.dataset.spans.mean("replicate").to_pandas())
    print(sciflow.create_reproducibility_package(workflow, results).export("."))
