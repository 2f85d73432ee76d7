"""Shipments: what is sent to worker processes, and what is said when it cannot be sent or loaded."""

from __future__ import annotations

import functools
import subprocess
import sys
import sysconfig
import textwrap
import threading

import pytest

import sciflow
from sciflow.clusters.shipping import Shipment, _extend
from sciflow.clusters.unsendable import explain
from sciflow.errors import WorkflowError

LOCK = threading.Lock()
TABLE = {"small": 1, "lock": LOCK}


class Holder:
    def __init__(self):
        self.inner = [1, 2, threading.Lock()]

    def work(self, a):
        return a


class Work:
    """Stands for what the engine sends: it has a definition."""

    is_spent = False

    def __init__(self, definition):
        self.definition = definition

    def __call__(self, batch):
        return batch

    def drain(self):
        pass

    def close(self):
        pass


def definition(function, values=(1,)):
    workflow = sciflow.ExperimentalWorkflow("w")
    workflow.add_task("train", function)
    workflow.add_parameter_space({"a": values})
    return workflow.validate()


def by_value(function):
    """As functions of the main script travel."""
    function.__module__ = "__main__"
    return function


def closure():
    held = threading.Lock()
    return lambda a: held


def generator_behind_names():
    class Model:
        source = (n for n in [1])

    return lambda a: Model


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (by_value(lambda a: LOCK), r"the global 'LOCK' \(a _thread.lock\)"),
        (by_value(lambda a: TABLE["lock"]), r"the item 'lock' of the global 'TABLE' \(a _thread.lock\)"),
        (closure(), r"the variable 'held' around it \(a _thread.lock\)"),
        (functools.partial(lambda a, by: a, by=LOCK), r"the argument 'by' \(a _thread.lock\)"),
        (functools.partial(lambda by, a: a, LOCK), r"the argument at 0 \(a _thread.lock\)"),
        (by_value(lambda a, by=LOCK: a), r"the default at 0 \(a _thread.lock\)"),
        (by_value(lambda a, *, by=LOCK: a), r"the default of 'by' \(a _thread.lock\)"),
        (Holder().work, r"the item at 2 of the attribute 'inner' of the object of 'Holder.work' \(a _thread.lock\)"),
        (generator_behind_names(), r"the attribute 'source' of the variable 'Model' around it \(a generator\)"),
    ],
)
def test_what_cannot_be_sent_is_named_as_its_author_knows_it(function, said):
    with pytest.raises(WorkflowError, match=rf"task 'train': {said} cannot be sent to worker processes; make it insi"):
        _ = Shipment(Work(definition(function))).contents


def test_a_parameter_value_that_cannot_be_sent_is_told_from_a_task_that_cannot():
    with pytest.raises(
        WorkflowError, match=r"parameter 'a': the value Named\('lock'\), .*\(a _thread.lock\), cannot be sent"
    ):
        _ = Shipment(Work(definition(lambda a: a, [sciflow.Named("lock", LOCK)]))).contents


def test_without_a_culprit_the_words_of_pickle_are_passed_on():
    assert "TypeError: hm" in explain(object(), TypeError("hm"))


# what a process does that gets the shipments named on its command line, one after another
RECEIVER = """
    import pickle, sys
    for name in sys.argv[1:]:
        with open(name, "rb") as file:
            try:
                print(pickle.load(file)(3))
            except Exception as error:
                print(f"{type(error).__name__}: {error}")
"""

SENDER = """
    import pickle, sys
    from sciflow.clusters.shipping import Shipment
    from sciflow.provenance.sources import read_sources
    sys.dont_write_bytecode = True
    sys.path.insert(0, sys.argv[2])
"""


