from __future__ import annotations

import itertools

import numpy as np
import pytest

from sciflow.analysis import variants as module
from sciflow.errors import ResultsError


def test_each_variant_comes_with_what_is_recorded_of_it(results, known) -> None:
    found = dict(results.iter_variants())

    assert len(found) == 18
    best = found[type(known.best)({**known.best, "replicate": 1})]
    assert (best["status"], best["accuracy"], best["device"]) == ("done", pytest.approx(0.91), "gpu")
    assert best["loss_curve"].tolist() == (0.01 * np.arange(4.0) + 2).tolist()
    missing = found[type(known.best)(learning_rate=0.001, layers=1, replicate=1)]
    assert missing["status"] == "missing"
    assert "accuracy" not in missing
    failed = next(record for record in found.values() if record["status"] == "failed")
    assert "the loss is not finite" in failed["failure"] or "no more memory" in failed["failure"]


def test_variants_can_be_chosen_and_come_in_the_order_of_the_space(results) -> None:
    found = [variant["learning_rate"] for variant, _ in results.iter_variants("layers == 2 and replicate == 0")]

    assert found == [0.001, 0.01, 0.1]
    with pytest.raises(ResultsError, match="no column"):
        results.iter_variants("layer == 2")


def test_variants_are_read_a_few_at_a_time(recorded, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_ROWS", 10)
    results = recorded({"a": range(95)}, lambda v: {"y": v["a"], "trace": np.full(3, v["a"])})
    read = []
    block = type(results._variants)._records
    monkeypatch.setattr(
        type(results._variants), "_records", lambda self, rows: read.append(len(rows)) or block(self, rows)
    )

    first = list(itertools.islice(results.iter_variants(), 12))

    assert read == [10, 10]
    assert [record["y"] for _, record in first] == list(range(12))


@pytest.mark.parametrize(
    "query", ["a > 3 and status == 'done'", "`y` > 3", "not stale and y < 5", "a in [1, 4] | y > 6"]
)
def test_a_condition_holds_for_the_same_variants_whether_or_not_the_whole_table_is_made(recorded, query) -> None:
    results = recorded({"a": range(9)}, lambda v: {"y": v["a"] * 1.5, "word": "x"} if v["a"] != 4 else None)
    variants = results._variants

    found = variants.matching(query)
    frame = variants.frame.assign(stale=False)

    assert found.tolist() == frame.eval(query, engine="python").to_numpy().tolist()
    assert found.any()
