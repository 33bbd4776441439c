"""A forecast's work against what the runtime really does, and the times that it takes of itself."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from in_process import execute

from ftc.data.kept.batch_lengths import batch_lengths
from ftc.data.packing.sizes import Sizes
from ftc.estimate.lowering import training_step
from ftc.estimate.measured import Measured, samples
from ftc.estimate.workload import Workload, workload
from ftc.plan.steps import EnvironmentStep, Plan
from ftc.runtime import score
from ftc.runtime.events import Event, Phase, Progress, Stopped
from ftc.runtime.main import run
from ftc.runtime.measure import MEASURED, drawn, measure, rounds, spread_out
from ftc.runtime.stop import Stop
from ftc.runtime.trainer import Additions
from tiny_plan import LABELS, Tiny, write_tiny

METRICS = ("loss", "exact_match", "label_accuracy")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Tiny:
    made = write_tiny(tmp_path_factory.mktemp("tiny"), tiny_model)
    import numpy as np
    import pyarrow.parquet as pq

    tables = [pq.read_table(made.data / shard.file.name) for shard in made.train.shards]
    lengths = [len(ids) for table in tables for ids in table.column("input_ids").to_pylist()]
    Sizes(np.array(lengths, np.int32), np.ones(len(lengths), np.int32)).write(made.data)
    return made


@pytest.fixture(scope="module")
def plan(tiny: Tiny) -> Plan:
    made = tiny.plan(steps=8, micro_batch=5, accumulation=2, save_every=3, metrics=METRICS, labels=LABELS)
    return made.model_copy(
        update={"environment": EnvironmentStep(device="cpu", packages={"trl": "1.16.0", "torch": "2.13.0"})}
    )


def config(tiny: Tiny) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tiny.model / "config.json").read_text(encoding="utf-8"))
    return found


def forecast(tiny: Tiny, plan: Plan) -> Workload:
    assert plan.data is not None
    lengths = batch_lengths(tiny.data, None, plan.data, LABELS)
    return workload(plan, training_step(plan, config(tiny)), lengths)


@dataclass
class Counted:
    """Tokens of each call, padding included, as the runtime's functions are given them."""

    training: list[int] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    labels: int = 0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    found = Counted()
    train, losses, greedy, continued = (
        Additions.training_step,
        score.row_losses,
        score.greedy,
        score._continued,
    )

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        found.training.append(inputs["input_ids"].numel())
        return train(self, model, inputs, *rest)

    def row_losses(model: Any, tokens: list[list[int]], masks: Any, **options: Any) -> Any:
        found.losses.append(len(tokens) * max(map(len, tokens)))
        return losses(model, tokens, masks, **options)

    def answers(model: Any, prompts: list[list[int]], **options: Any) -> Any:
        found.prompts.append(len(prompts) * max(map(len, prompts)))
        return greedy(model, prompts, **options)

    def more(*arguments: Any) -> Any:
        found.labels += 1
        return continued(*arguments)

    monkeypatch.setattr(Additions, "training_step", training_step)
    monkeypatch.setattr(score, "row_losses", row_losses)
    monkeypatch.setattr(score, "greedy", answers)
    monkeypatch.setattr(score, "_continued", more)
    return found


def test_the_forecast_counts_what_a_build_runs(
    tiny: Tiny, plan: Plan, counted: Counted, tmp_path: Path
) -> None:
    ran = execute(tiny, plan, tmp_path / "run")
    assert ran.status == 0, ran.log
    work = forecast(tiny, plan)
    assert work.training.calls == len(counted.training)
    off = abs(work.training.tokens - sum(counted.training)) / sum(counted.training)
    assert off < 4 * work.spread
    assert work.before is not None
    assert work.after is not None
    assert work.before.losses.calls + work.after.losses.calls == len(counted.losses)
    assert work.before.losses.tokens + work.after.losses.tokens == sum(counted.losses)
    passes = work.before.labels.calls + work.after.labels.calls
    assert passes == len(counted.prompts) + counted.labels
    assert work.before.fewest.calls <= work.before.most.calls
    assert work.checkpoints == 3
    assert work.after.losses.flops > work.before.losses.flops  # adapters


def test_a_few_steps_are_timed_with_what_they_were(tiny: Tiny, plan: Plan, tmp_path: Path) -> None:
    events: list[Event] = []
    job, log = tiny.job(plan, tmp_path / "run"), io.StringIO()
    assert run(job, events.append, Stop(), log, measure) == 0, log.getvalue()
    found = Measured.model_validate_json((job.run / MEASURED).read_bytes())
    kinds = {(sample.kind, sample.adapted) for sample in found.samples}
    evaluated = {(kind, adapted) for kind in ("losses", "answers", "labels") for adapted in (False, True)}
    assert kinds == evaluated | {("training", True)}
    for kind in kinds:
        some = [sample.first for sample in found.samples if (sample.kind, sample.adapted) == kind]
        assert some[0]
        assert not any(some[1:])
        assert len(some) > 1
    assert {"load", "trainer", "step", "checkpoint", "checkpoint bytes", "save", "save bytes"} == set(
        found.once
    )
    assert all(seconds >= 0 for seconds in found.once.values())
    work = forecast(tiny, plan)
    for sample in samples(found, training_step(plan, config(tiny))):
        assert sample.flops > 0
        if sample.kind == "training":
            assert sample.flops < work.training.flops
    assert [event.name for event in events if isinstance(event, Phase)] == [
        "load",
        "evaluate",
        "train",
        "evaluate",
        "save",
    ]


def test_a_measurement_stops_between_two_pieces_of_work(tiny: Tiny, plan: Plan, tmp_path: Path) -> None:
    events: list[Event] = []
    stop = Stop()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.what == "answers":
            stop.ask()

    job = tiny.job(plan, tmp_path / "run")
    assert run(job, emit, stop, io.StringIO(), measure) == 130
    assert isinstance(events[-1], Stopped)
    assert not (job.run / MEASURED).exists()


def test_the_shortest_the_middle_and_the_longest_are_run() -> None:
    assert spread_out([]) == []
    assert spread_out([1]) == [1]
    assert spread_out([1, 2, 3, 4]) == [1, 3, 4]
    assert rounds([1, 2, 3], 2) == [2, 1, 2, 3, 1, 2, 3]
    batches = drawn([5, 1, 9, 3, 7], 2, seed=0)
    assert drawn([5, 1, 9, 3, 7], 2, seed=0) == batches
    assert all(len(set(batch)) == 2 for batch in batches)
    assert drawn([4], 8, seed=1)[0] == [0]
