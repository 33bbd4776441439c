"""docs/reference/diagnostics*.md: every code with its title, and what `ftc explain` says of it."""

from __future__ import annotations

import re

from ftc.diagnostics.codes import CODES, HUNDREDS
from ftc.diagnostics.explain import explanation

HEAD = """# Diagnostics

Every finding has a code; `ftc explain CODE` prints what stands on these pages. A finding is an error, a
warning or a note.
"""


def diagnostic_pages() -> dict[str, str]:
    """The list of all codes, and one page for each hundred, by their files' names."""
    pages = {"diagnostics.md": _index()}
    for hundred, title in HUNDREDS.items():
        told = [_entry(code) for code in sorted(CODES) if _hundred(code) == hundred]
        head = f"# {hundred}: {title}"
        pages[f"diagnostics-{hundred}.md"] = "\n\n".join([head, *told]) + "\n"
    return pages


def _hundred(code: str) -> str:
    return f"{code.removeprefix('FTC')[0]}xx"


def _index() -> str:
    parts = [HEAD.rstrip()]
    for hundred, title in HUNDREDS.items():
        page = f"diagnostics-{hundred}.md"
        rows = [
            f"| [{code}]({page}#{code.lower()}) | {said} |"
            for code, said in sorted(CODES.items())
            if _hundred(code) == hundred
        ]
        table = "\n".join(["| code | what it says |", "| --- | --- |", *rows])
        parts += [f"## {hundred}: {title}", table]
    return "\n\n".join(parts) + "\n"


def _entry(code: str) -> str:
    """A code's page below a heading that is the code, with its own headings below that."""
    text = explanation(code) or ""
    title, _, body = text.strip().partition("\n")
    said = title.removeprefix("# ").strip()
    return f"## {code}\n\n**{said}.**\n\n{_lowered(body.strip())}".rstrip()


def _lowered(text: str) -> str:
    """Markdown whose headings are one level lower; what stands in a fence is left alone."""
    inside, lines = False, []
    for line in text.split("\n"):
        inside ^= line.startswith("```")
        lines.append("#" + line if not inside and re.match(r"#+ ", line) else line)
    return "\n".join(lines)
