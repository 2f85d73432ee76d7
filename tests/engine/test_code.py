"""The code that runs is the code at the start, wherever it comes from: scripts, notebooks, modules beside them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import nbclient
import nbformat
import pytest

import sciflow
from sciflow.canonical import content_digest
from sciflow.engine.sweep import Sweep
from sciflow.errors import StaleError, WorkflowError
from sciflow.provenance.fingerprint import fingerprint

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def python(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


# ------------------------------------------------------------------ edits while the sweep runs

EDITED = """
    import os, signal, time
    from pathlib import Path
    import psutil
    import sciflow
    import helpers
    from package import inner

    DASK_AFTER_S = SHORT_S
    BEFORE = "script"

    def f(a):
        if a == 5 and not os.path.exists("edited"):
            for name in ("script.py", "helpers.py", "package/inner.py", "package/deep/late.py", "lazy.py",
                         "plain_folder/late.py"):
                path = Path(name)
                path.write_text(path.read_text().replace("before", "after").replace("BEFORE", "AFTER"))
            workers = psutil.Process().parent().children(recursive=True)
            Path("edited").write_text(" ".join(str(worker.pid) for worker in workers))
            if not DASK_AFTER_S:
                time.sleep(1.1)  # a later second, for compiled files
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        import lazy
        from package.deep.late import late
        from plain_folder.late import SAID
        said = {BEFORE, helpers.say(), inner.say(), lazy.SAID, late(), SAID}
        return {"said": " ".join(sorted(said)), "data": helpers.data(), "pid": os.getpid()}

    workflow = sciflow.ExperimentalWorkflow("edited")
    workflow.add_task("f", f)
    workflow.add_parameter_space({"a": range(N)})
    cluster = sciflow.LocalCluster(workers=2, dask_after_s=DASK_AFTER_S)
    results = sciflow.Engine(cluster, progress=False).execute_parameter_sweep(workflow)
    table = results.to_dataframe()
    started_later = ~table["pid"].isin([int(pid) for pid in Path("edited").read_text().split()])
    print(sorted(set(table["said"])), sorted(set(table["data"])), set(table["status"]), started_later.any())
"""


@pytest.mark.parametrize(
    ("short_s", "n"), [("10.0", "200"), ("0.0", "1000")], ids=["a replaced child", "Dask's workers that start later"]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_editing_the_script_and_its_modules_changes_nothing_for_workers_that_start_later(tmp_path, short_s, n):
    (tmp_path / "data.txt").write_text("beside")
    write(
        tmp_path,
        {
            "script.py": EDITED.replace("= SHORT_S", f"= {short_s}").replace("range(N)", f"range({n})"),
            "helpers.py": """
                from pathlib import Path

                from deeper import SAID

                def say():
                    return "before " + SAID

                def data():
                    return (Path(__file__).parent / "data.txt").read_text()
            """,
            "deeper.py": "SAID = 'before'",
            "lazy.py": "SAID = 'before'",
            "package/__init__.py": "",
            "package/inner.py": "from . import other\n\ndef say():\n    return 'before ' + other.SAID\n",
            "package/other.py": "SAID = 'other'",
            "package/never_imported.py": "",
            "package/deep/__init__.py": "",
            "package/deep/late.py": "def late():\n    return 'before'\n",
            "plain_folder/late.py": "SAID = 'before'",
        },
    )
    user_files = sorted(path.name for path in tmp_path.rglob("*"))

    done = python("script.py", cwd=tmp_path)

    assert done.stdout == "['before before before before other script'] ['beside'] {'done'} True\n", done.stderr
    assert "after" in (tmp_path / "helpers.py").read_text()
    mine = {"edited", *(path.name for path in (tmp_path / "sweeps").rglob("*")), "sweeps"}
    mine |= {path.name for path in tmp_path.glob(".coverage*")}  # what measures the tests
    assert sorted({path.name for path in tmp_path.rglob("*")} - mine) == sorted(set(user_files) - mine)
    (code,) = (tmp_path / "sweeps" / "edited" / "code").iterdir()
    kept = {path.relative_to(code).as_posix(): path.read_text() for path in code.rglob("*.py")}
    assert set(kept) == {
        "__main__/script.py",
        "deeper.py",
        "helpers.py",
        "lazy.py",
        "package/__init__.py",
        "package/deep/__init__.py",
        "package/deep/late.py",
        "package/inner.py",
        "package/never_imported.py",
        "package/other.py",
        "plain_folder/late.py",
    }
    assert not any("after" in text for text in kept.values() if "replace(" not in text)


EDITED_EARLY = """
    import sys
    from pathlib import Path
    import sciflow
    import helpers

    Path("helpers.py").write_text(Path("helpers.py").read_text().replace(*sys.argv[1:3]))
    workflow = sciflow.ExperimentalWorkflow("early")
    workflow.add_task("f", lambda a: helpers.say(a))
    workflow.add_parameter_space({"a": [1, 2]})
    if len(sys.argv) > 3:
        print(len(sciflow.Engine(progress=False).plan(workflow).progress.stale))
    else:
        print(sciflow.Engine(progress=False).execute_parameter_sweep(workflow).dataset["f"].values.tolist())
