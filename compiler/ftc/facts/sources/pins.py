"""Pins: a source's digest in the recipe, and what changed where it is no longer the source's."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ftc.facts.cache import Cache
from ftc.facts.sources.base import SourceError
from ftc.facts.sources.place import Entry
from ftc.plan.steps import SourceStep
from ftc.recipe.suggest import listed

KEPT = "pinned"


def check(entry: Entry, step: SourceStep, cache: Cache) -> None:
    """Raises SourceError (FTC216) where the source is not what its `sha256` says."""
    pin = entry.declared.sha256
    if pin is None or not step.files:
        return
    files = {file.name: file.sha256 for file in step.files}
    if step.sha256 == pin:
        if cache.recall(KEPT, pin) is None:
            cache.remember(KEPT, pin, json.dumps(files).encode())
        return
    known = cache.recall(KEPT, pin)
    raise SourceError(
        f"the source `{entry.name}` is not what its `sha256` says: it has changed, or is another",
        (f'if that is meant, write sha256 = "{step.sha256}"',),
        notes=_changes(json.loads(known), files) if known else (),
        code="FTC216",
        key="sha256",
    )


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Which files are others, new or gone since the pin was right."""
    kinds = {
        "changed": [name for name in now if name in before and before[name] != now[name]],
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
    }
    return tuple(f"{word}: {listed(names, most=8)}" for word, names in kinds.items() if names)
