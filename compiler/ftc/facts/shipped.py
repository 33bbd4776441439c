"""Files that ftc ships: chat templates and ready recipes, in a checkout or in an installed package."""

from __future__ import annotations

from pathlib import Path

import ftc

PACKAGE = Path(ftc.__file__).parent


def shipped_directory(kind: str) -> Path:
    """The directory of shipped `templates` or `recipes`.

    A checkout comes first, because an editable install may hold an older copy of them.
    """
    checkout = PACKAGE.parent.parent / kind
    return checkout if (PACKAGE.parent.parent / "pyproject.toml").is_file() else PACKAGE / "_shipped" / kind


def shipped_templates() -> dict[str, Path]:
    """Chat templates that a recipe can name, by name."""
    return {path.stem: path for path in sorted(shipped_directory("templates").glob("*.jinja"))}
