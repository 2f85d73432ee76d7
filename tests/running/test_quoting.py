from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sciflow.errors import WorkflowError
from sciflow.running.quoting import check_quotable
from sciflow.running.template import Field, Template

SHELLS = [["/bin/sh", "-c"], *([["bash", "--posix", "-c"]] if shutil.which("bash") else [])]

# each would leave a mark if it were executed
HOSTILE = [
    "$(touch MARK)",
    "`touch MARK`",
    "'; touch MARK; '",
    '"; touch MARK; "',
    "\\'; touch MARK; \\'",
    "\n touch MARK\n",
    "'$(touch MARK)'",
    "x' $(touch MARK) 'x",
    "| touch MARK",
    "a[$(touch MARK)]",
    "$(touch MARK",
    "E\ntouch MARK\n",
]

PIECES = st.sampled_from(
    [
        *["'", '"', "\\", "`", "#", " ", "\n", "$", "$(", ")", ";", "<<E\n", "E\n", "x", "$'", "$x", "$$", "${{y:-"],
        *["}}", "&&", "&", "echo ", ": ", "=", "!", "( ", "((", "))", "$((", "case ", " in ", "a[", "]", "]=1"],
        *["[ ", "$["],
    ]
)
SIDES = st.lists(PIECES, max_size=5).map("".join)
TEXTS = st.tuples(SIDES, SIDES).map("{x}".join)


def accepted(text):
    template = Template.parse(text)
    check_quotable(template)
    return template


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])
@given(TEXTS, st.sampled_from(HOSTILE), st.sampled_from(SHELLS))
def test_whatever_stands_around_it_no_value_is_ever_executed(tmp_path, text, value, shell):
    try:
        template = accepted(text)
    except WorkflowError:
        assume(False)

    mark = tmp_path / "MARK"
    mark.unlink(missing_ok=True)
    command = [*shell, template.fill({"x": value}, shlex.quote)]
    subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True)

    assert not mark.exists()


@pytest.mark.parametrize("text", ["printf %s {x}", 'y={x}; printf %s "$y"', "printf %s a{x}b", "(printf %s {x}) | cat"])
@settings(max_examples=30)
@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_value_is_one_word_whatever_it_holds(text, value):
    command = ["/bin/sh", "-c", accepted(text).fill({"x": value}, shlex.quote)]
    printed = subprocess.run(command, capture_output=True, check=True).stdout.decode()

    assert printed == (f"a{value}b" if "a{x}b" in text else value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo '{x}'", "single quotes"),
        ('echo "{x}"', "double quotes"),
        ('echo "a $(b {x})"', "double quotes"),
        ('echo "$(b "{x}")"', "a substitution"),
        ("echo `b {x}`", "backticks"),
        ("echo # {x}", "a comment"),
        ("cat <<EOF\n{x}\nEOF", "here-document"),
        ("echo \\{x}", "backslash"),
        ("echo $'{x}'", r"\$'…'"),
        ("echo $(( {x} + 1 ))", "arithmetic"),
        ("echo $[ {x} + 1 ]", "arithmetic"),
        ("a[{x}]=1", "index"),
    ],
)
def test_a_name_where_quoting_does_not_help_is_refused_with_its_place(text, says):
    with pytest.raises(WorkflowError, match=says) as caught:
        accepted(text)
    assert "{x}" in str(caught.value)


def test_a_variable_of_the_shell_in_braces_says_how_to_write_it():
    with pytest.raises(WorkflowError, match=r"\$\{\{HOME\}\}"):
        accepted("ls ${HOME}")

    assert accepted("ls ${{HOME}}").fill({}) == "ls ${HOME}"


@pytest.mark.parametrize(
    "text", ["echo 'a' \"b\" {x} 'c'", "echo a#b {x}", "# a comment\necho {x}", "echo $$'b' {x}", "echo \\\\{x}"]
)
def test_closed_quotes_and_comments_do_not_matter(text):
    assert Field("x") in accepted(text).parts
