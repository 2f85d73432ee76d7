"""The command that finds out whether sweeps will work here."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sciflow.cli.options import Duration, directory_option, examples, json_option
from sciflow.cli.show import print_json
from sciflow.cli.sweeps import DEFAULT_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from rich.console import Console

    from sciflow.engine.check import Check

_MARKS: Final = {
    "well": ("✓", "green"),
    "doubtful": ("!", "yellow"),
    "wrong": ("✗", "bold red"),
    "untried": ("?", "yellow"),
}
_ASCII: Final = str.maketrans({"✓": "+", "✗": "x", "→": ">"})
_WIDTH: Final = 11  # of the names


@click.command(
    epilog=examples(
        "sciflow doctor",
        "sciflow doctor --cluster slurm --partition long --wait 300",
        after="Exit codes: 0 nothing stands in the way, 1 something will not work.",
    )
)
@click.option(
    "--cluster",
    type=click.Choice(("local", "slurm", "pbs")),
    help="Where workers are to come from (default: the batch system that is here, or else this machine).",
)
@click.option("--partition", "--queue", "queue", metavar="NAME", help="Of the job (default: as site.toml says).")
@click.option(
    "--wait",
    type=Duration(),
    default="60s",
    metavar="DURATION",
    help="How long the job may wait in the queue, such as 5min (60s); then it is cancelled.",
)
@directory_option
@json_option
def doctor(cluster: Any, *, queue: str | None, wait: float, directory: str | None, as_json: bool) -> None:
    """Find out whether sweeps will work here.

    Looks at this host, the batch system, the disk and the keys, and then has one tiny job look around on a node: in
    about a minute, with what was measured, and a remedy for what is not well. Nothing is left behind; Ctrl-C cancels
    the job.
    """
    from sciflow.engine.doctor import examine  # noqa: PLC0415  brings NumPy

    looking = examine(cluster, Path(directory or DEFAULT_DIRECTORY), queue=queue, wait_s=wait)
    with _ends_cleanly(), contextlib.closing(looking):
        checks = list(_heard(looking, quiet=as_json))
    n_wrong = sum(check.state == "wrong" for check in checks)
    if as_json:
        print_json({"is_well": not n_wrong, "checks": [_as_data(check) for check in checks]})
    else:
        click.echo(_verdict(checks))
    if n_wrong:
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _ends_cleanly() -> Generator[None]:
    """Let a request to end come as Ctrl-C does, so that the job is cancelled."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        click.echo("stopped; nothing is left of it", err=True)
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _heard(found: Iterator[Check], *, quiet: bool) -> Iterator[Check]:
    """Each check, printed as soon as it is there."""
    from rich.console import Console  # noqa: PLC0415  only where there is something to print

    console = Console(highlight=False)
    if quiet or not console.is_terminal:
        for check in found:
            if not quiet:
                click.echo("\n".join(_lines(check)))
            yield check
        return
    with console.status("looking ..."):
        for check in found:
            _draw(console, check)
            yield check


def _lines(check: Check) -> list[str]:
    """Without a terminal: long lines stay whole."""
    lines = [f"{_MARKS[check.state][0]} {check.name:<{_WIDTH}}{_plain(check.says)}"]
    return [*lines, f"  {'':<{_WIDTH}}→ {_plain(check.remedy)}"] if check.remedy else lines


def _draw(console: Console, check: Check) -> None:
    from rich.table import Table  # noqa: PLC0415  only where there is a screen
    from rich.text import Text  # noqa: PLC0415  same

    def text(words: str, style: str = "") -> Text:
        return Text(words.translate(_ASCII) if console.options.ascii_only else words, style, overflow="fold")

    mark, style = _MARKS[check.state]
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(width=_WIDTH - 1)
    table.add_column(ratio=1)
    table.add_row(text(mark, style), text(check.name), text(_plain(check.says)))
    if check.remedy:
        table.add_row("", "", text(f"→ {_plain(check.remedy)}", "yellow" if check.state == "doubtful" else "bold"))
    console.print(table)


def _plain(words: str) -> str:
    """One line, without what would move the cursor: some of it was said by others."""
    return "".join(c if c.isprintable() else " " for c in words)


def _verdict(checks: Sequence[Check]) -> str:
    names = {state: [check.name for check in checks if check.state == state] for state in _MARKS}
    if names["wrong"]:
        return f"\nSweeps will not work here as things are: {', '.join(names['wrong'])}."
    if names["untried"]:
        return "\nNothing stands in the way so far, but no worker was tried."
    if names["doubtful"]:
        return f"\nSweeps will work here; see the remarks on {', '.join(names['doubtful'])}."
    return "\nSweeps will work here."


def _as_data(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "state": check.state,
        "says": check.says,
        "remedy": check.remedy,
        "facts": dict(check.facts),
    }
