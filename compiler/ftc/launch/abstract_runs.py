"""Training steps run abstractly, in a process of their own that is started when the first is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.fallback import Counts, Peaks, at_hand
from ftc.estimate.step import Batch, Evaluation, TrainingStep
from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.launch.local import environment

CODE = ("estimate/abstract", "estimate/step.py", "runtime")
PACKAGES = ("accelerate", "bitsandbytes", "peft", "torch", "transformers", "trl")
KIND = "abstract"
Progress = Callable[[str, int, int | None], None]
Asked = Literal["peaks", "counts"]


def _silent(_what: str, _done: int, _of: int | None) -> None:
    """Tell nobody."""


class AbstractRuns:
    """Answers about steps: those that were found before from the cache, others from the process."""

    def __init__(self, cache: Cache, progress: Progress = _silent) -> None:
        self.cache, self.progress = cache, progress
        self.asked = 0
        self._process: subprocess.Popen[str] | None = None

    def peaks(self, step: TrainingStep) -> Peaks:
        """The memory of a step. Raises InexpressibleError."""
        return Peaks.model_validate(self._answer("peaks", step))

    def counts(self, step: TrainingStep) -> Counts:
        """The operations of a step, whose batch and evaluation are left aside. Raises InexpressibleError."""
        nothing: Evaluation | None = None
        plain = step.model_copy(update={"batch": Batch(rows=1, length=1), "evaluation": nothing})
        return Counts.model_validate(self._answer("counts", plain))

    def _answer(self, asked: Asked, step: TrainingStep) -> dict[str, Any]:
        """What is known, or found now. Raises InexpressibleError for a step that cannot run abstractly."""
        whole = step.model_copy(update={"device": None}).model_dump(mode="json")
        key = cache_key(KIND, {"asked": asked, "step": whole}, _versions(), code=code_digest(*CODE))
        known = self.cache.recall(KIND, key)
        if known is None:
            known = self._found(json.dumps({"asked": asked, "step": whole}))
            self.cache.remember(KIND, key, known)
        answer: dict[str, Any] = json.loads(known)
        if "unknown" in answer:
            raise InexpressibleError(str(answer["unknown"]))
        return answer

    def _found(self, question: str) -> bytes:
        """The line that the process answers. Raises InexpressibleError where it ends without one."""
        self.asked += 1
        self.progress("running the step abstractly", self.asked, None)
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            self.close()
            raise InexpressibleError("the process that runs steps abstractly ended without an answer")
        return line.encode()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ftc.estimate.abstract", "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment(),
            )
        return self._process

    def close(self) -> None:
        """End the process, if one was started."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()


@contextmanager
def abstract_runs(cache: Cache, progress: Progress | None = None) -> Iterator[AbstractRuns]:
    """Within, steps that the closed form has no account of run abstractly; the cache remembers them."""
    runs = AbstractRuns(cache, progress or _silent)
    try:
        with at_hand(runs):
            yield runs
    finally:
        runs.close()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
