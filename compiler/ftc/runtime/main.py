"""One execution of a plan, from the base model to the trained one, told as events."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, TextIO

from ftc.artifact.files import sha256, write_json
from ftc.artifact.lock import exclusive
from ftc.runtime import checkpoints, machine, rows, sequences
from ftc.runtime.evaluate import Evaluated, Evaluator, When, report
from ftc.runtime.events import Done, Evaluation, Event, Phase, Saved, Stopped, encode
from ftc.runtime.failure import explain
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS, TIMING, add_timing
from ftc.runtime.ready import Ready, read_plan
from ftc.runtime.stop import Stop, StoppedError
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
            self.emit(Stopped(checkpoints.newest(self.job.checkpoints)[1]))
            return True
        self.status = EXIT_FAILED
        traceback.print_exception(kind, error, trace, file=self.log)
        self.emit(explain(error))
        return True


def _evaluate(evaluator: Evaluator, model: Any, when: When) -> Evaluated:
    evaluator.emit(Phase("evaluate", when))
    found = evaluator(model)
    evaluator.emit(Evaluation(when, found.metrics))
    return found


def _before(evaluator: Evaluator | None, model: Any, job: Job) -> Evaluated | None:
    """The evaluation before training, kept for a start that resumes the same plan."""
    if evaluator is None:
        return None
    kept, made_for = job.work / "before.json", sha256(job.plan)
    if kept.is_file():
        stored = json.loads(kept.read_text(encoding="utf-8"))
        if stored.pop("plan") == made_for:
            found = Evaluated(**stored)
            evaluator.emit(Evaluation("before", found.metrics))
            return found
    measured = _evaluate(evaluator, model, "before")
    write_json(kept, {"plan": made_for, **asdict(measured)})
    return measured


def verify(plan: Ready, job: Job) -> None:
    """Raise BuildError unless the model and the compiled rows are what the plan says."""
    from ftc.runtime import load

    load.verify(plan.model, job.model)
    for part in (plan.data.train, plan.data.eval):
        if part is not None:
            rows.verify(part, job.data)
    if plan.data.sequences is not None:
        sequences.verify(plan.data.sequences, job.data)


def execute(plan: Ready, job: Job, emit: Callable[[Event], None], stop: Stop) -> None:
    """Load, evaluate, train, evaluate, save. Raises StoppedError and BuildError, with all progress kept."""
    from transformers import set_seed

    from ftc.runtime import adapt, load, save, train

    started = time.monotonic()
    emit(Phase("load", plan.model.location))
    machine.require(plan.environment.device)
    verify(plan, job)
    write_json(job.run / "environment.json", machine.describe(plan.environment.device))
    set_seed(plan.seed)
    model = load.load_model(plan.model, job.model)
    model.to(plan.environment.device)
    tokenizer = load.load_tokenizer(job.model)
    evaluator = Evaluator.make(plan, job.data, job.model, emit=emit, stop=stop)
    stop.check()
    before = _before(evaluator, model, job)
    set_seed(plan.seed)
    model = adapt.adapt(model, plan.tune)
    session = Session(plan, job.data, job.run / METRICS, job.checkpoints, emit, stop)
    trained = train.train(plan, job, session, model=model, tokenizer=tokenizer)
    after = _evaluate(evaluator, trained, "after") if evaluator else None
    emit(Phase("save"))
    found = report(evaluator.heldout if evaluator else None, before, after)
    write_json(job.run / "eval.json", found)
    emit(Saved(save.save_model(plan, trained, job.model, job.run / "model")))
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
            work(plan, job, emit, stop)
    return ending.status


def write_events(descriptor: int) -> Callable[[Event], None]:
    """A function that writes events, one line each, to a file descriptor.

    A reader that is gone is no reason to lose the training: its lines are dropped.
    """
    file = os.fdopen(descriptor, "wb")

    def emit(event: Event) -> None:
        with suppress(BrokenPipeError):
            file.write(encode(event).encode() + b"\n")
            file.flush()

    return emit
