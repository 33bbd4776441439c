"""Find the files behind the declared sources, say how to read them, and digest them."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, cast

from pydantic import JsonValue

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.digests import file_digest
from ftc.facts.packaged import is_packaged, package_directory, package_name
from ftc.plan.steps import SourceStep
from ftc.recipe.layers import Origins
from ftc.recipe.model import Recipe, SourceEntry, SourceFiles
from ftc.recipe.suggest import closest, listed

Format = Literal["parquet", "jsonl", "csv"]

FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
}
APPLY: dict[str, tuple[Format, ...]] = {
    "encoding": ("csv",),
    "delimiter": ("csv",),
    "quote": ("csv",),
    "header": ("csv",),
    "columns": ("csv", "jsonl"),
}
"""The options of a source and the formats which they apply to."""

MAGIC = "*?["
COMPRESSED = ".gz"


@dataclass(frozen=True)
class ResolvedSource:
    """A source as the plan has it, and where its files are on this machine, in the same order."""

    step: SourceStep
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class _Entry:
    """A declared source with the recipe's key for its path."""

    name: str
    declared: SourceFiles
    key: tuple[str, ...]
    origins: Origins

    def finding(
        self, code: str, message: str, help_: tuple[str, ...] = (), notes: tuple[str, ...] = ()
    ) -> Finding:
        return Finding(code, message, self.origins.value(*self.key), help=help_, notes=notes)


def _entry(name: str, declared: SourceEntry, origins: Origins) -> _Entry:
    key = ("data", "sources", name)
    if isinstance(declared, SourceFiles):
        return _Entry(name, declared, (*key, "path"), origins)
    return _Entry(name, SourceFiles(path=declared), key, origins)


def resolve_source(
    recipe: Recipe, name: str, origins: Origins, cache: Cache
) -> ResolvedSource | tuple[Finding, ...]:
    """One declared source, or why it cannot be read."""
    return _resolve(_entry(name, recipe.data.sources[name], origins), cache)


def _resolve(entry: _Entry, cache: Cache) -> ResolvedSource | tuple[Finding, ...]:
    base = _base(entry)
    if isinstance(base, Finding):
        return (base,)
    names = _matches(base, _pattern(entry))
    if not names:
        return (_nothing(entry, base),)
    paths = tuple(base / name for name in names)
    form = _format(entry, paths)
    findings = (form,) if isinstance(form, Finding) else _misplaced(entry, form)
    findings += _unusable(entry, paths)
    if findings:
        return findings
    prefix = f"package://{package_name(entry.declared.path)}/" if is_packaged(entry.declared.path) else ""
    step = SourceStep(
        name=entry.name,
        location=entry.declared.path,
        format=cast("Format", form),
        options=_options(entry.declared, cast("Format", form), paths[0]),
        files=tuple(
            file_digest(path, prefix + _portable(name), cache)
            for path, name in zip(paths, names, strict=True)
        ),
    )
    return ResolvedSource(step, paths)


def _base(entry: _Entry) -> Path | Finding:
    if not is_packaged(entry.declared.path):
        return entry.origins.directory("data", "sources", entry.name)
    directory = package_directory(entry.declared.path)
    if directory is not None:
        return directory
    name = package_name(entry.declared.path)
    return entry.finding(
        "FTC201",
        f"the source `{entry.name}` is in the package `{name}`, which is not installed",
        (f"install it: pip install {name.replace('_', '-')}",),
    )


def _pattern(entry: _Entry) -> str:
    location = entry.declared.path
    if is_packaged(location):
        return location.removeprefix("package://").partition("/")[2]
    return str(Path(location).expanduser()) if location.startswith("~") else location


