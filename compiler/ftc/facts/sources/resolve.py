"""Find what a declared source points at, settle how it is read, digest it, and hold it to its pin."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, cast

from ftc.diagnostics import Finding, Severity
from ftc.facts.cache import Cache, CacheProblem
from ftc.facts.digests import file_digest
from ftc.facts.sources import pins
from ftc.facts.sources.base import ResolvedSource, Settled, SourceError, kind
from ftc.facts.sources.packed import DamagedFile
from ftc.facts.sources.place import HERE, Entry, Found, NotFetched, Reach, entry_of
from ftc.plan.steps import Choice, FileDigest, SourceStep
from ftc.recipe.layers import Origins
from ftc.recipe.model import Recipe
from ftc.recipe.source_kinds import COMPRESSED, ENDINGS, KINDS, ending, kind_of, scheme, takers

REMOTE_OPTIONS = ("subset", "revision")


def resolve_source(
    recipe: Recipe, name: str, origins: Origins, cache: Cache, reach: Reach = HERE
) -> ResolvedSource | tuple[Finding, ...]:
    """One declared source, or why it cannot be read; nothing is said of one that names no place."""
    entry = entry_of(name, recipe.data.sources[name], origins)
    if not _names_a_place(entry):
        return ()
    try:
        return _resolved(entry, cache, reach)
    except NotFetched as error:
        return (entry.finding(error, Severity.NOTE),)
    except SourceError as error:
        return (entry.finding(error),)
    except CacheProblem as problem:
        return (Finding(problem.code, problem.message, help=(problem.help,)),)
    except DamagedFile as error:
        return (entry.finding(SourceError(f"the source `{name}`: {error}", code="FTC202")),)
    except OSError as error:
        reason = error.strerror or str(error)
        return (entry.finding(SourceError(f"the source `{name}` cannot be read: {reason}", code="FTC201")),)


def _names_a_place(entry: Entry) -> bool:
    """Whether a source says where its rows are; the recipe's own checks say what is missing."""
    declared = entry.declared
    return bool(entry.path or declared.dataset or (declared.database and declared.table))


def _resolved(entry: Entry, cache: Cache, reach: Reach) -> ResolvedSource:
    found = _find(entry, cache, reach)
    name = _kind(entry, found)
    _refuse_misplaced(entry, name)
    _refuse_empty(entry, found.paths)
    settled = kind(name).settle(entry.name, entry.declared, found.paths) if found.paths else Settled()
    files = found.digests
    if files is None:
        files = tuple(_digest(*file, cache) for file in zip(found.paths, found.names, strict=True))
    step = SourceStep(
        name=entry.name,
        location=found.location,
        format=cast("Any", name),
        options={**settled.options, **found.options},
        files=files,
    )
    pins.check(entry, step, cache)
    return ResolvedSource(
        step,
        found.paths,
        _choices(step, {**settled.reasons, **found.reasons}),
        tuple(entry.finding(warning, Severity.WARNING) for warning in found.warnings),
    )


PLACES = {"dataset": "hub", "database": "postgres", "": "local", "package": "local"}
"""The modules of the places, by the source's key or the scheme of its path; other schemes are `remote`."""


def _find(entry: Entry, cache: Cache, reach: Reach) -> Found:
    """What is there, in the place of its kind: loaded where it is used. Raises SourceError and OSError."""
    key = next((key for key in ("dataset", "database") if getattr(entry.declared, key)), scheme(entry.path))
    place = import_module(f"ftc.facts.sources.{PLACES.get(key, 'remote')}")
    found: Found = place.find(entry, cache, reach)
    return found


def _kind(entry: Entry, found: Found) -> str:
    """The kind of the files: what the place tells, what the recipe states, or what their names tell."""
    stated = found.kind or entry.declared.format
    if stated is not None:
        return stated
    kinds = {kind_of(name) for name in found.names}
    only = kinds.pop() if len(kinds) == 1 else None
    if only is not None:
        return only
    suffixes = sorted({ending(name) for name in found.names})
    if len(suffixes) > 1 and None not in kinds:
        message = f"the source `{entry.name}` mixes formats: {', '.join(suffixes)}"
        raise SourceError(message, ("declare one source for each format",))
    unknown = next(suffix for suffix in suffixes if suffix not in ENDINGS)
    told = f"the ending `{unknown}`" if unknown else "a name without an ending"
    raise SourceError(
        f"the format of the source `{entry.name}` cannot be told from {told}",
        (f'say it: {entry.name} = {{ path = "{entry.path}", format = "jsonl" }} (or csv, text, …)',),
        notes=(
            f"known endings are {', '.join(ENDINGS)}; some may have {' or '.join(COMPRESSED)} behind them",
        ),
    )


def _refuse_misplaced(entry: Entry, name: str) -> None:
    """Raises SourceError (FTC107) for an option that means nothing for the files."""
    for option in ("encoding", "delimiter", "quote", "header", "columns", "chunk", "table", "split"):
        takes = name in takers(option) or (option == "split" and entry.declared.dataset is not None)
        if getattr(entry.declared, option) is not None and not takes:
            message = f"`{option}` does not apply to {KINDS[name].title}"
            raise SourceError(message, ("remove it",), code="FTC107", key=option)


def _refuse_empty(entry: Entry, paths: tuple[Path, ...]) -> None:
    if not paths or any(path.stat().st_size for path in paths):
        return
    which = f"the file {paths[0].name}" if len(paths) == 1 else f"every one of the {len(paths)} files"
    raise SourceError(
        f"{which} of the source `{entry.name}` is empty", ("write its rows again, or name another file",)
    )


def _digest(path: Path, name: str, cache: Cache) -> FileDigest:
    return file_digest(path, name, cache)


def _choices(step: SourceStep, reasons: dict[str, str]) -> tuple[Choice, ...]:
    """What the recipe leaves open, as the plan prints it."""
    return tuple(
        Choice(key=f"data.sources.{step.name}.{option}", value=step.options[option], reason=reason)
        for option, reason in reasons.items()
    )
