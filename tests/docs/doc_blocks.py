"""The fenced blocks of the documentation, each with its place, its language and the mark above it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELLS = ("sh", "console")
MODEL = re.compile(r"HuggingFaceTB/SmolLM2-135M(-Instruct)?")
"""The model that guides name; tests put a tiny one in its place."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (file|not run|no recipe|exits): (.+?) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block. Its `mark` is what the comment above it says: a file's name, or a reason."""

    page: str
    line: int
    language: str
    text: str
    mark: tuple[str, str] | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the reader is to write."""
        return self.mark[1] if self.mark and self.mark[0] == "file" else None

    @property
    def reason(self) -> str | None:
        """Why the block is no recipe, or is not run."""
        return self.mark[1] if self.mark and self.mark[0] in ("not run", "no recipe") else None

    @property
    def code(self) -> int:
        """The exit code of its commands."""
        return int(self.mark[1]) if self.mark and self.mark[0] == "exits" else 0

    @property
    def commands(self) -> list[list[str]]:
        """The command lines of a block for the shell, without comments and what stands behind a pipe."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        typed = [line.removeprefix("$ ") for line in lines if self.language == "sh" or line.startswith("$ ")]
        words = [shlex.split(line, comments=True) for line in typed]
        return [one[: one.index("|")] if "|" in one else one for one in words if one]


def pages() -> list[Path]:
    """All pages that people write; docs/reference is made of the code."""
    found = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]
    return sorted(
        [*found, *(ROOT / "docs" / "guides").glob("*.md"), *(ROOT / "examples").glob("*/README.md")]
    )


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    found = []
    for fence in _FENCE.finditer(text):
        before = _MARK.search(text[: fence.start()])
        mark = (before[1], before[2]) if before else None
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(name, line, fence[1], fence[2], mark))
    return found


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages, in some languages."""
    return [block for page in pages() for block in blocks(page) if block.language in languages]
