"""Code that runs: the Python of an answer comes to its end and passes its tests, in a process of its own.

This keeps an answer from doing harm by accident. What it does not protect against is in docs/evaluation.md.
"""

from __future__ import annotations

import ast
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ftc.evaluation import code_runner
from ftc.evaluation.base import Answer, Metric, Options, ScoreError

FENCED = re.compile(r"^```[ \t]*(\w*)[^\n]*\n(.*?)(?:^```|\Z)", re.MULTILINE | re.DOTALL)
PYTHON = ("", "python", "python3", "py")
START = 2.0
"""Seconds beside those of the answer that starting Python may take."""

KEPT = ("LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")
FIXED = {
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def code_of(answer: str) -> str:
    """The Python of an answer: its fenced blocks, or the whole text where there is none."""
    blocks = [text for language, text in FENCED.findall(answer) if language.lower() in PYTHON]
    return "\n".join(blocks) if blocks else answer


def _says_something(code: str) -> bool:
    """Whether it is Python that has a statement."""
    try:
        return bool(ast.parse(code).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _asked(request: dict[str, Any], seconds: float) -> str:
    """What the process wrote that runs a request; it and all it started are dead then."""
    kept = {key: value for key, value in os.environ.items() if key in KEPT}
    with tempfile.TemporaryDirectory(prefix="ftc-code-", ignore_cleanup_errors=True) as scratch:
        process = subprocess.Popen(
            [sys.executable, "-P", str(Path(code_runner.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
            env={**kept, **FIXED, "HOME": scratch, "TMPDIR": scratch},
            start_new_session=True,
        )
        words = json.dumps({**request, "scratch": scratch, "seconds": seconds}).encode()
        try:
            return process.communicate(words, timeout=seconds + START)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            _kill(process)
            return process.communicate()[0].decode(errors="replace")
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it started and that did not leave its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def share(code: str, tests: Iterable[str], *, seconds: float, memory: int) -> float:
    """The part of the tests that code passes; without tests 1 where it comes to its end, else 0."""
    wanted, word = list(tests), secrets.token_hex(16)
    if not _says_something(code):
        return 0.0
    request = {"code": code, "tests": wanted, "word": word, "memory": memory}
    said = set(_asked(request, seconds).splitlines())
    numbers = range(max(1, len(wanted)))
    return sum(f"{word} {number}" in said for number in numbers) / len(numbers)


@cache
def unconfined() -> tuple[str, ...]:
    """What this machine does not let ftc take away from code that it runs, in words."""
    said: dict[str, bool] = {"network": False, "files": False}
    for line in _asked({"probe": True, "memory": 512}, 2.0).splitlines():
        said |= json.loads(line)
    words = {"network": "the network", "files": "the files that you may read and write"}
    return tuple(words[name] for name, taken in said.items() if not taken)


def score(answer: Answer, options: Options) -> float | None:
    """The part of the tests that the answer's code passes, or whether it runs where there is none.

    Raises ScoreError where the row's own settings cannot be used.
    """
    own = options.of(answer)
    tests = (own.tests,) if isinstance(own.tests, str) else tuple(own.tests or ())
    if not all(isinstance(test, str) for test in tests):
        raise ScoreError("the column `tests` holds something else than texts")
    return share(code_of(answer.answer), tests, seconds=own.seconds, memory=own.memory)


METRIC = Metric("code_runs", "its code runs and passes its tests", score=score, alone=True)
