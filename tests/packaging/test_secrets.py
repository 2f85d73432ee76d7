from __future__ import annotations

import pytest

from sciflow.errors import PackageError
from sciflow.packaging.secrets import find_secrets, refuse_secrets

TOKEN = "ghp_" + "a1B2" * 9  # put together here, so that nobody takes this file for one that has it


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (TOKEN, "access token"),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "private key"),
        ("AKIA" + "ABCDEFGH12345678", "AWS access key"),
        ("https://me:" + "hunter2@example.org/x", "address with a password"),
        ("https://" + "0123456789abcdef0123@example.org/x.git", "address with a token"),
        ("password = " + "'hunter2hunter2'", "password in the code"),
        ("eyJ" + "hbGciOiJIUzI1" + ".eyJ" + "zdWIiOiIxMjM0" + ".abc", "web token"),
    ],
)
def test_secrets_are_found_with_their_line_and_not_repeated(line, kind) -> None:
    findings = list(find_secrets("code/a.py", f"first\nsecond {line}\n".encode()))

    assert [(one.line, one.kind) for one in findings] == [(2, kind)]
    with pytest.raises(PackageError, match=rf"code/a\.py:2: {kind}") as caught:
        refuse_secrets(findings)
    assert line not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "git@github.com:me/project.git",
        "https://github.com/me/project",
        "password = getpass()",
        'token = os.environ["TOKEN"]',
        "url = f'https://{user}:{password}@host/x'",
        "sha256:" + "0123456789abcdef" * 4,
        "numpy==2.1.0 --hash=sha256:" + "fedcba9876543210" * 4,
        "task_sk-learn_is_a_long_name_of_something",
    ],
)
def test_what_is_no_secret_is_let_through(line) -> None:
    assert not list(find_secrets("a", line.encode()))


@pytest.mark.parametrize("allowed", ["code/a.py:1", "a.py:1", "code/*.py", "example"])
def test_what_is_none_can_be_allowed(allowed) -> None:
    refuse_secrets(find_secrets("code/a.py", f"example {TOKEN}".encode()), [allowed])
    with pytest.raises(PackageError):
        refuse_secrets(find_secrets("code/b.txt", TOKEN.encode()), [allowed])


def test_names_that_must_not_be_told_are_found_as_whole_words() -> None:
    findings = find_secrets("a", b"lovelace lovelaces\n/home/lovelace/x", ["lovelace"])
    assert [one.line for one in findings] == [1, 2]


def test_bytes_are_not_searched() -> None:
    assert not list(find_secrets("a", b"\0" + TOKEN.encode()))
