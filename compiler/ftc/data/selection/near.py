"""Near duplicates: candidates by MinHash and bands (rensa), each compared exactly with the rows that stay.

Memory holds eight bytes a row and, of rows that have a candidate, 16 bytes for each band in which they have
one; signatures and sets wait on the disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftc.data.selection.equal import Int64
from ftc.data.selection.hashes import Flags, UInt64
from ftc.data.selection.shingles import shingles
from ftc.facts.sandbox import identifier
from ftc.plan.steps import DedupeStep

if TYPE_CHECKING:
    import pyarrow as pa

    from ftc.data.query.result import Result

SEED = 1
ROWS = 1024
BYTES = 2 << 20
"""Text whose signatures are made together: so many rows at most, and about so much."""

MOST_COMPARED = 64
"""Rows with which one is compared: those that share the most bands with it, of equal ones the first."""

MOST_COUNTED = 20_000
"""Entries of its bands that are counted to find those."""


def near_duplicates(
    step: DedupeStep, results: Sequence[Result], kept: Flags, scratch: Path
) -> tuple[Int64, Int64]:
    """The numbers of rows that go, and of the row that stays for each; rows that are not `kept` do not count.

    A row goes if it is similar to an earlier one that stays.
    """
    scratch.mkdir()
    files = _Bands(step, scratch)
    for hashes, bounds in _sets(step, results, kept):
        files.add(hashes, bounds)
    numbers = np.flatnonzero(kept)
    members, groups = files.groups(len(numbers))
    wanted = np.zeros(len(kept), dtype=np.bool_)
    wanted[numbers[np.unique(members)]] = True
    sets = _Sets(scratch / "sets")
    for hashes, bounds in _sets(step, results, wanted):
        sets.add(hashes, bounds)
    gone, first = _search(step, members, groups, sets)
    return numbers[gone], numbers[first]


def _sets(step: DedupeStep, results: Sequence[Result], kept: Flags) -> Iterator[tuple[UInt64, Int64]]:
    """The shingles of the rows that are kept, some rows at a time, in order."""
    from ftc.data.columns import flags

    assert step.words is not None  # noqa: S101 - a step for near duplicates
    number = 0
    for result in results:
        for batch in result.computed([words_of(result, step.columns)], rows=ROWS):
            chosen = kept[number : number + len(batch)]
            number += len(batch)
            texts = batch.column(0).filter(flags(chosen.astype(np.uint8)))
            yield from (shingles(piece, step.words) for piece in _pieces(texts) if len(piece))


def _pieces(texts: pa.Array) -> Iterator[pa.Array]:
    """A column of texts in parts of about BYTES each."""
    parts = -(-texts.nbytes // BYTES)
    size = max(len(texts) // max(parts, 1), 1)
    return (texts.slice(start, size) for start in range(0, len(texts), size))


def words_of(result: Result, columns: Sequence[str]) -> str:
    """SQL for the text of a row in lower case; of messages what is said, not who says it."""
    types = {column.name: column.type for column in result.query.columns}
    parts = [_text(f"r.{identifier(name)}", types[name]) for name in columns]
    return f"lower(concat_ws(' \x1f ', {', '.join(parts)}))"


def _text(column: str, type_: str) -> str:
    if type_ == "VARCHAR":
        return column
    if type_.startswith("STRUCT(") and type_.endswith("[]") and "content VARCHAR" in type_:
        return f"array_to_string(list_transform({column}, lambda m: m.content), ' \x1f ')"
    if type_ == "JSON":
        said = f"json_extract_string({column}, '$[*].content')"
        plain = f"coalesce(json_extract_string({column}, '$'), '')"
        return (
            f"case when json_type({column}) = 'ARRAY' then array_to_string({said}, ' \x1f ') else {plain} end"
        )
    return f"to_json({column})::varchar"


class _Bands:
    """The hashes of each band of each signature, on disk, one file a band."""

    def __init__(self, step: DedupeStep, directory: Path) -> None:
        assert step.hashes is not None  # noqa: S101 - a step for near duplicates
        assert step.bands is not None  # noqa: S101
        self._hashes, self._bands = step.hashes, step.bands
        self._files = [directory / f"band-{band}" for band in range(step.bands)]
        for file in self._files:
            file.touch()

    def add(self, hashes: UInt64, bounds: Int64) -> None:
        from rensa import RMinHash

        made: Any = RMinHash.digest_matrix_from_flat_token_hashes(
            hashes, bounds.astype(np.uint64), self._hashes, SEED
        )
        matrix = np.array(made.to_rows(), dtype=np.uint64)
        width = self._hashes // self._bands
        for band, file in enumerate(self._files):
            key = np.zeros(len(matrix), dtype=np.uint64)
            for value in matrix[:, band * width : (band + 1) * width].T:
                key = (key ^ value) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(29)
            with file.open("ab") as end:
                end.write(key.tobytes())

    def groups(self, rows: int) -> tuple[Int64, Int64]:
        """Rows that share a band with others, and the number of the group; by row, then by band."""
        members: list[Int64] = []
        groups: list[Int64] = []
        for band, file in enumerate(self._files):
            keys = np.fromfile(file, dtype=np.uint64)
            file.unlink()
            order = np.argsort(keys, kind="stable")
            new = np.append(True, keys[order][1:] != keys[order][:-1])
            starts = np.flatnonzero(new)
            sizes = np.diff(np.append(starts, rows))
            several = np.repeat(sizes > 1, sizes)
            members.append(order[several])
            groups.append(np.repeat(band * rows + starts, sizes)[several])
        flat, numbers = np.concatenate(members), np.concatenate(groups)
        by_row = np.argsort(flat, kind="stable")
        return flat[by_row], numbers[by_row]


class _Sets:
    """The shingles of some rows as sorted sets, on disk."""

    def __init__(self, file: Path) -> None:
        self._file, self._ends = file, [0]
        file.touch()

    def add(self, hashes: UInt64, bounds: Int64) -> None:
        with self._file.open("ab") as end:
            for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
                one = np.unique(hashes[start:stop])
                end.write(one.tobytes())
                self._ends.append(self._ends[-1] + len(one))

    def reader(self) -> tuple[UInt64, list[int]]:
        whole = np.memmap(self._file, dtype=np.uint64, mode="r") if self._ends[-1] else np.empty(0, np.uint64)
        return whole, self._ends


def _search(step: DedupeStep, members: Int64, groups: Int64, sets: _Sets) -> tuple[Int64, Int64]:
    """Go through the rows that have candidates, in order; each is compared with those that stay."""
    assert step.similarity is not None  # noqa: S101 - a step for near duplicates
    values, ends = sets.reader()
    rows, starts = np.unique(members, return_index=True)
    bounds = np.append(starts, len(members)).tolist()
    staying: dict[int, list[int]] = {}
    gone: list[int] = []
    first: list[int] = []
    for place in range(len(rows)):
        own = groups[bounds[place] : bounds[place + 1]].tolist()
        mine = values[ends[place] : ends[place + 1]]
        for other in _candidates(own, staying):
            if _similarity(mine, values[ends[other] : ends[other + 1]]) >= step.similarity:
                gone.append(place)
                first.append(other)
                break
        else:
            for group in own:
                staying.setdefault(group, []).append(place)
    return rows[np.array(gone, dtype=np.int64)], rows[np.array(first, dtype=np.int64)]


def _candidates(groups: Sequence[int], staying: dict[int, list[int]]) -> list[int]:
    """The rows that stay and share bands, those first that share the most, then in their order."""
    most = MOST_COUNTED // len(groups)
    shared: Counter[int] = Counter()
    for group in groups:
        shared.update(staying.get(group, [])[:most])
    return sorted(shared, key=lambda row: (-shared[row], row))[:MOST_COMPARED]


def _similarity(some: UInt64, others: UInt64) -> float:
    """The Jaccard similarity of two sorted sets."""
    both = len(np.intersect1d(some, others, assume_unique=True))
    return both / (len(some) + len(others) - both)
