"""Several processes that compile rows: a bounded number of batches at once, results in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, TYPE_CHECKING

from ftc.data.work import messages

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

# One process for each core, so that none of them needs threads of its own.
SINGLE = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SINGLE["TOKENIZERS_PARALLELISM"] = "false"

START = "import sys; sys.path[:] = {path!r}; from ftc.data.work.worker import main; main()"


class BadJobs(Exception):  # noqa: N818 - it names a finding
    """`FTC_JOBS` is not a number of processes."""


class WorkerKilled(Exception):  # noqa: N818 - it names a finding
    """A worker process was ended from outside, such as by the system when memory ran out."""


class WorkerError(RuntimeError):
    """A worker process ended by a mistake of ftc's; the text is its traceback."""


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
    """One process; its messages about mistakes go to `log`."""

    def __init__(self, spec: RowSpec, log: Path) -> None:
        self._spec, self._log, self._ready = spec, log, False
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", START.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=os.environ | SINGLE,
            )

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        process = self._process
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        return process.stdin, process.stdout

    def compile(self, rows: Rows) -> Batch:
        """The compiled rows; raises WorkerKilled, WorkerError and Unfit."""
        requests, answers = self._pipes
        try:
            if not self._ready:
                messages.write(requests, self._spec)
                self._ready = True
            messages.write(requests, rows)
            answer: Batch | Unfit = messages.read(answers)
        except (BrokenPipeError, EOFError) as error:
            raise self._end() from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _end(self) -> Exception:
        code = self._process.wait()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip()
        if code > 0:
            return WorkerError(said or f"exit code {code}")
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return WorkerKilled(name)

    def stop(self) -> None:
        """End the process; what it was doing is lost."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        for pipe in self._pipes:
            with suppress(BrokenPipeError):
                pipe.close()


class Workers:
    """A number of worker processes; use as a context manager, whose end ends them all."""

    def __init__(self, spec: RowSpec, count: int, logs: Path) -> None:
        self._spec, self._count, self._logs = spec, count, logs
        self._all: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="ftc-rows")

    def __enter__(self) -> Workers:
        try:
            for number in range(self._count):
                self._all.append(_Worker(self._spec, self._logs / f"worker-{number}.log"))
        except BaseException:
            self._stop()
            raise
        for worker in self._all:
            self._idle.put(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for worker in self._all:
            worker.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._all:
            worker.close()

    def map(self, batches: Iterable[Rows]) -> Iterator[Batch]:
        """The batches compiled, in order; raises WorkerKilled and WorkerError."""
        waiting: deque[Future[Batch]] = deque()
        for rows in batches:
            waiting.append(self._threads.submit(self._compile, rows))
            if len(waiting) >= AHEAD * self._count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _compile(self, rows: Rows) -> Batch:
        worker = self._idle.get()
        try:
            return worker.compile(rows)
        finally:
            self._idle.put(worker)
