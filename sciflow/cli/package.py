"""``sciflow package``: a sweep as one file that others can check, read and run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sciflow.cli.options import directory_option, examples, json_option
from sciflow.cli.show import print_json
from sciflow.cli.sweeps import find_sweep

_MANY_BYTES = 1 << 30


@click.command(
    epilog=examples(
        "sciflow package neural_network_training --license CC-BY-4.0 --author 'Ada Lovelace'",
        "sciflow package sweeps/ising -o export --what results --variants 'temperature < 2.5'",
        "sciflow package sweeps/ising --anonymise --wheels",
        "sciflow package sweeps/ising --allow-secret code/study.py:12",
    )
)
@click.argument("sweep", metavar="SWEEP_OR_FILE")
@click.option("-o", "--output", metavar="DIR", default=".", show_default=True, help="Where to write NAME.zip.")
@click.option("--name", metavar="NAME", help="Name of the package (default: that of the workflow).")
@click.option("--title", metavar="TEXT", help="What it is called where it is listed (default: its name).")
@click.option("--license", "license_", metavar="SPDX", help="What others may do with it, such as CC-BY-4.0.")
@click.option("--author", "authors", metavar="NAME", multiple=True, help="Who made it; may be given several times.")
@click.option("--what", type=click.Choice(["all", "results", "code"]), default="all", show_default=True)
@click.option("--variants", metavar="QUERY", help="Only the variants for which this condition holds.")
@click.option("--anonymise", is_flag=True, help="Without names of people, machines and addresses.")
@click.option("--wheels", is_flag=True, help="With the Python packages themselves, which pip fetches now.")
@click.option(
    "--allow-secret",
    "allowed",
    metavar="PLACE",
    multiple=True,
    help="FILE:LINE, FILE, or a text: what looks like a secret there is none.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a large package is written.")
@directory_option
@json_option
def package(sweep: str, *, output: str, directory: str | None, yes: bool, as_json: bool, **given: Any) -> None:
    """Write a sweep as one zip, with which others can check it, read it and run it again.

    SWEEP_OR_FILE is a sweep, or the script that makes it; the sweep's directory is enough. The package id that is
    printed lets others know that theirs is this package: publish it.
    """
    from sciflow.packaging.archive import package_id  # noqa: PLC0415  `sciflow --help` does without it
    from sciflow.packaging.create import Options, package_of_sweep  # noqa: PLC0415  same
    from sciflow.quantities import render_bytes  # noqa: PLC0415  same
    from sciflow.store.directory import SweepDirectory  # noqa: PLC0415  same

    options = Options(
        license=given["license_"],
        authors=given["authors"],
        title=given["title"],
        what=given["what"],
        query=given["variants"],
        anonymise=given["anonymise"],
        wheels=given["wheels"],
        allow_secrets=given["allowed"],
    )
    made = package_of_sweep(SweepDirectory.open(find_sweep(sweep, directory)), given["name"], options)
    sizes = {part: n for part, n in made.estimate().items() if n}
    n_bytes = sum(sizes.values())
    parts = ", ".join(f"{part} {render_bytes(n)}" for part, n in sizes.items())
    beside = ", Python packages not counted" if options.wheels else ""
    click.echo(f"data before compression: about {render_bytes(n_bytes)} ({parts or 'nothing large'}){beside}", err=True)
    if n_bytes > _MANY_BYTES and not yes:
        click.confirm("write it?", abort=True, err=True)
    before = package_id(Path(output) / f"{made.name}.zip")
    path = made.export(output, progress=not as_json)
    n_written = path.stat().st_size
    if as_json:
        print_json({"path": str(path), "id": made.id, "size_bytes": n_written, "notes": list(made.notes)})
        return
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if before not in {None, made.id}:
        click.echo(f"note: it replaces another package of that name (id {before})", err=True)
    click.echo(f"{path} ({render_bytes(n_written)})")
    click.echo(f"package id {made.id}")
