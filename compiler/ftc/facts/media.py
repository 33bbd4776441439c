"""Images and audio, which ftc does not train on: where a recipe would ask for them, that is said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ftc.diagnostics import Finding, Severity, Span
from ftc.recipe.suggest import listed

NAMES = frozenset({"image", "images", "audio", "audios", "video", "videos", "pixel_values", "input_features"})
"""What columns are called that hold them, in data sets for TRL and transformers."""

BYTES = re.compile(r"\bBLOB\b")
"""They come as bytes, or as a struct of bytes and a path (Hugging Face's features)."""

PARTS = re.compile(r"\b(image|image_url|audio|audio_url|input_audio|video|video_url)\b")
"""The fields of a message's parts that hold one."""

TOWERS = {"vision_config": "images", "audio_config": "audio"}
"""The parts of a model's configuration beside its language model, and what they look at."""


def media_columns(columns: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that hold images or audio, by name and type."""
    return tuple(name for name, kind in columns.items() if _holds_media(name.lower(), kind))


def _holds_media(name: str, kind: str) -> bool:
    if name in ("messages", "prompt", "chosen", "rejected"):
        return kind.endswith("[]") and bool(PARTS.search(kind))
    return name in NAMES and bool(BYTES.search(kind))


def media_findings(columns: Mapping[str, str], span: Span | None) -> Iterator[Finding]:
    """An error for columns with images or audio, at the query."""
    found = media_columns(columns)
    if not found:
        return
    have = "holds" if len(found) == 1 else "hold"
    message = f"{listed(found)} {have} images or audio, which ftc does not train on yet"
    yield Finding("FTC518", message, span, help=("return text alone: leave the column out of the query",))


def tower_note(config: Mapping[str, Any], span: Span | None) -> Iterator[Finding]:
    """A note where the base also looks at images or listens: only its language model gets something to do."""
    seen = [what for key, what in TOWERS.items() if config.get(key)]
    if seen:
        message = f"the base also takes {' and '.join(seen)}, and is trained on text alone"
        helps = ("see the layers that train under `tune`: name those of the language model with `targets`",)
        yield Finding("FTC518", message, span, help=helps, severity=Severity.NOTE)
