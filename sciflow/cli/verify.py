"""``sciflow verify``: check a package before anything of it is used."""

from __future__ import annotations

import click

from sciflow.cli.options import examples, json_option
from sciflow.cli.show import print_json

EXIT_CODES = "Exit codes: 0 all well, 4 unsafe or changed, 5 incomplete or inconsistent, 7 cannot be checked, 2 usage."


@click.command(
    epilog=examples(
        "sciflow verify neural_net_experiment_v1.zip",
        "sciflow verify known_v1.zip --expect 0a1b2c... --json",
        after=EXIT_CODES,
    )
)
@click.argument("package", metavar="PKG", type=click.Path(exists=True))
@click.option("--expect", metavar="ID", help="The package id that the author published; another one is an error.")
@click.option("--strict-env", is_flag=True, help="Count an environment unlike the author's as an error.")
@json_option
def verify(package: str, *, expect: str | None, strict_env: bool, as_json: bool) -> None:
    """Check that a package is safe, unchanged, complete and consistent.

    PKG is a zip, which is not unpacked, or a folder. Nothing of the package is executed, and nothing is fetched. How
    near this environment comes to the author's is told too.
    """
    from sciflow.packaging.verify import verify_package  # noqa: PLC0415  `sciflow --help` does without it

    report = verify_package(package, expect=expect, strict_environment=strict_env)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(str(report))
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)
