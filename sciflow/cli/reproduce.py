"""``sciflow reproduce``: run some variants of a package again, and compare the numbers."""

from __future__ import annotations

import click

from sciflow.cli.options import examples, json_option
from sciflow.cli.show import print_json

EXIT_CODES = (
    "Exit codes: 0 all numbers came out again, 4 unsafe or changed, 5 incomplete or inconsistent, 6 numbers differ, "
    "7 could not run, 2 usage."
)
ENVIRONMENTS = ("auto", "uv", "pip", "conda", "current")


@click.command(
    epilog=examples(
        "sciflow reproduce neural_net_experiment_v1.zip --sample 5",
        "sciflow reproduce known_v1.zip --variant vc1c28e1a70bd1f1e08bc --environment current --yes",
        after=EXIT_CODES,
    )
)
@click.argument("package", metavar="PKG", type=click.Path(exists=True))
@click.option("--sample", type=click.IntRange(min=1), default=5, metavar="N", help="So many variants (default: 5).")
@click.option("--variant", "variants", multiple=True, metavar="ID", help="This variant; may be given several times.")
@click.option("--all", "every", is_flag=True, help="All variants that have results.")
@click.option(
    "--environment",
    type=click.Choice(ENVIRONMENTS),
    default="auto",
    help="How to build the environment; auto tries the closest first, current builds none.",
)
@click.option("--cluster", metavar="NAME", help="Where to run: inline, local, slurm or pbs.")
@click.option("--directory", metavar="DIR", help="Where to work and to leave everything; default: beside PKG.")
@click.option("--yes", is_flag=True, help="Run the author's code without asking.")
@json_option
def reproduce(
    package: str,
    *,
    sample: int,
    variants: tuple[str, ...],
    every: bool,
    environment: str,
    cluster: str | None,
    directory: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Run variants of a package again, and compare the numbers.

    PKG is verified first. Then its environment is built as closely as this machine can, and its code runs on a sample
    of the variants, with your rights: you are asked before. reproduction-report.json and .html tell what came of it.
    """
    from sciflow.packaging.reproduce import reproduce_package  # noqa: PLC0415  `sciflow --help` does without it

    if every and variants:
        raise click.UsageError("--all is every variant; leave out --variant")
    report = reproduce_package(
        package,
        sample,
        environment,  # type: ignore[arg-type]  # click has checked it
        variants=variants or None,
        all=every,
        yes=yes,
        directory=directory,
        cluster=cluster,
    )
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(str(report))
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)
