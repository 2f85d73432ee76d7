from __future__ import annotations

import operator
import subprocess
import sys
import time

import numpy as np
import pytest

from sciflow.engine.meter import ALL_EACH_S, Meter, Usage

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells")


def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def measured(functions, variant_s, **options):
    meter = Meter(**options)
    iterator = meter.metered(map(operator.call, functions), variant_s)
    meter.begin()
    n = 0
    while n < len(functions):
        try:
            for _ in iterator:
                n += 1
        except ValueError:  # what a task raises ends no iterator that maps
            n += 1
    usage = meter.take(n)
    meter.close()
    return usage


@linux
def test_variants_that_are_long_enough_are_measured_one_by_one(tmp_path):
    def write():
        (tmp_path / "x").write_bytes(bytes(300_000))

    def child():
        subprocess.run([sys.executable, "-S", "-c", "sum(range(3_000_000))"], check=True)

    def allocate():
        assert len(bytearray(b"x") * 80_000_000)

    usage = measured([lambda: spin(0.05), write, child, allocate], ALL_EACH_S, own=True)

    each = usage.each
    assert set(each) == {"cpu_s", "system_s", "children_s", "read_bytes", "written_bytes", "peak_bytes"}
    assert each["cpu_s"][0] >= 0.045
    assert np.argmax(each["children_s"]) == 2
    assert each["cpu_s"][2] >= each["children_s"][2] > 0.01
    assert each["written_bytes"][1] == 300_000
    assert each["read_bytes"][0] == each["written_bytes"][0] == 0, "looking counts for nothing"
    assert each["peak_bytes"][3] - each["peak_bytes"][0] > 70_000_000


@linux
@pytest.mark.parametrize(
    ("variant_s", "names"), [(1e-3, {"cpu_s", "system_s", "children_s"}), (1e-5, set()), (None, None)]
)
def test_how_closely_is_looked_goes_with_how_long_variants_take(variant_s, names):
    usage = measured([lambda: spin(1e-3)] * 3, variant_s)

    assert set(usage.each) == names if names is not None else len(usage.each) == 6
    assert usage.total["cpu_s"] >= 0.002
    assert usage.total["peak_bytes"] > 1 << 20


def test_a_variant_that_raises_is_measured_like_others():
    def fail():
        spin(0.02)
        raise ValueError

    usage = measured([lambda: None, fail, lambda: None], None)

    assert usage.each["cpu_s"].shape == (3,)
    assert usage.each["cpu_s"][1] >= 0.019 > usage.each["cpu_s"][2]


def test_a_variant_that_is_ended_from_outside_is_measured_until_then():
    meter = Meter()
    next(meter.metered(iter([1, 2]), None))
    meter.begin()
    spin(0.01)

    assert meter.take(1).each["cpu_s"][0] >= 0.009


def test_a_part_of_the_variants_has_its_own_measure_or_its_share():
    usage = Usage({"cpu_s": 6.0, "peak_bytes": 9.0}, {"cpu_s": np.array([1.0, 2.0, 3.0])})

    assert usage.take(np.array([0, 2]), 0.5).total == {"cpu_s": 4.0, "peak_bytes": 9.0}
    assert Usage({"cpu_s": 6.0}).take(np.array([0, 2]), 0.5).total == {"cpu_s": 3.0}


def test_without_proc_times_and_the_peak_of_the_process_are_known(monkeypatch):
    monkeypatch.setattr("sciflow.engine.meter._opened", lambda *_: None)
    usage = measured([lambda: spin(0.01)], None)

    assert set(usage.each) == {"cpu_s", "system_s", "children_s", "peak_bytes"}
    assert usage.each["peak_bytes"][0] > 1 << 20
