"""``sciflow tasks``: the steps of a workflow, how often each runs, what it asks for and what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from sciflow.cli.options import directory_option, examples, json_option, sweep_argument
from sciflow.cli.show import print_json
from sciflow.cli.sweeps import find_sweep, is_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sciflow.analysis.performance import Performance

_HEAD: Final = ("task", "after", "one run for each", "asks for")


@click.command(epilog=examples("sciflow tasks examples/neural_network.py", "sciflow tasks ising --json"))
@sweep_argument
@directory_option
@json_option
def tasks(sweep: str, *, directory: str | None, as_json: bool) -> None:
    """List the tasks: what each needs and how often it runs; of a sweep, what it took too.

    SWEEP is a sweep directory, its name under sweeps/, or a script, which is executed up to its first sweep.
    """
    definition, evaluations, took = _of_script(sweep) if is_script(sweep) else _of_sweep(sweep, directory)
    if as_json:
        print_json(_plain(definition, evaluations, took))
        return
    click.echo(f"{definition['name']}: {len(definition['tasks'])} tasks")
    for line in _table(_HEAD, [_row(task, definition, evaluations) for task in definition["tasks"]]):
        click.echo(line)
    if took is not None and took.n_variants:
        click.echo(str(took))


def _of_script(text: str) -> tuple[Mapping[str, Any], Mapping[str, int], None]:
    from sciflow.cli.load import Source, load_workflow  # noqa: PLC0415  `sciflow --help` does without them
    from sciflow.planning.sharing import Sharing  # noqa: PLC0415  same

    bound = load_workflow(Source.parse(text)).workflow.validate()
    return bound.to_dict(), Sharing.of(bound).n_evaluations, None


def _of_sweep(text: str, directory: str | None) -> tuple[Mapping[str, Any], Mapping[str, int], Performance]:
    from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas and xarray

    results = open_results(find_sweep(text, directory))
    return results.metadata["definition"], {}, results.performance()


def _plain(definition: Mapping[str, Any], evaluations: Mapping[str, int], took: Performance | None) -> dict[str, Any]:
    resources, times = definition.get("resources", {}), {} if took is None else took.to_dict()["tasks"]
    return {
        "workflow": definition["name"],
        "tasks": [
            {
                **task,
                "resources": resources.get(task["name"]),
                "evaluations": evaluations.get(task["name"]),
                "took": times.get(task["name"]),
            }
            for task in definition["tasks"]
        ],
    }


def _row(task: Mapping[str, Any], definition: Mapping[str, Any], evaluations: Mapping[str, int]) -> tuple[str, ...]:
    footprint = ", ".join(task["footprint"]) or "sweep"
    if n := evaluations.get(task["name"]):
        footprint += f" ({n:,})"
    asked = "; ".join(_asked(task, definition.get("resources", {}).get(task["name"])))
    return task["name"], ", ".join(task["depends_on"]) or "-", footprint, asked


def _asked(task: Mapping[str, Any], resources: Mapping[str, Any] | None) -> Iterator[str]:
    """What a task asks for, in a few words each."""
    from sciflow.quantities import render_seconds  # noqa: PLC0415  as above
    from sciflow.workflow.resources import Resources  # noqa: PLC0415  same

    yield str(Resources(**(resources or {})))
    if "timeout_s" in task:
        yield f"at most {render_seconds(task['timeout_s'])} an attempt"
    if "retry" in task:
        yield f"{task['retry']['attempts']} attempts"
    if task.get("cache"):
        yield "what it returns is kept"
    if "over" in task:
        yield f"once for all of {', '.join(task['over'])}"
    if "condition" in task:
        yield f"only if {task['condition'].get('text') or task['condition']['function']}"
    if "fallback" in task:
        instead = task["fallback"].get("value") or task["fallback"].get("function")
        yield f"if it fails {instead}" if instead else "a variant goes on without it"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    columns = [[name, *(row[k] for row in rows)] for k, name in enumerate(head)]
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
