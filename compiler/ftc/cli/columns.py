"""The columns of a data file with their types, and what must be said of the file to read it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ftc.diagnostics import Finding
from ftc.facts.described import source_columns
from ftc.facts.sandbox import connect
from ftc.facts.sources import dataset, sqlite
from ftc.facts.sources.base import SourceError, kind
from ftc.facts.sources.packed import open_bytes
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles
from ftc.recipe.source_kinds import ENDINGS, ending, kind_of
from ftc.recipe.suggest import listed

CHUNK = 1 << 20
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Table:
    """What a data file or directory holds: columns with their types in order, and how a source names it.

    `options` are those of the source that are not the defaults, `inside` is what follows the path of a
    directory, `note` a word of caution.
    """

    columns: Mapping[str, str]
    options: Mapping[str, str]
    inside: str = ""
    note: str = ""


@dataclass(frozen=True)
class _Place:
    """Files of one kind, and how a source names them."""

    kind: str
    paths: tuple[Path, ...]
    options: Mapping[str, str]
    inside: str = ""
    note: str = ""


def columns_of(file: Path) -> Table | Finding:
    """Read the columns of a file or directory as a recipe's source would; a finding if it cannot be read."""
    import duckdb

    try:
        place = _directory(file) if file.is_dir() else _file(file)
        columns = _columns(file, place)
    except (OSError, EOFError) as error:
        return Finding("FTC201", f"`{file.name}` cannot be read: {error}", place=str(file))
    except SourceError as problem:
        return Finding("FTC202", problem.message, place=str(file), help=problem.help, notes=problem.notes)
    except duckdb.Error as error:
        return Finding("FTC210", f"`{file.name}` cannot be read: {_reason(error)}", place=str(file))
    found = {column.name: column.type for column in columns}
    return Table(found, place.options, place.inside, place.note)


def _columns(file: Path, place: _Place) -> tuple[ColumnType, ...]:
    declared = SourceFiles.model_validate({"path": str(file), **place.options})
    settled = kind(place.kind).settle(file.name, declared, place.paths)
    step = SourceStep.model_validate(
        {
            "name": file.name,
            "location": str(file),
            "format": place.kind,
            "options": dict(settled.options),
            "files": (),  # nobody asks for a digest
        }
    )
    with connect() as con:
        return source_columns(con, step, place.paths)


def _file(file: Path) -> _Place:
    """The kind that the file's name tells. Raises SourceError and OSError."""
    name = kind_of(file.name)
    if name is None:
        message = f"`{file.name}` does not say by its name what it is"
        raise SourceError(message, (f"give it one of these endings: {', '.join(ENDINGS)}",))
    if not file.stat().st_size:
        raise SourceError(f"`{file.name}` is empty")
    if name == "csv":
        return _Place(name, (file,), _csv_options(file))
    if name == "sqlite":
        return _database(file)
    return _Place(name, (file,), {})


def _database(file: Path) -> _Place:
    """A database with its table, or the first that has a column of text."""
    tables = sqlite.table_names(file.name, file)
    if len(tables) < 2:
        return _Place("sqlite", (file,), {})
    places = [_Place("sqlite", (file,), {"table": table}) for table in tables]
    with_text = (p for p in places if any(c.type == "VARCHAR" for c in _columns(file, p)))
    chosen = next(with_text, places[0]).options["table"]
    others = listed(table for table in tables if table != chosen)
    return _Place("sqlite", (file,), {"table": chosen}, note=f"the database has other tables too: {others}")


def _directory(directory: Path) -> _Place:
    """A saved data set, a tree of texts, or the files of one kind in it. Raises SourceError and OSError."""
    if dataset.is_saved(directory):
        return _saved(directory)
    below = sorted(path for path in directory.rglob("*") if path.is_file() and kind_of(path.name))
    endings = sorted({ending(path.name) for path in below})
    kinds = sorted({ENDINGS[suffix] for suffix in endings})
    if kinds == ["text"]:
        return _Place("text", tuple(below), {"format": "text"})
    if len(endings) != 1:
        held = f"holds files of several kinds: {', '.join(endings)}" if endings else "holds no data file"
        raise SourceError(f"`{directory.name}` {held}", ("name a file in it",))
    flat = all(path.parent == directory for path in below)
    packed = (
        "*" if len({path.suffix for path in below}) > 1 else below[0].name[below[0].name.rindex(endings[0]) :]
    )
    return _Place(kinds[0], tuple(below), {}, inside=f"/{'' if flat else '**/'}*{packed}")


def _saved(directory: Path) -> _Place:
    """A data set of its own, or one of its splits: that for training if there is one."""
    splits = dataset.split_names(directory.name, directory)
    split = "train" if "train" in splits else splits[0] if splits else None
    names = dataset.file_names(directory.name, directory, split)
    others = listed(name for name in splits if name != split)
    note = f"the data set has other splits too: {others}" if others else ""
    options = {"split": split} if split is not None and others else {}
    return _Place("dataset", tuple(directory / name for name in names), options, note=note)


def _csv_options(file: Path) -> dict[str, str]:
    """Encoding and delimiter, where they are not what a source has by default."""
    options = {}
    encoding = _encoding(file)
    if encoding != "utf-8":
        options["encoding"] = encoding
    with open_bytes(file) as opened:
        head = opened.read(CHUNK).decode(encoding, errors="replace").partition("\n")[0]
    usual = "\t" if ending(file.name) == ".tsv" else ","
    delimiter = max((usual, *DELIMITERS), key=head.count)
    if delimiter != usual:
        options["delimiter"] = delimiter
    return options


def _encoding(file: Path) -> str:
    """The encoding a file is in: by its byte order mark, UTF-8 if it is that, else Latin-1."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(file) as opened:
        chunk = opened.read(CHUNK)
        if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = opened.read(CHUNK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _reason(error: Exception) -> str:
    """The first line of what DuckDB says, out of the JSON in which it says it."""
    text = str(error)
    start = text.find("{")
    if start >= 0:
        with suppress(ValueError):
            text = str(json.loads(text[start:]).get("exception_message", text))
    return text.strip().split("\n", maxsplit=1)[0]
