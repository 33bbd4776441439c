"""The reference as Markdown, made of the types, the catalogue of diagnostics and the commands' own help."""

from __future__ import annotations

from pathlib import Path

from ftc.reference.commands import commands_page
from ftc.reference.diagnostics import diagnostic_pages
from ftc.reference.recipe import recipe_page

__all__ = ["MADE", "pages", "write"]

MADE = "<!-- made by `ftc schema --markdown docs/reference`; edit the code that it is made of -->"


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    found = {"recipe.md": recipe_page(), "commands.md": commands_page()} | diagnostic_pages()
    return {name: f"{MADE}\n\n{text}" for name, text in found.items()}


def write(directory: Path) -> tuple[Path, ...]:
    """Write every page into a directory; OSError where that cannot be."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")
        written.append(directory / name)
    return tuple(written)
