"""Limits on a query that would not come to an end: time, and what it writes to the disk."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Answer = TypeVar("Answer")

SECONDS, GIGABYTES = "FTC_QUERY_SECONDS", "FTC_QUERY_GIGABYTES"
"""Environment variables that set other limits: they decide no byte of the result."""

MOST_SECONDS = 6 * 3600.0
"""How long a query may run unless the environment says otherwise."""

OF_FREE = 0.8
"""How much of the disk that is free at its start a query may fill, unless the environment says otherwise."""

DESCRIBE_SECONDS = 60.0
"""How long DuckDB may think about a query without running it."""

LOOK_EVERY = 0.2


class Endless(Exception):  # noqa: N818 - it names a finding
    """A query was stopped at one of its limits, which the message says."""


def bounded(
    con: DuckDBPyConnection,
    work: Callable[[], Answer],
    directory: Path | None = None,
    *,
    seconds: float | None = None,
) -> Answer:
    """Do work on a connection within limits; Ctrl-C stops it too.

    `directory` is where the connection's files are; without one nothing is written. Raises Endless, and what
    the work raises.
    """
    most = seconds if seconds is not None else _stated(SECONDS, MOST_SECONDS)
    disk = _most_bytes(directory) if directory is not None else 0
    over = ""
    with ThreadPoolExecutor(1) as worker:
        answer, started = worker.submit(work), time.monotonic()
        try:
            while not over and not _done(answer):
                over = _over(time.monotonic() - started, most, directory, disk)
            if over:
                con.interrupt()
        except KeyboardInterrupt:
            con.interrupt()
            raise
    if over:
        raise Endless(over)
    return answer.result()


def _over(ran: float, most: float, directory: Path | None, disk: float) -> str:
    """Which limit is passed, as a sentence."""
    if ran > most:
        return f"it ran for more than {_duration(most)}"
    if directory is not None and _size(directory) > disk:
        return f"its rows need more than {disk / 1e9:,.1f} GB of disk"
    return ""


def _done(answer: Future[Answer]) -> bool:
    try:
        answer.exception(LOOK_EVERY)
    except StillRunning:
        return False
    return True


def _stated(variable: str, default: float) -> float:
    """A limit from the environment; what is no number above 0 is no limit of ours."""
    try:
        value = float(os.environ.get(variable, ""))
    except ValueError:
        return default
    return value if value > 0 else default


def _most_bytes(directory: Path) -> float:
    free = shutil.disk_usage(directory).free * OF_FREE
    return _stated(GIGABYTES, free / 1e9) * 1e9


def _size(directory: Path) -> int:
    """Bytes of all files under a directory; one that goes meanwhile counts nothing."""
    total = 0
    for file in directory.rglob("*"):
        with suppress(OSError):
            total += file.lstat().st_blocks * 512
    return total


def _duration(seconds: float) -> str:
    hours, minutes = seconds / 3600, seconds / 60
    if hours >= 1:
        return f"{hours:g} hour{'s' * (hours != 1)}"
    return f"{minutes:g} minutes" if minutes >= 2 else f"{seconds:g} seconds"
