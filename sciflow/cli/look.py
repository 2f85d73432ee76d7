"""Commands about what a sweep has found: its results, its best variants, its figures."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any, Final

import click

from sciflow.cli.options import directory_option, examples, json_option, sweep_argument
from sciflow.cli.show import print_json, render_value
from sciflow.cli.sweeps import find_sweep

if TYPE_CHECKING:
    from collections.abc import Generator

    from sciflow.analysis.results import Results

_MOST_ROWS = 60


@click.command(
    epilog=examples(
        "sciflow results ising",
        "sciflow results ising --query \"temperature < 2 and status == 'done'\" --csv > cold.csv",
        "sciflow results ising --variant v3d60d3d27b9d581d5481",
    )
)
@sweep_argument
@click.option("--query", metavar="QUERY", help="Only the rows for which this holds.")
@click.option("--variant", metavar="ID", help="Say where one variant's result comes from: its run, code, machine.")
@click.option("--csv", "as_csv", is_flag=True, help="Print all rows as CSV.")
@json_option
@directory_option
def results(
    sweep: str, *, query: str | None, variant: str | None, as_csv: bool, as_json: bool, directory: str | None
) -> None:
    """Print the results as a table, one row per variant.

    SWEEP is a sweep directory, its name under sweeps/, or the script that makes it.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    if variant is not None and (query is not None or as_csv):
        raise click.UsageError("--variant is about one variant; it goes with neither --query nor --csv")
    opened = open_sweep(sweep, directory)
    if variant is not None:
        trace = opened.provenance(variant)
        print_json(trace.to_dict()) if as_json else click.echo(str(trace))
        return
    table: Any = opened.to_dataframe() if query is None else opened.query(query)
    if mixture := opened.mixture(query):
        warn(mixture)
    if as_csv:
        click.echo(table.to_csv(), nl=False)
    elif as_json:
        print_json(table.reset_index().to_dict("records"))
    else:
        click.echo(table.reset_index().to_string(index=False, max_rows=_MOST_ROWS))
        if len(table) > _MOST_ROWS:
            click.echo(f"({len(table):,} rows; --csv prints them all)")


@click.command(
    epilog=examples(
        "sciflow best neural_network_training validation_accuracy",
        'sciflow best fit loss --minimize --top 5 --where "layers < 3" --json',
    )
)
@sweep_argument
@click.argument("metric")
@click.option("--minimize", is_flag=True, help="The smallest value is the best.")
@click.option("--top", type=click.IntRange(min=1), default=1, metavar="N", help="The N best, best first.")
@click.option("--where", metavar="QUERY", help="Only among variants for which this holds.")
@json_option
@directory_option
def best(
    sweep: str,
    metric: str,
    *,
    minimize: bool,
    top: int,
    where: str | None,
    as_json: bool,
    directory: str | None,
) -> None:
    """Print the parameters with the best value of METRIC.

    SWEEP is a sweep directory, its name under sweeps/, or the script that makes it.
    """
    opened = open_sweep(sweep, directory)
    with warnings_as_lines() as told:
        found: Any = opened.find_optimal_parameters(metric, maximize=not minimize, where=where, top=top)
    variants = found if isinstance(found, list) else [found]
    with warnings_as_lines() if not told else warnings.catch_warnings(record=True):
        values = [opened.get_metric(variant, metric) for variant in variants]
    if as_json:
        print_json(
            [
                {"parameters": variant, metric: value, "id": variant.id}
                for variant, value in zip(variants, values, strict=True)
            ]
        )
        return
    for variant, value in zip(variants, values, strict=True):
        parameters = ", ".join(f"{name}={render_value(one)}" for name, one in variant.items())
        click.echo(f"{metric} = {render_value(value)}  at  {parameters}")


@click.command(
    epilog=examples(
        "sciflow plot neural_network_training",
        "sciflow plot neural_network_training accuracy_vs_parameters -o accuracy.pdf",
        "sciflow plot neural_network_training failure_map",
        "sciflow plot ising line x=temperature y=energy hue=lattice_size --style paper -o energy.pdf",
    )
)
@sweep_argument
@click.argument("name", required=False)
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("-o", "--output", metavar="FILE", help="Where to write (default: NAME.png here).")
@click.option(
    "--format",
    "formats",
    type=click.Choice(["png", "pdf", "svg"]),
    multiple=True,
    help="Which files to write (default: png); may be given again.",
)
@click.option("--style", type=click.Choice(["paper", "notebook", "talk"]), help="Sizes (default: notebook).")
@directory_option
def plot(
    sweep: str,
    name: str | None,
    options: tuple[str, ...],
    *,
    output: str | None,
    formats: tuple[str, ...],
    style: str | None,
    directory: str | None,
) -> None:
    """Draw the figures that the workflow asks for (if none, some that suit the sweep), or only NAME.

    SWEEP is a sweep directory, its name under sweeps/, or the script that makes it. With options such as x=rate,
    NAME is a type of figure: heatmap, line, scatter, bar, box, violin, histogram, ecdf, contour, ... Some need no
    options: failure_map, timeline, runtime, utilisation, memory, pairs. title="" leaves the title out.
    """
    from sciflow.analysis.plots.save import save_figure, save_figures  # noqa: PLC0415  brings matplotlib

    if output is not None and formats:
        raise click.UsageError("--output says the format by its suffix; it does not go with --format")
    opened = open_sweep(sweep, directory)
    with warnings_as_lines():
        if name is None:
            figures: dict[str, Any] = dict(opened.visualize(style=style))
        else:
            figures = {name: opened.plot({"type": name, **_pairs(options)} if options else name, style=style)}
    if not figures:
        raise click.UsageError(
            "there is nothing to draw: no metric that is a number, or a single variant; "
            "sciflow status and sciflow results show what there is"
        )
    if output is not None and len(figures) > 1:
        raise click.UsageError(f"--output is for one figure; say which: {', '.join(figures)}")
    if output is not None:
        paths = [path for figure in figures.values() for path in save_figure(figure, output)]
    else:
        paths = save_figures(figures, ".", formats or ("png",))
    for path in paths:
        click.echo(str(path))


_FLAGS: Final = {"true": True, "false": False}


def _pairs(options: tuple[str, ...]) -> dict[str, object]:
    """``x=rate`` as an option of a figure; ``columns=a,b`` are several names, ``objectives=loss:min`` has goals."""
    pairs: dict[str, object] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or (not value and key != "title"):
            raise click.UsageError(f"{option!r} is no option of a figure; write it like x=temperature")
        parts = value.split(",")
        if key == "objectives":
            pairs[key] = {name: goal for name, _, goal in (part.partition(":") for part in parts)}
        else:
            several = key in {"columns", "facet_by", "parameters"}
            pairs[key] = parts if several else _FLAGS.get(value, value) if key == "label" else value
    return pairs


@contextlib.contextmanager
def warnings_as_lines() -> Generator[list[str]]:
    """Print on stderr, each once, what the library warns the user of; the list has it afterwards."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield told
        finally:
            told += dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning)
            for words in told:
                warn(words)


def warn(words: str) -> None:
    """Tell the user on stderr."""
    click.echo(f"warning: {words}", err=True)


def open_sweep(sweep: str, directory: str | None) -> Results:
    """Give the results of what a command calls SWEEP."""
    from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas and xarray

    return open_results(find_sweep(sweep, directory))
