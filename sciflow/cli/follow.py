"""Commands about a sweep that somebody drives: look at it, watch it, wait for it, stop it."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from sciflow.cli.options import FAILED_VARIANTS, Duration, directory_option, examples, json_option, sweep_argument
from sciflow.cli.show import print_json, to_json
from sciflow.cli.sweeps import find_sweep
from sciflow.errors import SciflowError
from sciflow.quantities import render_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sciflow.analysis.status import Status

_MOST_COMPARED = 200_000  # variants; of more, what tells failed ones apart takes seconds to find
_LINES_EVERY_S = 10.0


_every = click.option(
    "--every", type=Duration(0.1), metavar="DURATION", help="How often to look, such as 5s (1s; 10s into a file)."
)


@click.command(
    epilog=examples(
        "sciflow status neural_network_training",
        "sciflow status sweeps/ising --json",
        "sciflow status ising --provenance",
    )
)
@sweep_argument
@click.option("--provenance", is_flag=True, help="Say what the results come from: code, inputs, environments, jobs.")
@directory_option
@json_option
def status(sweep: str, *, provenance: bool, directory: str | None, as_json: bool) -> None:
    """Say how far a sweep is, and what failed.

    Also how fast it goes, how long the rest takes, who drives it, and what its workers do. SWEEP is a sweep directory,
    its name under sweeps/, or the script that makes it. Reads the directory alone, so
    it works while the sweep runs, from any machine that sees it.

    The time left is that of the rate in the middle of ten slices of recent time (the last minute, or 100 variants);
    its interval is that of the second fastest and the second slowest slice.
    """
    from sciflow.engine.watch import Watch  # noqa: PLC0415  brings NumPy

    path = find_sweep(sweep, directory)
    if provenance:
        _print_provenance(path, as_json=as_json)
        return
    seen = Watch(path).look()
    apart = _separators(path, seen)
    reproduced = _reproductions(path)
    if as_json:
        data = {**seen.to_dict(), "reproductions": reproduced}
        for group in data["failures"]:
            group["separated_by"] = apart.get((group["cause"], group["task"], group["fingerprint"]), "")
        print_json(data)
    else:
        _print(seen, apart)
        if reproduced:
            newest = reproduced[-1]
            n = render_count(len(reproduced), "report")
            click.echo(f"computed again by others: {n}, the newest: {newest['verdict']} ({newest['made_at']})")


def _reproductions(path: Path) -> list[dict[str, Any]]:
    """What came of reproductions that were added to the sweep; none that nobody can read."""
    from sciflow.store.directory import SweepDirectory  # noqa: PLC0415  `sciflow --help` does without it
    from sciflow.store.reproductions import in_short  # noqa: PLC0415  same

    with contextlib.suppress(SciflowError):
        return in_short(SweepDirectory.open(path))
    return []


def _print_provenance(path: Path, *, as_json: bool) -> None:
    from sciflow.analysis.metadata import provenance_text  # noqa: PLC0415  brings NumPy
    from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas and xarray

    results = open_results(path)
    counts, differing = results.environment_counts(), results.environment_differences()
    if as_json:
        origins = [one.to_dict() for one in results.origins()]
        more = {"environment_counts": counts, "environment_differences": differing, "origins": origins}
        print_json({**results.metadata, **more})
    else:
        click.echo(provenance_text(results.metadata, counts, differing, results.origins()))


@click.command(epilog=examples("sciflow watch neural_network_training", "sciflow watch ising --json --every 60"))
@sweep_argument
@_every
@directory_option
@json_option
def watch(sweep: str, *, every: float | None, directory: str | None, as_json: bool) -> None:
    """Watch a sweep until its driver ends.

    Ctrl-C leaves the sweep alone. SWEEP is a sweep directory, its name under sweeps/, or the script that makes it.
    In a terminal the screen of `sciflow status` is drawn again and again; elsewhere, and with --json, there is a
    line now and then.
    """
    try:
        _follow(find_sweep(sweep, directory), every, as_json=as_json)
    except KeyboardInterrupt:
        click.echo("no longer watching; the sweep is left alone", err=True)


@click.command(epilog=examples("sciflow attach neural_network_training && sciflow best neural_network_training loss"))
@sweep_argument
@_every
@directory_option
@json_option
def attach(sweep: str, *, every: float | None, directory: str | None, as_json: bool) -> None:
    """Watch a sweep to its end, and exit as run does.

    Ctrl-C leaves the sweep alone. SWEEP is a sweep directory, its name under sweeps/, or the script that makes it.

    Exit codes: 0 all done, 3 finished with failed variants, 1 it ended before all was done.
    """
    try:
        _exit(_follow(find_sweep(sweep, directory), every, as_json=as_json))
    except KeyboardInterrupt:
        click.echo("no longer attached; the sweep is left alone", err=True)
        raise click.exceptions.Exit(1) from None


@click.command(epilog=examples("sciflow wait ising && python analyse.py", "sciflow wait ising --timeout 2h"))
@sweep_argument
@click.option(
    "--timeout", type=Duration(), metavar="DURATION", help="Give up after this long, such as 90 (seconds), 2h or 1d."
)
@directory_option
def wait(sweep: str, *, timeout: float | None, directory: str | None) -> None:
    """Wait until a sweep has ended, and say how.

    SWEEP is a sweep directory, its name under sweeps/, or the script that makes it.

    Exit codes: 0 all done, 3 finished with failed variants, 1 it ended before all was done, or still runs.
    """
    from sciflow.engine.handle import attach as attach_to  # noqa: PLC0415  brings NumPy

    try:
        seen = attach_to(find_sweep(sweep, directory)).wait(timeout)
    except TimeoutError as error:
        raise click.ClickException(str(error)) from None
    click.echo(str(seen))
    _exit(seen)


@click.command(epilog=examples("sciflow cancel neural_network_training", "sciflow cancel ising --wait"))
@sweep_argument
@click.option("--wait", "waits", is_flag=True, help="Wait until the driver has ended.")
@directory_option
def cancel(sweep: str, *, waits: bool, directory: str | None) -> None:
    """Stop a sweep; what is finished stays.

    Its driver is asked to take no new work; running the script again goes on. SWEEP is a sweep directory, its name
    under sweeps/, or the script that makes it. Variants that run are finished first, or saved where their tasks can
    do so.
    """
    from sciflow.engine.handle import attach as attach_to  # noqa: PLC0415  brings NumPy

    handle = attach_to(find_sweep(sweep, directory))
    click.echo(handle.cancel())
    if waits:
        click.echo(str(handle.wait()))


# ------------------------------------------------------------------------------------------------------------ follow


def _follow(path: Path, every: float | None, *, as_json: bool) -> Status:
    """Show the sweep until nobody drives it; give its last status."""
    if as_json:
        return _each(path, every or _LINES_EVERY_S, lambda seen: click.echo(_json_line(seen)))
    if sys.stdout.isatty():
        return _draw(path, every or 1.0)
    from sciflow.analysis.words import status_line  # noqa: PLC0415  with what reads a sweep

    return _each(path, every or _LINES_EVERY_S, lambda seen: click.echo(status_line(seen)))


def _draw(path: Path, every: float) -> Status:
    """Draw the screen again and again; leave the last one."""
    from rich.console import Console  # noqa: PLC0415  only where there is a screen
    from rich.live import Live  # noqa: PLC0415  same

    from sciflow.cli.screen import Screen  # noqa: PLC0415  same

    console = Console(highlight=False)
    screen = Screen(console, whole=False)
    last: Status | None = None
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            for last in _looks(path, every):
                live.update(screen.draw(last), refresh=True)
    finally:
        if last is not None:
            _print(last, {})
    assert last is not None
    return last


def _each(path: Path, every: float, show: Callable[[Status], None]) -> Status:
    last: Status | None = None
    for last in _looks(path, every):
        show(last)
    assert last is not None
    return last


def _looks(path: Path, every: float) -> Iterator[Status]:
    """Look at the sweep now and then until nobody drives it."""
    from sciflow.analysis.live import looks  # noqa: PLC0415  with what reads a sweep
    from sciflow.engine.watch import Watch  # noqa: PLC0415  brings NumPy

    return looks(Watch(path).look, every)


# ------------------------------------------------------------------------------------------------------------ print


def _print(seen: Status, apart: dict[tuple[str, str, str], str]) -> None:
    from rich.console import Console  # noqa: PLC0415  only where there is something to print

    from sciflow.cli.screen import Screen  # noqa: PLC0415  same

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(Screen(console).draw(seen, apart))
        return
    with console.capture() as drawn:
        console.print(Screen(console).draw(seen, apart))
    click.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def _json_line(seen: Status) -> str:
    return json.dumps(to_json(seen.to_dict()), ensure_ascii=False, allow_nan=False)


def _separators(path: Path, seen: Status) -> dict[tuple[str, str, str], str]:
    """For each reason of failures, what only those variants have in common; of huge sweeps nothing."""
    if not seen.failures or seen.n_done + seen.n_failed + seen.n_stale > _MOST_COMPARED:
        return {}
    from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas

    rows: list[dict[str, Any]] = open_results(path).failures().to_dict("records")
    return {(row["cause"], row["task"], row["fingerprint"]): row["separated_by"] for row in rows}


def _exit(seen: Status) -> None:
    from sciflow.analysis.words import controller  # noqa: PLC0415  brings NumPy

    if seen.state == "failed":
        raise click.ClickException(controller(seen))
    if seen.state != "complete":
        raise click.exceptions.Exit(1)
    if seen.n_failed:
        raise click.exceptions.Exit(FAILED_VARIANTS)
