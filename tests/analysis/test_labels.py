from __future__ import annotations

from sciflow.analysis.labels import label_values, with_unit


def test_labels_are_short_but_tell_values_apart() -> None:
    assert label_values([0.1, 1.0, 1e-9]) == ["0.1", "1", "1e-09"]
    assert label_values([1.00001, 1.00002]) == ["1.00001", "1.00002"]
    assert label_values([None, True, (1, 2)]) == ["None", "True", "(1, 2)"]
    assert label_values([tuple(range(30))])[0].endswith("…")


def test_a_unit_of_one_is_not_written() -> None:
    assert [with_unit("a", unit) for unit in ("K", "1", "", None)] == ["a [K]", "a", "a", "a"]
