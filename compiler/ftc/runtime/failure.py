"""Why an execution cannot go on, told as a code of the catalogue and not as a traceback."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from ftc.artifact.lock import BusyError
from ftc.runtime.events import Failed

NO_SPACE = ("No space left on device", "os error 28", "Disk quota exceeded")
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
FULL = {errno.ENOSPC, errno.EDQUOT}


class BuildError(Exception):
    """A failure that was foreseen: what is wrong, and what to do."""

    def __init__(self, code: str, message: str, *help_lines: str) -> None:
        super().__init__(message)
        self.event = Failed(code, message, help_lines)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(phrase in str(error) for phrase in NO_SPACE)


def _is_memory(error: BaseException) -> bool:
    names = {made.__name__ for made in type(error).__mro__}
    return (
        isinstance(error, MemoryError) or "OutOfMemoryError" in names or "can't allocate memory" in str(error)
    )


def disk_full(where: str) -> Failed:
    """The failure of a write for want of space."""
    return Failed(
        "FTC702",
        f"no space is left on the disk of {where}",
        ("free some space, then run the same command again: it goes on from the last checkpoint",),
    )


def not_writable(where: str) -> Failed:
    """The failure of a write for want of permission."""
    return Failed(
        "FTC701",
        f"{where} cannot be written",
        ("make it writable, or name another directory with --runs",),
    )


def still_running(pid: str) -> Failed:
    """The failure of a second execution in one run directory."""
    message = f"process {pid} is still working in this run directory"
    return Failed("FTC707", message, ("wait for it to end, then run the same command again",))


def out_of_memory() -> Failed:
    """The failure of an allocation."""
    return Failed(
        "FTC703",
        "the machine ran out of memory",
        (
            "set train.micro_batch lower (train.batch may stay: gradients accumulate)",
            "or set train.gradient_checkpointing = true, a lower data.max_length, or a lower eval.batch",
        ),
    )


def explain(error: BaseException) -> Failed:
    """The failure that an exception stands for."""
    for link in _chain(error):
        if isinstance(link, BuildError):
            return link.event
        if isinstance(link, BusyError):
            return still_running(link.pid)
        if _is_full(link):
            return disk_full("the run directory")
        if isinstance(link, OSError) and link.errno in NOT_WRITABLE:
            return not_writable(str(link.filename or "the run directory"))
        if _is_memory(link):
            return out_of_memory()
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
    return Failed("FTC703", said, ("the whole traceback is in build.log, in the run directory",))
