"""Compiled rows as people read them: their text in stretches that are trained or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftc.data.shards import CompiledRow, find_rows, read_rows
from ftc.plan.steps import DataStep

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Side = Literal["train", "eval"]
Shown = tuple[str, Side, tuple[tuple[str, bool], ...], int, int]
"""Id, side, stretches of text with whether they are trained, tokens in all, trained tokens."""


def shown_rows(
    data: DataStep,
    directory: Path,
    tokenizer: Path,
    *,
    rows: int,
    part: Side,
    ids: Sequence[str],
) -> Iterator[Shown]:
    """The first rows of one side, or those with certain ids from either, in the order of `ids`."""
    from tokenizers import Tokenizer

    reader = Tokenizer.from_file(str(tokenizer))
    found = _by_id(data, directory, ids) if ids else _first(data, directory, rows, part)
    return (_shown(row, side, reader) for row, side in found)


def _sides(data: DataStep) -> Iterator[Side]:
    yield "train"
    if data.eval is not None:
        yield "eval"


def _first(data: DataStep, directory: Path, rows: int, side: Side) -> list[tuple[CompiledRow, Side]]:
    part = data.train if side == "train" else data.eval
    return [(row, side) for row in islice(read_rows(directory, part), rows)] if part else []


def _by_id(data: DataStep, directory: Path, ids: Sequence[str]) -> list[tuple[CompiledRow, Side]]:
    found: dict[str, tuple[CompiledRow, Side]] = {}
    for side in _sides(data):
        part = data.train if side == "train" else data.eval
        if part is not None:
            found |= {id_: (row, side) for id_, row in find_rows(directory, part, ids).items()}
    return [found[id_] for id_ in ids if id_ in found]


def _shown(row: CompiledRow, side: Side, tokenizer: Tokenizer) -> Shown:
    pairs = zip(row.input_ids, row.mask, strict=True)
    stretches = tuple(
        (tokenizer.decode([token for token, _ in group], skip_special_tokens=False), trained)
        for trained, group in groupby(pairs, key=lambda pair: pair[1])
    )
    return row.id, side, stretches, len(row.input_ids), sum(row.mask)


def dropped_reasons(directory: Path, ids: Sequence[str]) -> dict[str, str]:
    """Why some rows were not kept, by id; rows that were kept are missing from the result."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from ftc.data.columns import strings

    table = pq.read_table(directory / "dropped.parquet")
    rows = table.filter(pc.is_in(table.column("id"), strings(ids))).to_pylist()
    return {row["id"]: f"{row['fate'].replace('_', ' ')}: {row['reason']}" for row in rows}
