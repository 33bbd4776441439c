"""A recipe is copied into its runs and committed: it holds no secret, only names of variables that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ftc.diagnostics import Finding
from ftc.diagnostics.secrets import in_address
from ftc.lints.scan import Scan
from ftc.lints.secret_formats import secrets
from ftc.recipe.layers import Key
from ftc.recipe.settings import Settings

GUESSED = "assigned secret"
"""What is told by the word before it alone; in SQL that may be a column."""


def held_secrets(settings: Settings) -> Iterator[Finding]:
    """No text of the recipe is a key, a token or an address with a password (FTC230)."""
    for path, text in _texts(settings.values, ()):
        what = in_address(text) or _token(text)
        if what:
            span = settings.origins.key(*path)
            name = ".".join(str(part) for part in path if isinstance(part, str))
            yield Finding(  # without the line, as the secret stands in it
                "FTC230",
                f"`{name}` holds {what}, which would stand in every run",
                place=span.place if span else "",
                help=(
                    "take it out of the recipe, and revoke it if it was shared",
                    'where a key is needed, name the variable that has it: { env = "NAME" }',
                ),
            )


def _texts(value: Any, path: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, (*path, number))
    elif isinstance(value, str):
        yield path, value


def _token(text: str) -> str:
    found = (match for match in secrets(Scan(text)) if not match.public and match.what != GUESSED)
    kind = next((match.what for match in found), "")
    return f"a secret ({kind})" if kind else ""


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (held_secrets,)
