"""docs/lints.md has every lint with its code, and every kind with its label."""

from __future__ import annotations

import re
from pathlib import Path

from ftc.diagnostics.codes import CODES
from ftc.lints import LINTS
from ftc.lints.kinds import KINDS, label

TEXT = (Path(__file__).parents[2] / "docs" / "lints.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    lints = re.findall(r"^\| `(\w+)` \| (FTC\d+) \|", TEXT, re.MULTILINE)
    assert lints == [(name, lint.code) for name, lint in LINTS.items()]
    kinds = re.findall(r"^\| `(\w+)` \| `(\[\w+\])` \|", TEXT, re.MULTILINE)
    assert kinds == [(kind, label(kind)) for kind in KINDS]


def test_every_lint_has_a_code_of_its_own() -> None:
    codes = [lint.code for lint in LINTS.values()]
    assert len(set(codes)) == len(codes)
    assert set(codes) <= set(CODES)
