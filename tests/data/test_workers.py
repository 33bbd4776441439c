"""Several processes compile rows: the same bytes as one, and nothing hangs or stays behind when one dies."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_requests import Job, chat, pairs, source, write_jsonl
from ftc.data.query import result
from ftc.data.work import crew, workers
from ftc.data.work.batch import Rows
from ftc.data.work.row_work import RowSpec
from ftc.facts.cache import Cache
from ftc.plan.steps import SplitStep


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job is large enough for several processes, in several batches."""
    monkeypatch.setattr("ftc.data.work.dispatch.INLINE_BYTES", -1)
    monkeypatch.setattr(result, "BATCH", 16)


def conversations(count: int) -> list[dict[str, Any]]:
    found = []
    for n in range(count):
        turns = [
            {"role": "user", "content": f"question {n}"},
            {"role": "assistant", "content": f"a {n} " * n},
        ]
        found.append({"messages": turns if n % 7 else turns[:1] if n % 2 else "no list"})
    return found


def compiled(tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Every file that a number of processes makes of rows of all fates."""
    monkeypatch.setenv("FTC_JOBS", str(jobs))
    path = tmp_path / "t.jsonl"
    if not path.exists():
        write_jsonl(path, conversations(90))
    job = Job(tmp_path, (source(path),), render=chat(messages=None), cache=Cache(tmp_path / f"cache-{jobs}"))
    job.split = SplitStep(fraction=0.2, rows=None, keys=("messages",), seed=0)
    job.limits = job.limits.model_copy(update={"max_length": 200, "too_long": "drop", "invalid": "drop"})
    done = job.run()
    assert done.directory is not None, done.problems
    assert done.ledger is not None
    assert {line.fate for line in done.ledger.lines} == {"invalid", "too_long", "untrained"}
    return {file.name: file.read_bytes() for file in done.directory.iterdir()}


def test_the_bytes_do_not_depend_on_the_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = compiled(tmp_path, 1, monkeypatch)
    started: list[int] = []
    enter = workers.Workers.__enter__
    monkeypatch.setattr(
        workers.Workers, "__enter__", lambda self: (started.append(self._count), enter(self))[1]
    )
    assert compiled(tmp_path, 2, monkeypatch) == here
    assert compiled(tmp_path, 3, monkeypatch) == here
    assert started == [2, 3]


def test_long_rows_go_in_small_batches() -> None:
    import pyarrow as pa

    texts = ["x" * size for size in (10, 500, 10, 10, 2000, 10)]
    columns = pa.RecordBatch.from_pydict({"text": texts})
    rows = Rows(list("abcdef"), columns, 40, np.zeros(6, dtype=np.uint8), np.arange(6, dtype=np.int32))
    pieces = list(rows.pieces(1000))
    assert ["".join(piece.ids) for piece in pieces] == ["abc", "d", "e", "f"]
    assert [piece.number for piece in pieces] == [40, 43, 44, 45]
    assert [text for piece in pieces for text in piece.columns.column(0).to_pylist()] == texts
    sent = pickle.loads(pickle.dumps(pieces[1], protocol=5))  # noqa: S301
    assert (sent.ids, sent.columns.to_pydict(), sent.copies.tolist()) == (["d"], {"text": ["x" * 10]}, [3])
    assert len(pickle.dumps(pieces[1], protocol=5)) < 1500  # nothing of the rows beside it


def large(tmp_path: Path) -> Job:
    return Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", pairs(300))),))


def test_a_killed_worker_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_JOBS", "2")
    job = large(tmp_path)
    seen: list[int] = []
    compile_rows = workers._Worker.compile

    def kill(self: workers._Worker, spec: RowSpec, rows: Rows) -> Any:
        seen.append(self.pid(spec))
        if len(seen) == 3:
            os.kill(seen[-1], signal.SIGKILL)
        return compile_rows(self, spec, rows)

    monkeypatch.setattr(workers._Worker, "compile", kill)
    (problem,) = job.run().problems
    assert problem.code == "FTC718"
    assert "SIGKILL" in problem.message
    assert all_end(seen)
    monkeypatch.setattr(workers._Worker, "compile", compile_rows)
    step = job.run().step
    assert step is not None
    assert step.train.rows == 300


def test_processes_are_forked_from_one_that_has_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTC_JOBS", "3")
    parents: dict[int, int] = {}
    compile_rows = workers._Worker.compile

    def look(self: workers._Worker, spec: RowSpec, rows: Rows) -> Any:
        pid = self.pid(spec)
        parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return compile_rows(self, spec, rows)

    monkeypatch.setattr(workers._Worker, "compile", look)
    assert large(tmp_path).run().step is not None
    (first,) = [pid for pid, parent in parents.items() if parent == os.getpid()]
    assert set(parents.values()) <= {os.getpid(), first}
    assert len(parents) > 1


def test_each_process_loads_where_none_can_be_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_JOBS", "2")
    job = large(tmp_path)

    def made() -> dict[str, bytes]:
        job.cache = Cache(tmp_path / f"cache-{len(list(tmp_path.iterdir()))}")
        directory = job.run().directory
        assert directory is not None
        return {file.name: file.read_bytes() for file in directory.iterdir()}

    forked = made()
    thread = (
        "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); main"
    )
    monkeypatch.setattr(crew, "START", crew.START.replace("import main; main", f"import main; {thread}"))
    started: list[int] = []
    alone = workers.Workers.alone
    monkeypatch.setattr(
        workers.Workers, "alone", lambda self, number: (started.append(number), alone(self, number))[1]
    )
    assert made() == forked
    assert started == [1]
    monkeypatch.setattr(workers, "FORKS", False)
    assert made() == forked
    assert started == [1]


def test_processes_are_started_early_where_there_is_much_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.data import compile as compiling

    said: list[str] = []
    made: list[workers.Workers] = []
    start = workers.Workers.start

    def noted(self: workers.Workers) -> None:
        said.append("start")
        made.append(self)
        start(self)

    monkeypatch.setattr(workers.Workers, "start", noted)
    monkeypatch.setenv("FTC_JOBS", "2")
    monkeypatch.setattr(compiling, "LARGE", 0)
    job = large(tmp_path)
    read = compiling._sources
    monkeypatch.setattr(compiling, "_sources", lambda *given: (said.append("read"), read(*given))[1])
    step = job.run().step
    assert step is not None
    assert step.train.rows == 300
    assert said == ["start", "read", "start"]
    assert len(set(map(id, made))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_what_was_started_early_ends_when_a_source_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.data import compile as compiling

    crews: list[crew.Crew] = []
    made = workers.Workers._crew
    monkeypatch.setattr(
        workers.Workers, "_crew", lambda self, numbers: (crews.append(made(self, numbers)), crews[-1])[1]
    )
    monkeypatch.setenv("FTC_JOBS", "2")
    monkeypatch.setattr(compiling, "LARGE", 0)
    job = large(tmp_path)
    monkeypatch.setattr(compiling, "_sources", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        job.run()
    (one,) = crews
    assert not alive(one._process.pid)


def test_a_fast_library_that_crashes_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_JOBS", "2")
    compile_rows = workers._Worker.compile

    def crash(self: workers._Worker, spec: RowSpec, rows: Rows) -> Any:
        if spec.backend == "fastokens" and rows.number > 100:
            os.kill(self.pid(spec), signal.SIGSEGV)
        return compile_rows(self, spec, rows)

    monkeypatch.setattr(workers._Worker, "compile", crash)
    done = large(tmp_path).run()
    assert [(note.code, "SIGSEGV" in note.message) for note in done.notes] == [("FTC622", True)]
    assert done.step is not None
    assert done.step.train.rows == 300


def test_a_mistake_in_a_worker_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_JOBS", "2")
    monkeypatch.setattr(crew, "START", "{path}; raise LookupError('a mistake of ours')")
    with pytest.raises(crew.WorkerError, match="a mistake of ours"):
        large(tmp_path).run()


@pytest.mark.parametrize("stated", ["two", "0", "-1", "1.5"])
def test_a_wrong_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv("FTC_JOBS", stated)
    (problem,) = large(tmp_path).run().problems
    assert (problem.code, stated in problem.message) == ("FTC719", True)


def test_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FTC_JOBS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(5), raising=False)
    assert workers.job_count() == 5
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(500), raising=False)
    assert workers.job_count() == workers.MOST
    monkeypatch.setenv("FTC_JOBS", "40")
    assert workers.job_count() == 40


PROGRAM = """
import sys, pickle
from pathlib import Path
from ftc.data.compile import Locations, compile_data
from ftc.data.query import result
from ftc.data.work import dispatch, workers
from ftc.facts.cache import Cache

dispatch.INLINE_BYTES, result.BATCH = -1, 16
told, compile_rows = [], workers._Worker.compile
def compiled(self, spec, rows):
    if not told:
        told.append(self)
        print("workers", *(worker.pid(spec) for worker in self._workers._all), flush=True)
    return compile_rows(self, spec, rows)
workers._Worker.compile = compiled
request, paths, tokenizer = pickle.loads(Path(sys.argv[1]).read_bytes())
def slow(stage, done, total):
    if stage == "compiling rows" and len(sys.argv) > 3:
        import time
        time.sleep(60)
places, cache = Locations({"t": paths}, tokenizer), Cache(Path(sys.argv[2]))
done = compile_data(request, places, cache=cache, progress=slow)
print("rows", done.step.train.rows, flush=True)
"""


def program(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """A program of a library's user, whose main module is not guarded."""
    job = large(tmp_path)
    saved = tmp_path / "request.pickle"
    saved.write_bytes(pickle.dumps((job.request(), job.sources[0].paths, job.tokenizer)))
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(file), str(saved), str(tmp_path / "cache"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FTC_JOBS": "2", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def all_end(pids: Sequence[int]) -> bool:
    """Whether processes end, within half a minute."""
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def test_a_program_without_a_guard_runs_once(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert re.fullmatch(r"workers \d+ \d+\nrows 300\n", out), out + err
    assert err == ""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_the_program(tmp_path: Path, number: signal.Signals) -> None:
    with program(tmp_path, "slow") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pids = [int(pid) for pid in process.stdout.readline().split()[1:]]
        time.sleep(1)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.kill()
        process.wait(timeout=60)
        said = process.stderr.read()
    assert said.count("Traceback") == (number == signal.SIGINT), said
    assert len(pids) == 2
    assert all_end(pids)
    assert not list((tmp_path / "cache" / "data").glob("*/*"))


def test_messages_come_whole_through_a_pipe() -> None:
    from ftc.data.work import messages

    read, write = os.pipe()
    value = {"n": np.arange(1000, dtype=np.int32), "text": "x" * 100}
    with os.fdopen(write, "wb") as out:
        messages.write(out, value)
    with os.fdopen(read, "rb") as incoming:
        found = messages.read(incoming)
        assert json.dumps(found["n"].tolist()) == json.dumps(value["n"].tolist())  # type: ignore[attr-defined]
        with pytest.raises(EOFError):
            messages.read(incoming)
