"""Sources as a recipe declares them, resolved, described and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from data_requests import Job
from ftc.data.query.ingest import DATABASE, SourceAccount, ingested
from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.query import describe
from ftc.facts.sources import ResolvedSource, resolve_source
from ftc.facts.sources.place import HERE, Reach
from ftc.recipe.load import load_recipe

HEAD = '[model]\nbase = "some/model"\n[data]\n'


def silent(stage: str, done: int, total: int | None) -> None:
    """Say nothing."""


FETCH = Reach(fetch=True, progress=silent)


def declared(
    directory: Path, entry: str, *, reach: Reach = HERE, cache: Cache | None = None
) -> ResolvedSource | tuple[Finding, ...]:
    """The source `t` of a recipe in a directory."""
    path = directory / "recipe.toml"
    path.write_text(f"{HEAD}sources.t = {entry}\n", encoding="utf-8")
    loaded = load_recipe(path)
    assert loaded.recipe is not None, loaded.findings
    return resolve_source(loaded.recipe, "t", loaded.origins, cache or Cache(directory / "cache"), reach)


def good(directory: Path, entry: str, *, reach: Reach = HERE, cache: Cache | None = None) -> ResolvedSource:
    """A source that resolves."""
    found = declared(directory, entry, reach=reach, cache=cache)
    assert isinstance(found, ResolvedSource), found
    return found


def bad(directory: Path, entry: str, *, reach: Reach = HERE, cache: Cache | None = None) -> Finding:
    """The one finding of a source that does not."""
    found = declared(directory, entry, reach=reach, cache=cache)
    assert isinstance(found, tuple), found
    (finding,) = found
    return finding


def words(finding: Finding) -> str:
    """Everything that a finding says."""
    return " ".join([finding.message, *finding.help, *finding.notes])


@dataclass(frozen=True)
class Rows:
    """What was read of a source."""

    rows: list[dict[str, Any]]
    account: SourceAccount

    @property
    def bad(self) -> list[tuple[str, str]]:
        return [(row.place, row.code) for row in self.account.bad]


def read(source: ResolvedSource, directory: Path) -> Rows:
    """The rows of a source as the data compiler has them, in their order."""
    paths = {source.step.name: source.paths}
    done = ingested((source.step,), paths, Cache(directory / "cache"), silent)
    with duckdb.connect(str(done.directories[0] / DATABASE), read_only=True) as con:
        rows = con.sql(f"from {source.step.name}").to_arrow_table().to_pylist()
    return Rows(rows, done.accounts[0])


def types(source: ResolvedSource) -> dict[str, str]:
    """Columns and types as the check describes them."""
    described = describe((source,), f"select * from {source.step.name}")
    assert not described.problems, described.problems
    return {column.name: column.type for column in described.columns}


def problem(source: ResolvedSource) -> str:
    """What is wrong with a source's files when they are described."""
    (found,) = describe((source,), f"select * from {source.step.name}").problems
    return " ".join([found.message, *found.help])


def job(source: ResolvedSource, directory: Path, sql: str = "select * from t") -> Job:
    """A compilation over a source."""
    return Job(directory, (source,), sql=sql)
