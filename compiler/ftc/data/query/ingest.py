"""Read each source once into a DuckDB file of its own, in order, and account for rows that cannot be read."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.facts.described import source_columns
from ftc.facts.digests import file_digest
from ftc.facts.sandbox import connect, disk_full, identifier, is_full_disk, threads_for_reading
from ftc.facts.sources.base import BadRow, Progress, Reading, SourceError, UnreadableSource, kind
from ftc.facts.sources.packed import DamagedFile
from ftc.facts.sql_problems import error_details
from ftc.plan.steps import SourceStep

CODE = (
    "data/query/ingest.py",
    "facts/arrow_arrays.py",
    "facts/json_types.py",
    "facts/sandbox.py",
    "facts/sources",
)
FETCHED = "fetched"
AGAIN = "run the same command again once nobody changes the file"
DATABASE = "source.duckdb"
ACCOUNT = "account.json"

__all__ = ["DATABASE", "Ingested", "SourceAccount", "UnreadableSource", "ingested", "source_key"]


@dataclass(frozen=True)
class SourceAccount:
    """How many rows a source has, the unreadable ones included, and which those are."""

    name: str
    rows: int
    bad: tuple[BadRow, ...]

    @cached_property
    def _skipped(self) -> list[int]:
        """Row ids (from 0, over the readable rows) before which unreadable rows stand."""
        numbers = [bad.number for bad in self.bad if bad.number is not None]
        return [number - 1 - before for before, number in enumerate(numbers)]

    def number(self, row: int) -> int:
        """The number (from 1, unreadable rows counted where their number is known) of DuckDB's row id."""
        return row + 1 + bisect_right(self._skipped, row)


@dataclass(frozen=True)
class Ingested:
    """The sources that were read: the account of each, and the directory with its DuckDB file."""

    accounts: tuple[SourceAccount, ...]
    directories: tuple[Path, ...]


def ingested(
    sources: Sequence[SourceStep], paths: Mapping[str, tuple[Path, ...]], cache: Cache, progress: Progress
) -> Ingested:
    """The rows of sources, each from the cache where it is there; `paths` are their files.

    Raises UnreadableSource, CacheProblem and OSError.
    """
    directories = tuple(_entry(source, paths, cache, progress) for source in sources)
    return Ingested(tuple(read_account(directory) for directory in directories), directories)


def source_key(source: SourceStep) -> str:
    """The key under which a source is kept as it was read in."""
    inputs = source.model_dump(mode="json", exclude={"location"})
    return cache_key("sources", inputs, {}, code=code_digest(*CODE))


def _entry(
    source: SourceStep, paths: Mapping[str, tuple[Path, ...]], cache: Cache, progress: Progress
) -> Path:
    key = source_key(source)
    with cache.alone("sources", key):
        found = cache.entry("sources", key, deep=True)
        if found is not None:
            return found
        _check_fetched(source, paths[source.name], cache)
        with cache.scratch() as scratch:
            directory = scratch / "source"
            directory.mkdir()
            ingest(source, paths[source.name], directory, cache, progress)
            _check_unchanged(source, paths[source.name], cache)
            return cache.adopt("sources", key, directory)


def _check_unchanged(source: SourceStep, paths: tuple[Path, ...], cache: Cache) -> None:
    """Raise UnreadableSource where a file is not the one that the plan has the digest of.

    One that nobody has written to since it was digested is not read again. What was fetched cannot change.
    """
    for path, file in zip(paths, source.files, strict=False):
        if path.is_relative_to(cache.root):
            continue
        try:
            same = file_digest(path, file.name, cache) == file
        except FileNotFoundError:
            same = False
        if not same:
            raise UnreadableSource(source.name, f"{file.name} was changed while it was read", (AGAIN,))


def _check_fetched(source: SourceStep, paths: tuple[Path, ...], cache: Cache) -> None:
    """Read every byte of what was fetched into the cache before it becomes rows; raises UnreadableSource."""
    for entry in {path.parent for path in paths if path.is_relative_to(cache.root)}:
        if cache.entry(FETCHED, entry.name, deep=True) is None:
            reason = "what was fetched of it was damaged in the cache, and was removed"
            raise UnreadableSource(source.name, reason, ("run the same command again: it is fetched anew",))


def read_account(directory: Path) -> SourceAccount:
    """The account that `ingest` left."""
    value = json.loads((directory / ACCOUNT).read_text(encoding="utf-8"))
    return SourceAccount(value["name"], value["rows"], tuple(BadRow(**bad) for bad in value["bad"]))


def ingest(
    source: SourceStep, paths: tuple[Path, ...], directory: Path, cache: Cache, progress: Progress
) -> SourceAccount:
    """Fill `directory` with a source's rows and their account; raises UnreadableSource and OSError."""
    import duckdb

    con = connect(directory / DATABASE, threads=threads_for_reading())
    try:
        con.execute("set enable_progress_bar=true; set enable_progress_bar_print=false")
        columns = source_columns(con, source, paths, cache)
        reading = Reading(con, source, paths, columns, directory, progress)
        bad = kind(source.format).read(reading)
        row = con.execute(f"from {identifier(source.name)} select count(*)").fetchone()
    except SourceError as error:
        raise UnreadableSource(source.name, error.message, error.help) from error
    except DamagedFile as error:
        raise UnreadableSource(source.name, str(error)) from error
    except duckdb.Error as error:
        raise _failure(source, paths, error) from error
    except OSError as error:
        if str(error.filename) not in map(str, paths):
            raise
        reason = (error.strerror or str(error)).lower()
        raise UnreadableSource(source.name, f"{Path(error.filename).name}: {reason}", (AGAIN,)) from error
    finally:
        con.close()
    account = SourceAccount(source.name, (row[0] if row else 0) + len(bad), bad)
    (directory / ACCOUNT).write_text(json.dumps(asdict(account)), encoding="utf-8")
    return account


def _failure(source: SourceStep, paths: Sequence[Path], error: Exception) -> Exception:
    """What DuckDB's failure means, with the files' own names."""
    if is_full_disk(error):
        return disk_full()
    message = str(error_details(error)["exception_message"])
    for path, file in zip(paths, source.files, strict=False):
        message = message.replace(str(path), file.name)
    return UnreadableSource(source.name, message.split("\n")[0].rstrip(". "))
