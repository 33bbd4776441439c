"""A lock file which dies with its process: nobody else may hold it meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ftc.facts.locks import is_free, take

POLLED = 0.1
"""Seconds between two looks at a lock that is held."""


class BusyError(Exception):
    """Another process holds the lock; `pid` is its id where it could be read."""

    def __init__(self, pid: str) -> None:
        super().__init__(f"held by process {pid}")
        self.pid = pid


def _acquire(path: Path) -> int:
    """An open, locked descriptor of the file that is at `path` now."""
    try:
        return take(path)
    except BlockingIOError as error:
        raise BusyError(_holder(path)) from error


def _holder(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip() or "unknown"
    except OSError:
        return "unknown"


def wait_until_free(path: Path, seconds: float, waiting: Callable[[str], None]) -> None:
    """Wait until no process holds the lock at `path`; `waiting` is told once whose it is, if it is held.

    Raises BusyError where it is still held after so many seconds.
    """
    until, told = time.monotonic() + seconds, False
    while is_free(path) is False:
        if time.monotonic() > until:
            raise BusyError(_holder(path))
        if not told:
            waiting(_holder(path))
        told = True
        time.sleep(POLLED)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock at `path` while the block runs; the file names this process.

    The system frees the lock when the process ends, however it ends, so a file left behind by a dead
    process is simply taken over. Raises BusyError if a living process holds it, OSError if it cannot
    be written.
    """
    descriptor = _acquire(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
