"""Start the runtime as a process on this machine, and follow it to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from ftc.runtime.checkpoints import newest
from ftc.runtime.events import Done, Event, Failed, Step, Stopped, decode
from ftc.runtime.job import Job

__all__ = ["Job", "Outcome", "launch"]

INHERITED = (
    "CUDA",
    "GLIBC_TUNABLES",
    "GOMP",
    "HF_HOME",
    "HOME",
    "KMP",
    "LANG",
    "LC_",
    "LD_",
    "MALLOC",
    "MKL",
    "NVIDIA",
    "OMP",
    "OPENBLAS",
    "PATH",
    "PYTHON",
    "PYTORCH",
    "SYSTEMROOT",
    "TMP",
    "TEMP",
    "TORCH",
    "TZ",
    "VIRTUAL_ENV",
    "XDG",
)
"""Beginnings of the variables the runtime sees: no secret, and none that turns a tracker on."""

TRACKED: dict[str, tuple[str, ...]] = {
    "mlflow": ("DATABRICKS_", "MLFLOW_"),
    "tensorboard": ("TENSORBOARD_",),
    "trackio": ("TRACKIO_",),
    "wandb": ("WANDB_",),
}
"""Beginnings of the variables that a tracker reads, among them its credentials."""

NETWORK = ("CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT")
"""Beginnings of the variables that say how to get to a tracker's or judge's server, in either case."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
FIXED = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",  # notes of libraries to each other would drown the log
}
TAIL_LINES = 20


@dataclass(frozen=True)
class Outcome:
    """How the runtime ended; `step` is the last one that a later start need not repeat."""

    status: Literal["done", "stopped", "failed"]
    step: int
    failure: Failed | None
    exit_code: int
    log: Path
    done: Done | None = None


def judge_keys(plan: Path) -> tuple[str, ...] | None:
    """The variables that hold the keys of a plan's judges; None where it has no judge, or cannot be read.

    What is wrong with a plan, the runtime says.
    """
    try:
        made = json.loads(plan.read_bytes())
    except (OSError, ValueError):
        return None
    steps = (made.get("eval"), *made.get("suites", ()))
    judges = [step["judge"] for step in steps if step and step.get("judge")]
    return tuple(judge["key"] for judge in judges if judge["key"]) if judges else None


def environment(trackers: tuple[str, ...] = (), keys: tuple[str, ...] | None = None) -> dict[str, str]:
    """The runtime's environment variables, with those of the trackers and judges that the plan names.

    `keys` are the variables of the judges' keys, None without a judge. The runtime sees the first GPU alone,
    for which the plan is made: with several the trainer would spread each batch.
    """
    more = tuple(start for name in trackers for start in TRACKED[name])
    more += NETWORK if trackers or keys is not None else ()
    kept = {
        key: value
        for key, value in os.environ.items()
        if key.startswith(INHERITED) or key in (keys or ()) or (more and key.upper().startswith(more))
    }
    seen = kept.get(VISIBLE, "0").split(",")[0]
    return {**kept, **FIXED, VISIBLE: seen}


def command(job: Job, *, measure: bool = False) -> list[str]:
    """The command that executes a job, or measures a few steps of it."""
    places = {"--plan": job.plan, "--data": job.data, "--model": job.model, "--run": job.run}
    words = [word for option, path in places.items() for word in (option, str(path.absolute()))]
    more = ["--measure"] if measure else []
    more += ["--teacher", str(job.teacher.absolute())] if job.teacher else []
    more += [word for path in job.scorers for word in ("--scorer", str(path.absolute()))]
    more += ["--tuned", str(job.tuned.absolute())] if job.tuned else []
    more += [word for name in job.trackers for word in ("--tracker", name)]
    return [sys.executable, "-m", "ftc.runtime", *words, "--stop-on-eof", *more]


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """While the block runs, the first SIGINT or SIGTERM asks the runtime to stop, the second kills it.

    Yields the list of the signals that came.
    """
    asked: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        process.send_signal(signal.SIGINT if len(asked) == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, forward) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _tail(log: Path) -> tuple[str, ...]:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return tuple(lines[-TAIL_LINES:])


def _died(exit_code: int, log: Path) -> Failed:
    """The failure of a runtime that ended without saying why."""
    if exit_code < 0:
        try:
            cause = f"was killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            cause = f"was killed by signal {-exit_code}"
    else:
        cause = f"ended with status {exit_code} and no word"
    memory = (
        ("if nobody killed it, the machine ran out of memory: set train.micro_batch lower",)
        if exit_code == -signal.SIGKILL
        else ()
    )
    again = "run the same command again: it goes on from the last checkpoint"
    return Failed("FTC703", f"the training process {cause}", (*memory, again), _tail(log))


@dataclass
class _Heard:
    """The events that decide the outcome."""

    done: Done | None = None
    stopped: Stopped | None = None
    failed: Failed | None = None
    step: int = 0

    def hear(self, event: Event) -> None:
        match event:
            case Done():
                self.done = event
            case Stopped():
                self.stopped = event
            case Failed():
                self.failed = event
            case Step():
                self.step = event.step
            case _:
                pass


def _outcome(heard: _Heard, exit_code: int, job: Job, *, asked: bool) -> Outcome:
    if heard.done and exit_code == 0:
        return Outcome("done", heard.step, None, exit_code, job.log, heard.done)
    if heard.stopped or (asked and heard.failed is None):
        step = heard.stopped.step if heard.stopped else newest(job.checkpoints).step
        return Outcome("stopped", step, None, exit_code, job.log)
    return Outcome("failed", heard.step, heard.failed or _died(exit_code, job.log), exit_code, job.log)


def _follow(process: subprocess.Popen[bytes], heard: _Heard, on_event: Callable[[Event], None]) -> None:
    """Hand on events to the end of the runtime's output; a line cut off by its death is left out."""
    events, alive = process.stdout, process.stdin
    try:
        for line in events or ():
            if line.endswith(b"\n"):
                event = decode(line.decode())
                heard.hear(event)
                on_event(event)
    finally:
        if alive:
            alive.close()


def launch(job: Job, on_event: Callable[[Event], None], *, measure: bool = False) -> Outcome:
    """Run a job in a process of its own to its end, handing on its events as they come.

    The process is in a session of its own, so that Ctrl-C reaches only this one, which asks it once to
    stop; it ends by itself if this process dies. `measure` times a few steps
    instead of all. Raises OSError if the run directory cannot be written.
    """
    heard = _Heard()
    with job.log.open("ab") as log:
        process = subprocess.Popen(
            command(job, measure=measure),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(job.trackers, judge_keys(job.plan)),
            start_new_session=True,
        )
    with process, _forwarding(process) as asked:
        _follow(process, heard, on_event)
        process.wait()
    return _outcome(heard, process.returncode, job, asked=bool(asked))
