"""What is trained, on what, and that it is the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from in_process import execute

from ftc.runtime.events import Checkpoint, Done, Evaluation, Phase, Step
from tiny_plan import Tiny

WEIGHTS = {"lora": "adapter_model.safetensors", "full": "model.safetensors"}


def losses(directory: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("fixture", ["lora_run", "full_run"])
def test_trains_and_tells(fixture, request):
    ran = request.getfixturevalue(fixture)
    assert ran.status == 0, ran.log
    steps = ran.of(Step)
    assert [event.step for event in steps] == list(range(1, steps[0].steps + 1))
    assert losses(ran.directory)[-1] < losses(ran.directory)[0]
    assert [event.when for event in ran.of(Evaluation)] == ["before", "after"]
    assert isinstance(ran.events[-1], Done)
    assert {event.name for event in ran.of(Phase)} >= {"load", "evaluate", "train", "save"}


def test_memorises(full_run):
    after = json.loads((full_run.directory / "eval.json").read_text())["after"]
    assert losses(full_run.directory)[-1] < losses(full_run.directory)[0] / 10
    assert after["exact_match"] == after["label_accuracy"] == 1.0


def test_last_checkpoint_is_the_last_step(lora_run):
    assert [event.step for event in lora_run.of(Checkpoint)] == [3, 6, 8]


def test_metrics_hold_no_time(lora_run):
    lines = [json.loads(line) for line in (lora_run.directory / "metrics.jsonl").read_text().splitlines()]
    assert all(set(line) == {"step", "loss", "learning_rate", "grad_norm", "tokens"} for line in lines)
    assert lines[0]["learning_rate"] == 0.05


def test_tokens_are_those_of_the_shards(lora_run, tiny: Tiny):
    lines = [json.loads(line) for line in (lora_run.directory / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["tokens"] for line in lines[:6]) == tiny.train.tokens


def test_the_model_sees_the_shards(tiny: Tiny, tmp_path, monkeypatch):
    """Every row of one epoch, as the model's forward gets it, is a row of the shards, padding aside."""
    from transformers import LlamaForCausalLM, LlamaModel

    seen: list[tuple[list[int], list[int]]] = []
    labels: list[list[list[int]]] = []
    forward, inner = LlamaForCausalLM.forward, LlamaModel.forward

    def spy_inner(self, input_ids=None, attention_mask=None, **rest):
        if self.training:
            seen.extend(zip(input_ids.tolist(), attention_mask.tolist(), strict=True))
        return inner(self, input_ids=input_ids, attention_mask=attention_mask, **rest)

    monkeypatch.setattr(LlamaModel, "forward", spy_inner)
    from ftc.runtime import trainer as trainer_module

    feed = trainer_module.Session.feed

    def spy_feed(self, batch):
        feed(self, batch)
        labels.append(batch["labels"].tolist())

    monkeypatch.setattr(trainer_module.Session, "feed", spy_feed)
    assert forward is LlamaForCausalLM.forward
    ran = execute(tiny, tiny.plan(steps=6, save_every=6), tmp_path / "run")
    assert ran.status == 0, ran.log
    flat_labels = [row for batch in labels for row in batch]
    fed = []
    for (ids, mask), label in zip(seen, flat_labels, strict=True):
        length = sum(mask)
        assert mask == [1] * length + [0] * (len(mask) - length)
        assert ids[length:] == [0] * (len(ids) - length)
        assert label[length:] == [-100] * (len(ids) - length)
        fed.append((tuple(ids[:length]), tuple(label[:length])))
    expected = []
    for shard in tiny.train.shards:
        for row in pq.read_table(tiny.data / shard.file.name).to_pylist():
            kept = [t if m else -100 for t, m in zip(row["input_ids"], row["mask"], strict=True)]
            expected.append((tuple(row["input_ids"]), tuple(kept)))
    assert sorted(fed) == sorted(expected)


def test_a_changed_batch_is_noticed(tiny: Tiny, tmp_path, monkeypatch):
    from ftc.runtime.collate import Collator

    collate = Collator.__call__

    def spoiled(self, examples):
        batch = collate(self, examples)
        batch["labels"][0, 0] = 7
        return batch

    monkeypatch.setattr(Collator, "__call__", spoiled)
    ran = execute(tiny, tiny.plan(), tmp_path / "run")
    assert ran.status == 1
    assert "changed row" in ran.events[-1].message


def test_twice_is_bit_identical(lora_run, lora_plan, tiny: Tiny, tmp_path):
    again = execute(tiny, lora_plan, tmp_path / "again")
    for name in (
        "model/adapter_model.safetensors",
        "model/adapter_config.json",
        "metrics.jsonl",
        "eval.json",
    ):
        assert (again.directory / name).read_bytes() == (lora_run.directory / name).read_bytes(), name


def test_another_seed_is_another_model(lora_run, lora_plan, tiny: Tiny, tmp_path):
    train = lora_plan.train
    arguments = {**train.arguments, "seed": 1, "data_seed": 1}
    plan = lora_plan.model_copy(
        update={"seed": 1, "train": train.model_copy(update={"arguments": arguments})}
    )
    other = execute(tiny, plan, tmp_path / "other")
    name = "model/adapter_model.safetensors"
    assert (other.directory / name).read_bytes() != (lora_run.directory / name).read_bytes()


def test_accumulation_changes_nothing(tiny: Tiny, tmp_path):
    """Rows of unequal trained length in 1 × 4 and 2 × 2 give the same loss, step by step."""
    whole = execute(tiny, tiny.plan(method="full", micro_batch=4, accumulation=1), tmp_path / "whole")
    halves = execute(tiny, tiny.plan(method="full", micro_batch=2, accumulation=2), tmp_path / "halves")
    assert whole.status == halves.status == 0
    assert losses(halves.directory) == pytest.approx(losses(whole.directory), rel=1e-4)


def test_gradient_checkpointing_changes_nothing(tiny: Tiny, tmp_path):
    plain = execute(tiny, tiny.plan(steps=3), tmp_path / "plain")
    saving = execute(tiny, tiny.plan(steps=3, gradient_checkpointing=True), tmp_path / "saving")
    assert saving.status == 0, saving.log
    assert losses(saving.directory) == pytest.approx(losses(plain.directory), rel=1e-5)


def test_arguments_are_all_taken(tiny: Tiny, lora_plan, tmp_path):
    """TRL's config takes every argument of the plan and keeps its value."""
    from ftc.runtime.ready import ready
    from ftc.runtime.train import config

    plan = ready(lora_plan)
    made = config(plan, tiny.job(lora_plan, tmp_path))
    same = {k: v for k, v in plan.train.arguments.items() if k != "report_to"}
    assert {key: getattr(made, key) for key in same} == same
    assert made.report_to in ([], "none", ["none"])
    assert made.device.type == "cpu"


def test_a_field_that_the_installed_trl_lacks_is_named(tiny: Tiny, tmp_path):
    from ftc.runtime.failure import BuildError
    from ftc.runtime.ready import ready
    from ftc.runtime.train import config

    plan = tiny.plan(warmup_share=0.1)
    with pytest.raises(BuildError) as caught:
        config(ready(plan), tiny.job(plan, tmp_path))
    assert caught.value.event.code == "FTC503"
    assert "`warmup_share` in its SFTConfig" in caught.value.event.message
