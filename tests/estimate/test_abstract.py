"""The abstract run of a training step against real ones: PyTorch's own count of the bytes it allocated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftc.estimate.step import (
    Batch,
    Evaluation,
    Loss,
    Optimizer,
    Quantisation,
    TrainingStep,
    Tuning,
)

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 2000,
}
EXPERTS = {
    **LLAMA,
    "model_type": "qwen3_moe",
    "head_dim": 32,
    "moe_intermediate_size": 96,
    "num_experts": 8,
    "num_experts_per_tok": 2,
}
SLIDING = {
    **LLAMA,
    "model_type": "gemma3_text",
    "head_dim": 32,
    "sliding_window": 64,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}
LORA = Tuning(method="lora", rank=8, targets="all-linear")
NF4 = Quantisation(kind="nf4", double=True, compute="float32")
ADAM8 = Optimizer(form="bitsandbytes", bits=8)
FULL = Tuning(method="full")
BATCH = Batch(rows=2, length=128)
LONG = Batch(rows=4, length=256)  # beside which the random states that checkpoints keep are nothing


def a_step(**changes: Any) -> TrainingStep:
    """A step of full fine-tuning in float32 with eager attention, but for the changes."""
    defaults = {"config": LLAMA, "tuning": FULL, "batch": BATCH, "weights": "float32", "attention": "eager"}
    return TrainingStep.model_validate({**defaults, **changes})


STEPS = {
    "full": a_step(),
    "full, bfloat16": a_step(weights="bfloat16"),
    "full, evaluation": a_step(evaluation=Evaluation(rows=8, length=250)),
    "full, accumulated": a_step(batch=BATCH.model_copy(update={"accumulated": True})),
    "full, sdpa": a_step(attention="flash"),
    "full, sdpa, padded": a_step(batch=LONG.model_copy(update={"padded": True}), attention="flash"),
    "full, sdpa, packed": a_step(batch=Batch(rows=1, length=512, packed=(300, 212)), attention="flash"),
    "mixture of experts": a_step(config=EXPERTS),
    "two kinds of layers": a_step(config=SLIDING),
    "full, autocast": a_step(autocast="bfloat16"),
    "full, fused AdamW": a_step(optimizer=Optimizer(form="fused")),
    "full, loop": a_step(optimizer=Optimizer(form="loop")),
    "full, logits upcast early, copied and kept": a_step(
        weights="bfloat16", loss=Loss(early=True, upcast=False, shift="slice", keep_logits=True)
    ),
    "full, reentrant": a_step(checkpointing="reentrant", batch=LONG),
    "full, non-reentrant": a_step(checkpointing="non-reentrant", batch=LONG),
    "full, math attention": a_step(attention="math"),
    "full, TRL's head": a_step(loss=Loss(kernel="trl")),
    "full, 8-bit AdamW": a_step(optimizer=ADAM8),
    "freeze": a_step(tuning=Tuning(method="freeze", layers=1, head=True)),
    "lora": a_step(tuning=LORA),
    "lora, reentrant": a_step(tuning=LORA, checkpointing="reentrant", batch=LONG),
    "lora, autocast": a_step(tuning=LORA, autocast="bfloat16"),
    "lora, TRL's head, non-reentrant": a_step(
        tuning=LORA, loss=Loss(kernel="trl"), checkpointing="non-reentrant", batch=LONG
    ),
    "lora, 8-bit AdamW": a_step(tuning=LORA.model_copy(update={"rank": 32}), optimizer=ADAM8),
    "qlora": a_step(tuning=LORA, weights="bfloat16", quantisation=NF4),
    "qlora, reentrant": a_step(
        tuning=LORA, weights="bfloat16", quantisation=NF4, checkpointing="reentrant", batch=LONG
    ),
    "qlora, not upcast": a_step(
        tuning=Tuning(method="lora", rank=8, targets=("q_proj", "v_proj"), dtype="bfloat16"),
        weights="bfloat16",
        quantisation=Quantisation(kind="nf4", upcast=False),
    ),
    "dpo, reference model": a_step(objective={"kind": "dpo", "reference": "model"}),
    "dpo, reference before": a_step(objective={"kind": "dpo", "reference": "precomputed"}),
    "dpo, lora, base as reference": a_step(
        tuning=LORA, objective={"kind": "dpo", "reference": "adapter"}, checkpointing="non-reentrant"
    ),
    "lora on int8": a_step(tuning=LORA, weights="bfloat16", quantisation=Quantisation(kind="int8")),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower with several."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", STEPS)
def test_a_real_step_takes_what_the_abstract_run_says(name: str) -> None:
    pytest.importorskip("bitsandbytes")
    from estimate.real_steps import step_of
    from ftc.estimate.abstract.depth import predict

    step = STEPS[name]
    found = predict(step, "cpu", whole=True).phases
    for phase, measured in step_of(step).items():
        if phase != "load":
            assert found[phase].size == pytest.approx(measured, rel=1e-3), phase


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"checkpointing": "non-reentrant"},
        {"tuning": LORA, "batch": LONG.model_copy(update={"accumulated": True})},
    ],
)
def test_trls_trainer_takes_what_the_abstract_run_says(changes: dict[str, Any], tmp_path: Path) -> None:
    from estimate.real_steps import trainer
    from ftc.estimate.abstract.depth import predict

    loop = Optimizer(form="loop")
    step = a_step(
        **{"batch": LONG, "attention": "flash", "loss": {"kernel": "trl"}, "optimizer": loop, **changes}
    )
    measured = trainer(step, tmp_path)["train"]
    assert predict(step, "cpu", whole=True).peak.size == pytest.approx(measured, rel=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"checkpointing": "non-reentrant", "loss": {"kernel": "trl"}},
        {"tuning": LORA, "checkpointing": "reentrant"},
        {"tuning": LORA, "weights": "bfloat16", "quantisation": NF4, "attention": "flash"},
        {"tuning": Tuning(method="freeze", layers=2)},
        {"config": {**EXPERTS, "num_hidden_layers": 9}},
        {"config": {**SLIDING, "num_hidden_layers": 9, "layer_types": SLIDING["layer_types"] * 3}},
        {"objective": {"kind": "dpo", "reference": "model"}},
    ],
)
def test_few_layers_foretell_many(changes: dict[str, Any]) -> None:
    from ftc.estimate.abstract.depth import predict

    step = a_step(**{"config": {**LLAMA, "num_hidden_layers": 9}, **changes})
    few, whole = predict(step), predict(step, whole=True)
    assert len(few.traced) == 2
    assert few.phase == whole.phase
    for phase, peak in whole.phases.items():
        assert few.phases[phase].size == pytest.approx(peak.size, rel=1e-5), phase
        assert sum(few.phases[phase].categories.values()) == few.phases[phase].size


def test_a_breakdown_names_what_the_bytes_are_for() -> None:
    from ftc.estimate.abstract.depth import predict

    step = a_step(tuning=LORA, weights="bfloat16", quantisation=NF4, loss=Loss(kernel="logits"))
    categories = predict(step).phases["backward"].categories
    assert set(categories) >= {"weights", "quantisation", "adapters", "optimizer", "activations", "logits"}
    logits = BATCH.tokens * LLAMA["vocab_size"] * 4
    assert categories["logits"] == pytest.approx(3 * logits, rel=0.01)


def test_paged_states_of_large_weights_are_outside_of_the_allocator() -> None:
    from ftc.estimate.abstract.depth import predict

    kept, paged = (
        predict(a_step(optimizer=ADAM8.model_copy(update={"paged": paged}))).phases["save"].categories
        for paged in (False, True)
    )
    table = LLAMA["vocab_size"] * LLAMA["hidden_size"]
    assert kept["optimizer"] - paged["optimizer"] == 2 * 2 * table  # two states, embedding and head


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sharding": {"kind": "fsdp2", "devices": 8}}, "several devices"),
        ({"attention": "flex"}, "attention kernel flex"),
        ({"loss": {"kernel": "fused"}}, "a loss kernel of another library"),
    ],
)
def test_what_cannot_run_abstractly_is_said(changes: dict[str, Any], why: str) -> None:
    from ftc.estimate.abstract.depth import predict
    from ftc.estimate.architecture import InexpressibleError

    with pytest.raises(InexpressibleError, match=why):
        predict(a_step(**changes))


def test_the_command_prints_a_steps_peaks(tmp_path: Path) -> None:
    file = tmp_path / "step.json"
    file.write_text(a_step().model_dump_json())
    command = [sys.executable, "-m", "ftc.estimate.abstract", str(file), "--json"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert result["bytes"] == result["phases"][result["phase"]]["bytes"]
    assert result["packages"]["torch"]
