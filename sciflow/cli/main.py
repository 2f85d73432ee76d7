"""``sciflow``: the command line. Commands parse, call the library, print, and exit with a code scripts can use."""

from __future__ import annotations

from typing import IO, Any

import click

from sciflow.cli.bring import bring
from sciflow.cli.doctor import doctor
from sciflow.cli.export import export
from sciflow.cli.follow import attach, cancel, status, wait, watch
from sciflow.cli.look import best, plot, results
from sciflow.cli.options import EXIT_CODES, examples
from sciflow.cli.package import package
from sciflow.cli.report import report
from sciflow.cli.reproduce import reproduce
from sciflow.cli.run import plan, retry, run, validate
from sciflow.cli.submit import submit
from sciflow.cli.tasks import tasks
from sciflow.cli.verify import verify
from sciflow.errors import SciflowError


class CleanError(click.ClickException):
    """A user's mistake: its message, and nothing of ours."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message to stderr."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class Commands(click.Group):
    """The commands; what sciflow refuses becomes one message on stderr and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Name the commands in the order in which they are needed."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SciflowError as error:
            raise CleanError(str(error)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(1) from None  # the engine has said what is kept and how to go on
        except click.UsageError:
            raise
        except click.ClickException as error:
            raise CleanError(error.format_message()) from error


OF_PACKAGES = (
    "Of packages (verify, reproduce): 4 unsafe or changed, 5 incomplete or inconsistent, 6 numbers differ, "
    "7 cannot be checked or run."
)
EPILOG = examples(
    "sciflow run examples/neural_network.py --now",
    "sciflow status neural_network_training",
    "sciflow best neural_network_training validation_accuracy",
    after=f"{EXIT_CODES} {OF_PACKAGES}",
)


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sciflow", message="%(prog)s %(version)s")
def main() -> None:
    """Run parameter sweeps, and read their results."""


for command in (
    run,
    plan,
    submit,
    validate,
    tasks,
    retry,
    status,
    watch,
    attach,
    wait,
    cancel,
    results,
    best,
    plot,
    export,
    report,
    package,
    verify,
    reproduce,
    bring,
    doctor,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
