"""The runs that a run builds on: written into it as chain.json, and how its model is loaded from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from ftc.artifact.files import sha256, write_json
from ftc.artifact.run_directory import MANIFEST
from ftc.plan.steps import Digest, ModelStep
from ftc.recipe.base import Frozen

CHAIN = "chain.json"
MODEL = "model"


class ChainedRun(Frozen):
    """A run that another one builds on.

    `place` is its directory relative to that of the run which names it; `manifest_sha256` the digest of its
    MANIFEST.sha256, by which every file of it is known; `model` what it began with itself.
    """

    name: str
    plan: Digest
    place: str
    objective: str
    method: str
    adapter: bool
    model: ModelStep
    manifest_sha256: Digest
    use: Literal["base", "reward"] = "base"
    """What the run that names it began with, or the reward model that scored its answers."""


def bases(chain: Iterable[ChainedRun]) -> tuple[ChainedRun, ...]:
    """The runs of a chain that a model was made of, one after the other."""
    return tuple(one for one in chain if one.use == "base")


def place_of(run: Path, seen_from: Path) -> str:
    """Where a run is, relative to another run's directory."""
    return Path(os.path.relpath(run.absolute(), seen_from.absolute())).as_posix()


def manifest_digest(run: Path) -> str:
    """The digest by which a whole run is known. Raises OSError."""
    return sha256(run / MANIFEST)


def model_files(run: Path) -> dict[str, str]:
    """The files of a run's model with their digests, as its manifest lists them. Raises OSError."""
    lines = (run / MANIFEST).read_text(encoding="utf-8").splitlines()[1:]
    pairs = (line.partition("  ")[::2] for line in lines)
    return {name: digest for digest, name in pairs if name.startswith(f"{MODEL}/")}


def changed_model(run: Path) -> list[str]:
    """The files of a run's model that are missing, or have other bytes than its manifest lists."""
    return [name for name, digest in model_files(run).items() if _digest(run / name) != digest]


def _digest(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


def write_chain(run: Path, chain: Sequence[ChainedRun]) -> None:
    """Write chain.json, the first run that was built first, reward models last. Raises OSError."""
    write_json(run / CHAIN, [one.model_dump(mode="json") for one in chain])


def read_chain(run: Path) -> tuple[ChainedRun, ...]:
    """The runs that a run builds on, the first one first; none where it builds on a model alone.

    Behind them stand the reward models by which it was trained.
    """
    file = run / CHAIN
    if not file.is_file():
        return ()
    return tuple(ChainedRun.model_validate(one, strict=False) for one in json.loads(file.read_bytes()))
