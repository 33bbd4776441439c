"""The run directory: where it is, what is in it, and when it is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.artifact.files import link_or_copy, put_on_disk, sha256, write_bytes, write_json, write_text
from ftc.plan.steps import Part, Plan

MANIFEST = "MANIFEST.sha256"
BUILD = "BUILD.sha256"
SIGNATURE = "model.sig"
OF_THE_BUILD = (MANIFEST, "build.log", "timing.json")
"""What belongs to one build of a plan alone, and the manifest itself: `BUILD` lists them."""
UNLISTED = (*OF_THE_BUILD, BUILD, SIGNATURE)
"""Files the manifest leaves out: itself, those that differ from build to build, and what is made after it."""
DATA = "data"
"""The directory of the rows that train, and of the account of all others."""
UNFINISHED = ("checkpoints", "work")
"""Directories which only a run that is not whole needs; a whole one is rebuilt to the same bytes."""
GONE_ON_FROM = (*UNFINISHED, "metrics.jsonl", "timing.json", "build.log")
"""What a build that was killed leaves to the next one; all else is made again."""


@dataclass(frozen=True)
class RunDirectory:
    """The places of one plan's run under `runs`."""

    runs: Path
    name: str
    digest: str

    @property
    def complete(self) -> Path:
        """Where the run is once it is whole."""
        return self.runs / self.name / self.digest[:16]

    @property
    def partial(self) -> Path:
        """Where the run grows, and waits to be resumed."""
        return self.complete.with_name(f"{self.complete.name}.partial")

    @property
    def lock(self) -> Path:
        """The file that the building process holds locked."""
        return self.complete.with_name(f".{self.complete.name}.lock")


def add_files(directory: Path, beside: Mapping[str, Path | bytes]) -> None:
    """Put what else the runtime reads beside the rows: files of the cache, and small ones by their bytes."""
    target = directory / DATA
    for name, content in beside.items():
        if isinstance(content, Path):
            link_or_copy(content, target / name)
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target / name, content)


def _copy_data(plan: Plan, data: Path, sequences: Path | None, target: Path) -> None:
    target.mkdir(exist_ok=True)
    if sequences is not None and plan.data is not None and plan.data.sequences is not None:
        name = plan.data.sequences.file.name
        link_or_copy(sequences / name, target / name)
    parts: list[Part | None] = [plan.data.train, plan.data.eval] if plan.data else []
    shards = [shard.file.name for part in parts if part for shard in part.shards]
    for name in (*shards, "ledger.json", "dropped.parquet", "changed.parquet"):
        if (data / name).is_file():
            link_or_copy(data / name, target / name)
    if plan.data and not (target / "ledger.json").is_file():
        write_json(target / "ledger.json", plan.data.ledger.model_dump(mode="json"))


def prepare(
    directory: Path,
    plan: Plan,
    *,
    plan_bytes: bytes,
    recipe_text: str,
    data: Path,
    sequences: Path | None = None,
) -> None:
    """Put into a partial run what is known before training. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    write_bytes(directory / "plan.json", plan_bytes)
    write_text(directory / "recipe.toml", recipe_text)
    _copy_data(plan, data, sequences, directory / DATA)


def clear(directory: Path) -> None:
    """Remove from a partial run whatever a killed build left but what is gone on from. Raises OSError."""
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.name not in GONE_ON_FROM:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def listed_files(directory: Path, *, partial: bool = False) -> tuple[Path, ...]:
    """The files that the manifest lists, sorted by name; of a partial run those that will be in the whole."""
    left_out = UNFINISHED if partial else ()
    places = (path for path in directory.iterdir() if path.name not in left_out)
    trees = (place.rglob("*") if place.is_dir() else (place,) for place in places)
    files = (path for tree in trees for path in tree if path.is_file())
    return tuple(sorted(path for path in files if path.relative_to(directory).as_posix() not in UNLISTED))


def _escaped(name: str) -> tuple[str, str]:
    """A name as sha256sum writes it, and the mark before a line whose name had to be escaped."""
    text = name.replace("\\", "\\\\").replace("\n", "\\n")
    return text, "\\" if text != name else ""


def manifest_text(directory: Path, *, partial: bool = False) -> str:
    """Lines as `sha256sum` writes and checks them, after a comment with the sizes in the same order."""
    sizes, lines = ["#", "bytes"], []
    for path in listed_files(directory, partial=partial):
        name, mark = _escaped(path.relative_to(directory).as_posix())
        sizes.append(str(path.stat().st_size))
        lines.append(f"{mark}{sha256(path)}  {name}\n")
    return " ".join(sizes) + "\n" + "".join(lines)


def finish(directory: Path, complete: Path) -> None:
    """Make a partial run whole: list its files, drop what only training needed, rename. Raises OSError.

    Killed in between, it is made whole by the next build, which finds the list (`is_listed`).
    """
    write_text(directory / MANIFEST, manifest_text(directory, partial=True))
    put_in_place(directory, complete)


def build_text(directory: Path) -> str:
    """The lines of `BUILD`, as `sha256sum` writes and checks them."""
    there = (name for name in OF_THE_BUILD if (directory / name).is_file())
    return "".join(f"{sha256(directory / name)}  {name}\n" for name in there)


def is_listed(directory: Path) -> bool:
    """Whether a partial run has its manifest already, and every byte that this lists. Raises OSError."""
    try:
        listed = (directory / MANIFEST).read_bytes()
    except FileNotFoundError:
        return False
    return listed == manifest_text(directory, partial=True).encode()


def put_in_place(directory: Path, complete: Path) -> None:
    """Rename a partial run that has its manifest, once all of it is on the disk. Raises OSError."""
    write_text(directory / BUILD, build_text(directory))
    put_on_disk(directory)
    for name in UNFINISHED:
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)
    directory.rename(complete)
    put_on_disk(complete, deep=False)
    put_on_disk(complete.parent, deep=False)


def changed_since(directory: Path) -> tuple[str, ...]:
    """Names of a whole run's files that are missing or have another size; reads the manifest alone."""
    try:
        sizes, *lines = (directory / MANIFEST).read_text(encoding="utf-8").splitlines()
        expected = tuple(map(_named, zip(lines, sizes.split()[2:], strict=True)))
    except (OSError, ValueError):
        return (MANIFEST,)
    return tuple(name for name, size in expected if _size(directory / name) != size)


def _named(pair: tuple[str, str]) -> tuple[str, int]:
    line, size = pair
    name = line.partition("  ")[2]
    plain = name.replace("\\n", "\n").replace("\\\\", "\\") if line.startswith("\\") else name
    return plain, int(size)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def evaluation(directory: Path) -> dict[str, Any]:
    """What a whole run measured: the metrics before and after, each suite with its intervals, the gates."""
    found: dict[str, Any] = json.loads((directory / "eval.json").read_text(encoding="utf-8"))
    return found
