"""Training sequences over compiled rows, kept in the cache apart from them: to pack anew compiles nothing."""

from __future__ import annotations

from pathlib import Path

from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.plan.steps import Sequences

CODE = (
    "data/columns.py",
    "data/packing/pack.py",
    "data/ragged.py",
    "data/packing/residuals.py",
    "data/packing/sequences.py",
    "data/packing/sizes.py",
    "plan/steps/base.py",
    "plan/steps/rows.py",
)
STEP = "step.json"


def sequences_key(data: str, capacity: int | None) -> str:
    """The key under which the sequences of compiled rows are kept; `data` is the key of the rows."""
    return cache_key("sequences", {"data": data}, {"capacity": capacity}, code=code_digest(*CODE))


def laid_out(data: Path, capacity: int | None, cache: Cache) -> tuple[Sequences, Path]:
    """The sequences of an entry of compiled data, and the directory of their file; raises CacheProblem."""
    key = sequences_key(data.name, capacity)
    with cache.alone("sequences", key):
        directory = cache.entry("sequences", key, deep=True) or _made(data, capacity, cache, key)
    return Sequences.model_validate_json((directory / STEP).read_bytes()), directory


def _made(data: Path, capacity: int | None, cache: Cache, key: str) -> Path:
    from ftc.data.packing.sequences import lay_out
    from ftc.data.packing.sizes import Sizes

    with cache.scratch() as scratch:
        directory = scratch / "sequences"
        directory.mkdir()
        step = lay_out(Sizes.read(data), capacity, directory)
        (directory / STEP).write_text(step.model_dump_json(), encoding="utf-8")
        return cache.adopt("sequences", key, directory)
