"""Advice: what would make a sweep faster or cheaper, in plain sentences; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sciflow.quantities import render_bytes, render_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sciflow.analysis.performance import TaskTimes
    from sciflow.planning.costfit import Effect

SHORT_S: Final = 0.01
"""Of variants shorter than this the CPU time of their process says nothing."""

WORTH_S: Final = 10.0
"""Of the workers' time: in less there is nothing to gain."""

_MOST_TIME, _IDLE, _NOTICEABLE = 0.5, 0.25, 0.05
_WAITS, _SEVERAL_CORES = 0.5, 1.5
_FEW_PER_WORKER = 4
_UNEVEN = 5.0  # one in twenty takes this many times the median
_MUCH_BYTES = 1 << 30
_LAW = 0.25  # below this an exponent says less than the factor
_STRONG, _LARGE = 0.1, 1.5  # share of the differences, and factor, from which an effect is told


@dataclass(frozen=True, slots=True)
class Advice:
    """What advice is given on: a part of a `Performance`, and what it does not show.

    Parameters
    ----------
    worker_s : the workers' time
    alone_share : of the workers' time, what they waited at the end for others to finish, in [0, 1]
    in_tasks : of the time of batches, what was spent in tasks
    longest_s : the longest variant
    cores_asked : most cores that a task asks for
    """

    n_variants: int
    n_workers: int
    tasks: Sequence[TaskTimes]
    variants: TaskTimes
    utilisation: float | None
    worker_s: float
    alone_share: float
    in_tasks: float
    longest_s: float
    cores_used: float | None
    cores_asked: int
    peak_bytes: int | None
    memory_effects: Sequence[Effect]
    n_superseded: int
    superseded_s: float
    n_failed: int
    failed_s: float


def advise(facts: Advice) -> Iterator[str]:
    """What stands out, and what would help, the most important first; nothing where nothing does."""
    if not facts.n_variants:
        return
    for rule in (*_FINDINGS, *(_REMEDIES if facts.worker_s >= WORTH_S else ())):
        yield from rule(facts)


def dependence(effects: Sequence[Effect]) -> str:
    """What a cost depends on, in a few words: ``size^2.1, optimizer (4-fold)``; empty where nothing is known."""
    return ", ".join(
        _law(effect.parameter, effect.exponent)
        if effect.exponent is not None and abs(effect.exponent) >= _LAW
        else f"{effect.parameter} ({effect.factor:.2g}-fold)"
        for effect in strong(effects)
    )


def strong(effects: Sequence[Effect]) -> list[Effect]:
    """The effects that are worth telling."""
    return [effect for effect in effects if effect.share >= _STRONG and effect.factor >= _LARGE]


def _law(parameter: str, exponent: float) -> str:
    power = f"{exponent:.1f}".removesuffix(".0")
    return parameter if power == "1" else f"{parameter}^{power}"


def _growth(effects: Sequence[Effect]) -> str:
    told = strong(effects)
    if not told:
        return ""
    first = told[0]
    if first.exponent is not None and abs(first.exponent) >= _LAW:
        return f"its time goes with {_law(first.parameter, first.exponent)}"
    return f"its time differs {first.factor:.2g}-fold between values of {first.parameter}"


def _bottleneck(facts: Advice) -> Iterator[str]:
    task = max(facts.tasks, key=lambda one: one.total_s)
    growth = _growth(task.effects)
    if len(facts.tasks) > 1 and task.share >= _MOST_TIME:
        yield f"{task.name} takes {task.share:.0%} of the time" + (f"; {growth}" if growth else "")
    elif growth:
        yield f"{task.name}: {growth}"


def _idle(facts: Advice) -> Iterator[str]:
    if facts.utilisation is None or facts.n_workers < 2 or 1 - facts.utilisation < _IDLE:
        return
    idle = 1 - facts.utilisation
    text = f"workers were idle {idle:.0%} of the time"
    if facts.n_variants < _FEW_PER_WORKER * facts.n_workers:
        yield (
            f"{text}: {facts.n_variants:,} variants are too few for {facts.n_workers:,} workers; fewer workers would "
            "do it in about the same time"
        )
    elif facts.alone_share >= idle / 2:
        yield (
            f"{text}, mostly at the end, when the last variants still ran (the longest took "
            f"{render_seconds(facts.longest_s)}); split or shorten the longest, or use fewer workers"
        )
    else:
        yield f"{text}: starting, waiting for shared runs, or pauses of the schedule; fewer workers would wait less"


def _overhead(facts: Advice) -> Iterator[str]:
    if facts.in_tasks < 1 - _IDLE and facts.variants.median_s < SHORT_S:
        yield (
            f"{1 - facts.in_tasks:.0%} of the work is starting and recording variants of "
            f"{render_seconds(facts.variants.median_s)}; do more in each"
        )


def _cores(facts: Advice) -> Iterator[str]:
    if facts.cores_used is None or facts.variants.mean_s < SHORT_S:
        return
    if facts.cores_used < _WAITS:
        yield (
            f"variants use {facts.cores_used:.1g} of a core: they wait (for files, the network, other programs); "
            "more workers than cores would help"
        )
    elif facts.cores_used > _SEVERAL_CORES * facts.cores_asked:
        asked = f"ask for {facts.cores_asked}" if facts.cores_asked > 1 else "are given one each"
        yield (
            f"variants use {facts.cores_used:.1f} cores and {asked}: workers compete; say so with "
            f"set_resource_requirements({{...: {{'cpu_cores': {round(facts.cores_used)}}}}})"
        )


def _shared(facts: Advice) -> Iterator[str]:
    for task in facts.tasks:
        if len(facts.tasks) > 1 and 0 < task.n <= facts.n_variants / 2:
            times = "once" if task.n == 1 else f"{task.n:,} times"
            yield f"{task.name} is evaluated {times} for {facts.n_variants:,} variants"


def _waste(facts: Advice) -> Iterator[str]:
    total_s = facts.variants.total_s
    if total_s <= 0:
        return
    if facts.n_superseded and facts.superseded_s >= _NOTICEABLE * total_s:
        yield (
            f"{facts.superseded_s / total_s:.0%} of the time went into {facts.n_superseded:,} results that later ones "
            "replaced (code that changed, retries, or workers that were lost)"
        )
    if facts.n_failed and facts.failed_s >= _NOTICEABLE * total_s:
        yield (
            f"{facts.failed_s / total_s:.0%} of the time went into {facts.n_failed:,} variants that failed; "
            "see results.failures()"
        )


def _uneven(facts: Advice) -> Iterator[str]:
    task = max(facts.tasks, key=lambda one: one.total_s)
    if task.n >= 20 and task.p95_s >= _UNEVEN * task.median_s and not task.effects and task.p95_s >= SHORT_S:
        yield (
            f"one run of {task.name} in twenty takes {task.p95_s / task.median_s:.0f} times the median, and no "
            "parameter explains it: chance, or a machine with other work"
        )


def _memory(facts: Advice) -> Iterator[str]:
    if not facts.peak_bytes or facts.peak_bytes < _MUCH_BYTES:
        return
    on = dependence(facts.memory_effects)
    yield f"a worker takes up to {render_bytes(facts.peak_bytes)} of memory" + (f", which goes with {on}" if on else "")


_FINDINGS: Final = (_bottleneck, _shared)
_REMEDIES: Final = (_idle, _overhead, _cores, _waste, _uneven, _memory)
