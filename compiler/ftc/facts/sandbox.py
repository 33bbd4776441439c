"""DuckDB connections: open while ftc itself reads files, locked before a recipe's SQL runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Answer = TypeVar("Answer")

MEMORY = "600MB"
"""What DuckDB may hold in memory before it spills; fixed, so that results depend on no machine."""

MOST_THREADS = 4
"""More threads read faster, but each needs buffers."""

TICK = 0.2
"""Seconds between two looks at work that goes on."""


def threads_for_reading() -> int:
    """How many threads may work where the result cannot depend on their number."""
    return min(os.cpu_count() or 1, MOST_THREADS)


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def connect(database: Path | None = None, *, threads: int | None = None) -> DuckDBPyConnection:
    """A connection for ftc's own SQL, with pinned settings; spills beside its database.

    Raises duckdb.Error.
    """
    import duckdb

    con = duckdb.connect(":memory:" if database is None else str(database))
    settings = [
        "set errors_as_json=true",
        "set TimeZone='UTC'",
        f"set memory_limit={quoted(MEMORY)}",
        "set preserve_insertion_order=true",
        "set autoinstall_known_extensions=false",
        "set autoload_known_extensions=false",
        "set allow_community_extensions=false",
        "set python_enable_replacements=false",
        "set enable_progress_bar=false",
        # It makes files of text 2.5 times smaller, and writing them three times slower.
        "set disabled_compression_methods='dict_fsst'",
    ]
    if threads is not None:
        settings.append(f"set threads={threads}")
    if database is not None:
        settings.append(f"set temp_directory={quoted(str(database.with_suffix('.spill')))}")
    for setting in settings:
        con.execute(setting)
    return con


def lock(con: DuckDBPyConnection) -> None:
    """From here on the connection reads no file, reaches no network and changes no setting."""
    con.execute("set enable_external_access=false")
    con.execute("set lock_configuration=true")


def interruptible(
    con: DuckDBPyConnection, work: Callable[[], Answer], tick: Callable[[], None] | None = None
) -> Answer:
    """Do work on a connection so that Ctrl-C stops it: DuckDB by itself would go on to the end.

    `tick` is called now and then meanwhile.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    with ThreadPoolExecutor(1) as worker:
        answer = worker.submit(work)
        try:
            while tick is not None and wait([answer], TICK).not_done:
                tick()
            return answer.result()
        except KeyboardInterrupt:
            con.interrupt()
            raise


def is_full_disk(error: Exception) -> bool:
    """Whether DuckDB ran out of disk space."""
    return "No space left" in str(error)


def disk_full() -> OSError:
    """The operating system's error behind DuckDB's message that the disk is full."""
    import errno

    return OSError(errno.ENOSPC, "No space left on device")
