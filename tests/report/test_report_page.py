"""What stands on a page, and that nothing of the data is anything but text on it."""

from __future__ import annotations

import re
import shutil
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from ftc.report.of_run import run_page
from ftc.report.text import visible
from report_pages import EVIL, Pages

ALLOWED = {
    "class",
    "id",
    "href",
    "lang",
    "name",
    "content",
    "charset",
    "open",
    "type",
    "for",
    "tabindex",
    "role",
    "dir",
}
ALLOWED |= {"title", "scope", "aria-label", "aria-labelledby", "http-equiv", "data-name"}
DRAWN = {
    "viewbox",
    "x",
    "y",
    "x1",
    "y1",
    "x2",
    "y2",
    "cx",
    "cy",
    "r",
    "rx",
    "width",
    "height",
    "d",
    "points",
    "text-anchor",
}


class Read(HTMLParser):
    """All tags, attributes and texts of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[tuple[str, str]] = set()
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            continue

    def handle_data(self, data: str) -> None:
        last = self.open[-1] if self.open else ""
        self.inside.get(last, self.texts).append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@pytest.fixture(params=["plan", "run"])
def page(request: pytest.FixtureRequest, pages: Pages) -> bytes:
    return pages.plan if request.param == "plan" else pages.run_page


def test_what_rows_say_is_text_and_no_more(page: bytes) -> None:
    read = Read(page)
    names = {name for name, _ in read.attributes}
    assert names <= ALLOWED | DRAWN, names - ALLOWED - DRAWN
    assert (read.tags.count("script"), read.tags.count("style")) == (1, 1)
    assert not {"img", "iframe", "link", "object", "embed", "form", "base", "video", "textarea"} & set(
        read.tags
    )
    assert all(value.startswith("#") for name, value in read.attributes if name == "href")
    assert "harmed" not in "".join((*read.inside["script"], *read.inside["style"]))
    assert {visible(text) for text in EVIL if visible(text) in read.text.replace("⏎", "")} >= {
        visible(EVIL[0]),
        visible(EVIL[2]),
    }
    assert "{{ 7 * 7 }}" in read.text


def test_control_characters_and_marks_of_direction_are_seen(page: bytes) -> None:
    text = page.decode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text)
    assert "&lt;U+001B&gt;[31mred" in text
    assert "&lt;U+202E&gt;evil" in text


def test_the_policy_allows_this_style_and_script_alone(page: bytes) -> None:
    read = Read(page)
    policy = next(value for name, value in read.attributes if name == "content" and "default-src" in value)
    hashes = [
        b64encode(sha256("".join(read.inside[tag]).encode()).digest()).decode() for tag in ("style", "script")
    ]
    style, script = hashes
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "innerHTML" not in page.decode()


def test_the_plan_is_on_its_page(pages: Pages) -> None:
    text = " ".join(Read(pages.plan).text.split())
    assert "74 read − 10 filtered by the query − 2 duplicates − 1 too long = 61 kept" in text
    train, held = map(int, re.search(r"= (\d+) to train on \+ (\d+) held out; 0 unexplained", text).groups())
    assert (train + held, held > 0) == (61, True)
    for words in (
        "the limit is 120",
        "sequences",
        "[EMAIL]",
        "L4",
        "22 GiB",
        "the usual precision on a GPU",
        "FTC813",
    ):
        assert words in text, words
    assert "chats.jsonl" in text


def test_the_run_is_on_its_page(pages: Pages) -> None:
    text = " ".join(Read(pages.run_page).text.split())
    for words in (
        "exact match",
        "▲ better",
        "▼ worse",
        "0.600 (0.500–0.700)",
        "✗ gate failed",
        "+0.400, p = 0.010",
    ):
        assert words in text, words
    assert "exact match: wrong to right 3 rows" in text
    assert "exact match: right to wrong 3 rows" in text
    assert "a point is the mean of 3 steps" in text
    assert "chosen" in text
    assert "rejected" in text
    assert "memory at the peak" in text


def test_the_page_is_a_part_of_the_run(pages: Pages, tmp_path: Path) -> None:
    listed = (pages.run / "MANIFEST.sha256").read_text()
    assert f"{sha256(pages.run_page).hexdigest()}  report.html" in listed
    elsewhere = tmp_path / "other" / "place"
    shutil.copytree(pages.run, elsewhere)
    (elsewhere / "timing.json").unlink()
    assert run_page(elsewhere) == pages.run_page


def test_a_page_says_nothing_of_the_machine(pages: Pages) -> None:
    text = pages.run_page.decode()
    assert str(pages.run.parent) not in text


def test_the_page_of_a_run_forecasts_its_plan_and_asks_nobody_s_prices(
    gpu_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (gpu_run / "report.html").read_bytes()
    text = " ".join(Read(page).text.split())
    assert "22.0 GiB: L4" in text
    assert "on the others the plan is forecast as it is" in text
    assert re.search(r"[\d,]+ sequences|sequences of at most 120 tokens", text)
    prices = tmp_path / "prices.toml"
    prices.write_text("L4 = 99.0\n")
    monkeypatch.setenv("FTC_PRICES", str(prices))
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    assert run_page(gpu_run) == page


def test_headings_go_down_by_one(page: bytes) -> None:
    levels = [int(tag[1]) for tag in Read(page).tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(low <= high + 1 for high, low in pairwise(levels))
