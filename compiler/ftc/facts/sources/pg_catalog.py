"""What Postgres says of a table: its columns, how they are written, and what orders its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftc.facts.sandbox import identifier
from ftc.facts.sources.base import SourceError
from ftc.recipe.suggest import closest, listed

if TYPE_CHECKING:
    import psycopg

TABLES = """
select n.nspname, c.relname, c.oid, has_table_privilege(c.oid, 'select'),
  pg_table_is_visible(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%'
order by 1, 2
"""
COLUMNS = """
with recursive types as (
  select a.attnum, a.attname, a.attndims, a.atttypid as type, a.atttypmod as modifier
  from pg_attribute a where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
  union all
  select s.attnum, s.attname, greatest(s.attndims, t.typndims), t.typbasetype,
    case when s.modifier >= 0 then s.modifier else t.typtypmod end
  from types s join pg_type t on t.oid = s.type where t.typtype = 'd'
)
select s.attname, s.attndims, s.modifier, t.typname, e.typname
from types s join pg_type t on t.oid = s.type
left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
where t.typtype <> 'd' order by s.attnum
"""
KEY = """
select a.attname from pg_index i cross join unnest(i.indkey) with ordinality as k(number, place)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
where i.indrelid = %s and i.indisprimary order by k.place
"""

PLAIN = {
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "oid": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "time": "TIME",
    "json": "JSON",
    "jsonb": "JSON",
}
"""Types whose values DuckDB reads as Postgres writes them; all others are text, as Postgres writes them."""

DATED = {"date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ"}
"""Types with values that no calendar of Python has, such as infinity: those make their rows unreadable."""

LISTED = {"bool": "BOOLEAN", "int2": "BIGINT", "int4": "BIGINT", "int8": "BIGINT", "float8": "DOUBLE"}
"""Elements of arrays that stay what they are; others become text."""

ORDERED = {"int2", "int4", "int8", "oid", "float4", "float8", "numeric", "bool", "uuid", *DATED}
"""Types whose own order is the same on every server; others are ordered by the bytes of their text."""

WIDEST = 38
"""Digits of DuckDB's widest DECIMAL."""


@dataclass(frozen=True)
class Column:
    """A column: its DuckDB type, the SQL that writes it, and the SQL that orders by it."""

    name: str
    type: str
    written: str
    ordered: str


@dataclass(frozen=True)
class Table:
    """A table or view: its columns, and those that order its rows: its primary key, if it has one."""

    schema: str
    table: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    has_key: bool

    @property
    def full_name(self) -> str:
        """The name with its schema."""
        return f"{self.schema}.{self.table}"

    @property
    def select(self) -> str:
        """The query for its rows in order."""
        written = ", ".join(f"{column.written} as {identifier(column.name)}" for column in self.columns)
        at = {column.name: column.ordered for column in self.columns}
        order = ", ".join(at[name] for name in self.order)
        place = f"{identifier(self.schema)}.{identifier(self.table)}"
        return f"select {written} from {place} order by {order}"  # noqa: S608 - names from the catalogue


def find_table(con: psycopg.Connection[Any], source: str, wanted: str) -> Table:
    """The table of a name, which may have its schema in front. Raises SourceError and psycopg.Error."""
    rows = con.execute(TABLES).fetchall()
    schema, dot, name = wanted.rpartition(".")
    fitting = [row for row in rows if row[1] == name and (row[0] == schema if dot else row[4])]
    fitting = fitting or [row for row in rows if row[1] == wanted and row[4]]
    if not fitting:
        raise _unknown(source, wanted, [f"{row[0]}.{row[1]}" for row in rows])
    schema, name, oid, readable, _ = fitting[0]
    if not readable:
        message = f"the table `{schema}.{name}` of the source `{source}` may not be read by this user"
        raise SourceError(
            message, (f"grant it: grant select on {schema}.{name} to …",), code="FTC222", key="table"
        )
    columns = tuple(_column(*row) for row in con.execute(COLUMNS, [oid]).fetchall())
    if not columns:
        raise SourceError(f"the table `{wanted}` of the source `{source}` has no columns")
    key = tuple(str(row[0]) for row in con.execute(KEY, [oid]).fetchall())
    return Table(schema, name, columns, key or tuple(column.name for column in columns), bool(key))


def _unknown(source: str, wanted: str, names: Sequence[str]) -> SourceError:
    near = closest(wanted, names) or closest(f"public.{wanted}", names)
    short = {name.rpartition(".")[2]: name for name in names}
    near = near or tuple(short[name] for name in closest(wanted.rpartition(".")[2], short))
    return SourceError(
        f"the database of the source `{source}` has no table `{wanted}`",
        tuple(f'did you mean "{name}"?' for name in near),
        notes=(f"its tables are {listed(names, most=12)}" if names else "it has no table of its own",),
        code="FTC201",
        key="table",
    )


def _column(name: str, dimensions: int, modifier: int, type_: str, element: str | None) -> Column:
    sql = identifier(name)
    ordered = sql if type_ in ORDERED else f'{sql}::text collate "C"'
    if element is not None:
        return _list(name, max(1, dimensions), element, ordered)
    if type_ == "numeric":
        return Column(name, _decimal(modifier), sql, ordered)
    if type_ in DATED:
        return Column(name, DATED[type_], _within_calendar(sql, type_), ordered)
    return Column(name, PLAIN.get(type_, "VARCHAR"), sql, ordered)


def _list(name: str, dimensions: int, element: str, ordered: str) -> Column:
    sql = identifier(name)
    kept = LISTED.get(element)
    written = f"to_json({sql})" if kept else f"to_json({sql}::text[])"
    return Column(name, (kept or "VARCHAR") + "[]" * dimensions, written, ordered)


def _decimal(modifier: int) -> str:
    """The type of a numeric by the precision and scale in its modifier; text where it has none."""
    if modifier < 0:
        return "VARCHAR"
    precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
    return f"DECIMAL({precision},{scale})" if scale <= precision <= WIDEST else "VARCHAR"


def _within_calendar(sql: str, type_: str) -> str:
    """The value as text, and words that are no date in place of one outside the years 1 to 9999."""
    return (
        f"case when {sql} >= '0001-01-01'::{type_} and {sql} < '9999-12-31'::{type_} or {sql} is null "
        f"then {sql}::text else 'no date of the years 1 to 9999: ' || {sql}::text end"
    )
