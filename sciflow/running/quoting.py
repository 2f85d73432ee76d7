"""Where in a shell command a value may be filled in: only where quoting it makes it one word, whatever it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciflow.errors import WorkflowError

if TYPE_CHECKING:
    from sciflow.running.template import Field, Template

_OPENED = {"'": "single quotes", '"': "double quotes", "`": "backticks"}
# where these end takes a whole parser to know, so that nothing is filled in after them
_FROM_HERE_ON = {
    "$'": "quotes of the form $'…' or after them",
    "<<": "a here-document or after it",
    "((": "arithmetic or after it (give it a variable first: y={y}; echo $((y + 1)))",
    "$[": "arithmetic or after it (give it a variable first: y={y}; echo $((y + 1)))",
}
_WORD_ENDS = frozenset(" \t\n;&|()<>")


def check_quotable(template: Template) -> None:
    """Refuse fields within quotes and the like, where a quoted value would be taken apart or even executed.

    Raises
    ------
    WorkflowError
        Naming the field and where it stands.
    """
    text = ""
    for part in template.parts:
        if isinstance(part, str):
            text += part
            continue
        where = _place_at_end(text)
        if where is not None:
            raise WorkflowError(_message(part, where))
        text += "x"  # a quoted value is one word


def _message(field: Field, where: str) -> str:
    if where == "a $":
        return (
            f"the command has ${field}, where {field.name!r} would be filled in as the value of a parameter; for the "
            f"variable of the shell write ${{{field}}}"
        )
    return (
        f"the command has {field} within {where}, where no quoting makes a value safe; take the quotes away (values "
        "are quoted already), or give the command as a list"
    )


def _place_at_end(text: str) -> str | None:  # noqa: C901, PLR0912  a small automaton reads best in one piece
    """What encloses the end of *text*, as POSIX shells read it; None for a place between or within plain words."""
    inside: str | None = None
    at = 0
    while at < len(text):
        here, following = text[at], text[at + 1 : at + 2]
        if inside == "a comment":
            inside = None if here == "\n" else inside
        elif inside == "'":
            inside = None if here == "'" else inside
        elif here == "\\":
            if not following:
                return "the reach of a backslash"
            at += 1
        elif inside == '"' and (here == "`" or here + following in {"$(", "${"}):
            return "double quotes with a substitution, or after them"
        elif inside is not None:
            inside = None if here == inside else inside
        elif here + following == "$$":  # the number of the process, whatever follows
            at += 1
        elif here + following in _FROM_HERE_ON:
            return _FROM_HERE_ON[here + following]
        elif here == "[" and text[at - 1 : at].isalnum():
            return "an index in brackets or after it"
        elif here == "#" and (at == 0 or text[at - 1] in _WORD_ENDS):
            inside = "a comment"
        elif here in _OPENED:
            inside = here
        at += 1
    if inside is None:
        return "a $" if text.endswith("$") else None
    return _OPENED.get(inside, inside)
