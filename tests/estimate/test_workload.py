"""Micro-batches of every objective, and what a step's model and tuning are like."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.estimate.flops import Attends, step_flops
from ftc.estimate.step import Batch, Loss, Objective, Quantisation, TrainingStep, Tuning
from ftc.estimate.workload import NO_WORK, micro_batch, traits

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
}
LORA = Tuning(method="lora", rank=8, targets="all-linear")
LAYER = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 160


def step(**more: Any) -> TrainingStep:
    fields = {"tuning": LORA, "batch": Batch(rows=2, length=16), "attention": "eager", **more}
    return TrainingStep(config=CONFIG, **fields)


def test_full_fine_tuning_takes_six_operations_for_each_weight_and_token() -> None:
    trained, reference, generated = micro_batch(step(tuning=Tuning(method="full")))
    weights = 3 * LAYER + 64 * 500
    scores = 3 * 3 * 4 * 64 * 16  # forward and twice that back, in three layers
    assert trained.flops == 32 * (6 * weights + scores)
    assert (trained.calls, trained.tokens) == (1, 32)
    assert reference == generated == NO_WORK


def test_frozen_weights_take_less() -> None:
    full, lora = (micro_batch(step(tuning=how))[0].flops for how in (Tuning(method="full"), LORA))
    frozen = micro_batch(step(tuning=Tuning(method="freeze", layers=1)))[0].flops
    assert frozen < lora < full


def test_checkpointing_computes_the_layers_again() -> None:
    counted = step_flops(step(checkpointing="reentrant"))
    assert counted.recomputation.linear == counted.forward.linear
    assert counted.recomputation.head == 0
    assert step_flops(step()).recomputation.total == 0


def test_a_pair_is_two_rows_and_a_reference_reads_them_without_adapters() -> None:
    plain = micro_batch(step())[0]
    alone, nothing, _ = micro_batch(step(objective=Objective(kind="dpo", reference="precomputed")))
    trained, reference, _ = micro_batch(step(objective=Objective(kind="dpo", reference="adapter")))
    assert trained == alone
    assert trained.flops == pytest.approx(2 * plain.flops)
    assert nothing == NO_WORK
    assert reference.flops == pytest.approx(64 * (2 * (3 * LAYER + 64 * 500) + 3 * 4 * 64 * 16))


def test_generation_is_a_pass_a_token() -> None:
    objective = Objective(kind="grpo", prompt=10, completion=5, generations=4)
    generated = micro_batch(step(objective=objective))[2]
    assert generated.calls == 5
    assert generated.tokens == 4 * (10 + 4)
    one = step_flops(step()).forward
    assert generated.operations.head == one.head * 4 * 5
    assert generated.operations.attention == one.attention * 4 * (10**2 + 11 + 12 + 13 + 14)


def test_the_fused_head_makes_logits_of_trained_tokens_alone_on_a_gpu() -> None:
    some = Batch(rows=2, length=16, trained=6)
    every = micro_batch(step(loss=Loss(kernel="trl")))[0].operations.head
    few = micro_batch(step(loss=Loss(kernel="trl"), batch=some))[0].operations.head
    assert few == every * 6 / 32


def test_rows_that_are_packed_see_themselves_alone_where_the_kernel_knows() -> None:
    packed = Batch(rows=1, length=16, packed=(6, 10))
    aware, blind = (
        micro_batch(step(batch=packed, attention=kernel))[0].operations.attention
        for kernel in ("flash_attention_2", "efficient")
    )
    assert aware / blind == pytest.approx((36 + 100) / 2 / 256)
    assert not Attends.of("flash", masked=False).later
    assert Attends.of("flash", masked=True).later


def test_traits_are_those_of_the_model_and_its_tuning() -> None:
    assert traits(step()).method == "lora"
    quantised = traits(step(quantisation=Quantisation(kind="nf4")))
    assert (quantised.method, quantised.layers, quantised.hidden) == ("qlora", 3, 64)
    assert quantised.weights < traits(step()).weights
    assert traits(step()).cache == 2 * 3 * 32 * 2
    assert traits(step(tuning=Tuning(method="full"))).trained == 3 * LAYER + 2 * 500 * 64 + 7 * 64
