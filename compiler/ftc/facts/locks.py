"""Locks on files: the system frees them when their process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that is at a path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def take(path: Path, *, shared: bool = False, wait: bool = False, create: bool = True) -> int:
    """An open, locked descriptor of the file that is at `path` now, for the caller to close.

    Any number of processes hold a shared lock together, one alone an exclusive one. Raises
    BlockingIOError where others hold it and `wait` is false, FileNotFoundError where there is no file and
    `create` is false, and OSError where the file system has no locks.
    """
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, how)
        except BaseException:
            os.close(descriptor)
            raise
        if is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def is_free(path: Path) -> bool | None:
    """Whether no process holds the lock of a file; None where that cannot be told."""
    try:
        os.close(take(path, create=False))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
