"""Which files of a data set on the hub a source reads: by its card, or by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftc.facts.sources.base import SourceError
from ftc.recipe.rows import SourceFiles
from ftc.recipe.source_kinds import KINDS, kind_of
from ftc.recipe.suggest import did_you_mean, listed

READ = ("parquet", "jsonl", "json", "csv", "arrow", "text")
"""The kinds of files that are read, the first that a data set has unless the recipe says another."""

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Words in the names of files that tell their split
(https://huggingface.co/docs/hub/datasets-file-names-and-splits)."""

SHARD = re.compile(r"(?:^|/)(?P<split>\w+)-\d{4,}-of-\d{4,}\b")
DEFAULT = "default"


@dataclass(frozen=True)
class Listing:
    """The files of a data set, and the subsets that its card declares."""

    files: tuple[str, ...]
    subsets: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Choice:
    """The files that are read in order, the subset and split they are, and what was left open."""

    names: tuple[str, ...]
    options: dict[str, str]
    reasons: dict[str, str]


def choose(source: str, declared: SourceFiles, listing: Listing) -> Choice:
    """The files of the subset and split that a source's table names. Raises SourceError."""
    options: dict[str, str] = {}
    reasons: dict[str, str] = {}
    splits = _splits(source, declared, listing, options, reasons)
    split = _one(source, "split", declared.split, splits, options, reasons)
    names = _of_one_kind(source, declared, splits[split])
    return Choice(tuple(sorted(names)), options, reasons)


def _one(
    source: str,
    key: str,
    wanted: str | None,
    there: Iterable[str],
    options: dict[str, str],
    reasons: dict[str, str],
) -> str:
    """The subset or split that is wanted, or the only one. Raises SourceError."""
    names = list(there)
    if wanted is not None and wanted not in names:
        message = f"the data set of the source `{source}` has no {key} `{wanted}`"
        notes = (f"it has {listed(names, most=12)}",)
        raise SourceError(message, did_you_mean(wanted, names), notes=notes, code="FTC201", key=key)
    if wanted is None and len(names) > 1:
        message = f"the data set of the source `{source}` has several {key}s: {listed(names, most=12)}"
        raise SourceError(message, (f'say which: {key} = "{names[0]}"',), code="FTC106")
    if wanted is None:
        reasons[key] = "the data set has no other"
    options[key] = wanted or names[0]
    return options[key]


def _splits(
    source: str, declared: SourceFiles, listing: Listing, options: dict[str, str], reasons: dict[str, str]
) -> dict[str, list[str]]:
    """The files by their splits, in the subset that is wanted. Raises SourceError."""
    if not listing.subsets:
        return _by_names(source, declared, listing, options)
    subsets = {str(subset.get("config_name", DEFAULT)): subset for subset in listing.subsets}
    marked = [name for name, subset in subsets.items() if subset.get("default") or name == DEFAULT]
    wanted = declared.subset
    if wanted is None and len(subsets) > 1 and marked:
        options["subset"], reasons["subset"] = marked[0], "the data set's card has it as the default"
    else:
        _one(source, "subset", wanted, subsets, options, reasons)
    return _declared(subsets[options["subset"]], listing.files)


def _declared(subset: Mapping[str, Any], files: Sequence[str]) -> dict[str, list[str]]:
    """The files of a subset as the card declares them: one pattern, several, or several for each split."""
    directory = str(subset.get("data_dir") or "").strip("./")
    stated = subset.get("data_files")
    if stated is None:
        inside = [name for name in files if name.startswith(f"{directory}/")] if directory else list(files)
        return _told(inside)
    parts = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(part, Mapping) for part in parts):
        parts = [{"split": "train", "path": parts}]
    splits: dict[str, list[str]] = {}
    for part in parts:
        paths = part["path"] if isinstance(part["path"], list) else [part["path"]]
        patterns = [f"{directory}/{path}" if directory else str(path) for path in paths]
        chosen = [name for name in files if any(_matches(name, pattern) for pattern in patterns)]
        splits.setdefault(str(part.get("split", "train")), []).extend(chosen)
    return splits


def _matches(name: str, pattern: str) -> bool:
    """Whether a file's name fits a glob in which `*` stays in its directory and `**` does not."""
    parts = re.split(r"(\*\*/?|\*|\?)", pattern)
    signs = {"*": "[^/]*", "?": "[^/]", "**": ".*", "**/": "(?:.*/)?"}
    return bool(re.fullmatch("".join(signs.get(part) or re.escape(part) for part in parts), name))


def _by_names(
    source: str, declared: SourceFiles, listing: Listing, options: dict[str, str]
) -> dict[str, list[str]]:
    """The files by their splits where the card says nothing; a subset is a directory. Raises SourceError."""
    data = [name for name in listing.files if kind_of(name) in READ and not _is_about(name)]
    if not data:
        raise _no_data(source, listing)
    if declared.subset is None:
        return _told(data)
    inside = [name for name in data if f"/{declared.subset}/" in f"/{name}"]
    if not inside:
        directories = sorted({name.partition("/")[0] for name in data if "/" in name})
        message = f"the data set of the source `{source}` has no subset `{declared.subset}`"
        notes = (f"its directories are {listed(directories, most=12)}",) if directories else ()
        help_ = did_you_mean(declared.subset, directories)
        raise SourceError(message, help_, notes=notes, code="FTC201", key="subset")
    options["subset"] = declared.subset
    return _told(inside)


def _is_about(name: str) -> bool:
    """Whether a file tells of the data set and holds none of its rows."""
    base = name.rpartition("/")[2].casefold()
    return base.startswith((".", "readme", "license", "dataset_info")) or base.endswith("_infos.json")


def _no_data(source: str, listing: Listing) -> SourceError:
    scripts = [name for name in listing.files if name.endswith(".py")]
    if scripts:
        return SourceError(
            f"the data set of the source `{source}` is made by a program ({scripts[0]}), which is not run",
            ('the hub may have its rows as Parquet: revision = "refs/convert/parquet"',),
            code="FTC201",
        )
    return SourceError(f"the data set of the source `{source}` has no file of rows", code="FTC201")


def _told(files: Sequence[str]) -> dict[str, list[str]]:
    """Files by the split that their names tell; all of them are for training where none tells one."""
    splits: dict[str, list[str]] = {}
    for name in files:
        if kind_of(name) in READ and not _is_about(name):
            splits.setdefault(_split_of(name) or "", []).append(name)
    untold = splits.pop("", [])
    if not splits:
        return {"train": untold}
    known = [split for split in SPLITS if split in splits]
    return {split: splits[split] for split in dict.fromkeys([*known, *splits])}


def _split_of(name: str) -> str | None:
    shard = SHARD.search(name)
    if shard and name.startswith("data/"):
        return shard["split"]
    words = re.split(r"[^a-z0-9]+", name.casefold())
    for split, keywords in SPLITS.items():
        if any(word in keywords for word in words):
            return split
    return None


def _of_one_kind(source: str, declared: SourceFiles, files: Sequence[str]) -> list[str]:
    """The files of the kind that is stated, or of the first kind that there is. Raises SourceError."""
    kinds = {kind: [name for name in files if kind_of(name) == kind] for kind in READ}
    if declared.format is not None:
        chosen = kinds.get(declared.format, [])
        if not chosen:
            message = f"the data set of the source `{source}` has no {KINDS[declared.format].title} there"
            raise SourceError(message, code="FTC201", key="format")
        return chosen
    found = next((names for names in kinds.values() if names), None)
    if found is None:
        raise SourceError(f"the data set of the source `{source}` has no file of rows there", code="FTC201")
    return found
