"""What the data showed of a query's order, kept beside the rows: a warning as long as they are used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftc.data.problems import RowProblem
from ftc.diagnostics import Severity
from ftc.facts.sql_problems import SqlProblem

TIES = "ties.json"


def write_ties(directory: Path, key: tuple[str, ...], ties: Sequence[SqlProblem]) -> None:
    """Keep what was found beside the rows, behind what other queries of the same rows have there."""
    known = _kept(directory)
    known += [{"key": list(key), "problem": tie.model_dump_json()} for tie in ties]
    (directory / TIES).write_text(json.dumps(known), encoding="utf-8")


def read_ties(directory: Path) -> tuple[RowProblem, ...]:
    """Warnings of what was found, at their places in the recipe's queries."""
    return tuple(
        _warning(tuple(entry["key"]), SqlProblem.model_validate_json(entry["problem"]))
        for entry in _kept(directory)
    )


def _kept(directory: Path) -> list[Any]:
    file = directory / TIES
    kept: list[Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return kept


def _warning(key: tuple[str, ...], tie: SqlProblem) -> RowProblem:
    return RowProblem(
        code=tie.code,
        message=f"{tie.message}, and there are such rows",
        at=key,
        inside=(tie.start, tie.end),
        help=tie.help,
        severity=Severity.WARNING,
    )
