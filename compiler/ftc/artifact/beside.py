"""What a run keeps beside its rows for pages that show it: what the lints found, the base's config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftc.artifact.run_directory import DATA
from ftc.lints.base import Linted, LintResult

LINTS, CONFIG = "lints.json", "base_config.json"


def kept_beside(lints: Sequence[Linted], config: Mapping[str, Any]) -> dict[str, bytes]:
    """The files by their names within the directory of the rows.

    Each result of a lint has the `level` that the recipe gives it; `config` is the config.json of the model
    that the run begins with, by which its memory can be told later.
    """
    told = [{"level": level, **result.model_dump(mode="json")} for level, result in lints]
    return {LINTS: _json({"lints": told}), CONFIG: _json(config)}


def _json(value: Any) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    return text.encode("utf-8", "backslashreplace")


def read_lints(run: Path) -> tuple[Linted, ...] | None:
    """What the lints found in a run's rows; None where it does not say. Raises OSError and ValueError."""
    path = run / DATA / LINTS
    if not path.is_file():
        return None
    found = []
    for told in json.loads(path.read_bytes())["lints"]:
        level = told.pop("level")
        found.append(Linted(level, LintResult.model_validate_json(json.dumps(told))))
    return tuple(found)


def read_config(run: Path) -> dict[str, Any] | None:
    """The configuration of the model that a run begins with; None where it is not kept. Raises OSError."""
    path = run / DATA / CONFIG
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found
