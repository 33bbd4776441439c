"""Code that runs: what passes, what fails, and what code in an answer is kept from."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

from ftc.evaluation import Answer, Options, ScoreError, load
from ftc.evaluation.code_runs import code_of, share, unconfined

ADD = "def add(a, b):\n    return a + b\n"
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes these away")


def runs(code: str, *tests: str, seconds: float = 5.0, memory: int = 512) -> float:
    return share(code, tests, seconds=seconds, memory=memory)


def test_the_part_of_the_tests_that_passes() -> None:
    assert runs(ADD, "assert add(1, 2) == 3") == 1.0
    assert runs(ADD, "assert add(1, 2) == 3", "assert add(1, 2) == 4") == 0.5
    assert runs(ADD, "add = None", "assert add(1, 2) == 3") == 1.0  # a test cannot change what others see
    assert runs("raise SystemExit(0)", "assert 1 == 1") == 1.0


def test_code_without_tests_has_to_come_to_its_end() -> None:
    assert runs(ADD) == 1.0
    for wrong in (
        "1 / 0",
        "def",
        "",
        "# nothing",
        "import os; os._exit(0)",
        "raise SystemExit(1)",
        "input()",
    ):
        assert runs(wrong) == 0.0, wrong


def test_leaving_early_passes_no_test() -> None:
    for early in ("import os\nos._exit(0)", "import sys; sys.exit('no')"):
        assert runs(early, "assert 1 == 1") == 0.0


def test_the_code_is_what_is_fenced() -> None:
    answer = f"Like this:\n```python\n{ADD}```\nand so on\n```sh\nrm x\n```\n```\nx = add(1, 1)\n```"
    assert code_of(answer) == f"{ADD}\nx = add(1, 1)\n"
    assert code_of(ADD) == ADD
    assert code_of(f"```py\n{ADD}") == ADD


def test_time_and_memory_are_limited() -> None:
    assert runs("while True: pass", seconds=0.2) == 0.0
    assert runs("import time; time.sleep(60)", seconds=0.2) == 0.0
    assert runs("x = bytearray(900 * 2**20)") == 0.0
    assert runs("x = bytearray(300 * 2**20)") == 1.0


@linux
def test_nothing_outside_is_within_reach(tmp_path: Path) -> None:
    if unconfined():
        pytest.skip(f"this kernel does not let go of {unconfined()}")
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")
    assert runs("open('own', 'w').write('x'); assert open('own').read() == 'x'") == 1.0
    assert runs(f"open({str(secret)!r}).read()") == 0.0
    assert runs(f"import os; os.unlink({str(secret)!r})") == 0.0
    assert runs(f"import os; os.kill({os.getpid()}, 0)") == 0.0
    assert secret.exists()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert runs(f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)") == 0.0


@linux
def test_what_code_starts_dies_with_it() -> None:
    name = f"left-{os.getpid()}"
    named = f"import ctypes, os, time\nctypes.CDLL(None).prctl(15, {name.encode()!r})\n"
    assert runs(f"{named}if not os.fork():\n    os.setsid()\n    time.sleep(30)\nraise SystemExit(0)") == 1.0
    assert name not in {process.info["name"] for process in psutil.process_iter(["name"])}


def test_a_row_has_its_own_tests() -> None:
    metric = load("code_runs")
    assert metric.score is not None
    row = Answer("", f"```python\n{ADD}```", columns={"tests": ["assert add(1, 2) == 3", "assert 0"]})
    assert metric.score(row, Options(tests="assert 0")) == 0.5
    assert metric.score(Answer("", ADD), Options(tests="assert add(2, 2) == 4")) == 1.0
    with pytest.raises(ScoreError):
        metric.score(Answer("", ADD, columns={"tests": [1]}), Options())
