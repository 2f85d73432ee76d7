"""The command that writes one page about a sweep."""

from __future__ import annotations

from pathlib import Path

import click

from sciflow.cli.options import directory_option, examples, sweep_argument
from sciflow.cli.sweeps import find_sweep


@click.command(
    epilog=examples(
        "sciflow report neural_network_training",
        "sciflow report sweeps/ising -o ising.html",
        "sciflow report ising --format md -o notes/ising.md",
    )
)
@sweep_argument
@click.option("-o", "--output", metavar="FILE", help="Where to write (default: SWEEP-report.html, or .md, here).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md"]),
    help="html: one page that needs nothing else. md: Markdown, with figures in a folder beside it.",
)
@directory_option
def report(sweep: str, *, output: str | None, form: str | None, directory: str | None) -> None:
    """Write a page about a sweep: outcome, best parameters, figures, failures, performance, provenance.

    SWEEP is a sweep directory, its name under sweeps/, or the script that makes it. The sweep may be running.
    """
    from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas and xarray
    from sciflow.report.page import FORMATS  # noqa: PLC0415  brings the templates

    results = open_results(find_sweep(sweep, directory))
    path = Path(output or f"{results.directory.name}-report.{form or 'html'}")
    told = FORMATS.get(path.suffix.lower())
    if told is None:
        path = path.with_name(f"{path.name}.{form or 'html'}")
    elif form not in {None, told}:
        raise click.UsageError(f"--format {form} does not go with {path.name}; leave one of them out")
    click.echo(str(results.report(path)))
