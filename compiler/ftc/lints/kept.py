"""The results beside the compiled rows, so that another level of a lint compiles nothing again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ftc.lints.base import LintResult

FILE = "lints.json"


def write(directory: Path, results: Sequence[LintResult]) -> None:
    """Keep the results; raises OSError."""
    value = {"lints": [result.model_dump(mode="json") for result in results]}
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    (directory / FILE).write_bytes(text.encode("utf-8", "backslashreplace"))


def read(directory: Path) -> tuple[LintResult, ...]:
    """The results of compiled rows; raises OSError and ValueError."""
    value = json.loads((directory / FILE).read_bytes())
    return tuple(LintResult.model_validate_json(json.dumps(result)) for result in value["lints"])
