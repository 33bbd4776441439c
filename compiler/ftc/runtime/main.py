"""One execution of a plan, from the base model to the trained one, told as events."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from ftc.artifact.files import sha256, write_json
from ftc.artifact.lock import exclusive
from ftc.diagnostics.secrets import scrubbed
from ftc.runtime import checkpoints, determinism, machine, rows, sequences
from ftc.runtime import suites as all_suites
from ftc.runtime.events import Done, Event, Phase, Saved, Stopped, Warned, encode
from ftc.runtime.failure import explain
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS, TIMING, TRAINING, add_timing
from ftc.runtime.ready import Ready, read_plan
from ftc.runtime.stop import Stop, StoppedError
from ftc.runtime.suites import Suites
from ftc.runtime.trainer import Session

EXIT_DONE, EXIT_FAILED, EXIT_STOPPED = 0, 1, 130
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass
class Ending:
    """How an execution ends: turns what is raised into the last event and the exit status."""

    job: Job
    emit: Callable[[Event], None]
    log: TextIO
    status: int = EXIT_DONE

    def __enter__(self) -> Ending:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if isinstance(error, (StoppedError, KeyboardInterrupt)):
            self.status = EXIT_STOPPED
            self.emit(Stopped(checkpoints.newest(self.job.checkpoints).step))
            return True
        self.status = EXIT_FAILED
        self.log.write(scrubbed("".join(traceback.format_exception(kind, error, trace))))
        self.emit(explain(error))
        return True


def verify(plan: Ready, job: Job) -> None:
    """Raise BuildError unless the model and the compiled rows are what the plan says."""
    from ftc.runtime import load

    load.verify(plan.model, job.model)
    if plan.objective.teacher is not None and job.teacher is not None:
        load.verify(plan.objective.teacher, job.teacher)
    for step, directory in zip(plan.scorers, job.scorers, strict=True):
        load.verify(step, directory)
    for part in (plan.data.train, plan.data.eval):
        if part is not None:
            rows.verify(part, job.data)
    if plan.data.sequences is not None:
        sequences.verify(plan.data.sequences, job.data)
    all_suites.verify(plan, job.data)


def execute(plan: Ready, job: Job, emit: Callable[[Event], None], stop: Stop) -> None:
    """Load, evaluate, train, evaluate, save. Raises StoppedError and BuildError, with all progress kept."""
    from transformers import set_seed

    from ftc.runtime import adapt, begin, convert, load, rewards, save, summary, train, vocabulary

    started = time.monotonic()
    emit(Phase("load", plan.model.location))
    machine.require(plan.environment.device)
    verify(plan, job)
    write_json(job.run / "environment.json", machine.describe(plan.environment.device))
    set_seed(plan.seed)
    model = load.load_base(plan, job.model)
    words = vocabulary.tokenizer_directory(plan, job)
    tokenizer = load.load_tokenizer(words, trusted=bool(plan.model.code))
    suites = Suites.make(plan, job, emit=emit, stop=stop)
    unconfined = rewards.unconfined(plan)
    if unconfined is not None:
        emit(Warned(unconfined))
    stop.check()
    before = suites.before(model, job)
    set_seed(plan.seed)
    model = begin.begun(model, plan, job)
    adapt.verify(model, plan.tune)
    before_training = convert.initial(model, plan.tune)
    session = Session(plan, job.data, job.run / METRICS, job.checkpoints, emit, stop, digest=sha256(job.plan))
    trained = train.train(plan, job, session, model=model, tokenizer=tokenizer)
    after = suites(trained, "after")
    emit(Phase("save"))
    found = suites.write(before, after, job)
    write_json(job.run / TRAINING, summary.summary(session, found))
    emit(Saved(save.save_model(plan, trained, words, job.run / "model", before_training)))
    seconds = round(time.monotonic() - started, 3)
    add_timing(
        job.run / TIMING, {"from_step": session.first_step, "seconds": seconds, "tokens": session.tokens}
    )
    emit(Done({"before": found["before"], "after": found["after"]}))


Execute = Callable[[Ready, Job, Callable[[Event], None], Stop], None]


def run(
    job: Job,
    emit: Callable[[Event], None],
    stop: Stop,
    log: TextIO = sys.stderr,
    work: Execute = execute,
) -> int:
    """Execute the job's plan; the exit status is 0 when done, 130 when stopped, 1 when it failed.

    `work` is what is done with the plan: all of it, or the few steps that are measured.
    """
    os.environ.update(OFFLINE)
    with Ending(job, emit, log) as ending:
        stop.check()
        plan = read_plan(job.plan)
        job.work.mkdir(parents=True, exist_ok=True)
        with exclusive(job.work / "lock"):
            determinism.settle(deterministic=plan.train.deterministic)
            work(plan, job, emit, stop)
    return ending.status


def write_events(descriptor: int) -> Callable[[Event], None]:
    """A function that writes events, one line each, to a file descriptor.

    A reader that is gone is no reason to lose the training: its lines are dropped.
    """
    file = os.fdopen(descriptor, "wb")

    def emit(event: Event) -> None:
        with suppress(BrokenPipeError):
            file.write(scrubbed(encode(event)).encode() + b"\n")
            file.flush()

    return emit
