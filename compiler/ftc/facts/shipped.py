"""Files that ftc ships: chat templates and ready recipes, in a checkout or in an installed package."""

from __future__ import annotations

from collections.abc import Collection
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


def template_facts(source: str) -> dict[str, str]:
    """What the leading block of a shipped template says of it: a line `name: value` for each fact."""
    block = source.removeprefix("{#").partition("#}")[0] if source.startswith("{#") else ""
    lines = (line.partition(": ") for line in block.rstrip("-").splitlines())
    return {name: value.strip() for name, _, value in lines if value}


def template_tokens(source: str) -> tuple[str, ...]:
    """The tokens that a shipped template writes and a tokenizer must have, its stop token among them."""
    facts = template_facts(source)
    tokens = facts.get("tokens", "none").split()
    stop = facts.get("stop", "eos_token")
    own = [] if tokens == ["none"] else tokens
    return tuple(dict.fromkeys([*own, *([stop] if stop != "eos_token" else [])]))


def fitting_templates(tokens: Collection[str]) -> list[str]:
    """The shipped templates of which a tokenizer has every token; those with tokens of their own first."""
    needs = {name: template_tokens(path.read_text("utf-8")) for name, path in shipped_templates().items()}
    fitting = [name for name, wanted in needs.items() if all(token in tokens for token in wanted)]
    return sorted(fitting, key=lambda name: (not needs[name], name))
