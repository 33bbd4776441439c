"""What the lints found, as a table and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftc.cli.layout import clip, number, table, wrap
from ftc.lints import LINTS, describe
from ftc.lints.base import Linted

FEW = "few"
"""The level of a lint which the recipe gives none, and which found too little to be worth a word."""


def lint_lines(linted: Sequence[Linted], width: int) -> list[str]:
    """A line a lint that found something: code, name, level, rows, the first ids; and how to see more."""
    found = [one for one in linted if one.result.rows]
    lines = _table(found, width)
    silent = len(LINTS) - len(found) - sum(one.result.rows == 0 for one in linted)
    lines += [f"{'the other ' if found else ''}{silent} lints found nothing"]
    for _, result in (one for one in linted if one.result.missing):
        part = "" if result.rows == 0 else "not all of "
        lines += wrap(f"{part}{result.lint} is not looked for: pip install 'ftc[lints]'", width)
    shown = next((one.result for one in found if one.result.first), None)
    if shown is not None:
        more = f"`ftc explain {LINTS[shown.lint].code}` says what it means, `ftc show --id ROW` shows a row"
        lines += wrap(more, width)
    return lines


def _table(found: Sequence[Linted], width: int) -> list[str]:
    if not found:
        return []
    rows = [("", "lint", "level", "rows", "first")]
    for level, result in found:
        ids = ", ".join(dict.fromkeys(hit.id for hit in result.first))
        rows.append((LINTS[result.lint].code, result.lint, level or FEW, number(result.rows), ids))
    used = sum(max(len(row[column]) for row in rows) + 2 for column in range(4))
    return table(
        [(*row[:4], clip(row[4], max(width - used, 12)) if row[4] else "") for row in rows], right=(3,)
    )


def lints_json(linted: Sequence[Linted]) -> list[dict[str, Any]]:
    """Every result with its level, which is null where it is too little to be worth a word."""
    return [
        {
            "code": LINTS[result.lint].code,
            "level": level,
            "message": describe(result).message if result.rows else None,
            **result.model_dump(mode="json"),
        }
        for level, result in linted
    ]
