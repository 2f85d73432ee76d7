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
    ("file", "line"),
    [
        ("a.py", 'AWS_SECRET_ACCESS_KEY = "' + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" + '"'),
        ("a.py", 'SECRET_KEY = "' + "django-insecure-1234567890abcdef" + '"'),
        ("a.py", 'os.environ["WANDB_API_KEY"] = "' + "0123456789abcdef" * 2 + '01234567"'),
        ("a.py", 'token = "' + "0123456789abcdef0123" + '"'),
        ("a.py", "api_key: str = '" + "abcd1234efgh" + "'"),
        ("a.py", 'connect(db_password="' + "summer2024" + '")'),
        ("a.ipynb", '"source": ["hf_token = \\"' + "x1y2z3x1y2z3x1y2" + '\\"\\n"]'),
        ("a.json", '{"client_secret": "' + "q9W8e7R6t5" + '"}'),
        ("conf/a.yml", "password: " + "hunter2hunter2"),
        ("conf/a.yaml", "  api-key: " + "0f1e2d3c4b5a6978  # of the group"),
        (".env", "DB_PASSWORD=" + "s3cretpass99"),
        (".env.local", "WANDB_API_KEY=" + "0123456789abcdef0123456789abcdef01234567"),
        ("run.sh", "  export HF_TOKEN=" + "x1y2z3x1y2z3x1y2"),
        ("a.ini", "secret = " + "a1b2c3d4e5f6g7"),
    ],
)
def test_values_that_are_called_secrets_are_found_in_code_and_configurations(file, line) -> None:
    found = list(find_secrets(f"data/code/{file}", f"first\n{line}\nlast\n".encode()))

    assert [(one.line, one.kind) for one in found] == [(2, "password in the code")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("AIza" + "SyA1234567890abcdefghijklmnopqrstuv", "access token"),
        ('headers={"Authorization": "Bearer ' + "0123456789abcdef0123" + '"}', "address of an authorised request"),
    ],
)
def test_further_tokens_are_found(line, kind) -> None:
    assert [one.kind for one in find_secrets("a.py", line.encode())] == [kind]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("a.py", "token = get_token(2024)"),
        ("a.py", 'password = os.environ["DB_PASSWORD_1"]'),
        ("a.py", "def connect(api_key=None, token: str | None = None, password: str = ''): ..."),
        ("a.py", "api_key: SecretStr | None"),
        ("a.py", 'tokenizer = "bert-base-uncased-v2"'),
        ("a.py", 'sep_token = "special_token_12"'),
        ("a.py", 'pad_token="<|reserved_12345|>"'),
        ("a.py", 'secret = "123e4567-e89b-12d3-a456-426614174000"'),
        ("a.py", 'password = "/run/secrets/database1"'),
        ("a.py", 'access_token = "https://example.org/oauth2/token"'),
        ("a.py", 'token = f"{user}-{number:08d}"'),
        ("a.py", "next_token = tokens[position12345]"),
        ("a.py", "self.token = lexer123.take_next_one"),
        ("a.py", 'headers = {"Authorization": f"Bearer {token}"}'),
        ("a.yml", "token: ${{ secrets.TOKEN_2024_ABC }}"),
        ("a.yml", "max_token: 1000000000000"),
        ("a.yml", "password: !vault |"),
        ("a.sh", 'export TOKEN="$(cat ~/.token1)"'),
        ("a.sh", "PWD=/home/somebody/project1"),
        (".env", "API_KEY="),
        ("uv.lock", 'hash = "sha256:' + "0123456789abcdef" * 4 + '"'),
        ("poetry.lock", 'content-hash = "' + "0123456789abcdef" * 4 + '"'),
        ("pyproject.toml", 'token-bucket = "1.2.3.4.5.6.7"'),
        ("environment.json", '"build": "py311h1234567_0", "key": "0123456789abcdef"'),
        ("a.csv", "token,password,secret\nabc1234567,hunter2hunter2,x"),
    ],
)
def test_code_that_only_speaks_of_secrets_is_let_through(file, line) -> None:
    assert not list(find_secrets(f"data/code/{file}", line.encode()))


@pytest.mark.parametrize("separator", ["\n", " "])
def test_a_text_that_is_full_of_names_is_searched_in_one_pass(separator) -> None:
    """In a text whose every line, or only line, names a host, counting lines and cutting them anew takes hours."""
    n = 200_000
    findings = list(find_secrets("a", separator.join(["row node-17 1.0"] * n).encode(), ["node-17"]))

    assert len(findings) == n
    assert findings[-1].line == (n if separator == "\n" else 1)
    assert max(len(one.text) for one in findings) < 10_000


def test_who_gives_too_much_away_is_told_without_a_search_to_the_end() -> None:
    looked = 0

    def findings():
        nonlocal looked
        for number in range(10_000):
            looked += 1
            yield from find_secrets(f"{number}.txt", TOKEN.encode())

    with pytest.raises(PackageError, match="and more"):
        refuse_secrets(findings())
    assert looked < 1000
    # but not after as many that are allowed
    with pytest.raises(PackageError, match=r"\n  9999\.txt:1: access token\n"):
        refuse_secrets(
            findings(), ["[0-8]*.txt", "9.txt", "9?.txt", "9??.txt", "9[0-8]??.txt", "99[0-8]?.txt", "999[0-8].txt"]
        )


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
        "class='sk-toggleable__label-arrow'",
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