"""


@pytest.mark.parametrize(
    ("edit", "stale_when_restored"),
    # compiled code without its source is not compared with source: that errs on the side of running again
    [(("+ RATE", "- RATE"), "2\n"), (("10", "20"), "0\n")],
    ids=["a function", "a constant"],
)
def test_a_module_edited_after_it_was_imported_runs_as_imported_and_that_is_said(tmp_path, edit, stale_when_restored):
    write(
        tmp_path, {"script.py": EDITED_EARLY, "helpers.py": "RATE = 10\n\ndef say(a):\n    return a + RATE  # remark\n"}
    )

    first = python("script.py", *edit, cwd=tmp_path)
    again = python("script.py", "remark", "note", "plan", cwd=tmp_path)
    (tmp_path / "helpers.py").write_text((tmp_path / "helpers.py").read_text().replace(*reversed(edit)))
    restored = python("script.py", "remark", "note", "plan", cwd=tmp_path)

    assert first.stdout == "[11, 12]\n", first.stderr
    assert "helpers.py is not what this process imported as 'helpers'" in first.stderr
    assert again.stdout == "2\n", again.stderr
    assert restored.stdout == stale_when_restored, restored.stderr


# ------------------------------------------------------------------ where functions come from

USER_CODE = """
    import dataclasses, functools, multiprocessing, os, pickle
    import sciflow
    import helpers
    from helpers import scaled as renamed

    class Model:
        offset = 100

        def __init__(self, a):
            self.a = a

        def predict(self, a=0):
            return self.a + self.offset

    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int

    def square(a):
        return a * a

    def decorated(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    def make(power):
        def closure(a):
            return renamed(a) ** power

        return closure

    @decorated
    def build(a, shift):
        return {"model": Model(a), "point": Point(a), "moved": shift.value.predict()}

    def use(model, point, moved):
        assert isinstance(model, Model) and isinstance(point, Point)
        assert pickle.loads(pickle.dumps(point)) == point
        with multiprocessing.Pool(1) as pool:
            squares = pool.map(square, [1, 2, 3])
        from helpers import late

        return {"y": model.predict() + point.x + moved + sum(squares) + late(), "pid": os.getpid()}

    workflow = sciflow.ExperimentalWorkflow("places")
    workflow.add_task("build", build)
    workflow.add_task("use", use, depends_on=["build"])
    workflow.add_task("twice", functools.partial(lambda a, by: a * by, by=2))
    workflow.add_task("bound", Model(7).predict)
    workflow.add_task("closed", make(3))
    first, second = (lambda a: a + 1), (lambda a: helpers.scaled(a) + 2)
    workflow.add_task("first", first)
    workflow.add_task("second", second)
    workflow.add_parameter_space({"a": [1, 2], "shift": [sciflow.Named("three", Model(3))]})
    results = sciflow.Engine(sciflow.LocalCluster(workers=1), progress=False).execute_parameter_sweep(workflow)
    table = results.to_dataframe()
    assert results.status()["failed"] == 0, results.failures()["traceback"].tolist()
    assert os.getpid() not in set(table["pid"])
    print(results.status(), *(table[name].tolist() for name in ("y", "twice", "bound", "closed", "first", "second")))
"""
HELPERS = "def scaled(a):\n    return 10 * a\n\ndef late():\n    return 1000\n"
EXPECTED = "{'done': 2, 'failed': 0, 'missing': 0} [1219, 1221] [2, 4] [107, 107] [1000, 8000] [2, 3] [12, 22]\n"


def script_beside_its_module(folder):
    return python("script.py", cwd=folder)


def script_from_another_folder(folder):
    (folder / "elsewhere").mkdir()
    return python("../script.py", cwd=folder / "elsewhere")


def text_on_the_command_line(folder):
    return python("-c", (folder / "script.py").read_text(), cwd=folder)


def standard_input(folder):
    return python("-", cwd=folder, stdin=(folder / "script.py").read_text())


def module_of_a_package(folder):
    package = folder / "package"
    package.mkdir()
    text = (folder / "script.py").read_text().replace("import helpers", "from . import helpers")
    (package / "script.py").write_text(text.replace("from helpers import", "from .helpers import"))
    (package / "__init__.py").write_text("")
    (folder / "helpers.py").rename(package / "helpers.py")
    return python("-m", "package.script", cwd=folder)


def sciflow_run(folder):
    return python("-m", "sciflow.cli.main", "run", "script.py", cwd=folder)


@pytest.mark.parametrize(
    "run",
    [
        script_beside_its_module,
        script_from_another_folder,
        text_on_the_command_line,
        standard_input,
        module_of_a_package,
        sciflow_run,
    ],
)
def test_functions_and_classes_reach_worker_processes_wherever_they_are_written(tmp_path, run):
    write(tmp_path, {"script.py": USER_CODE, "helpers.py": HELPERS})

    done = run(tmp_path)

    assert done.stdout == EXPECTED, done.stderr


def test_functions_and_classes_of_a_notebook_reach_worker_processes(tmp_path):
    write(tmp_path, {"helpers.py": HELPERS})
    *definitions, run = re.split(r"\n\n(?=\S)", textwrap.dedent(USER_CODE))
    cells = [nbformat.v4.new_code_cell(text) for text in [*definitions, run]]
    notebook = nbformat.v4.new_notebook(cells=cells)

    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    said = [output.text for output in notebook.cells[-1].outputs if output.get("name") == "stdout"]
    assert said == [EXPECTED]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_functions_and_classes_reach_the_workers_of_dask_and_their_own_children(tmp_path):
    at_once = "LocalCluster(workers=1, dask_after_s=0.0)"
    slow = (
        textwrap.dedent(USER_CODE)
        .replace("LocalCluster(workers=1)", at_once)
        .replace('"a": [1, 2]', '"a": range(100)')
        .replace("def use", "@slowed\ndef use")
    )
    slowed = (
        "import time\nSLOW = 0.03\ndef slowed(function):\n    def use(model, point, moved):\n"
        "        time.sleep(SLOW)\n        import sys\n"
        "        return {**function(model, point, moved), 'dask': 'distributed' in sys.modules}\n    return use\n"
    )
    (tmp_path / "script.py").write_text(slowed + slow + "print(table['dask'].any())\n")
    (tmp_path / "helpers.py").write_text(HELPERS)

    done = python("script.py", cwd=tmp_path)

    assert done.stdout.startswith("{'done': 100, 'failed': 0, 'missing': 0}"), done.stderr
    assert done.stdout.endswith("True\n")


POOL = """
    import multiprocessing
    import sciflow

    print("body")

    class Point:
        def __init__(self, x):
            self.x = x

    def square(a):
        return a * a

    def x_of(point):
        return point.x

    def f(a):
        with multiprocessing.get_context("METHOD").Pool(1) as pool:
            return sum(pool.map(square, [a, 2])) + pool.apply(x_of, (Point(5),))

    workflow = sciflow.ExperimentalWorkflow("pool")
    workflow.add_task("f", f)
    workflow.add_parameter_space({"a": [1, 2]})
    results = sciflow.Engine(progress=False).execute_parameter_sweep(workflow)
    print(results.dataset["f"].values.tolist() if results.status()["done"] else results.failures()["traceback"].item())
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_a_task_starts_know_the_functions_of_the_script_and_do_not_run_it_again(tmp_path, method):
    write(tmp_path, {"script.py": POOL.replace("METHOD", method)})

    done = python("script.py", cwd=tmp_path)

    assert done.stdout == "body\n[10, 13]\n", done.stderr


# ------------------------------------------------------------------ declared inputs


def test_a_declared_input_that_changed_makes_results_stale_and_the_message_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("1")
    (tmp_path / "other.csv").write_text("1")

    def run(*inputs, on_stale="error"):
        workflow = sciflow.ExperimentalWorkflow("inputs")
        workflow.add_task("read", lambda a: a + int((tmp_path / "data.csv").read_text()))
        workflow.add_parameter_space({"a": [1, 2]})
        for one in inputs:
            workflow.add_input(one)
        engine = sciflow.Engine("inline", on_stale=on_stale, progress=False)
        return engine.execute_parameter_sweep(workflow).dataset["read"].values.tolist()

    assert run("data.csv", "other.csv") == [2, 3]
    os.utime(tmp_path / "data.csv")
    assert run("other.csv", "data.csv") == [2, 3], "neither times nor the order of declarations matter"
    (tmp_path / "data.csv").write_text("5")
    with pytest.raises(StaleError, match=r"2 results .* other code or inputs .*\(changed: input data.csv\)"):
        run("data.csv", "other.csv")
    assert run("data.csv", "other.csv", on_stale="rerun") == [6, 7]
    (tmp_path / "data.csv").unlink()
    with pytest.raises(WorkflowError, match=r"input 'data.csv' is not there"):
        run("data.csv")


@pytest.mark.parametrize("cluster", ["inline", "local"])
def test_a_kept_value_is_not_used_again_when_a_declared_input_changed(tmp_path, monkeypatch, cluster):
    monkeypatch.chdir(tmp_path)

    def run(text):
        (tmp_path / "data.csv").write_text(text)
        workflow = sciflow.ExperimentalWorkflow("kept")
        workflow.add_task("read", lambda: int((tmp_path / "data.csv").read_text()), cache=True)
        workflow.add_task("add", lambda read, a: read + a, depends_on=["read"])
        workflow.add_parameter_space({"a": [1, 2]})
        workflow.add_input("data.csv")
        engine = sciflow.Engine(cluster, on_stale="rerun", progress=False)
        return engine.execute_parameter_sweep(workflow).dataset["add"].values.tolist()

    assert run("10") == [11, 12]
    assert run("20") == [21, 22]


def test_a_sweep_without_inputs_has_the_generation_it_had_before_inputs_existed():
    workflow = sciflow.ExperimentalWorkflow("before")
    workflow.add_task("f", lambda: 1)
    workflow.add_task("g", lambda f: f, depends_on=["f"])
    definition = workflow.validate()

    sweep = Sweep.look(definition, None)

    prints = {step.task.name: fingerprint(step.task.function) for step in definition.steps}
    assert sweep.generation == content_digest({"f": [prints["f"], []], "g": [prints["g"], ["f"]]})
    assert "inputs" not in sweep.description
