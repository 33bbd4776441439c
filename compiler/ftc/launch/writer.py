"""A finished run's model in a process of its own that writes what it is asked to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ftc.diagnostics import Finding
from ftc.launch.local import environment

TAIL = 5


class WriterFailed(Exception):  # noqa: N818 - carries a finding
    """The process cannot go on; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True)
class Asked:
    """How answers are to be written: the likeliest token each time where the temperature is 0."""

    stops: Sequence[int]
    longest: int
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Written:
    """The answers to some prompts, each with its stop token if it has one; `stopped` by the user."""

    rows: list[list[int]]
    stopped: bool


class Writer:
    """A process that holds the model; make it by `open_writer`."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], place: str) -> None:
        self._process, self._log, self._place = process, log, place

    def stop(self) -> None:
        """End the answer that is being written."""
        self._process.send_signal(signal.SIGINT)

    def ready(self) -> None:
        """Wait until the model is loaded. Raises WriterFailed."""
        self._hear()

    def ask(
        self, prompts: Sequence[Sequence[int]], how: Asked, seeds: Sequence[int], *, stream: bool = False
    ) -> None:
        """Begin to answer prompts. Raises WriterFailed."""
        request = {
            "prompts": [list(prompt) for prompt in prompts],
            "stops": list(how.stops),
            "longest": how.longest,
            "temperature": how.temperature,
            "top_p": how.top_p,
            "seeds": list(seeds),
            "stream": stream,
        }
        assert self._process.stdin is not None  # noqa: S101 - it was opened so
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WriterFailed(self._died()) from None

    def answers(self) -> Iterator[list[int] | Written]:
        """The pieces of the answer as they come, and the whole in the end. Raises WriterFailed."""
        while True:
            event = self._hear()
            if event["kind"] == "written":
                yield Written(event["rows"], event["stopped"])
                return
            yield event["ids"]

    def written(self, prompts: Sequence[Sequence[int]], how: Asked, seeds: Sequence[int]) -> Written:
        """The answers to some prompts. Raises WriterFailed."""
        self.ask(prompts, how, seeds)
        return next(one for one in self.answers() if isinstance(one, Written))

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it was opened so
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise WriterFailed(self._died())
        event: dict[str, Any] = json.loads(line)
        if event["kind"] == "failed":
            helps = tuple(event["help"])
            raise WriterFailed(Finding(event["code"], event["message"], place=self._place, help=helps))
        return event

    def _died(self) -> Finding:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        killed = "was killed" if code < 0 else f"ended with status {code}"
        message = f"the process that holds the model {killed}"
        helps = ("if nobody killed it, the machine ran out of memory",) if code == -signal.SIGKILL else ()
        return Finding("FTC771", message, place=self._place, help=helps, notes=tuple(lines[-TAIL:]))


@contextmanager
def open_writer(run: Path, base: Path, *, tuned: bool = True) -> Iterator[Writer]:
    """A process with the model of a run, or with that it began with. Ctrl-C reaches this process alone."""
    places = [run / "plan.json", base, *([run / "model"] if tuned else [])]
    command = [sys.executable, "-m", "ftc.runtime.generate", *(str(place.absolute()) for place in places)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(),
            start_new_session=True,
        )
        try:
            yield Writer(process, log, str(run))
        finally:
            _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - it was opened so
    assert process.stdout is not None  # noqa: S101
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
