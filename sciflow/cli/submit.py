"""The command that hands a sweep to a detached controller."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from sciflow.cli.load import Source, laid_over, loaded_workflow
from sciflow.cli.options import directory_option, examples, file_argument, json_option, verbose_option
from sciflow.cli.run import CLUSTERS, ON_STALE, chosen_options, engine_options, whole_traceback
from sciflow.cli.show import print_json

if TYPE_CHECKING:
    from sciflow.engine.handle import SweepHandle
    from sciflow.planning.plan import Plan

CONTROLLERS = ("process", "slurm", "pbs")


@click.command(
    epilog=examples(
        "sciflow submit study.py",
        "sciflow submit study.py --controller slurm --cores 16 --walltime 12h --queue long",
        "sciflow submit study.py && sciflow wait study && sciflow best study loss",
        after="Exit codes: 0 submitted, or nothing to run; 2 usage; 1 other errors.",
    )
)
@file_argument
@click.option("--cluster", type=click.Choice(CLUSTERS), help="Where the workers are.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of workers.")
@click.option(
    "--controller",
    type=click.Choice(CONTROLLERS),
    help="What drives the sweep: a process on this machine, or a batch job that is followed by the next.",
)
@click.option("--cores", type=click.IntRange(min=1), metavar="N", help="Of the controller's job.")
@click.option("--memory", metavar="SIZE", help="Of the controller's job, such as 16GiB.")
@click.option("--walltime", metavar="DURATION", help="Of the controller's job, such as 12h.")
@click.option("--queue", "--partition", metavar="NAME", help="Of the controller's job.")
@click.option("--account", metavar="NAME", help="Who pays for the controller's job.")
@click.option(
    "--turns",
    "n_turns",
    type=click.IntRange(min=1),
    metavar="N",
    help="So many jobs of the controller are queued beforehand where jobs may submit none (10).",
)
@click.option("--now", is_flag=True, help="Start at once, whatever the scheduling policy says.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and submit nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the controller's log shows no progress.")
@click.option("--only", metavar="QUERY", help="Only these variants, such as \"a < 3 and b == 'x'\".")
@click.option("--retry-failed", is_flag=True, help="Also variants that failed in your code before.")
@click.option("--force", is_flag=True, help="Run everything again; the newest result counts.")
@click.option(
    "--on-stale",
    type=click.Choice(ON_STALE),
    help="Results that other code made: keep them, run them again, refuse, or ask (the default).",
)
@directory_option
@json_option
@verbose_option
def submit(
    file: str,
    *,
    cluster: str | None,
    workers: int | None,
    controller: str | None,
    cores: int | None,
    memory: str | None,
    walltime: str | None,
    queue: str | None,
    account: str | None,
    n_turns: int | None,
    now: bool,
    dry_run: bool,
    quiet: bool,
    only: str | None,
    retry_failed: bool,
    force: bool,
    on_stale: str | None,
    directory: str | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Let a controller of its own run the sweep in FILE.

    It outlives this shell: log out, and look again with `sciflow status`, `watch`, `attach`, `wait`, or stop it with
    `cancel`. What stands in the way of the sweep is said at once. FILE is a Python script, which is executed up to its
    first sweep; FILE:NAME takes one workflow of several. The code is taken as it is now: what is edited later changes
    nothing.

    With --controller slurm (or pbs) and the local cluster, the whole work is done in that job: give it --cores.

    Where jobs may not submit jobs (nodes_submit = false in site.toml, or the first job finds out), several are queued
    beforehand. They take turns, and each does the work itself, with as many of --workers as one node has room for.
    """
    asked = chosen_options(cores=cores, memory=memory, walltime=walltime, queue=queue, account=account, n_turns=n_turns)
    options = chosen_options(
        **engine_options(cluster, workers, now=now, quiet=quiet, directory=directory, on_stale=on_stale),
        only=only,
        retry_failed=retry_failed or None,
        force=force or None,
        controller=_controller(controller or cluster, asked),
    )
    begun = time.time()
    with laid_over(options), whole_traceback(wanted=verbose), loaded_workflow(Source.parse(file)) as loaded:
        from sciflow.engine.engine import Engine  # noqa: PLC0415  `sciflow --help` does without NumPy

        engine = loaded.engine or Engine()
        if dry_run:
            planned = engine.plan(loaded.workflow, retry_failed=retry_failed, only=only, force=force)
            handle = None
        else:
            planned, handle = None, engine.submit(loaded.workflow)
    if planned is not None:
        _show(planned, as_json=as_json)
    if handle is not None and (as_json or not quiet):
        _say(handle, begun, as_json=as_json, only=only)


def _controller(name: str | None, asked: dict[str, Any]) -> Any:
    """The controller that is asked for; None leaves it to the engine."""
    if name not in {"slurm", "pbs"}:
        if asked:
            option = next(iter(asked)).removeprefix("n_")
            raise click.UsageError(f"--{option} is for a controller in a job: add --controller slurm or pbs")
        return name if name == "process" else None
    from sciflow.engine.submit import JobController  # noqa: PLC0415  brings NumPy

    return JobController(name, **asked)


def _show(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json(plan.to_dict())
    else:
        click.echo(str(plan))


def _say(handle: SweepHandle, begun: float, *, as_json: bool, only: str | None) -> None:
    """Tell what was submitted since *begun*, or that nothing was."""
    status = handle.status()
    if as_json:
        print_json(status.to_dict())
        return
    from sciflow.analysis.words import controller, counts, idle  # noqa: PLC0415  brings NumPy

    if status.controller is None or status.controller.since < begun:
        seen = {"n_done": status.n_done, "n_stale": status.n_stale, "n_failed": status.n_failed}
        asked = f"of those with {only}" if only else ""
        click.echo(f"{status.workflow}: {idle(status.n_variants, **seen, path=status.path, asked=asked)}")
        return
    click.echo(f"{status.workflow}: {counts(status)}" if status.n_variants else f"{status.workflow}: not begun")
    click.echo(controller(status))
    click.echo(f"To look at it: sciflow status {status.path}; to stop it: sciflow cancel {status.path}")
