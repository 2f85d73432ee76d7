from __future__ import annotations

import json

import pytest
import yaml

from sciflow.packaging import texts


def record(**more):
    known = {"title": "A sweep", "workflow": "flow", "authors": [], "license": None, "made_at": "2026-01-02T03:04"}
    return {**known, **more}


def test_the_state_of_the_code_is_told_in_a_sentence() -> None:
    repository = {"name": "p", "commit": "abc", "dirty": True, "n_untracked": 2, "remote": "https://example.org/p.git"}
    told = texts.code_sentence({"repository": repository})

    assert "commit abc of https://example.org/p.git, with changes that were not committed and 2 files" in told
    assert "uncommitted files of the repository `p`" in texts.code_sentence({"repository": {"name": "p"}})
    assert "not recorded (dubious)." in texts.code_sentence({"repository": None, "problem": "dubious"})


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("Ada Lovelace", {"family-names": "Lovelace", "given-names": "Ada"}),
        ("de la Cruz, Juana", {"family-names": "de la Cruz", "given-names": "Juana"}),
        ("Plato", {"family-names": "Plato"}),
        ('A. Body (Uni: "X")', {"family-names": "Body", "given-names": "A.", "affiliation": 'Uni: "X"'}),
    ],
)
def test_authors_are_cited_by_family_and_given_names(author, expected) -> None:
    citation = yaml.safe_load(texts.citation(record(authors=[author]), "about: it"))

    assert citation["authors"] == [expected]
    assert citation["abstract"] == "about: it"
    assert citation["date-released"] == "2026-01-02"


def test_a_citation_without_authors_names_those_of_the_workflow() -> None:
    assert yaml.safe_load(texts.citation(record(), ""))["authors"] == [{"name": "The authors of flow"}]


@pytest.mark.parametrize(
    ("given", "spdx"), [("cc-by-4.0", "CC-BY-4.0"), ("MIT", "MIT"), ("my own", None), ("MIT OR Apache-2.0", None)]
)
def test_only_licences_of_the_list_are_told_to_archives(given, spdx) -> None:
    citation = yaml.safe_load(texts.citation(record(license=given), ""))
    deposit = json.loads(texts.zenodo(record(license=given), ""))

    assert citation.get("license") == spdx
    assert deposit.get("license") == (spdx and spdx.lower())


def test_what_is_unfinished_or_not_stated_is_told_to_who_makes_a_package() -> None:
    counts = {"done": 2, "failed": 1, "missing": 9}
    known = record(counts=counts, n_variants=12, running=True, anonymised=False, license="CC BY 4.0")

    running, missing, failed, license_, authors = texts.notes(known, ())
    assert "still runs" in running
    assert (missing, failed) == ("9 of 12 variants did not run yet", "1 of 12 variants failed")
    assert "'CC BY 4.0' is no SPDX identifier" in license_
    assert license_.endswith("did you mean CC-BY-4.0?")
    assert "no author is stated" in authors


def test_a_complete_package_with_licence_and_authors_has_no_notes() -> None:
    known = record(counts={"done": 2}, n_variants=2, running=False, anonymised=False, authors=["A"])

    assert texts.notes({**known, "license": "MIT OR Apache-2.0"}, ["A"]) == []
    assert texts.notes({**known, "license": "MIT", "anonymised": True, "authors": []}, ["A"]) == [
        "the authors that were given are left out, because it is anonymous"
    ]


def test_the_licence_file_of_the_code_is_kept_and_a_missing_one_is_told() -> None:
    assert "No licence was stated" in texts.license_text(None, None)
    text = texts.license_text("MIT", "Copyright A. Body\n")
    assert "licence MIT: https://spdx.org/licenses/MIT.html" in text
    assert text.endswith("Copyright A. Body\n")


def test_folders_and_kinds_of_files_are_listed_once() -> None:
    names = ["README.md", "data/code/a.py", "data/code/b.py", "data/environment/0f.json", "data/results/results.csv"]

    assert [name for name, _ in texts.contents(names)] == [
        "README.md",
        "data/code/",
        "data/environment/*.json",
        "data/results/results.csv",
    ]
