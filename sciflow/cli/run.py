"""Commands about a workflow: run it, plan it, run again what failed, validate it."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any, get_args

import click

from sciflow.cli.load import Loaded, ScriptError, Source, laid_over, load_workflow, run_script
from sciflow.cli.options import (
    EXIT_CODES,
    FAILED_VARIANTS,
    directory_option,
    examples,
    file_argument,
    json_option,
    verbose_option,
)
from sciflow.cli.show import print_json
from sciflow.cli.sweeps import script_of
from sciflow.quantities import render_count
from sciflow.running.failure import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from sciflow.engine.engine import Engine
    from sciflow.planning.plan import Plan
    from sciflow.workflow.binding import Definition

CLUSTERS = ("local", "inline", "slurm", "pbs")
ON_STALE = ("ask", "keep", "rerun", "error")


def _options_of_a_sweep(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `run`, `plan` and `retry` share."""
    for option in reversed(
        (
            click.option("--only", metavar="QUERY", help="Only these variants, such as \"a < 3 and b == 'x'\"."),
            click.option(
                "--on-stale",
                type=click.Choice(ON_STALE),
                help="Results that other code made: keep them, run them again, refuse, or ask (the default).",
            ),
            directory_option,
            verbose_option,
        )
    ):
        command = option(command)
    return command


