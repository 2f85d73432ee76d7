"""What commands have in common: arguments, options, and how help shows examples."""

from __future__ import annotations

import click

FAILED_VARIANTS = 3
"""Exit code of a sweep that finished with failed variants."""

EXIT_CODES = "Exit codes: 0 all done, 2 usage, 3 finished with failed variants, 1 other errors."

sweep_argument = click.argument("sweep")
file_argument = click.argument("file")
directory_option = click.option("--directory", metavar="DIR", help="Where sweeps are kept (default: sweeps).")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show the whole traceback of a script that fails.")


def examples(*lines: str, after: str = "") -> str:
    """The end of a command's help: examples, and what is to be said after them."""
    text = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    return f"{text}\n\n{after}" if after else text
