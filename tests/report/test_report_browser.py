"""The pages in a real browser: no errors, no scrolling sideways, light and dark, by keyboard, in print."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from report_pages import Pages

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

CONTRAST = """() => {
  const parsed = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = parsed(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const skipped = ["SCRIPT", "STYLE", "title", "B"];
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || !node.getClientRects().length || skipped.includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    const ink = parsed(node.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [high, low] = [light(ink), light(behind(node))].sort((x, y) => y - x);
    const name = `${node.tagName}.${node.getAttribute("class")}: ${node.textContent.slice(0, 30)}`;
    if ((high + 0.05) / (low + 0.05) < 4.5) poor.push(name);
  }
  return poor;
}"""
"""Texts that stand out too little from what is behind them (WCAG 2.1, 1.4.3); marks of line ends are none."""


@dataclass
class Opened:
    """A page with everything that it said or asked for."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def files(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    plan = tmp_path_factory.mktemp("opened") / "plan.html"
    plan.write_bytes(pages.plan)
    return {"plan": plan, "run": pages.run / "report.html"}


@pytest.fixture(params=["plan", "run"])
def opened(request: pytest.FixtureRequest, browser: Any, files: dict[str, Path]) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    found = Opened(page)
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("dialog", lambda dialog: found.said.append(dialog.message))
    page.on("request", lambda asked: found.asked.append(asked.url))
    page.goto(files[request.param].as_uri())
    yield found
    page.close()


def open_all(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


def test_the_page_opens_alone_and_says_nothing(opened: Opened) -> None:
    page = opened.page
    open_all(page)
    page.mouse.move(500, 500)
    assert opened.asked == [page.url]
    assert opened.said == []
    assert page.evaluate("window.harmed") is None
    assert page.locator("h1").count() == 1
    assert page.locator("section").count() >= 8
    assert page.locator("mark").first.is_visible()
    assert page.evaluate(
        "[...document.querySelectorAll('svg')].every((one) => one.getAttribute('aria-label'))"
    )


def test_nothing_stands_beyond_the_edge(opened: Opened) -> None:
    page = opened.page
    open_all(page)
    page.locator("#cuts").check()
    for width in (320, 380, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelector('main').scrollWidth") <= width


def test_text_stands_out_from_what_is_behind_it(opened: Opened) -> None:
    page = opened.page
    open_all(page)
    backgrounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert page.evaluate(CONTRAST) == []
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(18, 21, 26)"]


def test_the_keyboard_is_enough(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    row = page.locator(".examples details").nth(1)
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    assert row.get_attribute("open") is not None
    page.locator("#only-eval").focus()
    page.keyboard.press("Space")
    assert not row.is_visible()
    assert page.locator(".examples details.eval").first.is_visible()
    button = page.locator(".examples button.all")
    assert button.text_content() == "open all"
    button.click()
    page.wait_for_function("document.querySelector('.examples button.all').textContent === 'close all'")


def test_print_has_all_rows_open_and_no_list_of_parts(opened: Opened) -> None:
    page = opened.page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


def test_without_its_script_the_page_has_everything(browser: Any, files: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 380, "height": 800})
    page = context.new_page()
    page.goto(files["run"].as_uri())
    assert page.locator(".examples details").count() >= 8
    page.locator("#cuts").check()
    assert page.locator(".flips details .text").first.is_visible()
    closed = page.locator(".flips details:not([open])")
    before = closed.count()
    closed.first.locator("summary").click()
    assert closed.count() == before - 1
    context.close()