def _matches(base: Path, pattern: str) -> list[str]:
    """The files that a path or glob names, relative to `base` as far as they are, in the order of names."""
    if (base / pattern).is_file():
        return [pattern]
    if not any(character in pattern for character in MAGIC):
        return []
    found = glob.glob(pattern, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted((name for name in found if (base / name).is_file()), key=_portable)


def _portable(name: str) -> str:
    """A file's name in a plan: relative with slashes, and without this machine's directories."""
    path = Path(name)
    return path.name if path.is_absolute() else PurePosixPath(path.as_posix()).as_posix()


def _nothing(entry: _Entry, base: Path) -> Finding:
    pattern = _pattern(entry)
    path = base / pattern
    if path.is_dir():
        return _directory(entry, path)
    holder, name = _nearest_directory(path)
    held = sorted(child.name for child in holder.iterdir() if not child.name.startswith((".", "_")))
    near = closest(name, held)
    what = "matches no file" if any(c in pattern for c in MAGIC) else "does not exist"
    help_ = tuple(f'did you mean "{_replaced(entry.declared.path, name, other)}"?' for other in near)
    return entry.finding(
        "FTC201",
        f"the source `{entry.name}` {what}: {entry.declared.path}",
        help_,
        () if near else (_holds(entry, holder, base, held),),
    )


def _replaced(location: str, part: str, other: str) -> str:
    """A location with one of its parts replaced: the last of that name."""
    before, _, after = location.rpartition(part)
    return before + other + after


def _holds(entry: _Entry, holder: Path, base: Path, names: list[str]) -> str:
    """What lies where the files were looked for: data if there is any, else directories."""
    shown = _shown(entry, holder, base)
    data = [name for name in names if _suffix(Path(name)) in FORMATS]
    directories = [name + "/" for name in names if (holder / name).is_dir()]
    if not (data or directories):
        return f"{shown} holds no data file"
    return f"{shown} holds {listed(data or directories, most=8)}"


def _shown(entry: _Entry, directory: Path, base: Path) -> str:
    try:
        inside = directory.relative_to(base).as_posix()
    except ValueError:
        return f"`{directory.as_posix()}/`"
    if is_packaged(entry.declared.path):
        place = f"package://{package_name(entry.declared.path)}/"
        return f"`{place}`" if inside == "." else f"`{place}{inside}/`"
    return "the recipe's directory" if inside == "." else f"`{inside}/`"


def _nearest_directory(path: Path) -> tuple[Path, str]:
    """The deepest directory above a path that exists, and the part that is not in it."""
    missing = path
    while not missing.parent.is_dir() or any(c in missing.parent.name for c in MAGIC):
        missing = missing.parent
    return missing.parent, missing.name


def _directory(entry: _Entry, path: Path) -> Finding:
    suffixes = sorted({child.suffix for child in path.iterdir() if child.suffix in FORMATS})
    stem = entry.declared.path.rstrip("/")
    help_ = tuple(f'name its files: "{stem}/*{suffix}"' for suffix in suffixes)
    return entry.finding(
        "FTC201",
        f"the source `{entry.name}` is a directory: {entry.declared.path}",
        help_ or ("name the files in it, with a glob if there are several",),
    )


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(COMPRESSED)
    return PurePosixPath(name).suffix


def _format(entry: _Entry, paths: tuple[Path, ...]) -> Format | Finding:
    stated = entry.declared.format
    if stated is not None:
        return stated
    suffixes = sorted({_suffix(path) for path in paths})
    formats = {FORMATS.get(suffix) for suffix in suffixes}
    only = formats.pop() if len(formats) == 1 else None
    if only is not None:
        return only
    if len(suffixes) > 1 and None not in formats:
        message = f"the source `{entry.name}` mixes formats: {', '.join(suffixes)}"
        return entry.finding("FTC202", message, ("declare one source for each format",))
    unknown = next(suffix for suffix in suffixes if suffix not in FORMATS)
    told = f"the ending `{unknown}`" if unknown else "a name without an ending"
    return entry.finding(
        "FTC202",
        f"the format of the source `{entry.name}` cannot be told from {told}",
        (f'say it: {entry.name} = {{ path = "{entry.declared.path}", format = "jsonl" }} (or csv, parquet)',),
        ("known endings are " + ", ".join(FORMATS),),
    )


def _misplaced(entry: _Entry, form: Format) -> tuple[Finding, ...]:
    given = [option for option in APPLY if getattr(entry.declared, option) is not None]
    return tuple(
        Finding(
            "FTC107",
            f"`{option}` does not apply to {form} files",
            entry.origins.key("data", "sources", entry.name, option),
            help=("remove it",),
        )
        for option in given
        if form not in APPLY[option]
    )


def _unusable(entry: _Entry, paths: tuple[Path, ...]) -> tuple[Finding, ...]:
    findings = []
    for path in paths:
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            findings.append(
                entry.finding(
                    "FTC201",
                    f"the file {path.name} of the source `{entry.name}` cannot be read: {error.strerror}",
                    ("check its permissions",),
                )
            )
    if not findings and all(path.stat().st_size == 0 for path in paths):
        which = f"the file {paths[0].name}" if len(paths) == 1 else f"every one of the {len(paths)} files"
        findings.append(
            entry.finding(
                "FTC202",
                f"{which} of the source `{entry.name}` is empty",
                ("write its rows again, or name another file",),
            )
        )
    return tuple(findings)


def _options(declared: SourceFiles, form: Format, path: Path) -> dict[str, JsonValue]:
    """How DuckDB reads the files, with nothing left to its guessing but the types of the columns."""
    options: dict[str, JsonValue] = {}
    if form == "csv":
        tabs = _suffix(path) == ".tsv"
        options = {
            "encoding": declared.encoding or "utf-8",
            "delimiter": declared.delimiter or ("\t" if tabs else ","),
            "quote": '"' if declared.quote is None else declared.quote,
            "header": True if declared.header is None else declared.header,
        }
    if declared.columns is not None:
        options["columns"] = dict(declared.columns)
    return options
