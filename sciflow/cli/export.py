"""The command that writes results to files for other tools."""

from __future__ import annotations

import click

from sciflow.cli.look import open_sweep, warn, warnings_as_lines
from sciflow.cli.options import directory_option, examples, sweep_argument


@click.command(
    epilog=examples(
        "sciflow export neural_network_training -o results.csv",
        'sciflow export ising -o table.tex --where "size == 64" --columns temperature,energy --digits 4',
    )
)
@sweep_argument
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    help="Where to write; its ending says what: .csv, .tsv, .parquet, .xlsx, .tex, .md, or .nc with arrays too.",
)
@click.option("--where", metavar="QUERY", help="Only variants for which this holds.")
@click.option("--columns", metavar="NAMES", help="Only these columns, in this order: names with commas in between.")
@click.option("--digits", type=click.IntRange(min=1), metavar="N", help="Significant digits in .tex and .md files.")
@directory_option
def export(
    sweep: str, *, output: str, where: str | None, columns: str | None, digits: int | None, directory: str | None
) -> None:
    """Write the results to a file for other tools, with units and descriptions of the columns.

    Beside a .csv or .tsv file a datapackage.json says what its columns are. SWEEP is a sweep directory, its name under
    sweeps/, or the script that makes it.
    """
    results = open_sweep(sweep, directory)
    if mixture := results.mixture(where):
        warn(mixture)
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    with warnings_as_lines():
        path = results.export(output, where=where, columns=names, digits=digits)
    click.echo(str(path))
