"""The page in a real browser: nothing is complained of, fetched or cut off, on a phone, a screen and paper."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.browser

CHROMIUM = Path(os.environ.get("SCIFLOW_CHROMIUM", "/usr/bin/chromium"))
PHONE = {"width": 390, "height": 844}
SCREEN = {"width": 1400, "height": 1000}

# WCAG 2, success criterion 1.4.3: the contrast of each text with what is behind it
CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color).slice(0, 3)), light(behind(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), texts.currentNode.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not installed")
    if not CHROMIUM.is_file():
        pytest.skip(f"there is no Chromium at {CHROMIUM}; SCIFLOW_CHROMIUM says where")
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


class Opened:
    """A page, with what the browser said and asked for meanwhile."""

    def __init__(self, context: Any, path: Path) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Opened]]:
    contexts: list[Any] = []

    def open_page(path: Path, **options: Any) -> Opened:
        contexts.append(browser.new_context(accept_downloads=True, **options))
        return Opened(contexts[-1], path)

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, SCREEN], ids=["phone", "screen"])
def test_nothing_is_complained_of_fetched_or_cut_off(known_page, opened, viewport, scheme):
    one = opened(known_page, viewport=viewport, color_scheme=scheme)

    assert one.said == []
    assert {url.partition(":")[0] for url in one.asked} <= {"file", "data"}
    assert [url for url in one.asked if url.startswith("file:")] == [known_page.as_uri()]
    assert one.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert one.page.evaluate("[...document.images].filter((one) => one.src && !one.naturalWidth).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(known_page, opened, scheme):
    one = opened(known_page, viewport=SCREEN, color_scheme=scheme)

    contrasts = one.page.evaluate(CONTRASTS)

    assert len(contrasts) > 100
    assert [text for ratio, text in contrasts if ratio < 4.5] == []


def test_dark_mode_is_dark_and_its_figures_are_on_paper(known_page, opened):
    one = opened(known_page, color_scheme="dark")

    light = "(e) => getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(one.page.locator("body").evaluate(light)) < 64
    assert min(one.page.locator("button.zoom").first.evaluate(light)) > 192


def test_a_figure_is_enlarged_by_a_click_or_a_key_and_goes_away_with_escape(known_page, opened):
    one = opened(known_page, viewport=PHONE)
    viewer, button = one.page.locator("#viewer"), one.page.locator("button.zoom").first

    button.click()
    assert viewer.is_visible()
    assert one.page.locator("#viewer-image").get_attribute("src") == button.locator("img").get_attribute("src")
    fitting = one.page.locator("#viewer-image").bounding_box()["width"]
    one.page.locator("#viewer-larger").click()
    assert one.page.locator("#viewer-image").bounding_box()["width"] > 1.5 * fitting
    one.page.keyboard.press("Escape")
    assert not viewer.is_visible()
    button.focus()
    one.page.keyboard.press("Enter")
    assert viewer.is_visible()
    assert one.said == []


def test_the_data_of_a_figure_are_saved_under_its_name(known_page, opened):
    one = opened(known_page)

    with one.page.expect_download() as waiting:
        one.page.locator("#figures a.download").first.click()

    saved = waiting.value
    assert saved.suggested_filename.endswith(".csv")
    rows = list(csv.DictReader(io.StringIO(Path(saved.path()).read_text("utf-8"))))
    assert len(rows) == 9
    assert "learning_rate" in rows[0]


def test_on_paper_folded_parts_are_open_and_buttons_are_gone(known_page, opened, tmp_path):
    one = opened(known_page, viewport=SCREEN)

    one.page.emulate_media(media="print")
    assert not one.page.locator("nav").is_visible()
    assert not one.page.locator("a.download").first.is_visible()
    one.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert one.page.locator("main details:not([open])").count() == 0
    one.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert one.page.locator("main details[open]").count() == 0
    paper = one.page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert paper.startswith(b"%PDF")
    assert one.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_what_looks_like_a_script_in_a_sweep_is_not_run(hostile, opened, tmp_path):
    one = opened(hostile.report(tmp_path / "page.html"))

    assert one.said == []
    assert one.page.locator("script").count() == 1
    assert one.page.evaluate("document.querySelectorAll('main script, main iframe').length") == 0


def test_without_scripts_everything_is_still_there(known_page, opened):
    one = opened(known_page, java_script_enabled=False)

    assert one.page.locator("section").count() == 10
    one.page.locator("main summary").first.click()
    assert one.page.locator("main details[open]").count() == 1
