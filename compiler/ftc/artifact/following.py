"""Follow a build from another process, by what its unfinished run says and by whether it becomes whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from ftc.artifact.events import EVENTS
from ftc.artifact.run_list import PARTIAL, builder
from ftc.facts.locks import is_at
from ftc.runtime.events import Event, Failed, Stopped, decode

TICK = 0.25
"""Seconds between two looks."""
PATIENCE = 4
"""Looks without a building process after which a build has ended: it may be between two of its files."""


@dataclass(frozen=True)
class Ended:
    """How a build that was followed ended; `run` is the whole run, `failure` why there is none."""

    status: Literal["done", "stopped", "failed", "gone"]
    run: Path | None = None
    failure: Failed | None = None


@dataclass
class _Reader:
    """Reads the lines that have come to a file since, and from its beginning where it is another one."""

    path: Path
    _file: BinaryIO | None = field(default=None, repr=False)
    _rest: bytes = b""

    def lines(self) -> Iterator[bytes]:
        if self._file is None or not self._is_same():
            yield from self._taken()
            self.close()
            self._open()
        yield from self._taken()

    def _is_same(self) -> bool:
        gone = not self.path.exists()  # the run is whole: what is left of its file can be read all the same
        return self._file is not None and (gone or is_at(self._file.fileno(), self.path))

    def _open(self) -> None:
        try:
            self._file, self._rest = self.path.open("rb"), b""
        except OSError:
            self._file = None

    def _taken(self) -> Iterator[bytes]:
        if self._file is None:
            return
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        yield from whole

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def follow(partial: Path, tick: float = TICK) -> Iterator[Event | Ended]:
    """What the build of an unfinished run says, from its start on and until it ends; then how it ended."""
    reader = _Reader(partial / EVENTS)
    complete = partial.with_name(partial.name.removesuffix(PARTIAL))
    last: Event | None = None
    missed = 0
    try:
        while True:
            whole, alive = complete.is_dir(), builder(partial) is not None
            for line in reader.lines():
                last = _event(line) or last
                yield from (event for event in (_event(line),) if event is not None)
            missed = 0 if alive else missed + 1
            if whole or missed > PATIENCE:
                yield _ended(complete, last)
                return
            time.sleep(tick)
    finally:
        reader.close()


def _event(line: bytes) -> Event | None:
    try:
        return decode(line.decode())
    except ValueError:
        return None  # of another release of ftc


def _ended(complete: Path, last: Event | None) -> Ended:
    if complete.is_dir():
        return Ended("done", complete)
    if isinstance(last, Failed):
        return Ended("failed", failure=last)
    return Ended("stopped" if isinstance(last, Stopped) else "gone")
