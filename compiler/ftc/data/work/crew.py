"""Processes that compile rows: one that is started, and others that are forked from it once it has loaded.

What they load (a tokenizer, transformers for the audit, libraries) takes seconds, and is loaded once. A
process is forked only on Linux, and only while it has no other thread; otherwise each loads for itself.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from ftc.data.work import messages

if TYPE_CHECKING:
    from ftc.data.work.row_work import RowSpec

FORKS = sys.platform == "linux"

# One process for each core, so that none of them needs threads of its own; with one it could not be forked.
SINGLE = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SINGLE |= {"TOKENIZERS_PARALLELISM": "false", "JE_ARROW_MALLOC_CONF": "background_thread:false"}

START = "import sys; sys.path[:] = {path!r}; from ftc.data.work.worker import main; main(*{given!r})"

END = struct.Struct("<ii")
"""How a forked process ended: its number, and its exit code (below 0: the signal)."""


class WorkerKilled(Exception):  # noqa: N818 - it names a finding
    """A worker process was ended from outside, such as by the system when memory ran out."""


class WorkerError(RuntimeError):
    """A worker process ended by a mistake of ftc's; the text is its traceback."""


class Preparation(NamedTuple):
    """What can be loaded before it is known which rows there are."""

    tokenizer_file: Path
    backend: str
    chat: bool


def _started(sockets: list[int], ends: int, logs: list[Path]) -> subprocess.Popen[bytes]:
    given = (sockets, ends, [str(log) for log in logs])
    with logs[0].open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", START.format(path=sys.path, given=given)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | SINGLE,
            pass_fds=(*sockets, ends),
            process_group=0,
        )


class Crew:
    """A process that is started, and those forked from it; each says in one of `logs` what goes wrong."""

    def __init__(self, preparation: Preparation, logs: list[Path]) -> None:
        self._logs, self._lock = logs, Lock()
        self._pids: list[int] = []
        self._ended: dict[int, int] = {}
        ours, theirs = zip(*(socket.socketpair() for _ in logs), strict=True)
        self._ends, ends = os.pipe()
        self._process = _started([one.fileno() for one in theirs], ends, logs)
        os.close(ends)
        self._streams = [one.makefile("rwb") for one in ours]
        for one in (*ours, *theirs):
            one.close()  # the streams keep ours open
        with suppress(ConnectionError):  # it has ended already, which who asks it will be told
            messages.write(self._streams[0], preparation)

    def pids(self, spec: RowSpec) -> list[int]:
        """The processes, once they have loaded; fewer than logs where none could be forked.

        Raises WorkerKilled and WorkerError.
        """
        with self._lock:
            if not self._pids:
                try:
                    messages.write(self._streams[0], spec)
                    self._pids = [self._process.pid, *messages.read(self._streams[0])]
                except (ConnectionError, EOFError) as error:
                    raise self._end(0) from error
            return self._pids

    def ask(self, number: int, question: object) -> object:
        """What one of the processes answers; raises WorkerKilled and WorkerError."""
        stream = self._streams[number]
        try:
            messages.write(stream, question)
            return messages.read(stream)
        except (ConnectionError, EOFError) as error:
            with self._lock:
                raise self._end(number) from error

    def _end(self, number: int) -> Exception:
        """How a process ended."""
        code = self._code(number) if number else self._first_code()
        said = self._logs[number].read_text(encoding="utf-8", errors="replace").strip()
        if code > 0:
            return WorkerError(said or f"exit code {code}")
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return WorkerKilled(name)

    def _code(self, number: int) -> int:
        """The exit code of a forked process, as the first tells it; that of the first where it does not."""
        while number not in self._ended:
            told = os.read(self._ends, END.size)
            if len(told) < END.size:
                return self._first_code()
            one, code = END.unpack(told)
            self._ended[one] = code
        return self._ended[number]

    def _first_code(self) -> int:
        """The exit code of the first process, which stays to be collected: so long its number is its own."""
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        assert found is not None  # noqa: S101 - it is waited for
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def stop(self) -> None:
        """End the processes; what they were doing is lost."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """Close the streams of processes that have ended."""
        for stream in self._streams:
            with suppress(OSError):
                stream.close()
        with suppress(OSError):
            os.close(self._ends)
