"""TRL's training templates: files of the installed package, of which nothing is imported or run.

Beside a model's chat template TRL ships a twin whose `{% generation %}` blocks say what carries loss. It
recognises a model's template by its exact text, and so does ftc.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SUFFIX = "_training"


@dataclass(frozen=True, slots=True)
class TrainingTemplate:
    """A training template: its file's name and its text."""

    name: str
    source: str


def _folder() -> Path | None:
    spec = find_spec("trl")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) / "chat_templates" if places else None


def training_template(template: str | None) -> TrainingTemplate | None:
    """The twin that the installed TRL has for a chat template; None where it has none, or is not there."""
    folder = _folder()
    if folder is None or template is None:
        return None
    wanted = template.encode()
    for path in sorted(folder.glob(f"*{SUFFIX}.jinja")):
        plain = path.with_name(path.name.replace(f"{SUFFIX}.jinja", ".jinja"))
        if plain.is_file() and plain.stat().st_size == len(wanted) and plain.read_bytes() == wanted:
            return TrainingTemplate(path.name, path.read_text(encoding="utf-8"))
    return None
