"""TRL's trainer, with what ftc adds: proof of the first batch, whole checkpoints, metrics, stops."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_json
from ftc.runtime import checkpoints, classes, prompt_encoder
from ftc.runtime.collate import UNSEEN, rows_of, tokens_of
from ftc.runtime.diagnosis import not_finite, row_ids, spike_help, spiked
from ftc.runtime.events import Checkpoint, Event, HeldOut, Step, Warned
from ftc.runtime.failure import BuildError
from ftc.runtime.history import History
from ftc.runtime.metrics import METRICS, HeldOutMetrics, StepMetrics, append
from ftc.runtime.overfitting import overfitting
from ftc.runtime.prompted import Prompted, figures
from ftc.runtime.ready import Ready
from ftc.runtime.rows import expected
from ftc.runtime.spikes import PATIENCE, Spikes
from ftc.runtime.stop import Stop
from ftc.runtime.watch import Watch
from ftc.tuning.optimizers import projections

RECENT = "recent_rows.json"
REMEMBERED = PATIENCE + 1
"""Steps whose rows are remembered, so that those of the step where the loss went up can be named."""

OVERFLOWS = 24
"""In float16 a gradient is scaled by 65,536 at first; what overflows after so many halvings has diverged."""


def named(reference: str) -> Any:
    """The class that `module:Class` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


