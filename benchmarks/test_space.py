"""Spaces. Expansion is O(variants asked for): length and random access O(1), N = 10^4, 10^6, 10^9, 10^18."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sciflow.space import Grid

SHAPES = {
    10**4: (10, 10, 10, 10),
    10**6: (25, 40, 25, 40),
    10**9: (200, 200, 250, 100),
    10**18: (10**6, 10**6, 10**6, 1),
}
MOST = 10**6  # variants that are really made


def axes_of(n):
    n_a, n_b, n_c, n_d = SHAPES[n]
    return {"a": range(n_a), "b": range(n_b), "c": range(n_c), "d": [f"m{i}" for i in range(n_d)]}


@pytest.mark.parametrize("n", SHAPES)
def test_length_and_random_access(benchmark, n):
    space = Grid(axes_of(n))
    benchmark.group = "len and space[k]: O(1)"

    variant = benchmark(lambda: (len(space), space[n // 3])[1])

    assert variant in space


@pytest.mark.parametrize("n", [10**4, 10**6, 10**9])
def test_iterating_the_first_million(benchmark, n):
    space = Grid(axes_of(n))
    benchmark.group = f"iterate {min(n, MOST):,} of {n:,}"

    count = benchmark.pedantic(lambda: sum(1 for _ in itertools.islice(space, MOST)), rounds=3)

    assert count == min(n, MOST)


def test_the_floor_of_iterating_a_million(benchmark):
    names, values = zip(*axes_of(10**6).items(), strict=True)
    benchmark.group = f"iterate {10**6:,} of {10**6:,}"

    count = benchmark.pedantic(
        lambda: sum(1 for row in itertools.product(*values) if dict(zip(names, row, strict=True))), rounds=3
    )

    assert count == 10**6


def test_columns_of_a_million(benchmark):
    space = Grid(axes_of(10**6))

    columns = benchmark.pedantic(space.columns, rounds=3)

    assert len(columns["d"]) == 10**6


def test_identities_of_a_hundred_thousand(benchmark):
    table = Grid(axes_of(10**6)).take(np.arange(10**5))

    ids = benchmark.pedantic(table.id_bytes, rounds=3)

    assert len(ids) == 10 * 10**5
