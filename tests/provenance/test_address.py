from __future__ import annotations

import pytest

from sciflow.provenance.address import scrubbed


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://ghp_token@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://me:secret@example.org:8443/a/b.git", "https://example.org:8443/a/b.git"),
        ("https://example.org/a/b.git?private_token=abc#main", "https://example.org/a/b.git"),
        ("ssh://git:pw@example.org/a/b.git", "ssh://git@example.org/a/b.git"),
        ("git+ssh://git@example.org/a/b.git", "git+ssh://git@example.org/a/b.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("example.org:a/b.git", "example.org:a/b.git"),
        ("/home/somebody/code/b.git", "…/b.git"),
        ("file:///home/somebody/b", "…/b"),
        ("../b.git", "…/b.git"),
        ("keeper::https://me:secret@example.org/a", "keeper::https://example.org/a"),
        ("ext::sh -c 'connect secret'", "ext::…"),
        ("oauth2:secret@example.org:a/b.git", "…"),
        ("https://[secret@example.org/a", "…"),
    ],
)
def test_addresses_lose_credentials_and_local_paths(address: str, kept: str) -> None:
    assert scrubbed(address) == kept