@dataclass
class Session:
    """What one start of the runtime knows while it trains; `digest` is the plan's."""

    plan: Ready
    data: Path
    metrics: Path
    checkpoints: Path
    emit: Callable[[Event], None]
    stop: Stop
    digest: str = ""
    proved: bool = False
    tokens_in_step: int = 0
    tokens: int = 0
    first_step: int = 0
    overflows: int = 0
    started: float = field(default_factory=time.monotonic)
    watch: Watch | None = None
    history: History = field(default_factory=History)
    spikes: Spikes = field(default_factory=Spikes)
    rows_in_step: list[int] = field(default_factory=list)
    recent: dict[int, list[int]] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)

    def resume(self, checkpoint: Path | None) -> None:
        """Take up what was recorded up to a checkpoint."""
        self.history = History.read(self.metrics)
        for step, loss in self.history.losses:
            self.spikes.add(step, loss)
        if checkpoint is not None:
            kept = json.loads((checkpoint / RECENT).read_text(encoding="utf-8"))
            self.recent = {int(step): rows for step, rows in kept.items()}
        if overfitting(self.history) is not None:
            self.warned.add("overfitting")

    def prove(self, batch: dict[str, Any], rows: list[int]) -> None:
        """Raise BuildError unless the first batch is exactly the shards' rows, padding aside."""
        if self.proved:
            return
        shards = expected(self.plan.data.train, self.data, rows)
        for row, fed in zip_longest(rows, rows_of(batch)):
            if fed is None or fed != shards.get(row):
                what = "added rows to" if row is None else f"changed row {row} of"
                raise BuildError("FTC703", f"the trainer {what} the compiled data before training")
        if self.plan.objective.batches == "classes":
            classes.prove(batch["labels"].tolist(), rows, self.plan, self.data)
        self.proved = True

    def feed(self, batch: Any) -> None:
        """Take note of a micro-batch on its way to the model."""
        if isinstance(batch, list):
            self._prompted(batch)
            return
        rows = batch["row"].tolist()
        self.prove(batch, rows)
        for name in UNSEEN[self.plan.objective.batches]:
            del batch[name]
        self.rows_in_step += rows
        self.tokens_in_step += tokens_of(batch)

    def _prompted(self, batch: list[dict[str, Any]]) -> None:
        """Take note of prompts whose answers are to be sampled; the first must be those of the shards."""
        rows = sorted({prompt["row"] for prompt in batch})
        if not self.proved:
            shards = expected(self.plan.data.train, self.data, rows)
            if any(list(prompt["input_ids"]) != shards[prompt["row"]][0] for prompt in batch):
                raise BuildError("FTC703", "the trainer changed the compiled prompts before training")
            self.proved = True
        self.rows_in_step = sorted({*self.rows_in_step, *rows})

    def diverged(self, step: int, what: str) -> BuildError:
        """The failure of a loss or gradient of this step that is not a finite number."""
        return not_finite(step, what, self._ids(self.rows_in_step))

    def _ids(self, rows: list[int]) -> list[str]:
        return row_ids(self.plan.data.train, self.data, rows) if rows else []

    def record(self, step: int, steps: int, logs: dict[str, float]) -> None:
        """Write the step to metrics.jsonl and tell it. Raises BuildError if training has diverged."""
        tokens, self.tokens_in_step = self.tokens_in_step, 0
        if self.plan.objective.batches == "prompts":
            tokens = int(logs["num_tokens"]) - self.history.tokens
        self.history.tokens += tokens
        norm = self._norm(step, logs["grad_norm"])
        self.recent[step], self.rows_in_step = self.rows_in_step, []
        self.recent.pop(step - REMEMBERED, None)
        line = StepMetrics(step, logs["loss"], logs["learning_rate"], norm, tokens, figures(logs))
        append(self.metrics, line)
        self.tokens += tokens
        elapsed = max(time.monotonic() - self.started, 1e-9)
        left = elapsed / (step - self.first_step) * (steps - step)
        told = Step(**vars(line), steps=steps, tokens_per_second=self.tokens / elapsed, seconds_left=left)
        self.emit(told)
        self.history.losses.append((step, line.loss))
        if self.plan.objective.batches != "prompts":  # that loss is no measure of how well the model does
            self._judge(step, line.loss)

    def _judge(self, step: int, loss: float) -> None:
        """Raise BuildError, or warn where the plan says so, once the loss has gone up for good."""
        spike = self.spikes.add(step, loss)
        if spike is None or "divergence" in self.warned:
            return
        message = spiked(spike, step)
        if self.plan.train.divergence == "stop":
            raise BuildError("FTC705", message, *spike_help(self._ids(self.recent.get(spike.step, []))))
        self.warned.add("divergence")
        self.emit(Warned(message))

    def due(self, step: int, steps: int) -> bool:
        """Whether the held-out loss is to be evaluated after this step, and is not known yet."""
        if self.watch is None or self.history.evaluated(step) or not step:
            return False
        return step % self.watch.settings.every == 0 or step == steps

    def evaluate(self, step: int, trainer: Any) -> float | None:
        """Evaluate the held-out loss, record and tell it; None where a stop was asked for meanwhile."""
        assert self.watch is not None  # noqa: S101 - it is due
        found = self.watch.loss(trainer.model, trainer)
        if found is None:
            return None
        loss, tokens = found
        if not math.isfinite(loss):
            raise not_finite(step, "held-out loss", [])
        append(self.metrics, HeldOutMetrics(step, loss, tokens))
        self.history.held_out.append((step, loss))
        best = self.history.best
        assert best is not None  # noqa: S101 - it has just been recorded
        self.emit(HeldOut(step, loss, best[1], best[0]))
        seen = overfitting(self.history)
        if seen is not None and "overfitting" not in self.warned:
            self.warned.add("overfitting")
            self.emit(Warned(seen.message))
        return loss

    @property
    def ended(self) -> bool:
        """Whether early stopping has ended training."""
        settings = self.watch.settings if self.watch else None
        return settings is not None and self.history.stalled(settings.patience, settings.min_delta)

    def best_of(self, checkpoint: Path) -> int | None:
        """The step whose checkpoint must be kept with this one, as its weights may be saved in the end."""
        if self.watch is None or self.watch.settings.keep != "best":
            return None
        best = History.read(checkpoint / METRICS).best
        return best[0] if best else None

    def _norm(self, step: int, norm: float) -> float | None:
        """The gradient's norm; None, with a warning, where scaling it for float16 was too much."""
        if math.isfinite(norm):
            self.overflows = 0
            return norm
        self.overflows += 1
        if self.plan.train.arguments.get("fp16") is not True or self.overflows > OVERFLOWS:
            raise self.diverged(step, "gradient's norm")
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
            raise self.session.diverged(self.state.global_step + 1, "loss")
        return loss

    def log(self, logs: dict[str, float], *rest: Any) -> None:
        """Record a step, heed a stop, evaluate; the trainer calls this between two steps, before it saves."""
        super().log(logs, *rest)  # type: ignore[misc]
        if "loss" in logs:
            self.session.record(self.state.global_step, self.state.max_steps, logs)
            if self.session.stop.asked:
                self.end()
            elif self.session.due(self.state.global_step, self.state.max_steps):
                self._watch()

    def end(self) -> None:
        """Let training end behind this step, with a checkpoint."""
        self.control.should_save = self.control.should_training_stop = True

    def _watch(self) -> None:
        """Evaluate the held-out loss; keep the best, and end where it no longer falls."""
        session, step = self.session, self.state.global_step
        loss = self.held_out(step)
        if loss is None:
            self.end()
            return
        super().log({"eval_loss": loss})  # type: ignore[misc]
        best = session.history.best
        if session.best_of(session.metrics.parent) is not None and best and best[0] == step:
            self.control.should_save = True
        if session.ended:
            self.end()

    def held_out(self, step: int) -> float | None:
        """The held-out loss after a step; None where a stop was asked for meanwhile."""
        with self.accelerator.autocast():  # type: ignore[attr-defined]
            return self.session.evaluate(step, self)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # the rows are compiled

    def add_model_card_callback(self, *_: Any, **__: Any) -> None:
        """Nothing: sentence-transformers would look at rows as texts."""

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
        prompt_encoder.save(model, written)
        write_json(written / RECENT, {str(step): rows for step, rows in session.recent.items()})
        checkpoints.publish(written, session.checkpoints, step, session.best_of, session.digest)
        session.emit(Checkpoint(step))

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        """Take a checkpoint's weights in the dtypes that they train in: PEFT would make them float32."""
        whole: Any = model or self.model  # type: ignore[attr-defined]
        dtypes = {name: weight.dtype for name, weight in whole.named_parameters()}
        given = () if model is None else (model,)
        super()._load_from_checkpoint(checkpoint, *given)  # type: ignore[misc]
        prompt_encoder.restore(whole, Path(checkpoint))
        for name, weight in whole.named_parameters():
            if weight.requires_grad:
                weight.data = weight.data.to(dtypes[name])

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Take a checkpoint's optimizer, with the projections that GaLore and its like keep as objects."""
        from torch.serialization import safe_globals

        optim = str(getattr(self.args.optim, "value", self.args.optim))
        with safe_globals([named(place) for place in projections(optim)]):
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]

    def restore_weights(self, checkpoint: Path) -> None:
        """Take the weights of a checkpoint, without its optimizer."""
        self._load_from_checkpoint(str(checkpoint))


def extended(trainer: type) -> type:
    """The trainer's class with ftc's additions."""
    samples = hasattr(trainer, "_generate_and_score_completions")
    return type(trainer.__name__, (Additions, *((Prompted,) if samples else ()), trainer), {})
