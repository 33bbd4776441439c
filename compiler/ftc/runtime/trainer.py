"""TRL's trainer, with what ftc adds: proof of the first batch, whole checkpoints, metrics, stops."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ftc.runtime import checkpoints
from ftc.runtime.collate import rows_of, tokens_of
from ftc.runtime.events import Checkpoint, Event, Step, Warned
from ftc.runtime.failure import BuildError
from ftc.runtime.metrics import METRICS, StepMetrics, append
from ftc.runtime.ready import Ready
from ftc.runtime.rows import expected
from ftc.runtime.stop import Stop

OVERFLOWS = 24
"""In float16 a gradient is scaled by 65,536 at first; what overflows after so many halvings has diverged."""


def named(reference: str) -> Any:
    """The class that `module:Class` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def diverged(step: int, what: str) -> BuildError:
    """The failure of a loss or gradient that is no longer a number."""
    return BuildError(
        "FTC705",
        f"training diverged at step {step}: the {what} is not a finite number",
        "set train.learning_rate to a third of what it is, or train.warmup = 0.05",
        "look for odd rows with `ftc show`; float16 overflows where bfloat16 and float32 do not",
    )


@dataclass
class Session:
    """What one start of the runtime knows while it trains."""

    plan: Ready
    data: Path
    metrics: Path
    checkpoints: Path
    emit: Callable[[Event], None]
    stop: Stop
    proved: bool = False
    tokens_in_step: int = 0
    tokens: int = 0
    first_step: int = 0
    overflows: int = 0
    started: float = field(default_factory=time.monotonic)

    def prove(self, batch: dict[str, Any], rows: list[int]) -> None:
        """Raise BuildError unless the first batch is exactly the shards' rows, padding aside."""
        if self.proved:
            return
        shards = expected(self.plan.data.train, self.data, rows)
        for row, fed in zip_longest(rows, rows_of(batch)):
            if fed is None or fed != shards.get(row):
                what = "added rows to" if row is None else f"changed row {row} of"
                raise BuildError("FTC703", f"the trainer {what} the compiled data before training")
        self.proved = True

    def feed(self, batch: dict[str, Any]) -> None:
        """Take note of a micro-batch on its way to the model."""
        self.prove(batch, batch.pop("row").tolist())
        self.tokens_in_step += tokens_of(batch)

    def record(self, step: int, steps: int, logs: dict[str, float]) -> None:
        """Write the step to metrics.jsonl and tell it. Raises BuildError if the gradient is not finite."""
        tokens, self.tokens_in_step = self.tokens_in_step, 0
        norm = self._norm(step, logs["grad_norm"])
        line = StepMetrics(step, logs["loss"], logs["learning_rate"], norm, tokens)
        append(self.metrics, line)
        self.tokens += tokens
        elapsed = max(time.monotonic() - self.started, 1e-9)
        left = elapsed / (step - self.first_step) * (steps - step)
        told = Step(**vars(line), steps=steps, tokens_per_second=self.tokens / elapsed, seconds_left=left)
        self.emit(told)

    def _norm(self, step: int, norm: float) -> float | None:
        """The gradient's norm; None, with a warning, where scaling it for float16 was too much."""
        if math.isfinite(norm):
            self.overflows = 0
            return norm
        self.overflows += 1
        if self.plan.train.arguments.get("fp16") is not True or self.overflows > OVERFLOWS:
            raise diverged(step, "gradient's norm")
        self.emit(Warned(f"step {step} is left out: its gradient overflowed float16; its scale is halved"))
        return None


class Additions:
    """Mixed in before a trainer's class; `session` is set right after construction."""

    session: Session
    args: Any
    state: Any
    control: Any

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        """One micro-batch forward and back. Raises BuildError on a loss that is not finite."""
        self.session.feed(inputs)
        loss = super().training_step(model, inputs, *rest)  # type: ignore[misc]
        if not math.isfinite(loss.item()):
            raise diverged(self.state.global_step + 1, "loss")
        return loss

    def log(self, logs: dict[str, float], *rest: Any) -> None:
        """Record a step and heed a stop; the trainer calls this between two steps, before it saves."""
        super().log(logs, *rest)  # type: ignore[misc]
        if "loss" in logs:
            self.session.record(self.state.global_step, self.state.max_steps, logs)
            if self.session.stop.asked:
                self.control.should_save = self.control.should_training_stop = True

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: the run directory has a README of its own."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        session, step = self.session, self.state.global_step
        staged = checkpoints.staging(session.checkpoints)
        kept, self.args.output_dir = self.args.output_dir, str(staged)
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        self.args.output_dir = kept
        written = staged / f"checkpoint-{step}"
        shutil.copyfile(session.metrics, written / METRICS)
        checkpoints.publish(written, session.checkpoints, step)
        session.emit(Checkpoint(step))

    def restore_weights(self, checkpoint: Path) -> None:
        """Take the weights of a checkpoint, without its optimizer."""
        self._load_from_checkpoint(str(checkpoint))  # type: ignore[attr-defined]


def extended(trainer: type) -> type:
    """The trainer's class with ftc's additions."""
    return type(trainer.__name__, (Additions, trainer), {})
