"""What is kept of environment variables: what changes numbers, and never a secret."""

from __future__ import annotations

import pytest

from sciflow.provenance.variables import kept_variables, loaded_modules, own_facts


def test_threads_and_seeds_are_kept_and_nothing_else():
    kept = kept_variables(
        {
            "OMP_NUM_THREADS": "4",
            "OMP_PLACES": "{0:4},{4:4}",
            "PYTHONHASHSEED": "0",
            "OPENBLAS_CORETYPE": "Haswell",
            "HOME": "/home/me",
            "PATH": "/bin",
            "AWS_SECRET_ACCESS_KEY": "abc",
            "MKL_LICENSE_FILE": "27000",
            "OMP_TOOL_LIBRARIES": "/home/me/tool.so",
            "KMP_SECRET": "1",
            "CUDA_VISIBLE_DEVICES": "1",
        }
    )

    assert kept == {
        "OMP_NUM_THREADS": "4",
        "OMP_PLACES": "{0:4},{4:4}",
        "OPENBLAS_CORETYPE": "Haswell",
        "PYTHONHASHSEED": "0",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghij",
        "glpat-abcdefgh12345678",
        "hf_abcdefghij",
        "sk-abcdefghij",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.e30.abc",
        "x=0123456789abcdef0123456789abcdef",
        "https://me:word@host",
        "/home/me/.netrc",
    ],
)
def test_a_value_that_may_be_a_secret_is_not_kept_under_any_name(secret):
    assert kept_variables({"OMP_DISPLAY_ENV": secret, "XLA_FLAGS": f"a {secret}"}) == {}
    assert loaded_modules({"LOADEDMODULES": f"gcc/13.2:{secret.replace(':', '')}"}) == ["gcc/13.2"]


def test_environment_modules_are_named_in_the_order_of_loading():
    assert loaded_modules({"LOADEDMODULES": "gcc/13.2:openmpi/5.0:site/2024/numpy"}) == [
        "gcc/13.2",
        "openmpi/5.0",
        "site/2024/numpy",
    ]
    assert loaded_modules({}) == []


def test_where_only_files_of_modules_are_told_their_names_are_taken_from_them():
    files = "/apps/modules/all/gcc/13.2.lua:/apps/modules/all/openmpi/5.0.3"

    assert loaded_modules({"_LMFILES_": files}) == ["gcc/13.2", "openmpi/5.0.3"]


def test_what_differs_from_one_worker_of_a_node_to_the_next_goes_with_its_runs():
    assert own_facts({"CUDA_VISIBLE_DEVICES": "0,1"}, 4) == {"n_cores": 4, "gpus": "0,1"}
    assert own_facts({"CUDA_VISIBLE_DEVICES": "MIG-GPU-8932/1/2"}, 4)["gpus"] == "MIG-GPU-8932/1/2"
    assert own_facts({"CUDA_VISIBLE_DEVICES": "$(cat x)"}, 4) == {"n_cores": 4}
    assert own_facts({}, 2) == {"n_cores": 2}
