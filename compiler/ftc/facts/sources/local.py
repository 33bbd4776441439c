"""Files of this machine: a path, a glob, a directory, or a file of an installed package."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ftc.facts.cache import Cache
from ftc.facts.packaged import SCHEME, is_packaged, package_directory, package_name
from ftc.facts.sources.base import SourceError
from ftc.facts.sources.place import Entry, Found, Reach
from ftc.recipe.project import allowed, is_inside
from ftc.recipe.source_kinds import ENDINGS, KINDS, ending, kind_of
from ftc.recipe.suggest import closest, listed

MAGIC = "*?["


def find(entry: Entry, cache: Cache, reach: Reach) -> Found:
    """The files that a path names, in the order of their names. Raises SourceError and OSError."""
    del cache, reach
    location = entry.path
    base = _base(entry)
    pattern = _pattern(location)
    if (base / pattern).is_dir():
        return _directory(entry, base, pattern)
    names = _matches(base, pattern)
    if not names:
        raise _nothing(entry, base)
    return _found(entry, base, names)


def _found(entry: Entry, base: Path, names: Sequence[str], kind: str | None = None) -> Found:
    location = entry.path
    prefix = f"{SCHEME}{package_name(location)}/" if is_packaged(location) else ""
    journals = _journals(entry, base, names)
    kind = "sqlite" if journals else kind
    names = [*names, *journals]
    paths = tuple(base / name for name in names)
    for path in paths:
        _refuse_unreadable(entry, path)
    if not is_packaged(location):
        _refuse_links_out(entry, paths)
    return Found(location, tuple(prefix + _portable(name) for name in names), paths, kind)


def _journals(entry: Entry, base: Path, names: Sequence[str]) -> list[str]:
    """The files that hold what was written last to those of the files which are databases."""
    databases = [name for name in names if (entry.declared.format or kind_of(name)) == "sqlite"]
    if not databases:
        return []
    from ftc.facts.sources.sqlite import journal

    return [name + journal(base / name) for name in databases if journal(base / name)]


def _refuse_links_out(entry: Entry, paths: Sequence[Path]) -> None:
    """Raises SourceError for a file that is a link to what the recipe may not read."""
    linked = [path for path in paths if path.is_symlink() or path.parent.is_symlink()]
    places = allowed(entry.origins) if linked else ()
    for path in linked:
        if not is_inside(path, places):
            real = path.resolve()
            where = f"is a link out of the project, to {real}"
            message = f"the file {path.name} of the source `{entry.name}` {where}"
            helps = (f'declare it: allow = ["{real.parent}"] in [project]', f"or --allow {real.parent}")
            raise SourceError(message, helps, code="FTC227")


def _refuse_unreadable(entry: Entry, path: Path) -> None:
    """Raises SourceError for a file that cannot be opened, or not be named in a plan."""
    try:
        str(path).encode()
        with path.open("rb"):
            pass
    except UnicodeEncodeError:
        shown = path.name.encode("utf-8", "backslashreplace").decode()
        message = f"the name of the file {shown} of the source `{entry.name}` is not UTF-8"
        raise SourceError(message, ("rename it",), code="FTC201") from None
    except OSError as error:
        message = f"the file {path.name} of the source `{entry.name}` cannot be read: {error.strerror}"
        raise SourceError(message, ("check its permissions",), code="FTC201") from None


def _base(entry: Entry) -> Path:
    if not is_packaged(entry.path):
        return entry.directory
    directory = package_directory(entry.path)
    if directory is not None:
        return directory
    name = package_name(entry.path)
    raise SourceError(
        f"the source `{entry.name}` is in the package `{name}`, which is not installed",
        (f"install it: pip install {name.replace('_', '-')}",),
        code="FTC201",
    )


def _pattern(location: str) -> str:
    if is_packaged(location):
        return location.removeprefix(SCHEME).partition("/")[2]
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


def _directory(entry: Entry, base: Path, pattern: str) -> Found:
    """A saved data set, or a tree of texts where the recipe says so. Raises SourceError."""
    from ftc.facts.sources import dataset

    directory, stated = base / pattern, entry.declared.format
    if stated == "dataset" or (stated is None and dataset.is_saved(directory)):
        names = dataset.file_names(entry.name, directory, entry.declared.split)
        return _found(entry, base, [f"{pattern.rstrip('/')}/{name}" for name in names], "dataset")
    if stated == "text":
        names = [name for name in _below(directory) if kind_of(name) == "text"]
        if names:
            return _found(entry, base, [f"{pattern.rstrip('/')}/{name}" for name in names], "text")
        known = listed(KINDS["text"].endings)
        raise SourceError(
            f"no file in {entry.path} has the ending of a text ({known})",
            (f'name the files with a glob: "{entry.path.rstrip("/")}/**/*"',),
            code="FTC201",
        )
    raise _is_directory(entry, directory)


def _below(directory: Path) -> list[str]:
    """The files of a tree without hidden ones, in the order of their names."""
    found = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    seen = [path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)]
    return sorted(seen)


def _is_directory(entry: Entry, path: Path) -> SourceError:
    held = [child.name for child in path.iterdir() if child.is_file()]
    suffixes = sorted({ending(name) for name in held if kind_of(name)})
    stem = entry.path.rstrip("/")
    help_ = [f'name its files: "{stem}/*{suffix}"' for suffix in suffixes]
    if any(ENDINGS[suffix] == "text" for suffix in suffixes) or not suffixes:
        help_.append(f'for its texts write {entry.name} = {{ path = "{entry.path}", format = "text" }}')
    return SourceError(f"the source `{entry.name}` is a directory: {entry.path}", tuple(help_), code="FTC201")


def _nothing(entry: Entry, base: Path) -> SourceError:
    pattern = _pattern(entry.path)
    holder, name = _nearest_directory(base / pattern)
    held = sorted(child.name for child in holder.iterdir() if not child.name.startswith((".", "_")))
    near = closest(name, held)
    what = "matches no file" if any(c in pattern for c in MAGIC) else "does not exist"
    help_ = tuple(f'did you mean "{_replaced(entry.path, name, other)}"?' for other in near)
    notes = () if near else (_holds(entry, holder, base, held),)
    message = f"the source `{entry.name}` {what}: {entry.path}"
    return SourceError(message, help_, notes=notes, code="FTC201")


def _replaced(location: str, part: str, other: str) -> str:
    """A location with one of its parts replaced: the last of that name."""
    before, _, after = location.rpartition(part)
    return before + other + after


def _holds(entry: Entry, holder: Path, base: Path, names: list[str]) -> str:
    """What lies where the files were looked for: data if there is any, else directories."""
    shown = _shown(entry, holder, base)
    data = [name for name in names if kind_of(name)]
    directories = [name + "/" for name in names if (holder / name).is_dir()]
    if not (data or directories):
        return f"{shown} holds no data file"
    return f"{shown} holds {listed(data or directories, most=8)}"


def _shown(entry: Entry, directory: Path, base: Path) -> str:
    try:
        inside = directory.relative_to(base).as_posix()
    except ValueError:
        return f"`{directory.as_posix()}/`"
    if is_packaged(entry.path):
        place = f"{SCHEME}{package_name(entry.path)}/"
        return f"`{place}`" if inside == "." else f"`{place}{inside}/`"
    return "the recipe's directory" if inside == "." else f"`{inside}/`"


def _nearest_directory(path: Path) -> tuple[Path, str]:
    """The deepest directory above a path that exists, and the part that is not in it."""
    missing = path
    while not missing.parent.is_dir() or any(c in missing.parent.name for c in MAGIC):
        missing = missing.parent
    return missing.parent, missing.name
