"""Rows that the recipe itself holds out: a column says the side, or a query of its own returns them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftc.data.problems import RowProblem
from ftc.data.query.result import Result
from ftc.data.query.run_query import QueryFailure
from ftc.data.selection.equal import Int64, among, digests
from ftc.data.selection.hashes import Flags
from ftc.data.selection.problem import SelectionProblem
from ftc.data.selection.sides import SIDES
from ftc.facts.sandbox import identifier, quoted
from ftc.plan.steps import SplitStep

if TYPE_CHECKING:
    from ftc.data.query.ingest import Ingested

COLUMN = ("data", "split", "column")
QUERY = ("data", "split", "query")
SHOWN = 5


def sides_of(column: str, results: Sequence[Result]) -> Flags:
    """Which rows are held out by the side that a column says; raises SelectionProblem for other values."""
    return np.concatenate([_sides(column, result) for result in results])


def _sides(column: str, result: Result) -> Flags:
    said = f"lower(trim(r.{identifier(column)}::varchar))"
    cases = " ".join(f"when {quoted(word)} then {side}" for word, side in SIDES.items())
    found = [np.zeros(0, dtype=np.uint8)]
    for batch in result.computed([f"(case {said} {cases} else 2 end)::utinyint"]):
        column_ = batch.column(0)
        values = np.frombuffer(column_.buffers()[1], dtype=np.uint8)
        found.append(values[column_.offset : column_.offset + len(column_)])
    sides = np.concatenate(found)
    if (sides > 1).any():
        raise SelectionProblem(_unknown(column, result, np.flatnonzero(sides > 1)))
    held: Flags = sides == 1
    return held


def _unknown(column: str, result: Result, places: Int64) -> RowProblem:
    rows, name = len(places), f"r.{identifier(column)}"
    words = ", ".join(quoted(word) for word in SIDES)
    other = f"where coalesce(lower(trim({name}::varchar)) not in ({words}), true)"
    values = result.answers(
        f"{name}::varchar, count(*)", f"{other} group by 1 order by 2 desc, 1 limit {SHOWN}"
    )
    notes = tuple(
        f"{'no value' if value is None else repr(value)} in {count:,} row{'s' * (count != 1)}"
        for value, count in values
    )
    first = ", ".join(_ids(result, places[:SHOWN].tolist()))
    return RowProblem(
        code="FTC226",
        message=f"the column `{column}` says no side in {'one row' if rows == 1 else f'{rows:,} rows'}",
        at=COLUMN,
        rows=rows,
        help=("write `train` or `eval` (also: validation, test) in it, or leave such rows out in the query",),
        notes=(*notes, f"such as {first}"),
    )


def _ids(result: Result, places: Sequence[int]) -> Iterator[str]:
    """The ids of the rows in some places, which are in order."""
    wanted, before = iter(places), 0
    place = next(wanted, None)
    for ids in result.ids():
        while place is not None and place < before + len(ids):
            yield ids[place - before]
            place = next(wanted, None)
        if place is None:
            return
        before += len(ids)


def held_out_rows(split: SplitStep, results: Sequence[Result], sources: Ingested, scratch: Path) -> Flags:
    """Which rows the split's own query returns, known by their values of the split's keys.

    Raises QueryFailure, OSError, and SelectionProblem where it returns no row of theirs.
    """
    assert split.query is not None  # noqa: S101 - asked for
    try:
        with Result(split.query, sources, scratch) as wanted:
            values, rows = digests(wanted, split.keys), wanted.count
    except QueryFailure as failure:
        place = (failure.start, failure.end)
        raise QueryFailure(failure.message, QUERY, place, endless=failure.endless) from failure
    found = [among(digests(result, split.keys), values) for result in results]
    held = np.concatenate(found)
    if not held.any():
        raise SelectionProblem(_nothing(split, rows))
    return held


def _nothing(split: SplitStep, rows: int) -> RowProblem:
    keys = ", ".join(f"`{key}`" for key in split.keys)
    if not rows:
        message = "no row is held out: the split's query returns none"
    else:
        message = f"no row is held out: none has the {keys} of a row that the split's query returns"
    return RowProblem(
        code="FTC602",
        message=message,
        at=QUERY,
        help=("it must return rows that the data's query returns too",),
    )
