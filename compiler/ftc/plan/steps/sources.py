"""Where rows come from: sources and queries."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from pydantic import Field, JsonValue

from ftc.plan.steps.base import FileDigest
from ftc.recipe.base import Frozen


class SourceStep(Frozen):
    """A declared source: its files in reading order and how they are read.

    What has no files, such as a table of a database, stands there as one, with the digest of its rows.
    """

    name: str
    location: str
    format: Literal["parquet", "jsonl", "json", "csv", "text", "arrow", "sqlite", "postgres", "dataset"]
    options: dict[str, JsonValue]
    files: tuple[FileDigest, ...]

    @property
    def sha256(self) -> str:
        """The source's digest: of one file its SHA-256, of several that of their list.

        The list is what `sha256sum` prints, sorted by name: digest, two spaces, name, line break.
        """
        if len(self.files) == 1:
            return self.files[0].sha256
        lines = (f"{file.sha256}  {file.name}\n" for file in sorted(self.files, key=lambda file: file.name))
        return sha256("".join(lines).encode()).hexdigest()


class ColumnType(Frozen):
    """A column of the query's result and its DuckDB type."""

    name: str
    type: str


class QueryStep(Frozen):
    """The SQL that makes examples of the sources.

    Of the queries of a mix each has a `name`, its `weight` among the others and how often its rows may
    `repeat`; the only query has none. `parameters` are the values of the SQL's `$name`.

    `traced_source` names the one source of which every result row is a row (a plain SELECT … FROM …
    WHERE …), so that rows the query leaves out can be named; None for joins, groups and the like.
    `id_column` is the recipe's own key; None derives ids.
    """

    name: str = ""
    sql: str
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    columns: tuple[ColumnType, ...]
    id_column: str | None
    traced_source: str | None
    weight: float | None = None
    repeat: int = 1
