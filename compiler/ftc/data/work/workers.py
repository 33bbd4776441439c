"""Several processes that compile rows: a bounded number of batches at once, results in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING

from ftc.data.work.crew import FORKS, Crew, Preparation

if TYPE_CHECKING:
    from ftc.data.tokens.encoders import Unfit
    from ftc.data.work.batch import Batch, Rows
    from ftc.data.work.row_work import RowSpec

JOBS = "FTC_JOBS"
"""The environment variable that says how many processes compile rows."""

MOST = 16
"""Processes that are started unless the variable says otherwise: each needs a few hundred MB."""

AHEAD = 2
"""Batches per process that are under way or wait for those before them."""


class BadJobs(Exception):  # noqa: N818 - it names a finding
    """`FTC_JOBS` is not a number of processes."""


class _Stopped(Exception):  # noqa: N818 - nobody waits for the answer
    pass


def job_count() -> int:
    """How many processes are to compile rows: `FTC_JOBS`, or one for each core; raises BadJobs."""
    stated = os.environ.get(JOBS, "")
    if stated:
        if not stated.isdecimal() or int(stated) < 1:
            raise BadJobs(stated)
        return int(stated)
    if not sys.executable:
        return 1
    return min(_cores(), MOST)


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class _Worker:
    """One process of a crew; of a crew of its own where it could not be forked."""

    def __init__(self, workers: Workers, crew: Crew, number: int, place: int) -> None:
        self._workers, self._crew, self._number, self._place = workers, crew, number, place

    def pid(self, spec: RowSpec) -> int:
        """The process, once it has loaded; raises WorkerKilled and WorkerError."""
        pids = self._crew.pids(spec)
        if self._place >= len(pids):
            self._crew, self._place = self._workers.alone(self._number), 0
            pids = self._crew.pids(spec)
        return pids[self._place]

    def compile(self, spec: RowSpec, rows: Rows) -> Batch:
        """The compiled rows; raises WorkerKilled, WorkerError and Unfit."""
        self.pid(spec)
        answer: Batch | Unfit = self._crew.ask(self._place, rows)  # type: ignore[assignment]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Workers:
    """A number of worker processes; use as a context manager, whose end ends them all.

    `start` may be called long before: they load what the preparation says, and wait for rows.
    """

    def __init__(self, preparation: Preparation, count: int, logs: Path) -> None:
        self.preparation = preparation
        self._count, self._logs = count, logs
        self._crews: list[Crew] = []
        self._all: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._lock, self._stopped = Lock(), False
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="ftc-rows")

    def start(self) -> None:
        """Start the processes, if they are not."""
        if self._all:
            return
        try:
            size = self._count if FORKS else 1
            for first in range(0, self._count, size):
                crew = self._crew(range(first, first + size))
                self._all += [_Worker(self, crew, first + place, place) for place in range(size)]
        except BaseException:
            self.stop()
            raise
        for worker in self._all:
            self._idle.put(worker)

    def _crew(self, numbers: range) -> Crew:
        with self._lock:
            if self._stopped:
                raise _Stopped
            logs = [self._logs / f"worker-{number}.log" for number in numbers]
            self._crews.append(Crew(self.preparation, logs))
            return self._crews[-1]

    def alone(self, number: int) -> Crew:
        """A crew of one process."""
        return self._crew(range(number, number + 1))

    def __enter__(self) -> Workers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes; may be called again."""
        with self._lock:
            again, self._stopped = self._stopped, True
        for crew in self._crews:
            crew.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for crew in () if again else self._crews:
            crew.close()

    def map(self, spec: RowSpec, batches: Iterable[Rows]) -> Iterator[Batch]:
        """The batches compiled, in order; raises WorkerKilled and WorkerError."""
        waiting: deque[Future[Batch]] = deque()
        for rows in batches:
            waiting.append(self._threads.submit(self._compile, spec, rows))
            if len(waiting) >= AHEAD * self._count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _compile(self, spec: RowSpec, rows: Rows) -> Batch:
        worker = self._idle.get()
        try:
            return worker.compile(spec, rows)
        finally:
            self._idle.put(worker)
