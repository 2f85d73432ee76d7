"""In what a worker's environment differs from its driver's."""

from __future__ import annotations

from sciflow.provenance.mismatch import mismatch_words, mismatches


def facts(version="3.11.7", implementation="CPython", **packages):
    return {"python": {"version": version, "implementation": implementation}, "packages": packages}


def test_equal_environments_differ_in_nothing_whatever_packages_call_themselves():
    assert mismatches(facts(My_Tool="1"), facts(**{"my-tool": "1"})) == {}


def test_versions_of_both_sides_are_told_and_what_only_one_has():
    found = mismatches(facts(numpy="2.1", old="1", same="3"), facts("3.12.1", numpy="2.0", new="2", same="3"))

    assert found == {
        "Python": ("CPython 3.11.7", "CPython 3.12.1"),
        "new": (None, "2"),
        "numpy": ("2.1", "2.0"),
        "old": ("1", None),
    }
    assert mismatch_words(found) == (
        "Python CPython 3.12.1 there, CPython 3.11.7 here; numpy 2.0 there, 2.1 here; new 2 only there; old 1 only here"
    )


def test_of_many_differences_the_first_are_told_and_the_rest_counted():
    found = mismatches(facts(**{f"p{k}": "1" for k in range(20)}), facts(**{f"p{k}": "2" for k in range(20)}))

    words = mismatch_words(found)

    assert words.startswith("p0 2 there, 1 here; ")
    assert words.endswith("; and 12 more")
