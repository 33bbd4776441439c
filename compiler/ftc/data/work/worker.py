"""A worker process: reads what to do and then batches of rows, answers each with the compiled batch.

It ends when its input ends, so none outlives the process that started it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress

from ftc.data.tokens.encoders import Unfit
from ftc.data.work import messages
from ftc.data.work.row_work import RowCompiler


def main() -> None:
    """Serve until the input ends; Ctrl-C is left to the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not mix with answers
    with suppress(EOFError, BrokenPipeError):
        try:
            compiler = RowCompiler(messages.read(sys.stdin.buffer))
            _collect_rarely()
            while True:
                messages.write(answers, compiler(messages.read(sys.stdin.buffer)))
        except Unfit as unfit:
            messages.write(answers, unfit)


def _collect_rarely() -> None:
    """Let the garbage collector leave alone what stays, and not look after every 700 objects of a batch."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


if __name__ == "__main__":
    main()
