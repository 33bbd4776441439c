"""The runs that a run builds on: written into it as chain.json, and how its model is loaded from them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ftc.artifact.files import sha256, write_json
from ftc.artifact.run_directory import MANIFEST
from ftc.plan.steps import Digest, ModelStep
from ftc.recipe.base import Frozen

CHAIN = "chain.json"


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


def place_of(run: Path, seen_from: Path) -> str:
    """Where a run is, relative to another run's directory."""
    return Path(os.path.relpath(run.absolute(), seen_from.absolute())).as_posix()


def manifest_digest(run: Path) -> str:
    """The digest by which a whole run is known. Raises OSError."""
    return sha256(run / MANIFEST)


def write_chain(run: Path, chain: Sequence[ChainedRun]) -> None:
    """Write chain.json, the first run that was built first. Raises OSError."""
    write_json(run / CHAIN, [one.model_dump(mode="json") for one in chain])


def read_chain(run: Path) -> tuple[ChainedRun, ...]:
    """The runs that a run builds on, the first one first; none where it builds on a model alone."""
    file = run / CHAIN
    if not file.is_file():
        return ()
    return tuple(ChainedRun.model_validate(one, strict=False) for one in json.loads(file.read_bytes()))
