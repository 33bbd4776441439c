"""Which compiled rows came, went or changed between two compilations, by their ids; memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.data.kept.ledger import DROPPED
from ftc.data.kept.lookup import PIECE, SIDES, part_of
from ftc.data.kept.shards import GROUP_ROWS
from ftc.facts.sandbox import connect, disk_full, interruptible, is_full_disk
from ftc.plan.steps import DataStep

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

FIRST = 5
"""Row ids that are named of each kind; all are counted."""

MEMORY = "300MB"
COMPILED = ["id", "input_ids", "mask", "prompt_length", "target"]
UNKNOWN = ""
"""The fate of a row of which the other ledger says nothing: the other compilation never met its id."""

TELL_APART = """
create table differing as
select coalesce(o.id, n.id) as id, coalesce(n.place, o.place) as place,
    o.content as old, n.content as new, o.side as old_side, n.side as new_side
from old_rows o full join new_rows n on o.id = n.id
where o.id is null or n.id is null or o.content <> n.content or o.side <> n.side
"""
CAME, WENT = "old_side is null", "new_side is null"
CHANGED = "old <> new"
MOVED = "old_side <> new_side"


@dataclass(frozen=True, slots=True)
class Ids:
    """How many rows, and the ids of the first of them in the order of the shards."""

    rows: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowDifferences:
    """How the compiled rows of two compilations differ.

    Of the ids that one alone has, `came_from` and `went_to` say how many rows the other's ledger has under
    each fate (`UNKNOWN`: it says nothing of them). `changed` are ids with other tokens or another loss mask
    in the two, `moved` those on another side of the split. `elsewhere` counts rows of those that came or
    changed whose very content the old rows had under another id.
    """

    same: int
    came: Ids
    went: Ids
    changed: Ids
    moved: Ids
    came_from: dict[str, int]
    went_to: dict[str, int]
    elsewhere: int

    @property
    def any(self) -> bool:
        """Whether a row differs at all."""
        return any(kind.rows for kind in (self.came, self.went, self.changed, self.moved))


@dataclass(frozen=True, slots=True)
class Rows:
    """Compiled rows: their step, and the directory with the shards and the ledger's files."""

    step: DataStep
    directory: Path

    @property
    def at_hand(self) -> bool:
        """Whether every shard is there, with the size that the step says."""
        return all(_size(self.directory / shard.file.name) == shard.file.bytes for shard in self._shards())

    def _shards(self) -> Iterator[Any]:
        for side in SIDES:
            part = part_of(self.step, side)
            yield from part.shards if part is not None else ()

    def equal(self, other: Rows) -> bool:
        """Whether the shards are the same byte for byte, by their digests."""
        return [shard.file for shard in self._shards()] == [shard.file for shard in other._shards()]


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def row_differences(old: Rows, new: Rows, scratch: Path) -> RowDifferences:
    """Compare rows that are at hand; `scratch` takes what does not fit in memory. Raises OSError."""
    import duckdb

    if old.equal(new):
        nothing, rows = Ids(0, ()), new.step.train.rows + (new.step.eval.rows if new.step.eval else 0)
        return RowDifferences(rows, nothing, nothing, nothing, nothing, {}, {}, 0)
    con = connect(scratch / "rows.duckdb")
    try:
        con.execute(f"set memory_limit='{MEMORY}'")
        return interruptible(con, lambda: _compared(con, old, new))
    except duckdb.Error as error:
        raise (disk_full() if is_full_disk(error) else OSError(str(error))) from error
    finally:
        con.close()


def _compared(con: DuckDBPyConnection, old: Rows, new: Rows) -> RowDifferences:
    total = _load(con, "old_rows", old), _load(con, "new_rows", new)
    con.execute(TELL_APART)
    came, went, changed, moved = (_ids(con, which) for which in (CAME, WENT, CHANGED, MOVED))
    (both,) = _first(con, f"select count(*) from differing where not ({CAME}) and not ({WENT})")  # noqa: S608
    return RowDifferences(
        same=total[1] - came.rows - both,
        came=came,
        went=went,
        changed=changed,
        moved=moved,
        came_from=_fates(con, CAME, old),
        went_to=_fates(con, WENT, new),
        elsewhere=_elsewhere(con),
    )


def _load(con: DuckDBPyConnection, table: str, rows: Rows) -> int:
    """A table of ids, sides and content hashes of 64 bits, in order; returns how many rows there are."""
    con.execute(f"create table {table} (id varchar, content ubigint, side varchar, place bigint)")
    count = 0
    for side in SIDES:
        part = part_of(rows.step, side)
        for shard in part.shards if part is not None else ():
            con.register("shard", _reader(rows.directory / shard.file.name, COMPILED))
            con.execute(
                f"insert into {table} select id, hash(input_ids, mask, prompt_length, target), '{side}', "  # noqa: S608
                f"{count} + row_number() over () from shard"
            )
            con.unregister("shard")
            count += shard.rows
    return count


def _reader(path: Path, columns: list[str]) -> pa.RecordBatchReader:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    fields = [field for field in file.schema_arrow if field.name in columns]
    batches = file.iter_batches(GROUP_ROWS, columns=columns)
    return pa.RecordBatchReader.from_batches(pa.schema(fields), batches)


def _first(con: DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    found: list[tuple[Any, ...]] = con.execute(sql).fetchall()
    return found[0]


def _ids(con: DuckDBPyConnection, which: str) -> Ids:
    (rows,) = _first(con, f"select count(*) from differing where {which}")  # noqa: S608
    first = con.execute(f"select id from differing where {which} order by place, id limit {FIRST}")  # noqa: S608
    return Ids(rows, tuple(id_ for (id_,) in first.fetchall()))


def _fates(con: DuckDBPyConnection, which: str, other: Rows) -> dict[str, int]:
    """What the other ledger says of ids that it has no compiled row of; parts of a row go with the row."""
    path = other.directory / DROPPED
    if not path.is_file():
        return {}
    con.register("dropped", _reader(path, ["id", "fate"]))
    con.execute("create or replace table fates as select id, any_value(fate) as fate from dropped group by 1")
    con.unregister("dropped")
    whole = f"regexp_replace(d.id, '{PIECE.pattern}$', '')"
    found = con.execute(
        f"select coalesce(f.fate, w.fate, '{UNKNOWN}'), count(*) from differing d "  # noqa: S608
        f"left join fates f on f.id = d.id left join fates w on w.id = {whole} "
        f"where {which} group by 1 order by 2 desc, 1"
    )
    return dict(found.fetchall())


def _elsewhere(con: DuckDBPyConnection) -> int:
    sides = (("old", WENT), ("new", CAME))
    counted = [
        f"(select {name} as content, count(*) as rows from differing where {alone} or {CHANGED} group by 1)"  # noqa: S608
        for name, alone in sides
    ]
    (rows,) = _first(
        con,
        f"select coalesce(sum(least(o.rows, n.rows)), 0)::bigint from {counted[0]} o "  # noqa: S608
        f"join {counted[1]} n on o.content = n.content",
    )
    return int(rows)
