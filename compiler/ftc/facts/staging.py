"""Where entries of the cache are made: directories that are locked by their process and gone after it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from ftc.facts.locks import is_free, take

STAGING = "staging"
GONE = "gone"
MAKING = ".making"
ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which a directory belongs to a process that was killed, where locks do not tell."""


def new_place(root: Path, name: str) -> Path:
    """A path in the staging directory that nobody else uses."""
    return root / STAGING / f"{name}-{token_hex(8)}"


def _lock_of(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.lock")


@contextmanager
def staging_directory(root: Path) -> Iterator[Path]:
    """A directory of this process's own, on the cache's disk, gone after the block. Raises OSError."""
    directory, held = new_place(root, str(os.getpid())), None
    directory.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        held = take(_lock_of(directory), wait=True)
    try:
        directory.mkdir()
        sweep(root)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        _lock_of(directory).unlink(missing_ok=True)
        if held is not None:
            os.close(held)


def sweep(root: Path, *, dry: bool = False) -> list[Path]:
    """Remove what killed processes left behind, unless `dry`; returns those directories. Raises OSError."""
    staging = root / STAGING
    left = sorted(staging.iterdir()) if staging.is_dir() else []
    directories = [path for path in left if path.is_dir() and _is_abandoned(path)]
    if dry:
        return directories
    for path in directories:
        shutil.rmtree(path, ignore_errors=True)
    for path in left:
        if not path.is_dir() and not path.with_suffix("").is_dir():
            _remove_unlocked(path)
    return directories


def _is_abandoned(directory: Path) -> bool:
    if directory.name.startswith(f"{GONE}-"):
        return True
    free = is_free(_lock_of(directory))
    if free is not None:
        return free
    try:
        return time.time() - directory.stat().st_mtime > ABANDONED_AFTER
    except FileNotFoundError:
        return False


def _remove_unlocked(path: Path) -> None:
    """Remove a lock file unless a process holds it."""
    with suppress(OSError):
        held = take(path, create=False)
        path.unlink(missing_ok=True)
        os.close(held)


@contextmanager
def alone(root: Path, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Be the only process that makes `name`; `waiting` is called before waiting for another.

    Where that process is killed, the next one goes on. Where there are no locks, nobody waits.
    Raises OSError.
    """
    path = root / STAGING / f"{name}{MAKING}"
    path.parent.mkdir(parents=True, exist_ok=True)
    held = _turn(path, waiting)
    try:
        yield
    finally:
        if held is not None:
            path.unlink(missing_ok=True)
            os.close(held)


def _turn(path: Path, waiting: Callable[[], None] | None) -> int | None:
    with suppress(OSError):
        try:
            return take(path)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            return take(path, wait=True)
    return None
