"""Numeric libraries of a process, as they are loaded and set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import threadpoolctl

from sciflow.provenance.numerics import numeric_facts, numpy_build

pytestmark = pytest.mark.measured


def in_process(code, **environment):
    """What a fresh process prints."""
    # set here by the import of threadpoolctl
    kept = {name: value for name, value in os.environ.items() if name != "KMP_DUPLICATE_LIB_OK"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOOK = "import json; from sciflow.provenance.numerics import numeric_facts; print(json.dumps(numeric_facts()))"


def test_threads_are_those_that_are_set():
    with threadpoolctl.threadpool_limits(1):
        one = numeric_facts()

    blas = [library for library in one["libraries"] if library["user_api"] == "blas"]
    assert {library["num_threads"] for library in blas} == {1}
    assert {"version", "architecture", "prefix"} <= blas[0].keys()
    assert "filepath" not in repr(one)
    assert os.sep not in json.dumps([library["prefix"] for library in one["libraries"]])


def test_threads_of_another_process_are_its_own():
    facts = in_process(f"import numpy; {LOOK}", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

    assert {library["num_threads"] for library in facts["libraries"]} == {1}


def test_what_was_not_imported_is_not_looked_for():
    facts = in_process(LOOK + "; import sys; assert 'numpy' not in sys.modules")

    assert facts == {"libraries": []}


def test_looking_leaves_the_variables_of_the_process_as_they_are():
    kept = in_process(
        "import os, json; before = dict(os.environ); from sciflow.provenance.numerics import numeric_facts;"
        "numeric_facts(); print(json.dumps(before == dict(os.environ)))"
    )

    assert kept is True


def test_numpy_says_what_it_was_built_with_and_which_instructions_it_found():
    facts = numpy_build(np)

    assert facts["simd"]["found"] is not None
    assert facts["blas"]["name"]
    assert "/" not in json.dumps(facts).replace("//", "")


def test_a_library_that_cannot_be_looked_into_ends_nothing(monkeypatch):
    def broken():
        raise OSError("no such symbol")

    monkeypatch.setattr(threadpoolctl, "threadpool_info", broken)

    assert numeric_facts()["libraries"] == []
    assert numpy_build(object()) == {}


def test_what_is_said_about_two_libraries_of_openmp_is_no_concern_of_the_users(monkeypatch):
    def warned():
        warnings.warn("Found Intel OpenMP and LLVM OpenMP", RuntimeWarning, stacklevel=1)
        return []

    monkeypatch.setattr(threadpoolctl, "threadpool_info", warned)

    assert numeric_facts()["libraries"] == []
