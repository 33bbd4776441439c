"""A request to stop: from a signal, or because the process that started this one is gone."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

GRACE_SECONDS = 600.0


class StoppedError(Exception):
    """Raised between two units of work once a stop was requested."""


class Stop:
    """Whether somebody asked this work to stop; safe to set from a signal handler or a thread."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether a stop was requested."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Request a stop at the next whole unit of work."""
        self._asked.set()

    def renew(self) -> None:
        """Forget the request: another piece of work begins."""
        self._asked.clear()

    def check(self) -> None:
        """Raise StoppedError if a stop was requested."""
        if self.asked:
            raise StoppedError

    def on_signals(self) -> None:
        """Take SIGINT and SIGTERM as requests, in this process, from now on."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.ask()

        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)

    def on_closed(self, descriptor: int) -> None:
        """Take the end of file on `descriptor` as a request, and as an order some minutes later.

        The process that started this one holds the other end and writes nothing, so the end of file
        means that it died.
        """
        threading.Thread(target=self._watch, args=(descriptor,), daemon=True).start()

    def _watch(self, descriptor: int) -> None:
        while os.read(descriptor, 4096):
            continue
        self.ask()
        timer = threading.Timer(GRACE_SECONDS, os._exit, args=(1,))
        timer.daemon = True
        timer.start()
