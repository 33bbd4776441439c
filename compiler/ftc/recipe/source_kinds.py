"""The kinds of sources: a line each with its endings and options; `facts/sources/NAME.py` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class SourceKind:
    """How a kind is called in messages, the endings that tell it, and the options that it takes.

    Of files that are `packed`, those with .gz or .zst behind the ending are read too.
    """

    title: str
    endings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    packed: bool = False


_CSV = ("encoding", "delimiter", "quote", "header", "columns")

KINDS: dict[str, SourceKind] = {
    "parquet": SourceKind("Parquet files", (".parquet",)),
    "jsonl": SourceKind("JSONL files", (".jsonl", ".ndjson"), ("columns",), packed=True),
    "json": SourceKind("JSON files", (".json",), ("columns",), packed=True),
    "csv": SourceKind("CSV files", (".csv", ".tsv"), _CSV, packed=True),
    "text": SourceKind("text files", (".txt", ".md", ".markdown"), ("encoding", "chunk"), packed=True),
    "arrow": SourceKind("Arrow files", (".arrow", ".arrows", ".feather", ".ipc")),
    "sqlite": SourceKind("SQLite databases", (".sqlite", ".sqlite3", ".db", ".db3"), ("table",)),
    "postgres": SourceKind("Postgres tables", (), ("table",)),
    "dataset": SourceKind("saved data sets", (), ("split",)),
}
"""In the order in which messages name them."""

PLACES = ("path", "dataset", "database")
"""The keys of a source's table of which it has one: where its rows are."""

COMPRESSED = (".gz", ".zst")
"""Endings of packed files, behind that of their kind."""

ENDINGS: dict[str, str] = {ending: name for name, kind in KINDS.items() for ending in kind.endings}
"""Each ending with the kind that it tells."""

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://")


def ending(name: str) -> str:
    """The ending of a file's name in lower case, with that of its compression in front left out."""
    plain = PurePosixPath(name.lower())
    inner = plain.with_suffix("").suffix
    if plain.suffix in COMPRESSED and inner:
        kind = ENDINGS.get(inner)
        return inner if kind and KINDS[kind].packed else inner + plain.suffix
    return plain.suffix


def kind_of(name: str) -> str | None:
    """The kind that a file's name tells; None where it tells none."""
    return ENDINGS.get(ending(name))


def scheme(path: str) -> str:
    """The scheme of an address such as `s3://…`; empty for a path."""
    match = _SCHEME.match(path)
    return match[1] if match else ""


def takers(option: str) -> tuple[str, ...]:
    """The kinds that take an option, by name."""
    return tuple(name for name, kind in KINDS.items() if option in kind.options)
