"""What was asked: the workflow, its tasks, and the space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from sciflow.analysis.grouping import REPLICATE
from sciflow.quantities import render_count
from sciflow.report.blocks import Bullets, Facts, Flow, Paragraph, Table
from sciflow.report.tables import LACK, TIMES, span_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sciflow.report.blocks import Block
    from sciflow.report.material import Material

_MOST: Final = 40  # tasks, and parameters


def question(material: Material) -> Iterator[Block]:
    """The workflow: what its tasks do, and what was wanted of them."""
    definition = material.definition
    tasks: Sequence[Mapping[str, Any]] = definition.get("tasks", ())
    if definition.get("description"):
        yield Paragraph(str(definition["description"]))
    yield Paragraph(
        f"The workflow {material.workflow} has {render_count(len(tasks), 'task')}; it was run for every variant of "
        "the space below, and what its tasks return was recorded."
    )
    if len(tasks) > 1:
        yield Flow("Tasks in the order in which they run", stages(tasks[:_MOST]))
    yield Table(
        "Tasks",
        ("task", "function", "runs after", "depends on parameters"),
        tuple(
            (
                str(task["name"]),
                str(task.get("function", LACK)),
                ", ".join(task.get("depends_on", ())) or LACK,
                ", ".join(task["footprint"]) or "none: shared by all variants" if "footprint" in task else LACK,
            )
            for task in tasks[:_MOST]
        ),
        note=f"The first {_MOST} of {len(tasks)} tasks." if len(tasks) > _MOST else "",
    )
    if criteria := definition.get("criteria"):
        yield Paragraph("A variant counts as a success if:")
        yield Bullets(tuple(f"{one['metric']} {one['relation']} {one['limit']:g}" for one in criteria))


def stages(tasks: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    """Tasks by how many others must run before them, one after the other."""
    depth: dict[str, int] = {}
    for task in tasks:  # a definition lists tasks after those they depend on
        before = [depth[name] for name in task.get("depends_on", ()) if name in depth]
        depth[task["name"]] = 1 + max(before, default=-1)
    n = 1 + max(depth.values(), default=-1)
    return tuple(tuple(name for name, place in depth.items() if place == k) for k in range(n))


def space(material: Material) -> Iterator[Block]:
    """The parameters, their values, and how many variants they make."""
    values = {name: material.values(name) for name in material.parameters}
    total = sum(material.counts.values())
    product = math.prod(max(1, len(found)) for found in values.values())
    facts = [("variants", f"{total:,}")]
    if not values:
        facts.append(("form", "a single variant without parameters"))
    elif product == total:
        lengths = f" {TIMES} ".join(f"{len(found):,}" for found in values.values())
        facts.append(("form", f"every combination of the values: {lengths}"))
    else:
        facts.append(("form", f"chosen combinations, of {product:,} that the values would make"))
    if REPLICATE in values:
        facts.append(("replicates", f"{len(values[REPLICATE]):,} of each, with random numbers of their own"))
    yield Facts(tuple(facts))
    if values:
        names = list(values)[:_MOST]
        yield Table(
            "Parameters",
            ("parameter", "unit", "n", "values"),
            tuple(
                (name, material.unit(name) or LACK, text_of(len(values[name])), span_of(values[name])) for name in names
            ),
            frozenset({2}),
            f"The first {_MOST} of {len(values)} parameters." if len(values) > _MOST else "",
        )
