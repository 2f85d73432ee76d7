"""What is found out before workers are asked for."""

from __future__ import annotations

import sys
import threading
import types

import pytest

import sciflow
from sciflow.engine.preflight import freeze, preflight
from sciflow.engine.worker import BatchRunner
from sciflow.errors import SciflowError, WorkflowError


def shipment_of(workflow, tmp_path, *, elsewhere):
    definition = workflow.validate()
    work = BatchRunner(definition, str(tmp_path), {})
    return preflight(definition, work, freeze(definition), elsewhere=elsewhere)


def workflow_of(function, space=None):
    workflow = sciflow.ExperimentalWorkflow("preflight")
    workflow.add_task("train", function)
    workflow.add_parameter_space(space or {"a": [1, 2, 3]})
    return workflow


def in_main(function):
    function.__module__ = "__main__"
    return function


def test_a_workflow_that_can_be_loaded_elsewhere_is_packed(tmp_path, capfd):
    (tmp_path / "loud.py").write_text("print('as it is imported')\ndef run(a):\n    return a\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import loud

        assert shipment_of(workflow_of(loud.run), tmp_path, elsewhere=True).contents
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["loud"]


def test_a_module_that_workers_lack_is_named_before_a_cluster_is_asked(tmp_path, monkeypatch):
    made = types.ModuleType("made_by_hand")
    exec("def run(a): return a", vars(made))
    monkeypatch.setitem(sys.modules, "made_by_hand", made)

    with pytest.raises(WorkflowError, match=r"cannot import module 'made_by_hand'.*beside the script"):
        shipment_of(workflow_of(made.run), tmp_path, elsewhere=True)


class Leaves:
    def __reduce__(self):
        return sys.exit, (7,)


def test_code_that_ends_the_process_as_it_is_loaded_is_no_riddle(tmp_path):
    leaves = Leaves()

    with pytest.raises(WorkflowError, match="a fresh process ended with 7 as it loaded the workflow"):
        shipment_of(workflow_of(in_main(lambda a: leaves)), tmp_path, elsewhere=True)


@pytest.mark.parametrize("bad", [1, 3])
def test_the_first_and_the_last_variant_are_made_and_not_run(tmp_path, bad):
    ran = []

    def derived(a):
        return 1 / (a - bad)

    space = sciflow.Grid(a=[1, 2, 3]).derive(b=derived)

    with pytest.raises(SciflowError, match="division by zero"):
        shipment_of(workflow_of(lambda a, b: ran.append(a), space), tmp_path, elsewhere=False)
    assert not ran


def test_what_cannot_be_sent_ends_the_sweep_before_any_variant_and_before_the_window(tmp_path):
    lock = threading.Lock()
    workflow = workflow_of(lambda a: lock)
    workflow.set_scheduling_policy("off_peak", {"preferred_hours": "03:00-03:01", "timezone": "UTC"})

    with pytest.raises(WorkflowError, match="task 'train': the variable 'lock' around it"):
        sciflow.Engine(directory=tmp_path, progress=False).execute_parameter_sweep(workflow)