def _where_and_when(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `run`, `retry` and `plan` share."""
    for option in reversed(
        (
            click.option(
                "--cluster", type=click.Choice(CLUSTERS), help="Worker processes here, this process, or jobs."
            ),
            click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of workers."),
            click.option("--now", is_flag=True, help="Start at once, whatever the scheduling policy says."),
        )
    ):
        command = option(command)
    return command


def _options_of_a_run(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `run` and `retry` share."""
    for option in reversed(
        (
            _where_and_when,
            click.option("--dry-run", is_flag=True, help="Say what would run, and run nothing."),
            click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
        )
    ):
        command = option(command)
    return command


_retry_failed = click.option("--retry-failed", is_flag=True, help="Also variants that failed in your code before.")
_force = click.option("--force", is_flag=True, help="Run everything again; the newest result counts.")


@click.command(
    epilog=examples(
        "sciflow run examples/neural_network.py --now",
        'sciflow run study.py:cooling --workers 4 --only "temperature < 2"',
        after=EXIT_CODES,
    )
)
@file_argument
@_options_of_a_run
@_retry_failed
@_force
@_options_of_a_sweep
def run(
    file: str,
    *,
    cluster: str | None,
    workers: int | None,
    now: bool,
    dry_run: bool,
    quiet: bool,
    retry_failed: bool,
    force: bool,
    only: str | None,
    on_stale: str | None,
    directory: str | None,
    verbose: bool,
) -> None:
    """Run what is missing of the sweep in FILE.

    FILE is a Python script, run as `python FILE` would run it, with the options here in place of its own; if it
    only defines a workflow, that one is run. FILE:NAME runs one workflow of several.
    """
    options = chosen_options(
        **engine_options(cluster, workers, now=now, quiet=quiet, directory=directory, on_stale=on_stale),
        only=only,
        retry_failed=retry_failed or None,
        force=force or None,
    )
    _run(Source.parse(file), options, dry_run=dry_run, verbose=verbose)


@click.command(
    epilog=examples(
        "sciflow retry neural_network_training --failed",
        'sciflow retry study.py --failed --cause timeout --only "size > 64"',
        after=EXIT_CODES,
    )
)
@click.argument("sweep_or_file")
@click.option("--failed", is_flag=True, help="Variants that failed (the default: nothing else is run again).")
@click.option(
    "--cause",
    "causes",
    multiple=True,
    type=click.Choice(get_args(Cause)),
    metavar="CAUSE",
    help=f"Only those that failed so; may be given several times: {', '.join(get_args(Cause))}.",
)
@_options_of_a_run
@_options_of_a_sweep
def retry(
    sweep_or_file: str,
    *,
    failed: bool,  # noqa: ARG001  says what is meant; there is nothing else yet
    causes: tuple[str, ...],
    cluster: str | None,
    workers: int | None,
    now: bool,
    dry_run: bool,
    quiet: bool,
    only: str | None,
    on_stale: str | None,
    directory: str | None,
    verbose: bool,
) -> None:
    """Run again what failed, and what is missing.

    SWEEP_OR_FILE is the script that makes the sweep, or the sweep (a directory, or its name under sweeps/) if the
    script is still where it was.
    """
    source, found_in, workflow = script_of(sweep_or_file, directory)
    options = chosen_options(
        **engine_options(cluster, workers, now=now, quiet=quiet, directory=found_in or directory, on_stale=on_stale),
        only=only,
        retry_failed=True,
        causes=causes or None,
    )
    _run(source, options, dry_run=dry_run, verbose=verbose, only_for=workflow)


@click.command(
    epilog=examples(
        "sciflow plan examples/neural_network.py",
        "sciflow plan study.py --pilot 8",
        "sciflow plan study.py --cluster slurm",
        "sciflow plan study.py --retry-failed --json",
    )
)
@file_argument
@json_option
@click.option(
    "--pilot",
    type=click.IntRange(min=1),
    metavar="N",
    help="First run N variants, spread over the space, to forecast the rest; their results are kept.",
)
@_where_and_when
@_retry_failed
@_force
@_options_of_a_sweep
def plan(
    file: str,
    *,
    cluster: str | None,
    workers: int | None,
    now: bool,
    as_json: bool,
    pilot: int | None,
    retry_failed: bool,
    force: bool,
    only: str | None,
    on_stale: str | None,
    directory: str | None,
    verbose: bool,
) -> None:
    """Say what running FILE would run, and why.

    Nothing is run but the pilot, if one is asked for; when times are known, what the rest takes is forecast. For
    clusters with jobs it says what kinds of workers there will be. A script is executed up to its first sweep.
    """
    chosen = chosen_options(
        **engine_options(cluster, workers, now=now, quiet=False, directory=directory, on_stale=on_stale)
    )
    with laid_over(chosen), whole_traceback(wanted=verbose):
        loaded = load_workflow(Source.parse(file))
        if pilot is not None:
            engine = loaded.engine or _new_engine()
            with laid_over({**chosen, **chosen_options(only=only, retry_failed=retry_failed or None, pilot=pilot)}):
                engine.execute_parameter_sweep(loaded.workflow)
        planned = _plan(loaded, only=only, retry_failed=retry_failed, force=force)
    if as_json:
        print_json(planned.to_dict())
    else:
        click.echo(str(planned))


@click.command(
    epilog=examples("sciflow validate examples/neural_network.py", "sciflow validate study.py:cooling --json")
)
@file_argument
@json_option
@verbose_option
def validate(file: str, *, as_json: bool, verbose: bool) -> None:
    """Check the workflow in FILE.

    Shows where each argument of each task comes from. A script is executed up to its first sweep.
    """
    with whole_traceback(wanted=verbose):
        definition = load_workflow(Source.parse(file)).workflow.validate()
    if as_json:
        print_json(definition.to_dict())
        return
    space = definition.space
    n = render_count(space.n_variants, "variant")
    click.echo(f"{definition.name} is valid: {n} of {', '.join(space.names) or 'nothing'}")
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


def _run(source: Source, options: dict[str, Any], *, dry_run: bool, verbose: bool, only_for: str | None = None) -> None:
    """Run a script with these options; for *only_for*, what they ask to run again is asked of that workflow alone."""
    with laid_over(options), whole_traceback(wanted=verbose):
        if dry_run:
            click.echo(str(_plan(load_workflow(source, only_for))))
            return
        ran, left = run_script(source, only_for) if source.name is None else ([], load_workflow(source))
        if left is not None:
            engine = left.engine or _new_engine()
            engine.execute_parameter_sweep(left.workflow)
            ran = [Loaded(left.workflow, engine)]
        failed = any(one.engine.recorded(one.workflow).n_failed for one in ran if one.engine)
    if failed:
        raise click.exceptions.Exit(FAILED_VARIANTS)


def engine_options(
    cluster: str | None, workers: int | None, *, now: bool, quiet: bool, directory: str | None, on_stale: str | None
) -> dict[str, Any]:
    """Turn options of a command into what `laid_over` takes."""
    if workers is not None and cluster == "inline":
        raise click.UsageError("--workers is for --cluster local; inline runs in this process alone")
    return {
        "cluster": "local" if workers is not None and cluster is None else cluster,
        "workers": workers,
        "policy": "immediate" if now else None,
        "progress": False if quiet else None,
        "directory": directory,
        "on_stale": on_stale,
    }


def chosen_options(**options: Any) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _new_engine() -> Engine:
    from sciflow.engine.engine import Engine  # noqa: PLC0415  `sciflow --help` does without NumPy

    return Engine()


def _plan(loaded: Loaded, **request: Any) -> Plan:
    engine = loaded.engine or _new_engine()
    return engine.plan(loaded.workflow, **request)


@contextlib.contextmanager
def whole_traceback(*, wanted: bool) -> Generator[None]:
    """Show all of what a script raises in the block, if that is wanted."""
    try:
        yield
    except ScriptError as error:
        if wanted:
            traceback.print_exception(error.__cause__)
        raise
