"""Find compiled rows, and rows that went, by their ids; a row group in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ftc.data.columns import list_offsets, strings
from ftc.data.kept.ledger import CHANGED, DROPPED
from ftc.data.kept.shards import GROUP_ROWS, CompiledRow
from ftc.plan.account import STAYING, Fate
from ftc.plan.steps import DataStep, Part

if TYPE_CHECKING:
    import pyarrow as pa

Side = Literal["train", "eval"]
Order = Literal["first", "longest", "random"]
SIDES: tuple[Side, ...] = ("train", "eval")
PIECE = re.compile(r"(/[1-9]\d*){1,2}")
"""What the id of a part of a row has behind the row's own: the turn, the piece, or both."""

_LAST_PIECE = re.compile(rf"{PIECE.pattern}$")
SUGGESTED = 3
SAMPLED_GROUPS = 8
"""Row groups in which a sample of rows is looked for: some 30,000 rows, however many there are."""
SHORTEST_BEGINNING = 6
"""Characters of an id that are enough to suggest the ids that begin with them."""


@dataclass(frozen=True, slots=True)
class Accounted:
    """A row of the ledger: one that went, or one that is kept and was changed."""

    id: str
    fate: Fate
    reason: str


class Place(NamedTuple):
    """Where a compiled row is: its side, and its number from 0 in the order of the shards."""

    side: Side
    number: int


def part_of(data: DataStep, side: Side) -> Part | None:
    """One side of the compiled data."""
    return data.train if side == "train" else data.eval


