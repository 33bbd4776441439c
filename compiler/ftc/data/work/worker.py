"""A worker process: loads, is forked into as many as there are to be, and answers batches of rows compiled.

It ends when its input ends, so none outlives the process that started it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from ftc.data.tokens.encoders import BACKENDS, Backend, Unfit
from ftc.data.work import messages
from ftc.data.work.batch import Batch, Rows
from ftc.data.work.crew import END, FORKS, Preparation
from ftc.data.work.row_work import RowCompiler, RowSpec

if TYPE_CHECKING:
    from io import BufferedRWPair

Stream = messages.Stream
Compile = Callable[[Rows], Batch | Unfit]


def main(sockets: list[int], ends: int, logs: list[str]) -> None:
    """Serve until the input ends; Ctrl-C is left to the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stream = _stream(sockets[0])
    with suppress(EOFError, ConnectionError):
        loaded = _loaded(messages.read(stream))
        compile_rows = _compiler(messages.read(stream), loaded)
        _collect_rarely()
        others = range(1, len(sockets)) if FORKS and _is_alone() else ()
        pids = [_fork(sockets, ends, number, logs[number], compile_rows) for number in others]
        _leave(sockets[1:])
        Thread(target=_tell_ends, args=(pids, ends), daemon=True).start()
        messages.write(stream, pids)
        _serve(stream, compile_rows)


def _stream(fd: int) -> BufferedRWPair:
    return socket.socket(fileno=fd).makefile("rwb")


def _loaded(preparation: Preparation) -> Backend | Unfit:
    """The tokenizer; and the libraries that rows need, to be there before the process is forked."""
    import pyarrow.compute  # noqa: F401

    from ftc.lints import features

    features.load()
    if preparation.chat:
        from ftc.data.template.chat_template import load_judge

        load_judge()
    try:
        return BACKENDS[preparation.backend](preparation.tokenizer_file)
    except Unfit as unfit:
        return unfit


def _compiler(spec: RowSpec, loaded: Backend | Unfit) -> Compile:
    """What compiles batches, or says why the library cannot."""
    if isinstance(loaded, Unfit):
        unfit = loaded
        return lambda _: unfit
    compiler = RowCompiler(spec, loaded)

    def compile_rows(rows: Rows) -> Batch | Unfit:
        try:
            return compiler(rows)
        except Unfit as unfit:
            return unfit

    return compile_rows


def _is_alone() -> bool:
    """Whether this process has no thread but this one."""
    return len(list(Path("/proc/self/task").iterdir())) == 1


def _leave(fds: Sequence[int]) -> None:
    """Close what belongs to others, so that its end is noticed; the numbers stay taken."""
    with Path(os.devnull).open("rb") as nothing:
        for fd in fds:
            os.dup2(nothing.fileno(), fd)


def _fork(sockets: Sequence[int], ends: int, number: int, log: str, compile_rows: Compile) -> int:
    """Fork a process, which does not return from here; its id."""
    pid = os.fork()
    if not pid:
        _forked(sockets, ends, number, log, compile_rows)
    return pid


def _forked(sockets: Sequence[int], ends: int, number: int, log: str, compile_rows: Compile) -> None:
    """The life of a forked process, which does not return into that of the first."""
    code = 1
    try:
        with Path(log).open("wb") as said:
            os.dup2(said.fileno(), sys.stdout.fileno())
            os.dup2(said.fileno(), sys.stderr.fileno())
        _leave([fd for fd in (*sockets, ends) if fd != sockets[number]])
        with suppress(EOFError, ConnectionError):
            _serve(_stream(sockets[number]), compile_rows)
        code = 0
    except BaseException:  # noqa: BLE001 - it is written to the log, and the process ends
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _tell_ends(pids: Sequence[int], ends: int) -> None:
    """Tell how each forked process ends, as it ends."""
    numbers = {pid: number for number, pid in enumerate(pids, 1)}
    while numbers:
        pid, status = os.wait()
        if pid in numbers:
            os.write(ends, END.pack(numbers.pop(pid), os.waitstatus_to_exitcode(status)))


def _serve(stream: BufferedRWPair, compile_rows: Compile) -> None:
    while True:
        messages.write(stream, compile_rows(messages.read(stream)))


def _collect_rarely() -> None:
    """Let the garbage collector leave alone what stays, and not look after every 700 objects of a batch."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)
