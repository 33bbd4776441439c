"""SHA-256 of files, remembered so that an unchanged file is read once."""

from __future__ import annotations

import json
import time
from hashlib import file_digest as digest_of
from hashlib import sha256
from os import stat_result
from pathlib import Path

from ftc.facts.cache import Cache
from ftc.plan.steps import FileDigest

SETTLED = 2.0
"""Seconds after which a file's time of change tells a later change apart (coarse file systems)."""


def _key(path: Path) -> str:
    return sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()


def _state(stat: stat_result) -> list[int]:
    """What is different for a file that was changed; the time of change of its node cannot be set back."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _remembered(cache: Cache, path: Path, stat: stat_result) -> str | None:
    known = cache.recall("digest", _key(path))
    if known is None:
        return None
    value = json.loads(known)
    return str(value["sha256"]) if value["state"] == _state(stat) else None


def file_digest(path: Path, name: str, cache: Cache | None = None) -> FileDigest:
    """Size and SHA-256 of a file under its portable name; streamed. Raises OSError."""
    cache = cache or Cache()
    stat = path.stat()
    found = _remembered(cache, path, stat)
    if found is None:
        with path.open("rb") as file:
            found = digest_of(file, "sha256").hexdigest()
        if time.time() - stat.st_mtime > SETTLED:
            cache.remember(
                "digest", _key(path), json.dumps({"state": _state(stat), "sha256": found}).encode()
            )
    return FileDigest(name=name, bytes=stat.st_size, sha256=found)
