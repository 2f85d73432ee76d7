"""What the sweep took: time, memory, how busy workers were, and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sciflow.analysis.advice import dependence
from sciflow.analysis.plots.run import busy_over_time
from sciflow.analysis.runs import PEAK_BYTES
from sciflow.figures.spec import parse_figure
from sciflow.quantities import render_bytes, render_count, render_seconds
from sciflow.report.blocks import Bullets, Facts, Paragraph, Table
from sciflow.report.figures import drawn
from sciflow.report.tables import LACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sciflow.report.blocks import Block
    from sciflow.report.material import Material


def effort(material: Material) -> Iterator[Block]:
    """Totals, the time of each task, and advice."""
    found = material.performance
    if not found.n_variants:
        yield Paragraph("Nothing has run yet.")
        return
    busy = busy_over_time(material.runs)
    took_s = found.variants.total_s + found.shared_s
    facts = [
        ("took", f"{render_seconds(took_s)} of computing on {render_count(found.n_workers, 'worker')} at a time"),
    ]
    if hours := float(material.metadata["core_hours"]):  # sessions tell when they end
        facts.append(("core-hours", f"{hours:.3g}: the cores of all workers, for as long as these were there"))
    if found.bottleneck is not None and len(found.tasks) > 1:
        share = max(task.share for task in found.tasks)
        facts.append(("bottleneck", f"{found.bottleneck}, with {share:.0%} of the time of all tasks"))
    if found.utilisation is not None:
        facts.append(("workers were busy", _busy(found.utilisation, busy)))
    if found.efficiency is not None:
        useful = f"{found.efficiency:.0%} of the workers' time went into results that count"
        facts.append(("grade", f"{found.grade}: {useful}" if found.grade else f"none, too short to judge: {useful}"))
    if found.cores_used is not None:
        facts.append(("cores used by a variant", f"{found.cores_used:.2g}: its CPU time over its wall time"))
    if found.peak_bytes:
        facts.append(("most memory of a worker", render_bytes(found.peak_bytes)))
    yield Facts(tuple(facts))
    yield Table(
        "Time by task",
        ("task", "runs", "total", "mean", "median", "95 % below", "share", "depends on"),
        tuple(
            (
                one.name,
                f"{one.n:,}",
                *(render_seconds(value) for value in (one.total_s, one.mean_s, one.median_s, one.p95_s)),
                f"{one.share:.0%}",
                dependence(one.effects) or LACK,
            )
            for one in found.tasks
        ),
        frozenset(range(1, 7)),
    )
    if found.advice:
        yield Paragraph("What stands out, and what would help:")
        yield Bullets(found.advice)
    yield from _figures(material, busy)


def _busy(utilisation: float, course: pd.DataFrame) -> str:
    """The share of the whole time, and, where that is another one, of the time that the figure shows."""
    busy, there = (float(course[name].to_numpy().sum()) for name in ("busy", "there"))
    shown = busy / there if there > 0 else utilisation
    whole = f"{utilisation:.0%} of the sessions' time, starting and ending included"
    same = f"{shown:.0%}" == f"{utilisation:.0%}"
    return whole if same else f"{whole}; {shown:.0%} between their first and last runs"


def _figures(material: Material, busy: pd.DataFrame) -> Iterator[Block]:
    runs = material.runs
    listed = pd.DataFrame(
        {name: runs[name].to_numpy() for name in ("worker", "session", "start_s", "runtime_s", "status")}
    )
    yield drawn(material, parse_figure("what each worker did when", {"type": "timeline"}), runs, listed)
    yield drawn(material, parse_figure("workers that were busy", {"type": "utilisation"}), runs, busy)
    if material.counts["done"] and material.parameters:
        yield drawn(material, parse_figure("time against parameters", {"type": "runtime"}), material.costs)
        if np.isfinite(material.costs[PEAK_BYTES].to_numpy()).any():
            yield drawn(material, parse_figure("memory against parameters", {"type": "memory"}), material.costs)