def _columns(directory: Path, part: Part, names: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Some columns of a part, some rows at a time, each with the number of its first row."""
    import pyarrow.parquet as pq

    number = 0
    for shard in part.shards:
        with pq.ParquetFile(directory / shard.file.name) as file:
            for batch in file.iter_batches(GROUP_ROWS, columns=names):
                yield number, batch
                number += len(batch)


def _ids(directory: Path, part: Part) -> Iterator[tuple[int, str]]:
    for first, batch in _columns(directory, part, ["id"]):
        yield from enumerate(batch.column(0).to_pylist(), first)


def chosen(directory: Path, part: Part, order: Order, rows: int) -> list[int]:
    """The numbers of some rows of a part: the first, the longest, or such as the hashes of their ids pick.

    Of a part of many row groups a few are picked, by the hashes of their numbers, and rows in those.
    """
    if order == "first":
        return list(range(min(rows, part.rows)))
    if order == "random":
        hashed = ((sha256(id_.encode()).digest(), number) for number, id_ in _sampled(directory, part, rows))
        return [number for _, number in nsmallest(rows, hashed)]
    return _longest(directory, part, rows)


def _sampled(directory: Path, part: Part, rows: int) -> Iterator[tuple[int, str]]:
    """The ids in so many row groups that some rows of them are a sample of all, with their numbers."""
    groups = sorted(_groups(directory, part), key=lambda group: sha256(b"%d" % group.first).digest())
    wanted = max(SAMPLED_GROUPS, 2 * -(-rows // GROUP_ROWS))
    for group in groups[:wanted]:
        yield from enumerate(group.ids(), group.first)


class _Group(NamedTuple):
    """A row group of a part: its file, its number there, and the number of its first row in the part."""

    file: Path
    number: int
    first: int

    def ids(self) -> list[str]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file) as file:
            found: list[str] = file.read_row_group(self.number, columns=["id"]).column(0).to_pylist()
        return found


def _groups(directory: Path, part: Part) -> Iterator[_Group]:
    import pyarrow.parquet as pq

    first = 0
    for shard in part.shards:
        path = directory / shard.file.name
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            yield _Group(path, number, first)
            first += metadata.row_group(number).num_rows


def _longest(directory: Path, part: Part, rows: int) -> list[int]:
    """The numbers of the longest rows, of equally long ones the first; a row has as many marks as tokens.

    Reading ends once there are as many of the greatest length, which the part knows of rows of one member.
    """
    import numpy as np

    found: list[tuple[int, int]] = []
    several = "lengths" in _names(directory, part)
    for first, batch in _columns(directory, part, ["mask"]):
        lengths = np.diff(list_offsets(batch.column(0)))
        best = np.argsort(-lengths, kind="stable")[:rows].tolist()
        found = nsmallest(rows, [*found, *((-int(lengths[row]), first + row) for row in best)])
        if not several and len(found) == rows and -found[-1][0] == part.longest:
            break
    return [number for _, number in found]


def _names(directory: Path, part: Part) -> list[str]:
    import pyarrow.parquet as pq

    names: list[str] = pq.read_schema(directory / part.shards[0].file.name).names if part.shards else []
    return names


def rows_at(directory: Path, part: Part, numbers: Sequence[int]) -> list[CompiledRow]:
    """The compiled rows of some numbers, in the order asked for."""
    import pyarrow.parquet as pq

    found: dict[int, CompiledRow] = {}
    first, wanted = 0, sorted(set(numbers))
    for shard in part.shards:
        inside = [number for number in wanted if first <= number < first + shard.rows]
        if inside:
            with pq.ParquetFile(directory / shard.file.name) as file:
                found |= _of_file(file, first, inside)
        first += shard.rows
    return [found[number] for number in numbers]


def _of_file(file: Any, first: int, wanted: Sequence[int]) -> dict[int, CompiledRow]:
    found = {}
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        inside = [number for number in wanted if first <= number < first + size]
        if inside:
            table = file.read_row_group(group)
            for number in inside:
                (row,) = table.slice(number - first, 1).to_pylist()
                found[number] = CompiledRow.of(row)
        first += size
    return found


def places(data: DataStep, directory: Path, ids: Sequence[str]) -> dict[str, list[Place]]:
    """Where the rows of some ids are, by the id asked for; of a row that became several, all of them."""
    exact: dict[str, list[Place]] = {}
    pieces: dict[str, list[Place]] = {}
    for place, id_ in _similar(data, directory, ids):
        if id_ in ids:
            exact.setdefault(id_, []).append(place)
        for asked in ids:
            if id_.startswith(asked) and PIECE.fullmatch(id_, len(asked)):
                pieces.setdefault(asked, []).append(place)
    return pieces | exact


def _similar(data: DataStep, directory: Path, ids: Sequence[str]) -> Iterator[tuple[Place, str]]:
    """The compiled rows whose ids begin with one of some ids."""
    for side in SIDES:
        part = part_of(data, side)
        for first, batch in _columns(directory, part, ["id"]) if part is not None else ():
            yield from ((Place(side, first + row), id_) for row, id_ in _matching(batch.column(0), ids))


def _matching(column: Any, ids: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The rows of a column of ids that begin with one of some ids."""
    import pyarrow.compute as pc

    mask = pc.is_in(column, strings(ids))
    for id_ in ids:
        mask = pc.or_(mask, pc.starts_with(column, f"{id_}/"))
    rows = pc.indices_nonzero(mask).to_pylist()
    return ((row, column[row].as_py()) for row in rows)


def ids_at(directory: Path, part: Part, numbers: Iterable[int]) -> dict[int, str]:
    """The ids of some rows by their numbers."""
    wanted = frozenset(numbers)
    return {number: id_ for number, id_ in _ids(directory, part) if number in wanted}


def _account(directory: Path, name: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(directory / name) as file:
        yield from file.iter_batches(GROUP_ROWS)


def accounted(directory: Path, ids: Sequence[str]) -> dict[str, list[Accounted]]:
    """What the ledger says of some rows, by their ids: why they went, or how they were changed."""
    import pyarrow.compute as pc

    found: dict[str, list[Accounted]] = {}
    for name in (DROPPED, CHANGED):
        for batch in _account(directory, name):
            for row in batch.filter(pc.is_in(batch.column("id"), strings(ids))).to_pylist():
                found.setdefault(row["id"], []).append(Accounted(**row))
    return found


def with_fates(directory: Path, fates: Sequence[Fate], rows: int) -> list[Accounted]:
    """The first rows with one of some fates; of all that went where none is named."""
    import pyarrow.compute as pc

    names = [CHANGED] if fates and set(fates) <= set(STAYING) else [DROPPED]
    names += [CHANGED] if set(fates) & set(STAYING) and CHANGED not in names else []
    found: list[Accounted] = []
    for name in names:
        for batch in _account(directory, name):
            rows_of = batch.filter(pc.is_in(batch.column("fate"), strings(fates))) if fates else batch
            found += [Accounted(**row) for row in rows_of.slice(0, rows - len(found)).to_pylist()]
            if len(found) >= rows:
                return found
    return found


def similar_ids(data: DataStep, directory: Path, asked: str) -> tuple[str, ...]:
    """The first ids of kept and dropped rows that an id which is not there may stand for."""
    folded, found = asked.casefold().strip(), _Closest()
    for id_ in _every_id(data, directory):
        found.add(_distance(id_.casefold(), folded), id_)
    return found.best


class _Closest:
    """The first ids of each distance."""

    def __init__(self) -> None:
        self._found: dict[int, list[str]] = {}

    def add(self, distance: int | None, id_: str) -> None:
        several = self._found.setdefault(distance, []) if distance is not None else []
        if len(several) < SUGGESTED:
            several.append(id_)

    @property
    def best(self) -> tuple[str, ...]:
        """Those of the least distance."""
        return tuple(self._found[min(self._found)]) if self._found else ()


def _distance(id_: str, asked: str) -> int | None:
    """How far an id is from the one asked for: other case, another name or piece, its beginning, or None."""
    if id_ == asked:
        return 0
    whole = _LAST_PIECE.sub("", asked)
    if id_.endswith(f"/{asked}") or (whole != asked and (id_ == whole or id_.startswith(f"{whole}/"))):
        return 1
    return 2 if len(asked) >= SHORTEST_BEGINNING and id_.startswith(asked) else None


def _every_id(data: DataStep, directory: Path) -> Iterator[str]:
    for side in SIDES:
        part = part_of(data, side)
        if part is not None:
            yield from (id_ for _, id_ in _ids(directory, part))
    for batch in _account(directory, DROPPED):
        yield from batch.column("id").to_pylist()
