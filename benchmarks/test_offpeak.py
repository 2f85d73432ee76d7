"""The month of off-peak work, made short: what `offpeak.py` prints is checked, not only printed."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def offpeak():
    spec = importlib.util.spec_from_file_location("sciflow_benchmark_offpeak", Path(__file__).parent / "offpeak.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("k", range(8))
@pytest.mark.parametrize("lengths", ["known", "saved"])
def test_nothing_is_done_outside_the_windows_and_nine_tenths_of_them_are_used(offpeak, k, lengths):
    """Each scenario has its days off, or its change of clocks, in the second or third week."""
    scenario = offpeak.SCENARIOS[k]

    figures = offpeak.simulate(scenario, lengths, days=25, n_nodes=1)

    assert figures.outside_s < 0.001
    assert figures.used >= 0.9
    assert figures.kept >= 0.9


def test_where_lengths_are_not_known_nothing_is_done_outside_either(offpeak):
    figures = offpeak.simulate(offpeak.SCENARIOS[0], "unknown", days=25, n_nodes=2)

    assert figures.outside_s < 0.001
    assert figures.kept >= 0.9


def test_work_outside_would_be_seen(offpeak):
    """The measure itself: with people who come an hour earlier, the last hour of each night is outside."""
    honest = offpeak.SCENARIOS[0]
    early = replace(honest, is_open=lambda wall: wall.hour >= 22 or wall.hour < 7)

    figures = offpeak.simulate(early, "saved", days=10, n_nodes=1)

    assert figures.outside_s > 0.9 * 10 * 3600
