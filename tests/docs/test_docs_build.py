"""The documentation is built with every warning an error, and its reference is what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from doc_blocks import ROOT, pages

from ftc.reference import pages as reference_pages

RENEW = "ftc schema --markdown docs/reference"
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
FIRST = "docs/index.html"


def test_the_reference_is_made_of_the_code() -> None:
    made = reference_pages()
    written = {
        page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").iterdir()
    }
    stale = sorted(name for name in made.keys() | written if made.get(name) != written.get(name))
    assert stale == [], f"run: {RENEW}"


def test_links_between_files_lead_somewhere() -> None:
    looked = 0
    for page in pages():
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
            looked += 1
    assert looked > 80


def test_the_docs_build_without_a_warning(tmp_path: Path) -> None:
    words = ["-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-d", str(tmp_path / "trees"), "-c", "docs"]
    out = tmp_path / "html"
    done = subprocess.run(
        [sys.executable, *words, ".", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = {page.relative_to(out).with_suffix(".md").as_posix() for page in out.rglob("*.html")}
    written = {page.relative_to(ROOT).as_posix() for page in pages()} - {"README.md"}
    assert written <= built
    assert 'href="guides/first-fine-tune.html"' in (out / FIRST).read_text(encoding="utf-8")


def test_the_picture_of_a_plan_asks_nothing_of_a_network() -> None:
    """What is drawn is the example's plan; `python docs/images/plan.py` draws it again."""
    drawn = (ROOT / "docs" / "images" / "plan.svg").read_text(encoding="utf-8")
    assert "question-routing" in drawn
    assert set(re.findall(r"https?://[^\s\"'<)]+", drawn)) <= {"http://www.w3.org/2000/svg"}
