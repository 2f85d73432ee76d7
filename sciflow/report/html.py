"""A page as one HTML file that needs nothing else: style, script, images and data are in it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from sciflow.report.blocks import Page


def render_html(page: Page) -> str:
    """The page as HTML.

    Its security policy lets it load nothing and run no script but its own, so that results that contain HTML, or a
    page that was tampered with, send nothing anywhere.
    """
    environment = _environment()
    style, script = (environment.loader_source(name) for name in ("page.css", "page.js"))
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {_digest(style)}",
            f"script-src {_digest(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return environment.get_template("page.html.jinja").render(
        page=page,
        style=Markup(style),  # noqa: S704  a file of ours
        script=Markup(script),  # noqa: S704  a file of ours
        policy=policy,
    )


class _Templates(Environment):
    """Our templates, which escape whatever comes from a sweep."""

    def __init__(self) -> None:
        super().__init__(
            loader=PackageLoader("sciflow.report"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )

    def loader_source(self, name: str) -> str:
        """The text of a file that is no template."""
        assert self.loader is not None
        return self.loader.get_source(self, name)[0]


@cache
def _environment() -> _Templates:
    return _Templates()


def _digest(text: str) -> str:
    """How a security policy names an inline style or script (CSP level 2, section 4.2.5)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
