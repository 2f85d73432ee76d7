"""Some variants of a workflow run again, in a process of its own: what `sciflow reproduce` starts.

    python -P -m sciflow.cli.rerun JOB.json

The job is a JSON object: ``script``, ``workflow`` (its name), ``variants`` (their ids), ``seed``, ``cluster``,
``directory``. Only that sweep is run: the script is executed up to where it starts one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sciflow.cli.load import Source, laid_over, loaded_workflow
from sciflow.errors import SciflowError, WorkflowError

if TYPE_CHECKING:
    from collections.abc import Mapping


def main(path: str) -> int:
    """Run the job; the exit status, after one sentence on stderr if it could not be run."""
    job: dict[str, Any] = json.loads(Path(path).read_bytes())
    try:
        rerun(job)
    except click.ClickException as error:
        print(error.format_message(), file=sys.stderr)
        return 1
    except SciflowError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def rerun(job: Mapping[str, Any]) -> None:
    """Run the chosen variants in a new sweep directory.

    Raises
    ------
    ScriptError
        The script raised.
    SciflowError
        It makes another workflow, or the sweep could not run.
    """
    options = {
        "cluster": job["cluster"],
        "directory": job["directory"],
        "policy": "immediate",
        "progress": False,
        "on_stale": "keep",
    }
    with laid_over(options), loaded_workflow(Source(Path(job["script"]), None), job["workflow"]) as loaded:
        workflow = loaded.workflow
        if workflow.seed != job["seed"]:
            raise WorkflowError(
                f"{job['script']} makes {workflow.name!r} with seed {workflow.seed}, the results are of {job['seed']}"
            )
        workflow.set_metadata_requirements({})  # they were met where the results come from; here is no repository
        engine = loaded.engine
        if engine is None:
            from sciflow.engine.engine import Engine  # noqa: PLC0415  brings NumPy, which the script may configure

            engine = Engine()
        with laid_over({**options, "only": " ".join(job["variants"])}):
            engine.execute_parameter_sweep(workflow)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
