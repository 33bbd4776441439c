"""A stand-in for the runtime, for tests of what comes before and after training: it writes a run at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ftc.artifact.build import Job, Outcome
from ftc.plan.canonical import digest
from ftc.plan.steps import Plan
from ftc.runtime.events import Event, Failed, HeldOut


def rows_of(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@dataclass
class FakeRuntime:
    """Writes what a plan's run would hold, with a loss that a function of the plan gives.

    `built` lists the plans it was given, by name and digest. `held_out` gives losses by step while training;
    `stop` and `fail` name plans that are stopped, or fail.
    """

    loss: Callable[[Plan], float] = lambda _: 1.0
    held_out: Callable[[Plan], dict[int, float]] = lambda _: {}
    stop: Callable[[Plan], bool] = lambda _: False
    fail: Callable[[Plan], bool] = lambda _: False
    built: list[tuple[str, str]] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)

    def __call__(self, job: Job, on_event: Callable[[Event], None], **_: Any) -> Outcome:
        plan = Plan.model_validate_json(job.plan.read_bytes())
        self.built.append((plan.name, digest(plan)))
        self.models.append(job.model)
        job.log.touch()
        if self.stop(plan):
            return Outcome("stopped", 1, None, 130, job.log)
        if self.fail(plan):
            return Outcome("failed", 1, Failed("FTC705", "the loss is NaN"), 1, job.log)
        metrics = job.run / "metrics.jsonl"
        metrics.touch()
        for step, loss in self.held_out(plan).items():
            with metrics.open("a") as file:
                file.write(json.dumps({"step": step, "eval_loss": loss, "eval_tokens": 1}) + "\n")
            on_event(HeldOut(step, loss, loss, step))
        self._write(plan, job)
        return Outcome("done", 1, None, 0, job.log)

    def _write(self, plan: Plan, job: Job) -> None:
        target = job.run / "model"
        target.mkdir()
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(job.model / name, target / name)
        (target / "model.safetensors").write_bytes(sha256(digest(plan).encode()).digest())
        if plan.render is not None and plan.render.chat_template is not None:
            (target / "chat_template.jinja").write_text(plan.render.chat_template)
        found = {"before": {"loss": 9.0}, "after": {"loss": self.loss(plan)}, "suites": [], "gates": []}
        (job.run / "eval.json").write_text(json.dumps(found))
        (job.run / "environment.json").write_text("{}")
        (job.run / "timing.json").write_text(json.dumps({"sessions": [{"seconds": 2.0}]}))
