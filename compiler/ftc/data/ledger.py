"""The account of every row: what was read, what was kept, and what became of the rest, by id."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ftc.data.columns import strings
from ftc.data.example import Refusal
from ftc.plan.steps import Ledger, LedgerLine, SourceRows

Fate = Literal["filtered", "invalid", "too_long", "truncated", "unproved", "untrained"]

DROPPED = "dropped.parquet"
LEDGER = "ledger.json"
FIRST = 20
"""Row ids that a line of the ledger names; all are in dropped.parquet."""

MOST_REASONS = 12
"""Reasons for one fate that have lines of their own; the rest share one."""

BUFFERED = 50_000
FATES: tuple[Fate, ...] = ("filtered", "invalid", "too_long", "truncated", "unproved", "untrained")
IN_GENERAL: dict[Fate, str] = {
    "too_long": "the row has more tokens than the limit",
    "truncated": "the row was cut at the limit and kept",
}
OTHER = "other reasons, each in dropped.parquet"


@dataclass(slots=True)
class _Line:
    rows: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Examples:
    """How many rows a diagnostic's code is about, and the first of them with their reasons."""

    rows: int
    first: tuple[tuple[str, str], ...]


class LedgerWriter:
    """Counts rows by fate and reason, and writes the id of every row that was not kept; raises OSError."""

    def __init__(self, directory: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        text = pa.field("", pa.string(), nullable=False)
        self._schema = pa.schema([text.with_name(name) for name in ("id", "fate", "reason")])
        self._directory = directory
        self._file: Any = pq.ParquetWriter(directory / DROPPED, self._schema, compression="zstd")
        self._waiting: list[tuple[str, str, str]] = []
        self._lines: dict[Fate, dict[str, _Line]] = {fate: {} for fate in FATES}
        self._codes: dict[str, _Line] = {}

    def add(self, id_: str, fate: Fate, reason: str, code: str = "") -> None:
        """Account for a row."""
        general = IN_GENERAL.get(fate, reason)
        lines = self._lines[fate]
        line = lines.setdefault(general if general in lines or len(lines) < MOST_REASONS else OTHER, _Line())
        for counted in (line, self._codes.setdefault(code, _Line())):
            counted.rows += 1
            if len(counted.first) < FIRST:
                counted.first.append((id_, reason))
        self._waiting.append((id_, fate, reason))
        if len(self._waiting) >= BUFFERED:
            self._flush()

    def refuse(self, id_: str, refusal: Refusal) -> None:
        """Account for a row that was refused."""
        fate: Fate = next(fate for fate in FATES if fate == refusal.fate)
        self.add(id_, fate, refusal.reason, refusal.code)

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [strings(column) for column in zip(*self._waiting, strict=True)]
        self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._waiting = []

    def examples(self, code: str) -> Examples | None:
        """The rows that a code of the catalogue is about; None if there are none."""
        line = self._codes.get(code)
        return Examples(line.rows, tuple(line.first)) if line else None

    def rows(self, fate: Fate) -> int:
        """How many rows have a fate."""
        return sum(line.rows for line in self._lines[fate].values())

    def abandon(self) -> None:
        """Close the file without finishing the account."""
        self._file.close()

    def close(self, sources: tuple[SourceRows, ...], *, read: int, train: int, eval_: int) -> Ledger:
        """The finished account, written beside the dropped rows.

        Raises AssertionError where the account does not balance, which would be a mistake of ftc's.
        """
        if self._waiting:
            self._flush()
        self._file.close()
        lines = tuple(
            LedgerLine(
                fate=fate, reason=reason, rows=line.rows, first_ids=tuple(id_ for id_, _ in line.first)
            )
            for fate in FATES
            for reason, line in sorted(self._lines[fate].items())
        )
        ledger = Ledger(sources=sources, read=read, lines=lines, train=train, eval=eval_)
        if ledger.unexplained:
            raise AssertionError(f"{ledger.unexplained} of {read} rows have no fate in the ledger")
        value = ledger.model_dump(mode="json")
        (self._directory / LEDGER).write_text(
            json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        return ledger