def send(folder, name, program, *arguments):
    lines = textwrap.dedent(SENDER) + textwrap.dedent(program)
    lines += "with open(sys.argv[1], 'wb') as file:\n    pickle.dump(Shipment(work, read_sources([work])), file)\n"
    done = subprocess.run(
        [sys.executable, "-c", lines, folder / name, folder, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def receive(folder, *names):
    command = [sys.executable, "-c", textwrap.dedent(RECEIVER), *names]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_worker_that_gets_a_second_sweep_runs_the_code_of_the_second(tmp_path):
    (tmp_path / "outer.py").write_text("from inner import value\n\ndef run(x):\n    return value() + x\n")
    (tmp_path / "inner.py").write_text("def value():\n    return 10\n")
    program = "import outer\nwork = lambda x: outer.run(x)\n"
    send(tmp_path, "first", program)
    (tmp_path / "inner.py").write_text("def value():\n    return 20\n")
    send(tmp_path, "second", program)
    (tmp_path / "inner.py").write_text("def value():\n    return 30\n")

    assert receive(tmp_path, "first", "second", "first") == ["13", "23", "13"]


def test_package_data_and_the_names_of_files_are_those_of_the_user(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("from .reading import run\n")
    (package / "table.txt").write_text("12")
    (package / "reading.py").write_text(
        "import importlib.resources, inspect, pkgutil, pathlib\n"
        "def run(x):\n"
        "    here = pathlib.Path(__file__).with_name('table.txt').read_text()\n"
        "    packed = importlib.resources.files('package').joinpath('table.txt').read_text()\n"
        "    data = pkgutil.get_data('package', 'table.txt').decode()\n"
        "    return [here, packed, data, __file__, 'here = pathlib' in inspect.getsource(run)]\n"
    )
    send(tmp_path, "shipment", "import package\nwork = package.run\n")
    (package / "reading.py").write_text("broken(")

    (said,) = receive(tmp_path, "shipment")

    assert said == str(["12", "12", "12", str(package / "reading.py"), True])


def test_a_module_that_is_not_there_for_the_workers_is_named_with_the_remedy(tmp_path):
    program = """
        import types
        made = types.ModuleType("made_by_hand")
        sys.modules["made_by_hand"] = made
        exec("def run(x): return x", vars(made))
        work = made.run
    """
    send(tmp_path, "shipment", program)

    (said,) = receive(tmp_path, "shipment")

    assert said.startswith("WorkflowError: worker processes on ")
    assert "cannot import module 'made_by_hand', which the workflow's code uses" in said
    assert "into a file beside the script" in said


def test_an_object_that_does_not_come_back_from_its_pickle_is_said_to_be_one(tmp_path):
    program = """
        class Odd(Exception):
            def __init__(self, one, two):
                super().__init__(one)
        odd = Odd(1, 2)
        work = lambda x: odd
    """
    send(tmp_path, "shipment", program)

    (said,) = receive(tmp_path, "shipment")

    assert "cannot be loaded there: TypeError" in said
    assert "make it inside the task" in said


def test_what_a_traceback_shows_is_the_code_that_ran(tmp_path):
    (tmp_path / "failing.py").write_text("def run(x):\n    return 1 / 0  # before\n")
    program = "import failing, traceback\ndef work(x):\n    try:\n        failing.run(x)\n    except Exception:\n"
    send(tmp_path, "shipment", program + "        return traceback.format_exc().splitlines()\n")
    (tmp_path / "failing.py").write_text("def run(x):\n    return 1 / 0  # after\n")

    (said,) = receive(tmp_path, "shipment")

    assert "# before" in said
    assert "# after" not in said


def test_a_thread_of_the_driver_gets_the_drivers_own_modules():
    shipment = Shipment(Work(definition(lambda a: a + 1)))
    open_shipment, arguments = shipment.__reduce__()
    main, finders = sys.modules["__main__"], [*sys.meta_path]

    work = open_shipment(*arguments)

    assert work.definition.name == "w"
    assert sys.modules["__main__"] is main
    assert sys.meta_path == finders


def test_folders_of_the_users_code_come_first_and_libraries_of_the_driver_not_at_all(tmp_path):
    mine, theirs = tmp_path / "study", tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    path = ["/worker/site-packages"]

    _extend(path, [str(mine), str(theirs), sysconfig.get_path("stdlib"), "/worker/site-packages"])

    assert path == [str(mine), "/worker/site-packages"]
