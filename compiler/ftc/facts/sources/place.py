"""A declared source with its place in the recipe, and what is found where it points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from ftc.diagnostics import Finding, Severity
from ftc.facts.sources.base import Progress, SourceError
from ftc.plan.steps import FileDigest
from ftc.recipe.layers import Origins
from ftc.recipe.rows import SourceEntry, SourceFiles
from ftc.recipe.source_kinds import PLACES


class NotFetched(SourceError):  # noqa: N818 - it names a state
    """A source whose rows are elsewhere, and a command that fetches nothing."""


@dataclass(frozen=True)
class Reach:
    """How far a command goes for a source: whether it fetches what is not here, and whom it tells."""

    fetch: bool
    progress: Progress


def _silent(stage: str, done: int, total: int | None) -> None:
    del stage, done, total


HERE = Reach(fetch=False, progress=_silent)
"""For `ftc check`: what was fetched before is used, and nothing else is fetched."""


@dataclass(frozen=True)
class Entry:
    """A declared source: its name, its table, whether it is one in the recipe, and where that stands."""

    name: str
    declared: SourceFiles
    is_table: bool
    origins: Origins

    @property
    def path(self) -> str:
        """The path, where there is one."""
        return self.declared.path or ""

    @property
    def directory(self) -> Path:
        """The directory at which relative paths start."""
        return self.origins.directory("data", "sources", self.name)

    def finding(self, error: SourceError, severity: Severity = Severity.ERROR) -> Finding:
        """What is wrong, at the source's place or at the option that it is about."""
        key: tuple[str, ...] = ("data", "sources", self.name)
        if self.is_table:
            places = [place for place in PLACES if getattr(self.declared, place)]
            key = (*key, error.key or (places or ["path"])[0])
        span = self.origins.value(*key)
        if error.code == "FTC107":
            span = self.origins.key(*key)
        return Finding(error.code, error.message, span, help=error.help, notes=error.notes, severity=severity)


def entry_of(name: str, declared: SourceEntry, origins: Origins) -> Entry:
    """A source of a recipe; a bare path is a table with nothing else in it."""
    if isinstance(declared, SourceFiles):
        return Entry(name, declared, is_table=True, origins=origins)
    return Entry(name, SourceFiles(path=declared), is_table=False, origins=origins)


@dataclass(frozen=True)
class Found:
    """What is there: the location as a plan has it, the files' names, and where they are on this machine.

    `kind` is what the place tells of it, `digests` are known where no file needs to be read for them,
    `options` and `reasons` are what the place settles, `warnings` what is worth saying.
    """

    location: str
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    kind: str | None = None
    digests: tuple[FileDigest, ...] | None = None
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[SourceError, ...] = ()
