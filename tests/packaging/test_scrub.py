from __future__ import annotations

import pytest

from sciflow.packaging.scrub import Scrubber, has_absolute_path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('File "/home/ada/project/src/a.py", line 3', 'File "…/src/a.py", line 3'),
        ("no file /data/ada/x.csv here", "no file …/x.csv here"),
        ("/usr/lib/python3/site-packages/numpy/core.py", "…/numpy/core.py"),
        ("https://example.org/a/b/c", "https://example.org/a/b/c"),
        ("git@host.org:/srv/git/x.git", "git@host.org:/srv/git/x.git"),
        ("src/a/b.py and a/b", "src/a/b.py and a/b"),
        ("1/2 of n/a; 3 m/s/K", "1/2 of n/a; 3 m/s/K"),
        ("…/site/x/y", "…/site/x/y"),
    ],
)
def test_absolute_paths_are_shortened_and_nothing_else(before, after) -> None:
    scrub = Scrubber(("/home/ada/project",))

    assert scrub.text(before) == after
    assert scrub.text(after) == after
    assert not has_absolute_path(after)


def test_words_are_replaced_as_wholes_in_nested_data() -> None:
    scrub = Scrubber(words={"node7": "host-1"})

    told = scrub.data({"worker": "node7:12", "n": 3, "list": ["node71", ["node7"]], "node7": None})
    assert told == {"worker": "host-1:12", "n": 3, "list": ["node71", ["host-1"]], "node7": None}
