"""What is in the cache, what of it may go, and whether it is still as it was made."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ftc.facts import staging
from ftc.facts.cache import Cache, Damaged, users
from ftc.facts.file_list import LEASE, LIST, damage, unsealed
from ftc.facts.locks import is_at, take

KIND = re.compile(r"[a-z][a-z0-9_-]*")
KEY = re.compile(r"[0-9a-f]{64}")
UNTOLD = 24 * 3600.0
"""Seconds since its last use in which an entry stays where the file system has no locks."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the cache: a directory, or a small value in one file.

    `bytes` is the size of its files, `made` and `used` are in seconds since 1970, `users` the recipes
    that used it, the last one first.
    """

    kind: str
    key: str
    path: Path
    bytes: int
    made: float
    used: float
    users: tuple[str, ...] = ()


def entries(root: Path) -> Iterator[Entry]:
    """Every entry under the root of a cache, and nothing else that may lie there; ordered by kind and key."""
    for kind in sorted(root.iterdir()) if root.is_dir() else ():
        if KIND.fullmatch(kind.name) and kind.name != staging.STAGING and kind.is_dir():
            yield from _entries(kind)


def _entries(kind: Path) -> Iterator[Entry]:
    for path in sorted(kind.glob("[0-9a-f][0-9a-f]/*")):
        key = path.name.removesuffix(".json")
        if KEY.fullmatch(key) and key[:2] == path.parent.name:
            with suppress(FileNotFoundError):  # another process has just removed it
                yield _entry(kind.name, key, path)


def _entry(kind: str, key: str, path: Path) -> Entry:
    if not path.is_dir():
        stat = path.stat()
        return Entry(kind, key, path, stat.st_size, stat.st_ctime, stat.st_mtime)
    lease, listed = path / LEASE, path / LIST
    used = (lease if lease.is_file() else path).stat().st_mtime
    made = (listed if listed.is_file() else path).stat().st_mtime
    noted = users(lease.read_bytes()) if lease.is_file() else ()
    sizes = (file.stat().st_size for file in path.rglob("*") if not file.is_dir())
    return Entry(kind, key, path, sum(sizes), made, max(used, made), noted)


def outdated(
    found: Sequence[Entry], *, older: float | None = None, keep: int | None = None, now: float
) -> list[Entry]:
    """The entries to remove, those first that were not used for the longest time.

    Those not used for `older` seconds, and then as many as it takes until at most `keep` bytes are left.
    """
    ordered = sorted(found, key=lambda entry: (entry.used, entry.kind, entry.key))
    left = sum(entry.bytes for entry in ordered)
    chosen = []
    for entry in ordered:
        if (older is not None and now - entry.used > older) or (keep is not None and left > keep):
            chosen.append(entry)
            left -= entry.bytes
    return chosen


@dataclass(frozen=True)
class Collected:
    """What was removed (or would be), what stays because a process uses it, and left-over directories."""

    removed: tuple[Entry, ...]
    in_use: tuple[Entry, ...]
    left_over: tuple[Path, ...]


def collect(
    cache: Cache, *, older: float | None = None, keep: int | None = None, dry: bool = False
) -> Collected:
    """Remove what `outdated` names and what killed processes left, but nothing that a process uses.

    Raises CacheProblem and OSError.
    """
    left_over = tuple(staging.sweep(cache.root, dry=dry))
    chosen = outdated(tuple(entries(cache.root)), older=older, keep=keep, now=time.time())
    gone = {entry.path for entry in chosen if _removed(cache, entry, dry=dry)}
    return Collected(
        removed=tuple(entry for entry in chosen if entry.path in gone),
        in_use=tuple(entry for entry in chosen if entry.path not in gone),
        left_over=left_over,
    )


def _removed(cache: Cache, entry: Entry, *, dry: bool) -> bool:
    """Remove an entry unless a process uses it, or has used it since it was looked at."""
    if not entry.path.is_dir():
        if not dry:
            entry.path.unlink(missing_ok=True)
        return True
    lease = entry.path / LEASE
    try:
        held = take(lease, create=False)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return dry or cache.remove(entry.path, only_if=lambda: not lease.exists())
    except OSError:
        return _untold(cache, entry, dry=dry)
    try:
        return os.fstat(held).st_mtime <= entry.used and (
            dry or cache.remove(entry.path, only_if=lambda: is_at(held, lease))
        )
    finally:
        os.close(held)


def _untold(cache: Cache, entry: Entry, *, dry: bool) -> bool:
    """Remove an entry of which nobody can tell whether it is used, if it has not been for a while."""
    unused = time.time() - entry.used > UNTOLD
    return unused and (dry or cache.remove(entry.path, only_if=lambda: True))


def verify(
    cache: Cache, *, dry: bool = False, looked_at: Callable[[Entry], None] | None = None
) -> tuple[Damaged, ...]:
    """Read every file of every entry and remove those that are not as they were made, unless `dry`.

    Raises CacheProblem and OSError.
    """
    found = []
    for entry in entries(cache.root):
        reason = _damage(entry)
        if reason is not None and entry.path.exists():
            found.append(Damaged(entry.kind, entry.key, reason))
            if not dry:
                _remove_damaged(cache, entry)
        if looked_at is not None:
            looked_at(entry)
    return tuple(found)


def _damage(entry: Entry) -> str | None:
    if entry.path.is_dir():
        return damage(entry.path, deep=True)
    try:
        return None if unsealed(entry.path.read_bytes()) is not None else "the value has other bytes"
    except FileNotFoundError:
        return None


def _remove_damaged(cache: Cache, entry: Entry) -> None:
    if entry.path.is_dir():
        cache.remove(entry.path, only_if=lambda: damage(entry.path, deep=True) is not None)
    else:
        entry.path.unlink(missing_ok=True)


def by_kind(found: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Entries by their kind, the last used first."""
    kinds: dict[str, list[Entry]] = {}
    for entry in sorted(found, key=lambda entry: -entry.used):
        kinds.setdefault(entry.kind, []).append(entry)
    return dict(sorted(kinds.items()))
