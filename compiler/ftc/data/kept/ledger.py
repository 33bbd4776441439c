"""The account of every row: what was read, what was kept, and what became of the rest, by id."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ftc.data.columns import strings
from ftc.data.rendering.example import Refusal
from ftc.plan.account import STAYING, Fate, Ledger, LedgerLine, SourceRows

if TYPE_CHECKING:
    import pyarrow as pa

DROPPED = "dropped.parquet"
"""Every row that went, once: its id, its fate, the reason."""

CHANGED = "changed.parquet"
"""Every row that is kept but was changed (truncated, split, redacted, unrolled): id, fate, reason."""

LEDGER = "ledger.json"
FIRST = 20
"""Row ids that a line of the ledger names; all are in the Parquet files beside it."""

MOST_REASONS = 12
"""Reasons for one fate that have lines of their own; the rest share one."""

BUFFERED = 50_000
FATES: tuple[Fate, ...] = get_args(Fate)
IN_GENERAL: dict[Fate, str] = {
    "duplicate": "the row says what another row says",
    "too_long": "the row has more tokens than the limit",
    "truncated": "the row was cut at the limit and kept",
    "split": "the row became several, each within the limit",
    "unrolled": "the conversation became one row for each of its turns that train",
}
"""The reason of a line where each row has one of its own, such as its number of tokens."""

OTHER = "other reasons, each in the Parquet file beside the ledger"


@dataclass(slots=True)
class _Line:
    rows: int = 0
    more: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, id_: str, reason: str, more: int) -> None:
        self.rows += 1
        self.more += more
        if len(self.first) < FIRST:
            self.first.append((id_, reason))


class _Rows:
    """A Parquet file of ids, fates and reasons, written as it fills."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._file: Any = pq.ParquetWriter(path, account_schema(), compression="zstd")
        self._waiting: list[tuple[str, str, str]] = []

    def add(self, row: tuple[str, str, str]) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= BUFFERED:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [strings(column) for column in zip(*self._waiting, strict=True)]
        self._file.write_table(pa.Table.from_arrays(columns, schema=account_schema()))
        self._waiting = []

    def close(self, *, whole: bool) -> None:
        if self._waiting and whole:
            self._flush()
        self._file.close()


def account_schema() -> pa.Schema:
    """The columns of `DROPPED` and `CHANGED`."""
    import pyarrow as pa

    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "fate", "reason")])


@dataclass(frozen=True, slots=True)
class Examples:
    """How many rows a diagnostic's code is about, and the first of them with their reasons."""

    rows: int
    first: tuple[tuple[str, str], ...]


class LedgerWriter:
    """Counts rows by fate and reason, and writes the id of every row that went or was changed.

    Raises OSError.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._dropped, self._changed = _Rows(directory / DROPPED), _Rows(directory / CHANGED)
        self._lines: dict[Fate, dict[str, _Line]] = {fate: {} for fate in FATES}
        self._codes: dict[str, _Line] = {}

    def add(self, id_: str, fate: Fate, reason: str, code: str = "", *, more: int = 0) -> None:
        """Account for a row: once if it went; for each change if it is kept.

        `more` is the number of compiled rows it became beyond one (`split` and `unrolled`).
        """
        general = IN_GENERAL.get(fate, reason)
        lines = self._lines[fate]
        line = lines.setdefault(general if general in lines or len(lines) < MOST_REASONS else OTHER, _Line())
        for counted in (line, self._codes.setdefault(code, _Line())):
            counted.add(id_, reason, more)
        (self._changed if fate in STAYING else self._dropped).add((id_, fate, reason))

    def count(self, fate: Fate, reason: str, rows: int, first: Iterable[str] = ()) -> None:
        """Account for many rows at once, of which only the first have their ids named."""
        if rows:
            line = self._lines[fate].setdefault(reason, _Line())
            line.rows += rows
            line.first += [(id_, reason) for id_, _ in zip(first, range(FIRST), strict=False)]

    def refuse(self, id_: str, refusal: Refusal) -> None:
        """Account for a row that was refused."""
        fate: Fate = next(fate for fate in FATES if fate == refusal.fate)
        self.add(id_, fate, refusal.reason, refusal.code)

    def examples(self, code: str) -> Examples | None:
        """The rows that a code of the catalogue is about; None if there are none."""
        line = self._codes.get(code)
        return Examples(line.rows, tuple(line.first)) if line else None

    def rows(self, fate: Fate) -> int:
        """How many rows have a fate."""
        return sum(line.rows for line in self._lines[fate].values())

    def abandon(self) -> None:
        """Close the files without finishing the account."""
        for file in (self._dropped, self._changed):
            file.close(whole=False)

    def close(self, sources: tuple[SourceRows, ...], *, read: int, train: int, eval_: int) -> Ledger:
        """The finished account, written beside the dropped rows.

        Raises AssertionError where the account does not balance, which would be a mistake of ftc's.
        """
        for file in (self._dropped, self._changed):
            file.close(whole=True)
        lines = tuple(
            LedgerLine(
                fate=fate,
                reason=reason,
                rows=line.rows,
                first_ids=tuple(id_ for id_, _ in line.first),
                more=line.more,
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
