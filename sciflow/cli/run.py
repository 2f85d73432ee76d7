"""Commands about a workflow: run it, plan it, validate it."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any

import click

from sciflow.cli.load import Loaded, ScriptError, Source, laid_over, load_workflow, run_script
from sciflow.cli.show import print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from sciflow.engine.engine import Engine
    from sciflow.planning.plan import Plan
    from sciflow.workflow.binding import Definition

FAILED_VARIANTS = 3
"""Exit code of a sweep that finished with failed variants."""

CLUSTERS = ("local", "inline")
ON_STALE = ("ask", "keep", "rerun", "error")

_file = click.argument("file")
_directory = click.option("--directory", metavar="DIR", help="Where sweeps are kept (default: sweeps).")
_verbose = click.option("-v", "--verbose", is_flag=True, help="Show the whole traceback of a script that fails.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _options_of_a_sweep(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `run` and `plan` share."""
    for option in reversed(
        (
            click.option("--only", metavar="QUERY", help="Only these variants, such as \"a < 3 and b == 'x'\"."),
            click.option("--retry-failed", is_flag=True, help="Also variants that failed in your code before."),
            click.option(
                "--on-stale",
                type=click.Choice(ON_STALE),
                help="Results that other code made: keep them, run them again, refuse, or ask (the default).",
            ),
            _directory,
            _verbose,
        )
    ):
        command = option(command)
    return command


@click.command(
    epilog="""\b
Examples:
  sciflow run examples/neural_network.py --now
  sciflow run study.py:cooling --workers 4 --only "temperature < 2"

Exit codes: 0 all done, 2 usage, 3 finished with failed variants, 1 other errors.
"""
)
@_file
@click.option("--cluster", type=click.Choice(CLUSTERS), help="Where variants run: worker processes, or this one.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of local worker processes.")
@click.option("--now", is_flag=True, help="Start at once, whatever the scheduling policy says.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and run nothing (as `sciflow plan`).")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@_options_of_a_sweep
def run(
    file: str,
    *,
    cluster: str | None,
    workers: int | None,
    now: bool,
    dry_run: bool,
    quiet: bool,
    only: str | None,
    retry_failed: bool,
    on_stale: str | None,
    directory: str | None,
    verbose: bool,
) -> None:
    """Run what is missing of the sweep in FILE.

    FILE is a Python script, run as `python FILE` would run it, with the options here in place of its own; if it
    only defines a workflow, that one is run. FILE:NAME runs one workflow of several.
    """
    source = Source.parse(file)
    options = _chosen(
        cluster=_cluster_for(cluster, workers),
        workers=workers,
        policy="immediate" if now else None,
        progress=False if quiet else None,
        directory=directory,
        on_stale=on_stale,
        only=only,
        retry_failed=retry_failed or None,
    )
    with laid_over(options), _whole_traceback(wanted=verbose):
        if dry_run:
            click.echo(str(_plan(load_workflow(source), only=only, retry_failed=retry_failed)))
            return
        ran, left = run_script(source) if source.name is None else ([], load_workflow(source))
        if left is not None:
            engine = left.engine or _new_engine()
            engine.execute_parameter_sweep(left.workflow)
            ran = [Loaded(left.workflow, engine)]
        failed = any(one.engine.plan(one.workflow).progress.n_failed for one in ran if one.engine)
    if failed:
        raise click.exceptions.Exit(FAILED_VARIANTS)


@click.command(
    epilog="""\b
Examples:
  sciflow plan examples/neural_network.py
  sciflow plan study.py --retry-failed --json
"""
)
@_file
@_json
@_options_of_a_sweep
def plan(
    file: str,
    *,
    as_json: bool,
    only: str | None,
    retry_failed: bool,
    on_stale: str | None,
    directory: str | None,
    verbose: bool,
) -> None:
    """Say what running FILE would run and why, without running it.

    A script is executed up to its first sweep.
    """
    with laid_over(_chosen(directory=directory, on_stale=on_stale)), _whole_traceback(wanted=verbose):
        planned = _plan(load_workflow(Source.parse(file)), only=only, retry_failed=retry_failed)
    if as_json:
        print_json(planned.to_dict())
    else:
        click.echo(str(planned))


@click.command(
    epilog="""\b
Examples:
  sciflow validate examples/neural_network.py
  sciflow validate study.py:cooling --json
"""
)
@_file
@_json
@_verbose
def validate(file: str, *, as_json: bool, verbose: bool) -> None:
    """Check the workflow in FILE, and show where each argument comes from.

    A script is executed up to its first sweep.
    """
    with _whole_traceback(wanted=verbose):
        definition = load_workflow(Source.parse(file)).workflow.validate()
    if as_json:
        print_json(definition.to_dict())
        return
    space = definition.space
    click.echo(f"{definition.name} is valid: {space.n_variants:,} variants of {', '.join(space.names) or 'nothing'}")
    for line in _steps(definition):
        click.echo(line)


def _steps(definition: Definition) -> Iterator[str]:
    from sciflow.workflow.binding import FromContext, FromOutput, FromParameter, FromTask  # noqa: PLC0415  loads NumPy

    for step in definition.steps:
        yield f"  {step.task.name}"
        for argument in step.arguments:
            match argument.source:
                case FromParameter(name=name):
                    source = f"parameter {name}"
                case FromTask(task=task):
                    source = f"what {task} returns"
                case FromOutput(task=task, output=output):
                    source = f"output {output} of {task}"
                case FromContext():
                    source = "the context of the run"
                case upstream:
                    source = f"what {' or '.join(upstream.tasks)} returns (seen at the first variant)"
            yield f"    {argument.name} <- {source}"


def _chosen(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _cluster_for(cluster: str | None, workers: int | None) -> str | None:
    if workers is not None and cluster == "inline":
        raise click.UsageError("--workers is for --cluster local; inline runs in this process alone")
    return "local" if workers is not None else cluster


def _new_engine() -> Engine:
    from sciflow.engine.engine import Engine  # noqa: PLC0415  `sciflow --help` does without NumPy

    return Engine()


def _plan(loaded: Loaded, *, only: str | None, retry_failed: bool) -> Plan:
    engine = loaded.engine or _new_engine()
    return engine.plan(loaded.workflow, only=only, retry_failed=retry_failed)


@contextlib.contextmanager
def _whole_traceback(*, wanted: bool) -> Generator[None]:
    try:
        yield
    except ScriptError as error:
        if wanted:
            traceback.print_exception(error.__cause__)
        raise
