"""Draws docs/images/plan.svg: what `ftc plan` prints for the example, in 80 columns.

Run it from the top of the repository: python docs/images/plan.py
"""

from __future__ import annotations

import os
import re
import subprocess
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

COLUMNS = 80
COMMAND = "ftc plan examples/question-routing/recipe.toml"
SHOWN = 12
"""Lines of the choices that are drawn."""
LEFT_OPEN = "Left open by the recipe, and chosen:"
FONT = '"SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace'


def printed() -> str:
    """What the command prints on a terminal, the last choices left out."""
    environment = os.environ | {"COLUMNS": str(COLUMNS)}
    words = [*COMMAND.split(), "--color", "always"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if LEFT_OPEN in line)
    return "\n".join([*lines[: start + SHOWN], "  …"])


def picture(text: str) -> str:
    """The text as an SVG that needs no font from a network."""
    console = Console(record=True, width=COLUMNS + 2, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    drawn = console.export_svg(title=f"$ {COMMAND}", theme=SVG_EXPORT_THEME, unique_id="plan")
    drawn = re.sub(r"\s*<!--.*?-->", "", drawn)
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return drawn.replace("Fira Code, monospace", FONT.replace('"', "'")).replace("Fira Code", "monospace")


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(printed()), encoding="utf-8")
