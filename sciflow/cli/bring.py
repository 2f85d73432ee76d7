"""``sciflow import``: a package as a sweep that goes on."""

from __future__ import annotations

import shlex

import click

from sciflow.cli.options import examples, json_option
from sciflow.cli.show import print_json
from sciflow.cli.sweeps import DEFAULT_DIRECTORY


@click.command(
    name="import",
    epilog=examples("sciflow import neural_net_experiment_v1.zip", "sciflow import known_v1.zip --directory sweeps"),
)
@click.argument("package", metavar="PKG", type=click.Path(exists=True))
@click.option("--directory", metavar="DIR", default=DEFAULT_DIRECTORY, show_default=True, help="Where sweeps are kept.")
@click.option("--name", metavar="NAME", help="Of the sweep there (default: that of the workflow).")
@json_option
def bring(package: str, *, directory: str, name: str | None, as_json: bool) -> None:
    """Make a sweep of a package, which can be read, run on and extended here.

    PKG is verified first, and none of its code is run. What is there already is not overwritten.
    """
    from sciflow.packaging.importing import import_package  # noqa: PLC0415  `sciflow --help` does without it

    made = import_package(package, directory, name=name)
    if as_json:
        project = None if made.project is None else str(made.project)
        print_json({"path": str(made.path), "project": project, "script": made.script, "counts": dict(made.counts)})
        return
    counts = ", ".join(f"{n:,} {status}" for status, n in made.counts.items())
    click.echo(f"{made.path}: {counts}")
    if made.project is not None and made.script:
        click.echo(
            f"its code is in {made.project}; to go on, after you have read it: "
            # names are the author's, and this line is to be pasted into a shell
            f"cd {shlex.quote(str(made.project))} && sciflow run {shlex.quote(made.script)} --directory ../.."
        )
