"""What commands have in common: arguments, options, and how help shows examples."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from sciflow.errors import QuantityError
from sciflow.quantities import parse_seconds, render_seconds

_NUMBER: Final = re.compile(r"\d+(\.\d*)?|\.\d+")

FAILED_VARIANTS = 3
"""Exit code of a sweep that finished with failed variants."""

EXIT_CODES = "Exit codes: 0 all done, 2 usage, 3 finished with failed variants, 1 other errors."


class Duration(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]  older releases of click take none
    """A duration such as ``90s``, ``2h`` or ``1 h 30 min``; a bare number is seconds, as of ``sleep`` and ``timeout``.

    Parameters
    ----------
    least : seconds
    """

    name = "duration"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            seconds = parse_seconds(float(value) if _NUMBER.fullmatch(str(value).strip()) else value)
        except QuantityError as error:
            self.fail(str(error), param, ctx)
        if seconds < self._least:
            self.fail(f"{value!r} is less than {render_seconds(self._least)}", param, ctx)
        return seconds


sweep_argument = click.argument("sweep")
file_argument = click.argument("file")
directory_option = click.option("--directory", metavar="DIR", help="Where sweeps are kept (default: sweeps).")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show the whole traceback of a script that fails.")


def examples(*lines: str, after: str = "") -> str:
    """The end of a command's help: examples, and what is to be said after them."""
    text = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    return f"{text}\n\n{after}" if after else text
