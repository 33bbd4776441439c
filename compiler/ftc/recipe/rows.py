"""Where rows come from, as a recipe says it: sources and queries, of the training rows and of the suites."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from ftc.recipe.base import Table, Text

Parameter = bool | int | Annotated[float, Field(allow_inf_nan=False)] | str
"""A value of a query."""


class Secret(Table):
    """`{ env = "NAME" }`: a value that is read from the environment and written nowhere."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the environment variable."""


class Chunk(Table):
    """`chunk`: how a text file becomes documents."""

    by: Literal["file", "heading", "paragraph", "line"] = "file"
    """Where a new document may begin."""

    characters: Annotated[int, Field(ge=1)] | None = None
    """Paragraphs are gathered up to this many characters; nothing is left out."""


class SourceFiles(Table):
    """A source with options of its own: `sources.NAME = { path = "…", … }`."""

    path: Text | None = None
    """File, glob, directory, `package://NAME/FILE`, `s3://…` or `https://…`, relative to the recipe."""

    dataset: Text | None = None
    """A data set on the hub, OWNER/NAME, instead of a path."""

    database: Secret | None = None
    """Where the connection string of a Postgres database is kept, instead of a path."""

    format: (
        Literal["parquet", "jsonl", "json", "csv", "text", "arrow", "sqlite", "postgres", "dataset"] | None
    ) = None
    """How to read it; told from the names of the files unless given."""

    table: Text | None = None
    """The table to read (SQLite, Postgres)."""

    subset: Text | None = None
    """The configuration of a hub data set."""

    split: Text | None = None
    """The split of a data set."""

    revision: Text | None = None
    """Commit, tag or branch of a hub data set."""

    chunk: Chunk | None = None
    """How text files become documents."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """What the source must be, as `ftc plan` prints it; another content is an error."""

    encoding: Literal["utf-8", "utf-16", "latin-1"] | None = None
    """Character encoding (CSV, text)."""

    delimiter: Annotated[str, Field(min_length=1, max_length=4)] | None = None
    """Column separator (CSV)."""

    quote: Annotated[str, Field(max_length=1)] | None = None
    """Quote character, empty for none (CSV)."""

    header: bool | None = None
    """Whether the first line names the columns (CSV); told from the file unless given."""

    columns: dict[str, Text] | None = None
    """Names and DuckDB types of the columns, instead of detecting them (CSV, JSONL)."""


def _source_kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, SourceFiles)) else "path"


SourceEntry = Annotated[
    Annotated[Text, Tag("path")] | Annotated[SourceFiles, Tag("table")], Discriminator(_source_kind)
]


class SqlFile(Table):
    """`query = { file = "…" }`: the SQL stands in a file of its own."""

    file: Text
    """Path of the .sql file, relative to the recipe."""


def _query_kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, SqlFile)) else "sql"


Query = Annotated[Annotated[Text, Tag("sql")] | Annotated[SqlFile, Tag("table")], Discriminator(_query_kind)]
